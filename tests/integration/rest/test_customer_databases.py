"""A customer's own database over REST and by commands: told of, checked, made, changed and forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import trustme
from tests.integration.rest.database_routes import connected_database, server_of
from tests.integration.rest.rig import Client, Rig
from typer.testing import CliRunner

from matrixhub.cli.app import app
from matrixhub.model.database import STEPS, CustomerDatabase, Limits, database_url
from matrixhub.model.destination import Destination
from matrixhub.model.ids import DatabaseId, PropertyId
from matrixhub.store.databases import Databases

pytestmark = pytest.mark.asyncio(loop_scope="session")

PASSWORD = "never-to-be-seen-again"
NEW = {"host": "db.example.org", "database": "building", "user": "hub", "password": PASSWORD}


def unseen(client: Client, secret: str = PASSWORD) -> bool:
    return not any(secret.encode() in seen for seen in client.seen)


@pytest_asyncio.fixture(loop_scope="session")
async def owner(rig: Rig) -> tuple[PropertyId, Client]:
    property_id = await rig.property()
    return property_id, await rig.client(property_id)


# --- REST ---


async def test_a_database_is_told_of_and_shown_without_its_password(client: Client, rig: Rig) -> None:
    made = await client.post("/databases/connect", {**NEW, "ca_pem": a_ca(), "may_create": True})
    assert made.status == 201, made.content
    assert made.headers["Location"] == f"/hub/v1/databases/{made.json()['id']}/server"
    found = await client.get(f"/databases/{made.json()['id']}/server")
    assert found.json() == made.json()
    told = [found.json()[name] for name in ("name", "host", "port", "tls", "hosting", "may_create", "version")]
    assert told == ["building", "db.example.org", 5432, "verify-full", "customer", True, 1]
    assert unseen(client)


def a_ca() -> str:
    return trustme.CA().cert_pem.bytes().decode()


async def test_the_same_request_under_a_key_tells_of_one_database(client: Client, rig: Rig) -> None:
    first, second = [await client.post("/databases/connect", NEW, Idempotency_Key="once") for _ in range(2)]
    assert first.json() == second.json()
    taken = await client.post("/databases/connect", NEW)
    assert (taken.status, taken.code) == (409, "MH-R023")


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"host": "https://db.example.org"}, "host"),
        ({"password": "p", "ca_pem": "no certificate"}, "ca_pem"),
        ({"tls": "disable", "ca_pem": "-----"}, "ca_pem"),
        ({"name": " x"}, "name"),
        ({"user": "a\nb"}, "user"),
    ],
)
async def test_what_can_be_no_server_is_refused(client: Client, changed: dict[str, object], what: str) -> None:
    told = await client.post("/databases/connect", {**NEW, **changed})
    assert (told.status, what in told.json()["detail"]) == (422, True), told.content
    assert unseen(client)


async def test_a_change_keeps_what_is_not_named_and_another_server_needs_the_password_again(
    owner: tuple[PropertyId, Client], rig: Rig
) -> None:
    property_id, client = owner
    path = f"/databases/{(await client.post('/databases/connect', NEW)).json()['id']}/server"
    assert (await client.ask("PATCH", path, {"name": "ours", "may_create": True})).json()["version"] == 2
    for change in ({"host": "evil.example.org"}, {"port": 1}, {"tls": "disable"}, {"ca_pem": a_ca()}):
        told = await client.ask("PATCH", path, change)
        assert (told.code, told.wrong) == ("MH-R010", ["password"])
    moved = await client.ask("PATCH", path, {"host": "db2.example.org", "password": "another"})
    assert (moved.json()["host"], moved.json()["name"], moved.json()["version"]) == ("db2.example.org", "ours", 3)
    assert moved.headers["ETag"] == '"3"'
    late = await client.ask("PATCH", path, {"name": "late"}, headers={"If-Match": '"2"'})
    assert late.code == "MH-R012"
    kept = await Databases(rig.database, rig.codec.sealer).list(property_id)
    assert [record.server.password.reveal() for record in kept] == ["another"]
    assert unseen(client)
    assert unseen(client, "another")


async def test_a_check_is_no_error_and_says_what_to_do(rig: Rig, owner: tuple[PropertyId, Client]) -> None:
    property_id, client = owner
    made = await connected_database(rig, property_id)
    await empty(rig)
    told = await client.post(f"/databases/{made.id}/check", {})
    assert (told.status, told.json()["ready"]) == (200, False)
    wrong = [one for one in told.json()["verdicts"] if one["grade"] == "wrong"]
    assert wrong[0]["run"] == [f"matrixhub database apply {made.id}"]
    applied = (await client.post(f"/databases/{made.id}/apply")).json()
    assert (applied["ready"], applied["ran"][0]["missing"]) == (True, "schema matrix")
    assert (await client.post(f"/databases/{made.id}/check", {"sources": ["events"]})).json()["ready"]
    assert (await client.post(f"/databases/{made.id}/apply")).json()["ran"] == []


async def test_the_schema_is_not_made_where_that_was_not_allowed_but_told(
    rig: Rig, owner: tuple[PropertyId, Client]
) -> None:
    property_id, client = owner
    made = await connected_database(rig, property_id)
    await client.ask("PATCH", f"/databases/{made.id}/server", {"may_create": False})
    told = await client.post(f"/databases/{made.id}/apply")
    assert (told.status, told.code) == (409, "MH-D016")
    await empty(rig)
    script = (await client.get(f"/databases/{made.id}/script")).json()["script"]
    assert "create table if not exists matrix.sensor_data" in script
    assert "grant" not in script, "its own superuser needs no leave"


async def test_a_database_that_something_leads_to_is_not_forgotten(rig: Rig, owner: tuple[PropertyId, Client]) -> None:
    property_id, client = owner
    made = await connected_database(rig, property_id)
    led = await rig.subscribe(property_id, destination=Destination(kind="postgres", url=database_url(made.id)))
    told = await client.ask("DELETE", f"/databases/{made.id}/server")
    assert (told.status, led.id in told.json()["detail"]) == (409, True)
    await client.ask("DELETE", f"/subscriptions/{led.id}")
    assert (await client.ask("DELETE", f"/databases/{made.id}/server")).status == 204
    assert (await client.get(f"/databases/{made.id}/server")).status == 404


async def test_nothing_is_led_to_a_database_that_cannot_be_written_to_unless_that_is_meant(
    rig: Rig, owner: tuple[PropertyId, Client]
) -> None:
    property_id, client = owner
    made = await connected_database(rig, property_id)
    await empty(rig)
    asked = {"kind": "postgres", "database": made.id}
    told = await client.post("/subscriptions", asked)
    assert (told.status, told.code) == (409, "MH-D015")
    assert "there is no schema matrix" in told.json()["detail"]
    assert (await client.post("/subscriptions?unchecked=true", asked)).status == 201
    assert (await client.post(f"/databases/{made.id}/apply")).json()["ready"]
    assert (await client.post("/subscriptions", asked)).status == 201


async def test_what_the_hub_hosts_is_checked_alike_and_not_changed_here(
    rig: Rig, owner: tuple[PropertyId, Client]
) -> None:
    property_id, client = owner
    made = (await rig.parts.hosted.create(property_id, "hosted", Limits())).record
    checked = (await client.post(f"/databases/{made.id}/check", {})).json()
    assert [(one["step"], one["grade"]) for one in checked["verdicts"]] == [(step, "ok") for step in STEPS]
    for method, path, body in (
        ("GET", "server", None),
        ("PATCH", "server", {"host": "db.example.org", "password": "p"}),
        ("DELETE", "server", None),
        ("POST", "apply", None),
        ("GET", "script", None),
    ):
        assert (await client.ask(method, f"/databases/{made.id}/{path}", body)).status == 409, path
    await rig.parts.hosted.drop(made.id, property_id, subscriptions=True)


async def empty(rig: Rig) -> None:
    """Nothing lies in the customer's database."""
    server = server_of(rig)
    connection = await asyncpg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password.reveal(),
        database=server.database,
    )
    await connection.execute("drop schema if exists matrix cascade")
    await connection.close()


