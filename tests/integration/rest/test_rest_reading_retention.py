"""A property says for how long its readings are kept, over HTTP and by command; the store reads it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.integration.rest.rig import Rig
from typer.testing import CliRunner

from matrixhub.cli.app import app
from matrixhub.model.ids import PropertyId
from matrixhub.store.readings import PostgresReadingPartitions

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_property_keeps_readings_as_long_as_it_says_and_else_as_the_hub(rig: Rig) -> None:
    property_id = await rig.property()
    client = await rig.client(property_id)
    assert (await client.get("/readings/retention")).json() == {"days": 180, "own": False}
    assert (await client.ask("PUT", "/readings/retention", {"days": 30})).json() == {"days": 30, "own": True}
    partitions = PostgresReadingPartitions(rig.database)
    assert (await partitions.retentions())[PropertyId(property_id)] == 30 * 86_400.0
    assert (await client.ask("DELETE", "/readings/retention")).status == 204
    assert (await client.get("/readings/retention")).json() == {"days": 180, "own": False}
    assert PropertyId(property_id) not in await partitions.retentions()


@pytest.mark.parametrize("days", [0, 3651, 1.5, "30", None])
async def test_days_that_are_none_are_refused(rig: Rig, days: Any) -> None:
    client = await rig.client(await rig.property())
    assert (await client.ask("PUT", "/readings/retention", {"days": days})).wrong == ["days"]


async def test_commands_do_the_same(rig: Rig) -> None:
    property_id = await rig.property()
    client = await rig.client(property_id)
    environment = {
        "MATRIXHUB_ENGINES__POSTGRES__DSN": rig.database.dsn,
        "MATRIXHUB_ENGINES__NATS__URL": "nats://127.0.0.1:1",
        "MATRIXHUB_SECRETS__MASTER_KEY": "0f" * 32,
    }

    async def run(*words: str, owner: str = property_id) -> Any:
        given = ["retention", *words, "--property", owner]
        return await asyncio.to_thread(CliRunner().invoke, app, given, env=environment)

    done = await run("set", "--days", "400", "--json")
    assert json.loads(done.stdout) == {"property": property_id, "days": 400, "own": True}
    assert (await client.get("/readings/retention")).json() == {"days": 400, "own": True}
    assert "400 days, by a setting of its own" in (await run("show")).stdout
    assert (await run("clear")).exit_code == 0
    assert json.loads((await run("show", "--json")).stdout) == {"property": property_id, "days": 180.0, "own": False}
    assert (await run("set", "--days", "0")).exit_code == 2
    assert (await run("set", "--days", "9", owner="nobody")).exit_code != 0
