"""Databases that the hub hosts, over REST and by command: what is made can be used, what is refused does nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.integration.rest.rig import Client, Rig
from typer.testing import CliRunner

from matrixhub.cli.app import app
from matrixhub.databases import hosting
from matrixhub.model.database import HostedNames
from matrixhub.model.ids import DatabaseId

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def logged_in(login: dict[str, Any]) -> AsyncIterator[Any]:
    """A customer's connection, made with what the answer says."""
    connection = await asyncpg.connect(
        host=login["host"],
        port=login["port"],
        database=login["database"],
        user=login["user"],
        password=login["password"],
    )
    try:
        yield connection
    finally:
        connection.terminate()


async def test_a_database_is_made_once_used_limited_and_dropped_over_rest(rig: Rig, client: Client) -> None:
    body = {"name": "reports", "limits": {"connections_max": 2}}
    made = await client.post("/databases", body, Idempotency_Key="one")
    assert made.status == 201, made.content
    document = made.json()
    database, login = document["database"], document["login"]
    path = made.headers["Location"].removeprefix("/hub/v1")
    assert path == f"/databases/{database['id']}"
    assert (database["state"], database["limits"]["connections_max"], document["weaknesses"]) == ("ready", 2, [])
    assert login["password"] not in login["psql"]

    again = await client.post("/databases", body, Idempotency_Key="one")
    assert (again.status, again.content, again.headers["Idempotency-Replayed"]) == (201, made.content, "true")
    assert (await client.post("/databases", body)).code == "MH-R023"
    assert (await client.post("/databases", {"name": "x", "limits": {"connections_max": 0}})).code == "MH-R010"

    async with logged_in(login) as reader:
        assert await reader.fetchval("select count(*) from matrix.sensor_data") == 0
        shown = (await client.get(path)).json()
        assert (await client.post(f"{path}/revoke")).json() == {"sessions_ended": 1}
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            async with logged_in(login):
                pass
    assert (shown["readers"]["sessions"], shown["readers"]["reader_may_log_in"]) == (1, True)
    assert shown["readers"]["size_bytes"] > 1_000_000
    assert [one["id"] for one in (await client.get("/databases")).json()["items"]] == [database["id"]]

    changed = await client.ask(
        "PATCH", path, {"limits": {"work_mem_mib": 5}}, headers={"Content-Type": "application/merge-patch+json"}
    )
    assert (changed.json()["limits"]["work_mem_mib"], changed.json()["limits"]["connections_max"]) == (5, 2)
    assert (await client.post(f"{path}/grant")).status == 204
    rotated = (await client.post(f"{path}/rotate", {})).json()
    assert rotated["login"]["password"] != login["password"]
    assert (await client.post(f"{path}/rotate", {"who": "writer"})).json() == {"who": "writer", "login": None}
    async with logged_in(rotated["login"]) as reader:
        assert await reader.fetchval("show work_mem") == "5MB"

    sheet = (await client.get(f"{path}/sheet")).json()
    assert sheet["user"] == login["user"]
    assert f"`{login['database']}`" in sheet["markdown"]
    secrets = (login["password"], rotated["login"]["password"])
    told = [one for one in client.seen if any(secret.encode() in one for secret in secrets)]
    assert len(told) == 3  # made, made again under its key, rotated; in nothing else

    assert (await client.ask("DELETE", path)).status == 204
    assert (await client.get(path)).code == "MH-R008"
    async with rig.database.connection() as connection:
        names = HostedNames.of(DatabaseId(database["id"]))
        assert not (await hosting.inspect(connection, names)).is_there
        assert await hosting.roles_there(connection, names) == []


async def test_databases_are_listed_page_by_page(rig: Rig) -> None:
    property_id = await rig.property()
    client = await rig.client(property_id)
    ids = [await rig.hosted(property_id) for _ in range(3)]
    found: list[str] = []
    page = (await client.get("/databases?limit=2")).json()
    while True:
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        page = (await client.get(f"/databases?limit=2&cursor={page['next']}")).json()
    assert sorted(found) == sorted(ids)


# --- commands ---