# --- commands ---

Run = Callable[..., Any]


@pytest.fixture
def run(rig: Rig) -> Run:
    """Run `matrixhub database …` on the database of the rig."""
    environment = {
        "MATRIXHUB_ENGINES__POSTGRES__DSN": rig.database.dsn,
        "MATRIXHUB_ENGINES__NATS__URL": "nats://127.0.0.1:1",
        "MATRIXHUB_SECRETS__MASTER_KEY": "0f" * 32,
        "MATRIXHUB_DELIVERIES__EGRESS_ALLOW": '["127.0.0.0/8"]',
    }

    async def ran(*words: str, stdin: str = "", group: str = "database", **more: str) -> Any:
        return await asyncio.to_thread(
            CliRunner().invoke, app, [group, *words], input=stdin, env={**environment, **more}
        )

    return ran


async def added(rig: Rig, run: Run, *words: str, **given: str) -> tuple[Any, CustomerDatabase | None]:
    """What `add` printed, and the record it made."""
    property_id = await rig.property()
    server = server_of(rig)
    told = await run(
        *("add", "--property", property_id, "--host", server.host, "--port", str(server.port), "--tls", "disable"),
        *("--database", server.database, "--user", server.user, *words),
        **given,
    )
    kept = await Databases(rig.database, rig.codec.sealer).list(property_id)
    return told, (kept[0] if kept else None)


