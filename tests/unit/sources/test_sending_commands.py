"""`simulate` and `replay` as commands, against a real HTTP server in another thread."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner

pytest.importorskip("matrixhub.cli.local", exc_type=ImportError)
pytest.importorskip("matrixhub.cli.sitefile", exc_type=ImportError)

from matrixhub.cli.replay import replay
from matrixhub.cli.simulate import simulate
from matrixhub.sources.client import HubClient, Receipt
from matrixhub.testing.listener import serve_app

EXAMPLES = Path(__file__).parents[3] / "examples"
DOOR = "".join(
    f"{flow},08/0{day}/05,{hour:02d}:00:00,{hour}\n" for day in (1, 2) for hour in range(24) for flow in (7, 9)
)


class Hub:
    """Takes every reading except those of the slots in `unknown`."""

    def __init__(self) -> None:
        self.readings: list[dict[str, Any]] = []
        self.unknown: set[str] = set()
        self.status = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        if self.status:
            return web.json_response({"code": "MH-R006", "message": "no"}, status=self.status)
        body = msgspec.json.decode(await request.read())
        self.readings += body
        refused = [
            {"index": i, "code": "MH-I002", "message": "no such slot"}
            for i, reading in enumerate(body)
            if reading["DEVID"] in self.unknown
        ]
        answer = {"accepted": len(body) - len(refused), "repeated": 0, "refused": refused}
        return web.json_response(answer, status=202 if len(refused) < len(body) else 422)


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    told: Future[asyncio.Event] = Future()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/hub/v1/readings", made.handle)
        async with serve_app(app) as port:
            made.url = f"http://127.0.0.1:{port}"
            stop = asyncio.Event()
            told.set_result(stop)
            await stop.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="fake hub")
    thread.start()
    stop = told.result(timeout=10)
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def run(hub: Hub, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, summary and what was said on standard error."""
    app = typer.Typer()
    app.command("simulate")(simulate)
    app.command("replay")(replay)
    result = CliRunner().invoke(app, [*arguments, "--json"], env={"MATRIXHUB_URL": hub.url, "MATRIXHUB_KEY": "mhk_x"})
    return result.exit_code, json.loads(result.stdout) if result.stdout else {}, result.stderr


@pytest.fixture
def door(tmp_path: Path) -> list[str]:
    path = tmp_path / "door.csv"
    path.write_text(DOOR)
    return ["replay", str(path), "--mapping", str(EXAMPLES / "door-counts.mapping.yaml")]


def test_a_replay_sends_everything_in_order_and_sums_up(hub: Hub, door: list[str]) -> None:
    exit_code, summary, _ = run(hub, *door, "--batch", "10")
    assert exit_code == 0
    assert summary["rows"] == 96
    assert summary["readings"] == summary["accepted"] == len(hub.readings) == 48
    assert summary["requests"] == 5
    instants = [reading["unixT"] for reading in hub.readings]
    assert instants == sorted(instants)


def test_a_replay_can_begin_at_an_instant_and_end_after_some_readings(hub: Hub, door: list[str]) -> None:
    exit_code, summary, _ = run(hub, *door, "--from", "2005-08-01T12:00", "--limit", "3")
    assert (exit_code, summary["readings"]) == (0, 3)
    assert [reading["v"]["count"] for reading in hub.readings] == [12, 13, 14]


def test_a_replay_shifted_to_now_ends_now(hub: Hub, door: list[str]) -> None:
    before_ms = time.time() * 1000
    run(hub, *door, "--shift-to-now")
    last_ms = hub.readings[-1]["unixT"]
    assert before_ms - 1 <= last_ms <= time.time() * 1000
    assert last_ms - hub.readings[0]["unixT"] == 47 * 3_600_000


def test_an_interrupted_replay_says_how_to_go_on_and_goes_on_there(
    hub: Hub, door: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send, calls = HubClient.send, 0

    async def interrupted(self: HubClient, readings: Any) -> Receipt:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return await send(self, readings)

    monkeypatch.setattr(HubClient, "send", interrupted)
    exit_code, summary, said = run(hub, *door, "--batch", "10")
    assert exit_code == 130
    assert summary["next_line"] == 41
    assert "--from-line 41" in said
    exit_code, summary, _ = run(hub, *door, "--from-line", "41")
    assert exit_code == 0
    assert len({reading["unixT"] for reading in hub.readings}) == len(hub.readings) == 48


def test_refused_readings_make_exit_code_one_and_are_explained_by_line(hub: Hub, door: list[str]) -> None:
    hub.unknown = {"8e263d4784075dd397be27d5d1e3d6e6"}
    exit_code, summary, _ = run(hub, *door)
    assert exit_code == 1
    assert (summary["accepted"], summary["refused"]) == (0, 48)
    assert summary["refused_by_code"] == {"MH-I002": 48}
    assert summary["refused_first"][0] == "line 1: MH-I002 no such slot"


def test_a_wrong_key_ends_a_replay_with_an_explanation(hub: Hub, door: list[str]) -> None:
    hub.status = 401
    exit_code, summary, said = run(hub, *door)
    assert exit_code == 1
    assert summary["next_line"] == 1
    assert "does not know this key" in said


@pytest.mark.parametrize("option", [("--speed", "fast"), ("--from", "noon"), ("--batch", "0")])
def test_options_that_make_no_sense_are_usage_errors(hub: Hub, door: list[str], option: tuple[str, str]) -> None:
    assert run(hub, *door, *option)[0] == 2


def test_a_wrong_mapping_is_a_usage_error(hub: Hub, door: list[str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("format: xml")
    exit_code, _, said = run(hub, *door[:-1], str(wrong))
    assert exit_code == 2
    assert "format: is one of csv, ndjson" in said


def test_a_simulated_load_has_the_readings_of_its_rate_and_seconds(hub: Hub) -> None:
    exit_code, summary, _ = run(hub, "simulate", "--devices", "40", "--rate", "500", "--seconds", "0.5")
    assert exit_code == 0
    assert summary["accepted"] == len(hub.readings) == 250
    assert len({reading["DEVID"] for reading in hub.readings}) == 40


def test_a_fast_simulation_of_the_sample_site_ends_now(hub: Hub) -> None:
    exit_code, summary, _ = run(hub, "simulate", "--speed", "3600", "--seconds", "0.3")
    assert exit_code == 0
    assert summary["accepted"] == len(hub.readings) > 100
    assert hub.readings[-1]["unixT"] <= time.time() * 1000
    assert hub.readings[-1]["unixT"] - hub.readings[0]["unixT"] > 900_000


def test_a_made_site_can_be_written_and_simulated_from_its_file(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    assert run(hub, "simulate", "--devices", "40", "--write-site", str(path))[0] == 0
    assert not hub.readings
    exit_code, summary, _ = run(hub, "simulate", "--site", str(path), "--rate", "200", "--seconds", "0.2")
    assert (exit_code, summary["accepted"]) == (0, 40)


def test_site_and_devices_exclude_each_other(hub: Hub) -> None:
    site = str(EXAMPLES / "demo.site.yaml")
    assert run(hub, "simulate", "--devices", "4", "--site", site)[0] == 2
    assert run(hub, "simulate", "--rate", "4", "--speed", "2")[0] == 2
    assert run(hub, "simulate", "--devices", "2", "--buildings", "3")[0] == 2