class Shell:
    """`matrixhub database` on the database of the rig, which is a server of others to it."""

    def __init__(self, rig: Rig) -> None:
        self._environment = {
            "MATRIXHUB_ENGINES__POSTGRES__DSN": rig.database.dsn,
            "MATRIXHUB_ENGINES__NATS__URL": "nats://127.0.0.1:1",
            "MATRIXHUB_SECRETS__MASTER_KEY": "0f" * 32,
        }

    async def run(self, *args: str, stdin: str | None = None) -> Any:
        words = ["database", *args]
        return await asyncio.to_thread(CliRunner().invoke, app, words, input=stdin, env=self._environment)

    async def said(self, *args: str, stdin: str | None = None) -> str:
        result = await self.run(*args, stdin=stdin)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    async def ask(self, *args: str) -> Any:
        return json.loads(await self.said(*args, "--json"))

    async def failed(self, *args: str, stdin: str | None = None) -> str:
        result = await self.run(*args, stdin=stdin)
        assert result.exit_code == 1, result.output
        return str(result.stderr).split()[0]


async def test_a_database_is_made_used_limited_and_dropped_by_command(rig: Rig) -> None:
    shell, property_id = Shell(rig), await rig.property()
    create = ("create", "--property", property_id, "--name", "reports", "--connections", "2")
    login = await shell.ask(*create)
    assert await shell.failed(*create) == "MH-R023"
    assert await shell.failed("create", "--property", "nobody", "--name", "x") == "MH-R008"
    assert await shell.failed("create", "--property", property_id, "--name", "x", "--temp", "-1") == "MH-R010"

    async with logged_in(login):
        shown = await shell.ask("show", login["id"])
        assert "1 sessions ended" in await shell.said("revoke", login["id"])
    assert (shown["limits"]["connections_max"], shown["sessions"], shown["state"]) == (2, 1, "ready")
    assert login["id"] in await shell.said("list", "--property", property_id)
    assert [one["id"] for one in await shell.ask("list", "--property", property_id)] == [login["id"]]
    await shell.said("grant", login["id"])
    assert await shell.ask("rotate", login["id"], "--writer") == {"id": login["id"]}
    rotated = await shell.ask("rotate", login["id"])
    assert (await shell.ask("resize", login["id"], "--work-mem", "7"))["limits"]["work_mem_mib"] == 7
    assert await shell.failed("resize", login["id"], "--work-mem", "7") == "MH-R010"
    async with logged_in(rotated) as reader:
        assert await reader.fetchval("show work_mem") == "7MB"

    sheet = await shell.said("sheet", login["id"])
    assert login["database"] in sheet
    assert rotated["password"] not in sheet
    assert (await shell.run("drop", login["id"], stdin="n\n")).exit_code == 1
    assert (await shell.ask("show", login["id"]))["is_there"]
    assert "is dropped" in await shell.said("drop", login["id"], stdin="y\n")
    assert await shell.failed("show", login["id"]) == "MH-R008"


async def test_a_drop_by_command_names_the_subscriptions_that_are_in_its_way(rig: Rig) -> None:
    shell, property_id = Shell(rig), await rig.property()
    database_id = await rig.hosted(property_id)
    made = await rig.subscribe(property_id, seq=1)
    async with rig.database.connection() as connection:
        await connection.execute(
            "update subscriptions set url = $1, kind = 'postgres' where id = $2", f"database:{database_id}", made.id
        )
    refused = await shell.run("drop", database_id, "--yes")
    assert refused.exit_code == 1
    assert made.id in refused.stderr
    assert (await shell.ask("show", database_id))["subscriptions"] == [made.id]
    await shell.said("drop", database_id, "--yes", "--subscriptions")
    assert await shell.failed("show", database_id) == "MH-R008"


async def test_the_schema_is_a_page_and_the_authority_a_certificate_where_there_is_one(
    rig: Rig, client: Client
) -> None:
    shell = Shell(rig)
    assert "create table if not exists matrix.events" in await shell.said("schema")
    told = (await client.get("/databases/schema")).json()
    assert told["statements"] == (await shell.ask("schema"))["statements"]
    assert await shell.failed("ca") == "MH-R008"  # a server of others, and databases.ca_file is not set
    assert (await client.get("/databases/ca")).content.startswith(b"-----BEGIN CERTIFICATE")
