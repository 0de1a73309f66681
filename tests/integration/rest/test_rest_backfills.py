"""Backfills over REST and by command: what is asked for, shown, paused and ended. How they run is tested elsewhere."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.rest.backfill_routes import Backfilled, make_backfilled
from tests.integration.rest.rig import Client, Rig
from typer.testing import CliRunner

from matrixhub.cli.app import app
from matrixhub.store.backfills import Backfills
from matrixhub.store.subscriptions import delete_subscription

pytestmark = pytest.mark.asyncio(loop_scope="session")

SINCE = "2024-03-10T00:00:00Z"


@dataclass(slots=True)
class Face:
    """Both faces, for the same property."""

    rig: Rig
    client: Client
    things: Backfilled

    @property
    def path(self) -> str:
        return f"/databases/{self.things.database}/backfills"

    async def run(self, *words: str) -> Any:
        environment = {
            "MATRIXHUB_ENGINES__POSTGRES__DSN": self.rig.database.dsn,
            "MATRIXHUB_ENGINES__NATS__URL": "nats://127.0.0.1:1",
            "MATRIXHUB_SECRETS__MASTER_KEY": "0f" * 32,
        }
        return await asyncio.to_thread(CliRunner().invoke, app, ["database", "backfill", *words], env=environment)

    async def said(self, *words: str, code: int = 0) -> str:
        result = await self.run(*words)
        assert result.exit_code == code, result.output
        return str(result.stdout)

    async def asked(self, *words: str) -> Any:
        return json.loads(await self.said(*words, "--json"))


@pytest_asyncio.fixture(loop_scope="session")
async def face(rig: Rig) -> Face:
    property_id = await rig.property()
    return Face(rig, await rig.client(property_id), await make_backfilled(rig, property_id))


async def test_a_backfill_is_made_where_it_is_shown_and_listed_newest_first(face: Face) -> None:
    made = await face.client.post(face.path, {"since": SINCE, "rate": 10})
    assert made.status == 201, made.content
    document = made.json()
    assert made.headers["Location"] == f"/hub/v1{face.path}/{document['id']}"
    assert (document["state"], document["rate"], document["since"]) == ("asked", 10, SINCE)
    assert (document["until"], document["subscription"]) == (None, face.things.subscription)
    assert (await face.client.get(f"{face.path}/{document['id']}")).json() == document
    first = (await face.client.get(f"{face.path}?limit=1")).json()
    assert [one["id"] for one in first["items"]] == [document["id"]]
    second = (await face.client.get(f"{face.path}?limit=1&cursor={first['next']}")).json()
    assert ([one["id"] for one in second["items"]], second["next"]) == ([face.things.backfill], None)


async def test_a_dry_run_tells_how_much_it_is_about_and_keeps_nothing(face: Face) -> None:
    told = await face.client.post(face.path, {"since": SINCE, "dry_run": True})
    assert told.status == 200
    assert (told.json()["estimate"], told.json()["estimate_exact"], told.json()["dry_run"]) == (0, True, True)
    assert len((await face.client.get(face.path)).json()["items"]) == 1


async def test_the_same_idempotency_key_makes_one_backfill(face: Face) -> None:
    body = {"since": SINCE}
    made = await face.client.post(face.path, body, Idempotency_Key="once")
    again = await face.client.post(face.path, body, Idempotency_Key="once")
    assert (made.status, again.status, made.json()) == (201, 201, again.json())
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_what_cannot_be_is_refused_by_name(face: Face) -> None:
    under_way = await face.client.post(face.path, {})
    assert (under_way.status, under_way.code) == (409, "MH-R038")
    for body, wrong in (
        ({"since": SINCE, "until": SINCE}, "until"),
        ({"rate": 0}, "rate"),
        ({"source": "events"}, "source"),
        ({"subscription": "sub_other"}, "subscription"),
    ):
        told = await face.client.post(face.path, body)
        assert (told.code, told.wrong) == ("MH-R010", [wrong])
    assert (await face.client.get("/databases/db_0/backfills")).code == "MH-R008"
    assert (await face.client.get(f"/databases/db_0/backfills/{face.things.backfill}")).code == "MH-R008"


async def test_a_backfill_is_paused_resumed_and_cancelled(face: Face) -> None:
    one = f"{face.path}/{face.things.backfill}"
    assert (await face.client.post(f"{one}/pause")).json()["state"] == "paused"
    assert (await face.client.post(f"{one}/pause")).code == "MH-R022"
    assert (await face.client.post(f"{one}/resume")).json()["state"] == "asked"
    assert (await face.client.post(f"{one}/cancel")).json()["state"] == "cancelled"
    assert (await face.client.post(f"{one}/resume")).code == "MH-R022"


async def test_a_command_starts_one_and_says_how_much_it_is_about(face: Face) -> None:
    said = await face.said("start", "--database", face.things.database, "--from", SINCE, "--rate", "100")
    assert said.startswith("0 readings; at 100 a second less than a second\nbfl_")
    listed = await face.asked("list", "--database", face.things.database)
    assert [one["id"] for one in listed][1] == face.things.backfill
    assert "asked" in await face.said("list", "--database", face.things.database)
    planned = await face.asked("start", "--database", face.things.database, "--dry-run", "--rate", "7")
    assert (planned["rate"], planned["estimate"]) == (7, 0)


async def test_commands_show_pause_resume_and_cancel(face: Face) -> None:
    named = face.things.backfill
    assert (await face.asked("show", named))["property"] == face.things.property_id
    assert await face.said("pause", named) == f"{named} is paused, with 0 readings copied\n"
    assert named in await face.said("show", named)
    assert (await face.asked("resume", named))["state"] == "asked"
    assert (await face.asked("cancel", named))["state"] == "cancelled"
    again = await face.run("cancel", named)
    assert (again.exit_code, again.stderr.split()[0]) == (1, "MH-R022")
    unknown = await face.run("show", "bfl_0")
    assert (unknown.exit_code, unknown.stderr.split()[0]) == (1, "MH-R008")


async def test_who_watches_is_told_how_it_ended_and_a_script_by_the_exit_code(face: Face) -> None:
    backfills, named = Backfills(face.rig.database), face.things.backfill
    turn = await backfills.claim(60.0)
    while turn is not None and turn.backfill.id != named:  # those of other tests
        turn = await backfills.claim(60.0)
    assert turn is not None
    await delete_subscription(face.rig.database, face.things.property_id, face.things.subscription)
    watching = asyncio.create_task(face.said("show", named, "--watch", code=1))
    assert await backfills.fail(turn, "there would be a gap")
    assert "there would be a gap" in await watching
    listed = await face.said("list", "--database", face.things.database)
    assert named in listed
    assert "failed" in listed
