"""`matrixhub past-data` on the database of the rig: files that are whole, or not there."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pyarrow import parquet
from tests.integration.rest.rig import SEEDS, Rig
from tests.readings import Writer
from typer.testing import CliRunner, Result

from matrixhub.cli import past_data
from matrixhub.cli.app import app
from matrixhub.lifecycle import SystemClock
from matrixhub.model.application import Quota
from matrixhub.model.errors import StoreError
from matrixhub.model.ids import ApplicationId, PropertyId
from matrixhub.model.reading_line import Splitter
from matrixhub.model.site import Slot
from matrixhub.modules.events import publish_events, register_application
from matrixhub.modules.work import Platform
from matrixhub.sources.sites import make_site
from matrixhub.store.readings import PostgresReadings
from matrixhub.store.sites import apply_site

pytestmark = pytest.mark.asyncio(loop_scope="session")

AT = datetime(2026, 3, 10, 8, tzinfo=UTC)
SPAN = ("--from", "2026-03-10T00:00+00:00", "--to", "2026-03-11T00:00+00:00")


class Shell:
    """Commands on a property with twelve readings of two slots."""

    def __init__(self, rig: Rig, property_id: PropertyId, slots: Sequence[Slot], folder: Path) -> None:
        self.rig, self.property_id, self.slots, self.folder = rig, property_id, slots, folder

    async def run(self, *words: str) -> Result:
        environment = {
            "MATRIXHUB_ENGINES__POSTGRES__DSN": self.rig.database.dsn,
            "MATRIXHUB_ENGINES__NATS__URL": "nats://127.0.0.1:1",
            "MATRIXHUB_SECRETS__MASTER_KEY": "0f" * 32,
        }
        given = ["past-data", words[0], "--property", self.property_id, *words[1:]]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, given, env=environment))

    async def file(self, name: str, *words: str) -> bytes:
        """What is in the file that a command makes."""
        path = self.folder / name
        result = await self.run(*words, "-o", str(path))
        assert result.exit_code == 0, result.output
        assert [one.name for one in self.folder.iterdir()] == [name]
        content = path.read_bytes()
        path.unlink()
        return content


@pytest_asyncio.fixture(loop_scope="session")
async def shell(rig: Rig, tmp_path: Path) -> Shell:
    site = make_site(2, seed=next(SEEDS))
    await apply_site(rig.database, site, remove=False)
    writer, splitter, store = Writer(), Splitter(), PostgresReadings(rig.database)
    for number, slot in enumerate(site.slots):
        instants = [AT + timedelta(minutes=n, seconds=number) for n in range(6)]
        lines = [writer.line(slot, round(at.timestamp() * 1000), {"count": n}) for n, at in enumerate(instants)]
        kept = [splitter.split(line) for line in lines]
        while True:
            seq = await store.begin(0)
            if await store.store(kept, [], after_seq=seq, to_seq=seq) is not None:
                break
    return Shell(rig, site.property.id, site.slots, tmp_path)


async def test_the_name_of_the_file_says_the_format(shell: Shell) -> None:
    lines = (await shell.file("a.ndjson", "readings", *SPAN)).splitlines()
    assert [json.loads(line)["v"]["count"] for line in lines] == [n // 2 for n in range(12)]
    assert json.loads(await shell.file("a.json", "readings", *SPAN)) == [json.loads(line) for line in lines]
    text = gzip.decompress(await shell.file("a.csv.gz", "readings", *SPAN)).decode()
    assert len(list(csv.DictReader(io.StringIO(text, newline="")))) == 12
    content = await shell.file("a.parquet", "readings", *SPAN, "--attributes", "count:integer")
    assert parquet.read_table(io.BytesIO(content)).column("v_count").to_pylist() == [n // 2 for n in range(12)]


async def test_readings_are_chosen_and_go_on(shell: Shell) -> None:
    slot = shell.slots[1]
    lines = (await shell.file("a.ndjson", "readings", *SPAN, "--slot", slot.id, "--type", slot.devtype)).splitlines()
    assert [json.loads(line)["DEVID"] for line in lines] == [slot.id] * 6
    after = f"{json.loads(lines[3])['unixT']}/{slot.id}/{slot.devtype}"
    rest = await shell.file("a.ndjson", "readings", *SPAN, "--slot", slot.id, "--after", after)
    assert rest.splitlines() == lines[4:]
    assert await shell.file("a.ndjson", "readings", *SPAN, "--zone", "nowhere", "--building", "nowhere") == b""


async def test_without_a_file_lines_go_to_standard_output(shell: Shell) -> None:
    result = await shell.run("readings", *SPAN)
    assert result.exit_code == 0
    assert len(result.stdout_bytes.splitlines()) == 12
    assert result.stderr == ""


async def test_scripts_are_told_how_many_there_are(shell: Shell) -> None:
    path = shell.folder / "a.csv"
    result = await shell.run("readings", *SPAN, "-o", str(path), "--json")
    assert json.loads(result.stdout) == {"file": str(path), "format": "csv", "readings": 12}


async def test_events_are_written_like_readings(shell: Shell) -> None:
    platform = Platform(database=shell.rig.database, clock=SystemClock())
    application = ApplicationId("lift-monitor")
    await register_application(platform, shell.property_id, application, name="", quota=Quota())
    given = [{"Event": f"LIFT_{n}", "Priority": "LOW", "Description": "", "Meta": {}} for n in range(3)]
    await publish_events(platform, shell.property_id, application, given)
    text = (
        await shell.file(
            "a.csv", "events", "--pattern", "matrix.#.LIFT_1.*", "--to", "2100-01-01", "--from", "2020-01-01"
        )
    ).decode()
    assert [row["event"] for row in csv.DictReader(io.StringIO(text, newline=""))] == ["LIFT_1"]


@pytest.mark.parametrize(
    "words",
    [
        ("readings", "--format", "xml"),
        ("events", "-o", "events.parquet"),
        ("readings", "--from", "soon"),
        ("readings", "--from", "2026-03-11", "--to", "2026-03-10"),
        ("readings", "--attributes", "count:date"),
        ("readings", "--after", "nonsense"),
        ("readings", "-o", "/nonexistent/a.csv"),
        ("readings", "--json"),
        ("events", "--pattern", "matrix..#"),
    ],
)
async def test_what_cannot_be_is_refused_and_makes_no_file(shell: Shell, words: tuple[str, ...]) -> None:
    result = await shell.run(*words)
    assert (result.exit_code, result.stderr.split()[0]) == (1, "MH-R010")
    assert list(shell.folder.iterdir()) == []


async def test_an_unknown_property_is_told(shell: Shell) -> None:
    shell.property_id = PropertyId("nobody's")
    result = await shell.run("readings", "-o", str(shell.folder / "a.csv"))
    assert (result.exit_code, result.stderr.split()[0]) == (1, "MH-R008")


async def test_a_fault_midway_leaves_the_file_of_before(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> AsyncIterator[Sequence[bytes]]:
        yield [b'{"unixT":1,"v":{}}']
        raise StoreError("PostgreSQL: gone")

    monkeypatch.setattr(past_data, "export_readings", broken)
    path = shell.folder / "a.ndjson"
    path.write_text("of before", encoding="utf-8")
    result = await shell.run("readings", "-o", str(path))
    assert (result.exit_code, result.stderr.split()[0]) == (1, "MH-S001")
    assert [(one.name, one.read_text(encoding="utf-8")) for one in shell.folder.iterdir()] == [
        ("a.ndjson", "of before")
    ]
