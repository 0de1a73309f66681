"""Keys over REST and by command: made, brought along, shown, changed, rotated, revoked; and where their secrets are."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from tests.integration.rest.rig import Client, Rig
from typer.testing import CliRunner

from matrixhub.cli.app import app
from matrixhub.model.key import new_access_key

pytestmark = pytest.mark.asyncio(loop_scope="session")


def basic(access_key: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{access_key}:{secret}'.encode()).decode()}"}


async def good(client: Client, access_key: str, secret: str) -> bool:
    """Whether a pair is taken."""
    return (await client.ask("GET", "/keys", headers=basic(access_key, secret))).status == 200


async def made(client: Client, **asked: Any) -> Any:
    reply = await client.post("/keys", asked)
    assert reply.status == 201, reply.content
    assert reply.headers["Location"] == f"/hub/v1/keys/{reply.json()['id']}"
    return reply.json()


async def test_a_pair_is_made_shown_changed_rotated_and_revoked(client: Client) -> None:
    key = await made(client, name="BI")
    assert (key["kind"], key["role"], key["revoked_at"]) == ("access", "SMARTCLEAN#PropertyAdmins", None)
    assert key["access_key"].startswith("mh/")
    assert await good(client, key["access_key"], key["secret"])
    shown = (await client.get(f"/keys/{key['id']}")).json()
    assert shown == {name: value for name, value in key.items() if name != "secret"}
    changed = await client.ask("PATCH", f"/keys/{key['id']}", {"name": "reports", "rate_per_s": 5, "burst": 9})
    assert (changed.json()["name"], changed.json()["burst"], changed.json()["role"]) == ("reports", 9, key["role"])
    second = (await client.post(f"/keys/{key['id']}/rotate", {"overlap_s": 60})).json()
    assert second["secret"] != key["secret"]
    assert second["previous_until"] > second["rotated_at"]
    assert await good(client, key["access_key"], key["secret"])
    third = (await client.post(f"/keys/{key['id']}/rotate", {"overlap_s": 0})).json()
    assert third["previous_until"] is None
    tried = [await good(client, key["access_key"], one["secret"]) for one in (key, second, third)]
    assert tried == [False, False, True]
    assert (await client.ask("DELETE", f"/keys/{key['id']}")).status == 204
    assert not await good(client, key["access_key"], third["secret"])
    assert (await client.get(f"/keys/{key['id']}")).json()["revoked_at"] is not None
    for method, path in (("DELETE", ""), ("POST", "/rotate"), ("PATCH", "")):
        body = {"POST": {}, "PATCH": {"name": "x"}}.get(method)
        assert (await client.ask(method, f"/keys/{key['id']}{path}", body)).code == "MH-R008"


async def test_a_list_has_keys_of_all_kinds_in_pages_and_no_secret(client: Client) -> None:
    pair, token = await made(client), await made(client, kind="bearer", name="gateway")
    assert token["secret"].startswith("mhk_")
    assert token["role"] == "matrixhub#Senders"
    first = (await client.get("/keys?limit=2")).json()
    second = (await client.get(f"/keys?limit=2&cursor={first['next']}")).json()
    listed = [*first["items"], *second["items"]]
    assert [key["kind"] for key in listed] == ["bearer", "access", "bearer"]
    assert [key["id"] for key in listed[1:]] == [pair["id"], token["id"]]
    said = json.dumps(listed)
    assert pair["secret"] not in said
    assert token["secret"] not in said


async def test_a_bearer_key_of_a_role_may_manage_and_is_not_rotated(rig: Rig, client: Client) -> None:
    token = await made(client, kind="bearer", role="SMARTCLEAN#PropertyAdmins")
    assert (await Client(rig.url, rig.session, token["secret"]).get("/keys")).status == 200
    assert (await client.post(f"/keys/{token['id']}/rotate", {})).code == "MH-R022"


async def test_a_pair_that_clients_have_is_brought_along_once(client: Client) -> None:
    access_key = f"demo/{new_access_key()}"
    await made(client, access_key=access_key, secret="demo-secret-0001")
    assert await good(client, access_key, "demo-secret-0001")
    again = await client.post("/keys", {"access_key": access_key, "secret": "another-secret"})
    assert again.code == "MH-R023"


async def test_a_request_that_is_sent_again_gets_the_same_secret_which_is_nowhere_in_the_clear(
    rig: Rig, client: Client
) -> None:
    replies = [await client.post("/keys", {"name": "once"}, Idempotency_Key="k1") for _ in range(2)]
    first, second = (reply.json() for reply in replies)
    assert first == second
    assert replies[1].headers["Idempotency-Replayed"] == "true"
    rotations = [await client.post(f"/keys/{first['id']}/rotate", {}, Idempotency_Key="k2") for _ in range(2)]
    assert rotations[0].json()["secret"] == rotations[1].json()["secret"]
    async with rig.database.connection() as connection:
        for table in ("access_keys", "idempotency_keys"):
            rows = await connection.fetch(f"select t::text from {table} t where property_id = $1", first["property"])
            said = str(rows)
            for secret in (first["secret"], rotations[0].json()["secret"]):
                assert secret not in said
                assert secret.encode().hex() not in said


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no such kind": ({"kind": "other"}, ["kind"]),
    "no role": ({"role": "an admin"}, ["role"]),
    "the role of the hub itself": ({"role": "matrixhub#Operator"}, ["role"]),
    "an access key with a semicolon": ({"access_key": "a;b", "secret": "12345678"}, ["access_key"]),
    "an access key that ends with a blank": ({"access_key": "a ", "secret": "12345678"}, ["access_key"]),
    "an access key without secret": ({"access_key": "a"}, ["secret"]),
    "a secret without access key": ({"secret": "12345678"}, ["access_key"]),
    "a short secret": ({"access_key": "a", "secret": "1234567"}, ["secret"]),
    "a secret of two lines": ({"access_key": "a", "secret": "1234\n5678"}, ["secret"]),
    "expired already": ({"expires_at": "2001-01-01T00:00:00Z"}, ["expires_at"]),
    "no rate": ({"rate_per_s": 0}, ["rate_per_s"]),
    "a burst alone": ({"burst": 5}, ["burst"]),
    "a bearer key with a secret": ({"kind": "bearer", "secret": "12345678"}, ["secret"]),
    "a bearer key that is protected": ({"kind": "bearer", "replay_protected": True}, ["replay_protected"]),
    "a pair of an application": ({"application": "lift-monitor"}, ["application"]),
}


@pytest.mark.parametrize(("asked", "fields"), WRONG.values(), ids=WRONG.keys())
async def test_what_cannot_be_a_key_is_refused_by_field(
    client: Client, asked: dict[str, Any], fields: list[str]
) -> None:
    reply = await client.post("/keys", asked)
    assert (reply.code, reply.wrong) == ("MH-R010", fields)
    assert b"12345678" not in reply.content


async def test_changes_made_at_the_same_time_are_both_kept(client: Client) -> None:
    key = await made(client)
    changes: list[dict[str, Any]] = [{"name": "both"}, {"replay_protected": True}, {"rate_per_s": 3.0}]
    await asyncio.gather(*(client.ask("PATCH", f"/keys/{key['id']}", change) for change in changes))
    shown = (await client.get(f"/keys/{key['id']}")).json()
    assert (shown["name"], shown["replay_protected"], shown["rate_per_s"], shown["burst"]) == ("both", True, 3.0, 6)


async def test_of_two_rotations_at_the_same_time_one_comes_after_the_other(client: Client) -> None:
    key = await made(client)
    replies = await asyncio.gather(*(client.post(f"/keys/{key['id']}/rotate", {}) for _ in range(2)))
    secrets = [reply.json()["secret"] for reply in replies]
    assert [await good(client, key["access_key"], one) for one in (key["secret"], *secrets)] == [False, True, True]


async def test_a_role_that_the_property_has_not_is_given_to_no_key(client: Client) -> None:
    key = await made(client)
    for kind in ("access", "bearer"):
        assert (await client.post("/keys", {"kind": kind, "role": "nobodys-role"})).code == "MH-R008"
    assert (await client.ask("PATCH", f"/keys/{key['id']}", {"role": "nobodys-role"})).code == "MH-R008"


async def test_an_overlap_has_an_end(client: Client) -> None:
    key = await made(client)
    for wrong in (-1, 10_000_000):
        assert (await client.post(f"/keys/{key['id']}/rotate", {"overlap_s": wrong})).wrong == ["overlap_s"]


# --- commands ---


class Shell:
    """Commands on the database of the rig."""

    def __init__(self, rig: Rig, property_id: str) -> None:
        self.property_id = property_id
        self._environment = {
            "MATRIXHUB_ENGINES__POSTGRES__DSN": rig.database.dsn,
            "MATRIXHUB_ENGINES__NATS__URL": "nats://127.0.0.1:1",
            "MATRIXHUB_SECRETS__MASTER_KEY": "0f" * 32,
        }

    async def run(self, command: str, *args: str, stdin: str | None = None) -> Any:
        words = ["key", command, *args, "--property", self.property_id]
        return await asyncio.to_thread(CliRunner().invoke, app, words, input=stdin, env=self._environment)

    async def ask(self, command: str, *args: str, stdin: str | None = None) -> Any:
        result = await self.run(command, *args, "--json", stdin=stdin)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


async def test_commands_do_the_same(rig: Rig) -> None:
    property_id = await rig.property()
    shell, client = Shell(rig, property_id), await rig.client(property_id)
    key = await shell.ask("create", "--access", "--name", "BI", "--rate", "5")
    assert await good(client, key["access_key"], key["secret"])
    rotated = await shell.ask("rotate", key["id"], "--overlap", "0")
    assert await good(client, key["access_key"], rotated["secret"])
    assert not await good(client, key["access_key"], key["secret"])
    changed = await shell.ask("update", key["id"], "--replay-protected", "--role", "matrixhub#Senders")
    assert (changed["replay_protected"], changed["role"], changed["burst"]) == (True, "matrixhub#Senders", 10)
    access_key = f"demo/{new_access_key()}"
    brought = await shell.ask("import", access_key, stdin="demo-secret-0001\n")
    assert "secret" not in brought
    assert await good(client, access_key, "demo-secret-0001")
    token = await shell.ask("create", "--role", "SMARTCLEAN#PropertyAdmins")
    assert (token["manages"], token["kind"]) == (True, "bearer")
    assert (await Client(rig.url, rig.session, token["key"]).get("/keys")).status == 200
    assert (await shell.run("revoke", brought["id"])).exit_code == 0
    assert not await good(client, access_key, "demo-secret-0001")
    listed = await shell.run("list")
    assert key["id"] in listed.stdout
    assert not [one for one in (key["secret"], rotated["secret"], token["key"]) if one in listed.stdout]


async def test_commands_show_a_secret_to_people_once(rig: Rig) -> None:
    shell = Shell(rig, await rig.property())
    told = await shell.run("create", "--access")
    key_id, access_key, secret = (line.split()[-1] for line in told.stdout.splitlines())
    (key,) = await shell.ask("list")
    assert (key["id"], key["access_key"]) == (key_id, access_key)
    again = await shell.run("rotate", key_id)
    assert secret not in again.stdout
    assert access_key in again.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("create", "--access", "--manage"), "--access"),
        (("create", "--replay-protected"), "--access"),
        (("create", "--access", "--role", "an admin"), "MH-R010"),
        (("create", "--access", "--role", "nobodys-role"), "MH-R008"),
        (("create", "--access", "--expires", "soon"), "MH-R010"),
        (("rotate", "key_nothing"), "MH-R008"),
        (("update", "key_nothing", "--name", "x"), "MH-R008"),
        (("import", "a;b"), "MH-R010"),
    ],
)
async def test_a_command_that_cannot_be_done_says_why(rig: Rig, args: tuple[str, ...], said: str) -> None:
    result = await Shell(rig, await rig.property()).run(*args, stdin="12345678\n")
    assert result.exit_code != 0
    assert said in result.output
