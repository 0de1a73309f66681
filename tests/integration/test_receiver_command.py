"""`matrixhub receive`, run as a command."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from matrixhub.testing.tls import LocalAuthority

# The command alone, whatever else the program offers.
PROGRAM = """
import sys, types
sys.modules.setdefault("matrixhub.cli.app", types.SimpleNamespace(main=None))
import typer
from matrixhub.cli.receive import receive
app = typer.Typer()
app.command()(receive)
app()
"""


@asynccontextmanager
async def receive(*options: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *options, stdout=PIPE, stderr=PIPE, env={"COLUMNS": "80", "NO_COLOR": "1"}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def introduced(stream: asyncio.StreamReader | None) -> dict[str, str]:
    """The lines printed at the start, by their first word, once all are there."""
    assert stream is not None
    lines: dict[str, str] = {}
    while "End" not in lines:
        line = (await asyncio.wait_for(stream.readline(), 20)).decode()
        assert line, "ended before it was ready"
        word, _, rest = line.strip().partition(" ")
        lines[word] = rest.strip()
    return lines


async def push(url: str, ca_dir: Path, request_id: str, *instants_ms: int) -> int:
    items = [json.dumps({"DEVID": "a", "DevType": "T", "unixT": ms, "v": {}}, indent=1) for ms in instants_ms]
    context = LocalAuthority.load(ca_dir).client_context()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.post(
            url, json=items, headers={"X-Request-Id": request_id, "Authorization": "Basic bWU6aXQgaXM="}
        ) as answer,
    ):
        return answer.status


async def test_it_prints_how_to_subscribe_and_ends_with_a_json_summary(tmp_path: Path) -> None:
    ca_dir, saved = tmp_path / "ca", tmp_path / "saved.ndjson"
    options = ["--port", "0", "--basic", "me:it is", "--ca-dir", str(ca_dir), "--save", str(saved), "--json"]
    async with receive(*options) as process:
        lines = await introduced(process.stderr)
        url, ca_file = lines["Receiving"].split()[-1], ca_dir / "ca.pem"
        assert lines["Certificate"] == str(ca_file)
        assert lines["Allow"] == "matrixhub egress allow --property PROPERTY 127.0.0.1"
        assert lines["Subscribe"] == (
            f"matrixhub subscription create --property PROPERTY --url {url} --ca {ca_file} --basic 'me:it is'"
        )
        assert [await push(url, ca_dir, rid, *ms) for rid, ms in (("r1", (1, 2)), ("r1", (1, 2)), ("r2", (3,)))] == [
            204,
            204,
            204,
        ]
        process.send_signal(signal.SIGINT)
        out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    summary = json.loads(out)
    assert summary["right"] is True
    assert (summary["url"], summary["ca"]) == (url, str(ca_file))
    assert (summary["distinct"], summary["duplicates_with_same_request_id"], summary["out_of_order"]) == (3, 2, 0)
    assert [json.loads(line)["unixT"] for line in saved.read_text().splitlines()] == [1, 2, 1, 2, 3]


async def test_broken_order_is_exit_code_1(tmp_path: Path) -> None:
    async with receive("--port", "0", "--basic", "me:it is", "--ca-dir", str(tmp_path)) as process:
        url = (await introduced(process.stdout))["Receiving"].split()[-1]
        await push(url, tmp_path, "r1", 2)
        await push(url, tmp_path, "r2", 1)
        process.terminate()
        out, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err) == (1, b"")
    assert "1 readings came after a later one of the same device" in out.decode()


async def test_it_ends_by_itself(tmp_path: Path) -> None:
    async with receive("--port", "0", "--seconds", "0.2", "--ca-dir", str(tmp_path)) as process:
        out, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err) == (0, b"")
    assert "0 readings of 0 devices" in out.decode()


@pytest.mark.parametrize(
    ("options", "reason"), [(["--basic", "nobody"], "USER:PASSWORD"), (["--host", "192.0.2.1"], "Cannot receive")]
)
async def test_what_cannot_start_is_exit_code_2(tmp_path: Path, options: list[str], reason: str) -> None:
    async with receive("--port", "0", "--ca-dir", str(tmp_path), *options) as process:
        _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert reason in err.decode()


async def test_a_host_that_is_not_known_to_be_forbidden_needs_no_leave(tmp_path: Path) -> None:
    options = ["--port", "0", "--seconds", "0.2", "--ca-dir", str(tmp_path), "--name", "receiver.example"]
    async with receive(*options) as process:
        out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert "subscription create" in out.decode()
    assert "egress allow" not in out.decode()
