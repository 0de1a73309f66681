"""A database that the hub hosts, from outside: made and filled by command, asked by its reader."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
from tests.acceptance.hub import DEADLINE_S, PROPERTY, Hub, send_some
from typer.testing import CliRunner

from matrixhub.cli.app import app


def asked(hub: Hub, *args: str) -> Any:
    """What a command prints for scripts, run in this process; it must have succeeded."""
    done = CliRunner().invoke(app, ["database", *args, "--data", str(hub.data), "--json"], env=dict(hub.settings))
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def drop(hub: Hub, database_id: str) -> None:
    words = ["database", "drop", database_id, "--yes", "--subscriptions", "--data", str(hub.data)]
    done = CliRunner().invoke(app, words, env=dict(hub.settings))
    assert done.exit_code == 0, done.stderr


async def test_a_hosted_database_is_made_filled_and_asked_and_its_writer_changes_without_a_gap(hub: Hub) -> None:
    login = await asyncio.to_thread(
        asked, hub, "create", "--property", PROPERTY, "--name", "asked", "--sensors", "--events", "matrix.#"
    )
    assert len(login["subscriptions"]) == 2
    reader = await asyncpg.connect(
        host=login["host"],
        port=login["port"],
        database=login["database"],
        user=login["user"],
        password=login["password"],
    )
    try:
        sent = await send_some(hub, 20)
        await wait_readings(reader, len(sent))
        await asyncio.to_thread(asked, hub, "rotate", login["id"], "--writer")
        sent += await send_some(hub, 20)
        await wait_readings(reader, len(sent))
        sheet = await asyncio.to_thread(asked, hub, "sheet", login["id"])
        assert (sheet["host"], sheet["port"], sheet["tls"]) == ("127.0.0.1", login["port"], "disable")
        for query in sheet["queries"]:
            await reader.fetch(query["sql"])
    finally:
        await reader.close()
        await asyncio.to_thread(drop, hub, login["id"])


async def wait_readings(reader: Any, count: int) -> None:
    """Until the database has so many, and no more."""
    async with asyncio.timeout(DEADLINE_S):
        found = 0
        while found < count:
            found = await reader.fetchval("select count(*) from matrix.sensor_data, pg_sleep(0.02)")
    assert found == count