async def test_a_password_comes_from_a_file_a_prompt_or_a_variable(rig: Rig, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\nnothing\n", encoding="utf-8")
    for words, given in (
        (("--password-file", str(file)), {}),
        (("--password-prompt",), {"stdin": f"{PASSWORD}\n"}),
        ((), {"MATRIXHUB_DATABASE_PASSWORD": PASSWORD}),
    ):
        told, record = await added(rig, run, *words, **given)
        assert told.exit_code == 0, told.output
        assert record is not None
        assert told.stdout == f"{record.id}\n"
        assert record.server.password.reveal() == PASSWORD
        assert PASSWORD not in told.output
    told, record = await added(rig, run)
    assert (told.exit_code, record) == (1, None)
    assert "password is missing" in told.output


async def test_a_database_is_checked_made_changed_and_forgotten(rig: Rig, run: Run) -> None:
    await empty(rig)
    password = server_of(rig).password.reveal()
    _, record = await added(rig, run, "--password-prompt", stdin=f"{password}\n")
    assert record is not None
    told = await run("check", record.id)
    assert (told.exit_code, "the hub cannot write to it yet" in told.output) == (1, True)
    assert f"matrixhub database apply {record.id} --print" in told.output
    refused = await run("apply", record.id)
    assert (refused.exit_code, "MH-D016" in refused.output) == (1, True)
    assert "create schema if not exists matrix;" in (await run("apply", record.id, "--print")).stdout
    early = await run(*("create", "--property", record.property_id, "--database", record.id), group="subscription")
    assert (early.exit_code, "MH-D015" in early.output, "--unchecked" in early.output) == (1, True, True)
    changed = await run("update", record.id, "--may-create", "--json")
    assert (json.loads(changed.stdout)["may_create"], json.loads(changed.stdout)["version"]) == (True, 2)
    made = await run("apply", record.id)
    assert (made.exit_code, "create table if not exists matrix.events" in made.output) == (0, True)
    checked = json.loads((await run("check", record.id, "--json", "--source", "sensors")).stdout)
    assert (checked["ready"], checked["verdicts"][-1]["step"]) == (True, "schema")
    assert "nothing was missing" in (await run("apply", record.id)).output
    forgotten = await run("remove", record.id, "--yes")
    assert forgotten.exit_code == 0, forgotten.output
    assert (await run("check", record.id)).exit_code == 1
    everything = [told, refused, early, changed, made, forgotten]
    assert not any(password in one.output for one in everything)


async def test_a_wrong_password_is_said_to_be_wrong_and_not_shown(rig: Rig, run: Run) -> None:
    _, record = await added(rig, run, "--password-prompt", stdin=f"{PASSWORD}\n")
    assert record is not None
    told = await run("check", record.id)
    assert (told.exit_code, "login   wrong" in told.output) == (1, True)
    assert PASSWORD not in told.output


async def test_what_is_given_wrongly_is_told(rig: Rig, run: Run, tmp_path: Path) -> None:
    assert (await run("update", "db_1")).exit_code == 2
    assert (await run("update", "db_1", "--no-ca", "--ca", __file__)).exit_code == 2
    assert (await run("check", "db_1", "--source", "people")).exit_code == 2
    told = await run("check", "db_1")
    assert (told.exit_code, "there is no database db_1" in told.output) == (1, True)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert (await run("update", "db_1", "--ca", str(binary))).exit_code == 2


async def test_a_database_of_another_property_is_not_there(rig: Rig, owner: tuple[PropertyId, Client]) -> None:
    made = await connected_database(rig, await rig.property())
    _, client = owner
    assert (await client.get(f"/databases/{made.id}/server")).status == 404
    assert (await client.get(f"/databases/{DatabaseId('db_0')}/server")).status == 404
