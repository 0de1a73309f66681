"""The REST face over real HTTP: what each route does, and what it says where it cannot."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from standardwebhooks import Webhook
from tests.integration.rest.rig import Client, Reply, Rig

from matrixhub.api.rest import documents
from matrixhub.model.errors import StoreError
from matrixhub.model.subscription import Position
from matrixhub.observe import RequestFailed, RequestServed
from matrixhub.store import Database
from matrixhub.store.egress import allow_egress
from matrixhub.store.idempotency import Answer as Kept
from matrixhub.store.idempotency import Once, answer_once, answered
from matrixhub.store.replays import ask_replay
from matrixhub.store.subscriptions import list_subscriptions, show_subscription, update_subscription
from matrixhub.testing.receiver import Answer, HttpsReceiver

pytestmark = pytest.mark.asyncio(loop_scope="session")

URL = "https://example.org/in"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nPLANTED-k\n-----END PRIVATE KEY-----\n"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def receiver() -> AsyncIterator[HttpsReceiver]:
    async with HttpsReceiver() as found:
        yield found


async def property_of(client: Client) -> Any:
    """The property of the client's key."""
    made = await client.post("/subscriptions", {"url": URL})
    await client.ask("DELETE", f"/subscriptions/{made.json()['id']}")
    return made.json()["property"]


async def created(client: Client, **fields: Any) -> dict[str, Any]:
    told = await client.post("/subscriptions", {"url": URL, **fields})
    assert told.status == 201, told.content
    made: dict[str, Any] = told.json()
    return made


async def pages(client: Client, path: str, limit: int) -> list[dict[str, Any]]:
    """All items of a list, a page at a time."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        told = (await client.get(f"{path}?limit={limit}{cursor}")).json()
        assert len(told["items"]) <= limit
        found += told["items"]
        if told["next"] is None:
            return found
        cursor = f"&cursor={told['next']}"


# --- subscriptions ---


async def test_a_subscription_is_made_shown_listed_changed_and_deleted(client: Client) -> None:
    told = await client.post("/subscriptions", {"url": URL, "name": "one", "policy": {"order": "latest_first"}})
    made = told.json()
    assert (told.status, told.headers["ETag"]) == (201, '"1"')
    assert told.headers["Location"] == f"/hub/v1/subscriptions/{made['id']}"
    path = f"/subscriptions/{made['id']}"
    assert (made["name"], made["policy"]["order"], made["state"], made["health"]) == (
        "one",
        "latest_first",
        "active",
        "healthy",
    )
    assert (await client.get(path)).json() == made
    assert (await client.get("/subscriptions")).json() == {"items": [made], "next": None}
    changed = await client.ask("PATCH", path, {"name": "two", "batch_items": 7})
    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    assert changed.json() == {**made, "name": "two", "batch_items": 7, "version": 2}
    deleted = await client.ask("DELETE", path)
    assert (deleted.status, deleted.content) == (204, b"")
    assert (await client.get(path)).code == "MH-R008"


async def test_a_subscription_begins_where_it_is_asked_to(rig: Rig, client: Client) -> None:
    owner = await property_of(client)
    seq = await rig.publish(owner, 3)
    for start, expected in (("now", seq + 1), ("beginning", 1), (str(seq), seq), ("2999-01-01T00:00:00Z", seq + 1)):
        made = await created(client, **{"from": start})
        assert made["progress"]["position"] == {"seq": expected, "item": 0}, start
    for start in ("yesterday", "0000-99", "1e9", str(seq + 100)):
        assert (await client.post("/subscriptions", {"url": URL, "from": start})).code == "MH-R010", start


async def test_pausing_and_resuming_are_shown(client: Client) -> None:
    path = f"/subscriptions/{(await created(client))['id']}"
    paused = await client.post(f"{path}/pause")
    assert (paused.status, paused.json()["state"], paused.json()["health"]) == (200, "paused", "paused")
    assert paused.headers["ETag"] == f'"{paused.json()["version"]}"'
    resumed = await client.post(f"{path}/resume")
    assert (resumed.json()["state"], resumed.json()["paused_by"]) == ("active", "")


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ({}, "url"),
        ({"url": 1}, "url"),
        ({"url": URL, "auth": {"scheme": "basic", "user": "u"}}, "auth.password"),
        ({"url": URL, "auth": {"scheme": "kerberos"}}, "auth.scheme"),
        ({"url": URL, "filter": {"zones": [1]}}, "filter.zones[0]"),
        ({"url": URL, "policy": {"retry_schedule_s": ["soon"]}}, "policy.retry_schedule_s[0]"),
        ({"url": URL, "notify": {"sms": "+65"}}, "notify.sms"),
        ({"url": URL, "property": "another"}, "property"),
    ],
)
async def test_a_document_that_is_wrong_is_told_where(client: Client, document: object, wrong: str) -> None:
    told = await client.post("/subscriptions", document)
    assert (told.status, told.code, told.wrong) == (422, "MH-R010", [wrong])
    assert (await client.get("/subscriptions")).json()["items"] == []


@pytest.mark.parametrize(
    "document",
    [
        {"url": "http://example.org/in"},
        {"url": "https://10.0.0.1/in"},
        {"url": "https://0x0a000001/in"},
        {"url": URL, "notify": {"url": "https://192.168.0.1/"}},
        {"url": URL, "notify": {"subscription": "sub_of_nobody"}},
        {
            "url": URL,
            "auth": {
                "scheme": "oauth2_client_credentials",
                "token_url": "https://169.254.169.254/token",
                "client_id": "c",
                "client_secret": "s",
            },
        },
    ],
)
async def test_what_may_not_be_reached_is_refused_at_once(client: Client, document: dict[str, Any]) -> None:
    assert (await client.post("/subscriptions", document)).code == "MH-R010"
    path = f"/subscriptions/{(await created(client))['id']}"
    assert (await client.ask("PATCH", path, document)).code == "MH-R010"
    assert (await client.get(path)).json()["version"] == 1


async def test_what_the_property_is_allowed_may_be_reached(rig: Rig, client: Client) -> None:
    await allow_egress(rig.database, await property_of(client), "10.0.0.1")
    await created(client, url="https://10.0.0.1/in")


# --- versions ---


async def test_a_change_and_a_deletion_ask_for_the_version_they_were_made_from(client: Client) -> None:
    path = f"/subscriptions/{(await created(client))['id']}"
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        for tags in ('"7"', '"7", "8"', 'W/"1"'):
            told = await client.ask(method, path, body, headers={"If-Match": tags})
            assert (told.status, told.code) == (412, "MH-R012")
        assert (await client.ask(method, path, body, headers={"If-Match": "unquoted"})).wrong == ["If-Match"]
    assert (await client.ask("PATCH", path, {"name": "a"}, headers={"If-Match": '"9", "1"'})).status == 200
    assert (await client.ask("PATCH", path, {"name": "b"}, headers={"If-Match": "*"})).status == 200
    assert (await client.ask("DELETE", path, headers={"If-Match": '"3"'})).status == 204


async def test_of_changes_made_at_once_from_one_version_one_wins(client: Client) -> None:
    path = f"/subscriptions/{(await created(client))['id']}"
    told = await asyncio.gather(
        *(client.ask("PATCH", path, {"name": f"n{n}"}, headers={"If-Match": '"1"'}) for n in range(8))
    )
    assert sorted(reply.status for reply in told) == [200] + [412] * 7


async def test_changes_of_different_fields_without_version_are_both_kept(client: Client) -> None:
    path = f"/subscriptions/{(await created(client))['id']}"
    told = await asyncio.gather(client.ask("PATCH", path, {"name": "n"}), client.ask("PATCH", path, {"batch_items": 7}))
    assert [reply.status for reply in told] == [200, 200]
    shown = (await client.get(path)).json()
    assert (shown["name"], shown["batch_items"], shown["version"]) == ("n", 7, 3)


# --- idempotency ---


async def test_a_repeat_under_the_same_key_makes_nothing_and_says_the_same(client: Client) -> None:
    first = await client.post("/subscriptions", {"url": URL}, Idempotency_Key="k")
    again = await client.post("/subscriptions", {"url": URL}, Idempotency_Key="k")
    assert (again.status, again.content) == (first.status, first.content)
    assert (again.headers["ETag"], again.headers["Location"]) == (first.headers["ETag"], first.headers["Location"])
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len((await client.get("/subscriptions")).json()["items"]) == 1


async def test_another_request_under_the_same_key_is_refused(client: Client) -> None:
    made = (await client.post("/subscriptions", {"url": URL}, Idempotency_Key="k")).json()
    told = await client.post("/subscriptions", {"url": URL, "name": "x"}, Idempotency_Key="k")
    assert (told.status, told.code) == (422, "MH-R013")
    told = await client.post(f"/subscriptions/{made['id']}/signing-keys", {"url": URL}, Idempotency_Key="k")
    assert told.code in ("MH-R010", "MH-R013")
    for key in ("", "x" * 256):
        assert (await client.post("/subscriptions", {"url": URL}, Idempotency_Key=key)).wrong == ["Idempotency-Key"]


async def test_a_key_is_one_propertys_own(rig: Rig, client: Client) -> None:
    other = await rig.client()
    one = await client.post("/subscriptions", {"url": URL}, Idempotency_Key="k")
    two = await other.post("/subscriptions", {"url": URL, "name": "x"}, Idempotency_Key="k")
    assert (one.status, two.status) == (201, 201)


async def test_of_requests_made_at_once_under_one_key_one_makes_it_and_all_hear_of_it(client: Client) -> None:
    told = await asyncio.gather(*(client.post("/subscriptions", {"url": URL}, Idempotency_Key="k") for _ in range(8)))
    assert {(reply.status, reply.content) for reply in told} == {(201, told[0].content)}
    assert len((await client.get("/subscriptions")).json()["items"]) == 1


async def test_a_request_that_failed_keeps_no_answer(client: Client) -> None:
    refused = await client.post("/subscriptions", {"url": "https://10.0.0.1/"}, Idempotency_Key="k")
    assert refused.status == 422
    assert (await client.post("/subscriptions", {"url": URL}, Idempotency_Key="k")).status == 201


async def test_the_thing_and_its_answer_are_kept_together_or_not_at_all(rig: Rig) -> None:
    owner = await rig.property()
    once = Once(property_id=owner, key="k", request=b"r")
    lone = dataclasses.replace(rig, database=rig.database)

    async def make(database: Database) -> Kept:
        lone.database = database
        await lone.subscribe(owner)
        raise StoreError("cut off")

    with pytest.raises(StoreError):
        await answer_once(rig.database, rig.codec.sealer, once, make)
    assert await list_subscriptions(rig.database, rig.codec, owner) == []
    assert await answered(rig.database, rig.codec.sealer, once) is None


async def test_a_key_is_forgotten_after_a_day(rig: Rig, client: Client) -> None:
    await client.post("/subscriptions", {"url": URL}, Idempotency_Key="k")
    async with rig.database.connection() as connection:
        await connection.execute("update idempotency_keys set created_at = now() - interval '25 hours'")
    told = await client.post("/subscriptions", {"url": URL, "name": "other"}, Idempotency_Key="k")
    assert (told.status, told.json()["name"]) == (201, "other")
    async with rig.database.connection() as connection:
        old = "select count(*) from idempotency_keys where created_at < now() - interval '24 hours'"
        assert await connection.fetchval(old) == 0


# --- events ---


async def test_a_subscription_to_events_is_made_shown_changed_and_counted(rig: Rig, client: Client) -> None:
    asked = {"url": URL, "source": "events", "filter": {"patterns": ["matrix.b1.#", "#.HIGH"]}}
    made = await client.post("/subscriptions", asked)
    assert made.status == 201
    path = f"/subscriptions/{made.json()['id']}"
    shown = (await client.get(path)).json()
    assert shown["source"] == "events"
    assert shown["filter"] == {"patterns": ["#.HIGH", "matrix.b1.#"], "buildings": [], "zones": [], "devtypes": []}
    assert shown["policy"]["order"] == "strict"
    # Its position is one of the stream of events, however many readings there are.
    last = (await rig.buses["events"].bounds()).last_seq
    assert shown["progress"]["position"] == {"seq": last + 1, "item": 0}

    changed = await client.ask("PATCH", path, {"filter": {"patterns": ["matrix.#"]}})
    assert (changed.status, changed.json()["filter"]["patterns"]) == (200, ["matrix.#"])
    for patch in ({"source": "sensors"}, {"source": None}, {"filter": {"zones": ["z"]}}):
        refused = await client.ask("PATCH", path, patch)
        assert (refused.status, refused.json()["code"]) == (422, "MH-R010")
    for wrong in ({"filter": {"patterns": ["a.b"]}}, {"policy": {"order": "latest_first"}}):
        refused = await client.post("/subscriptions", {**asked, **wrong})
        assert (refused.status, refused.json()["code"]) == (422, "MH-R010")

    reading = (await client.post("/subscriptions", {"url": URL})).json()
    assert reading["source"] == "sensors"
    sheet = (await client.get("/balance")).json()
    assert {item["subscription"] for item in sheet["items"]} == {shown["id"], reading["id"]}
    assert sheet["holds"]
    balance = (await client.get(f"{path}/balance")).json()
    assert (balance["accepted"], balance["difference"]) == (0, 0)


# --- secrets ---

SCHEMES: tuple[dict[str, Any], ...] = (
    {"auth": {"scheme": "basic", "user": "u", "password": "PLANTED-a"}},
    {
        "auth": {
            "scheme": "oauth2_client_credentials",
            "token_url": URL,
            "client_id": "c",
            "client_secret": "PLANTED-b",
            "extra": {"x": "PLANTED-c"},
        }
    },
    {
        "auth": {
            "scheme": "oauth2_refresh_token",
            "token_url": URL,
            "client_id": "c",
            "client_secret": "PLANTED-d",
            "refresh_token": "PLANTED-e",
        }
    },
    {"kind": "azure_event_hub", "auth": {"scheme": "azure_sas", "key_name": "n", "key": "PLANTED-f"}},
    {
        "kind": "aws_iot",
        "batch_bytes": 1024,
        "auth": {
            "scheme": "aws_sigv4",
            "access_key_id": "i",
            "secret_access_key": "PLANTED-g",
            "session_token": "PLANTED-h",
            "region": "r",
        },
    },
    {
        "headers": {"X-Key": "PLANTED-i"},
        "notify": {"url": URL, "secret": "whsec_" + "PLANTED0" * 4},
        "client_certificate": {"certificate_pem": CERTIFICATE, "key_pem": KEY},
    },
)


@pytest.mark.parametrize("document", SCHEMES, ids=range(len(SCHEMES)))
async def test_a_secret_goes_in_and_never_comes_out(rig: Rig, client: Client, document: dict[str, Any]) -> None:
    rig.facts.clear()
    made = await client.post("/subscriptions", {"url": URL, **document}, Idempotency_Key="k")
    assert made.status == 201, made.content
    path = f"/subscriptions/{made.json()['id']}"
    assert (await client.ask("PATCH", path, {**document, "name": "changed"})).status == 200
    answers = [
        await client.post("/subscriptions", {"url": URL, **document}, Idempotency_Key="k"),
        await client.post("/subscriptions", {"url": URL, **document, "name": "x"}, Idempotency_Key="k"),
        await client.get(path),
        await client.get("/subscriptions"),
        await client.post(f"{path}/pause"),
        await client.post(f"{path}/resume"),
        await client.post(f"{path}/test"),
        await client.get("/attempts"),
        await client.get(f"{path}/balance"),
        await client.post("/subscriptions", {"url": URL, **planted_wrongly(document)}),
        await client.ask("PATCH", path, planted_wrongly(document)),
    ]
    assert [reply.status for reply in answers[-2:]] == [422, 422]
    shown = b"".join(client.seen) + repr(rig.facts).encode()
    assert b"PLANTED" not in shown
    async with rig.database.connection() as connection:
        kept = await connection.fetch("select * from idempotency_keys")
    assert b"PLANTED" not in b"".join(bytes(row["sealed"]) for row in kept)


def planted_wrongly(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its secrets in places where they are refused."""
    text = json.dumps(document)
    return {**json.loads(text), "batch_items": "PLANTED-z", "surprise": "PLANTED-z", "filter": {"zones": "PLANTED-z"}}


# --- signing keys ---


async def test_a_signing_key_is_told_once_and_signs_beside_the_one_before(rig: Rig, client: Client) -> None:
    path = f"/subscriptions/{(await created(client))['id']}"
    first = await client.post(f"{path}/signing-keys", {"kind": "v1"}, Idempotency_Key="a")
    assert first.status == 201
    assert first.json()["secret"].startswith("whsec_")
    Webhook(first.json()["secret"])
    second = (await client.post(f"{path}/signing-keys", {"kind": "v1", "grace_s": 60})).json()
    third = (await client.post(f"{path}/signing-keys", {"kind": "v1a"})).json()
    assert third["secret"].startswith("whsk_")
    assert third["public_key"].startswith("whpk_")
    shown = await client.get(path)
    listed = {key["id"]: key for key in shown.json()["signing"]}
    assert set(listed) == {first.json()["id"], second["id"], third["id"]}
    assert listed[first.json()["id"]]["expires_at"] is not None
    assert listed[second["id"]]["expires_at"] is None
    assert b"whsec_" not in shown.content
    assert b"whsk_" not in shown.content
    told_again = await client.post(f"{path}/signing-keys", {"kind": "v1"}, Idempotency_Key="a")
    assert told_again.content == first.content
    async with rig.database.connection() as connection:
        kept = b"".join(bytes(row["sealed"]) for row in await connection.fetch("select sealed from idempotency_keys"))
    assert b"whsec_" not in kept


async def test_a_signing_key_may_be_brought_along_and_taken_out_of_use(client: Client) -> None:
    path = f"/subscriptions/{(await created(client))['id']}/signing-keys"
    brought = "whsec_" + "c2VjcmV0" * 4
    made = await client.post(path, {"secret": brought})
    assert (made.status, made.json()["secret"]) == (201, brought)
    for wrong in ("whsec_x", "PLANTED", "whsec_" + "c2Vj"):
        told = await client.post(path, {"secret": wrong})
        assert told.code == "MH-R010"
        assert wrong.encode() not in told.content
    assert (await client.ask("DELETE", f"{path}/{made.json()['id']}")).status == 204
    assert (await client.ask("DELETE", f"{path}/{made.json()['id']}")).code == "MH-R008"


# --- tests and attempts ---


async def test_a_test_goes_to_the_destination_and_tells_what_came_of_it(
    client: Client, receiver: HttpsReceiver
) -> None:
    made = await created(client, url=receiver.url, ca_pem=receiver.ca_pem)
    told = await client.post(f"/subscriptions/{made['id']}/test")
    assert (told.status, told.json()["taken"], told.json()["http_status"]) == (200, True, 204)
    receiver.behave(Answer(500), requests=1)
    told = await client.post(f"/subscriptions/{made['id']}/test")
    assert (told.status, told.json()["taken"], told.json()["http_status"]) == (200, False, 500)
    listed = (await client.get(f"/attempts?subscription={made['id']}&outcome=failed")).json()["items"]
    assert listed == [told.json()]
    assert (await client.get(f"/attempts/{told.json()['id']}")).json() == told.json()
    (reading,) = (await client.get(f"/attempts/{told.json()['id']}/body")).json()
    assert json.loads(reading)["DEVID"] == "matrixhub-test"


async def test_attempts_are_found_by_time_outcome_subscription_and_request(rig: Rig, client: Client) -> None:
    owner = await property_of(client)
    one, two = await rig.subscribe(owner), await rig.subscribe(owner)
    now = datetime.now(UTC).replace(microsecond=0)
    early = await rig.attempt(one, at=now - timedelta(minutes=5), request_id="early")
    late = await rig.attempt(one, at=now, code="MH-D003", http_status=500)
    other = await rig.attempt(two, at=now - timedelta(minutes=1))
    moment = (now - timedelta(minutes=2)).isoformat().replace("+00:00", "Z")
    for query, expected in (
        ("", [late, other, early]),
        (f"subscription={one.id}", [late, early]),
        ("outcome=failed", [late]),
        ("outcome=taken", [other, early]),
        (f"since={moment}", [late, other]),
        (f"until={moment}", [early]),
        (f"until={moment.removesuffix('Z')}", [early]),
        ("request_id=early", [early]),
    ):
        told = await client.get(f"/attempts?{query}")
        assert [item["id"] for item in told.json()["items"]] == [str(attempt.id) for attempt in expected], query


async def test_the_readings_of_an_attempt_are_made_again_or_said_to_be_gone(rig: Rig, client: Client) -> None:
    owner = await property_of(client)
    seq = await rig.publish(owner, 3)
    made = await rig.subscribe(owner, seq=seq + 1)
    whole = await rig.attempt(made, items=3, start=Position(seq=seq), end=Position(seq=seq + 1))
    part = await rig.attempt(made, items=9, start=Position(seq=seq, item=1), end=Position(seq=seq + 1))
    gone = await rig.attempt(made, start=Position(seq=seq + 10), end=Position(seq=seq + 11), request_id="gone")
    told = await client.get(f"/attempts/{whole.id}/body")
    assert (told.headers["X-Body-Whole"], [json.loads(text)["unixT"] for text in told.json()]) == ("true", [0, 1, 2])
    told = await client.get(f"/attempts/{part.id}/body")
    assert (told.headers["X-Body-Whole"], len(told.json())) == ("false", 2)
    assert (await client.get(f"/attempts/{gone.id}/body")).status == 410


# --- paging ---


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_pages_have_every_item_once_while_others_come_in(rig: Rig, client: Client, limit: int) -> None:
    owner = await property_of(client)
    now = datetime.now(UTC) - timedelta(minutes=5)
    subscriptions = [await rig.subscribe(owner) for _ in range(5)]
    attempts = [await rig.attempt(subscriptions[0], at=now + timedelta(seconds=n // 3)) for n in range(7)]
    parked = await rig.park(subscriptions[0], 7, at=now)
    adding = asyncio.Event()

    async def add_more() -> None:
        while not adding.is_set():
            await rig.attempt(subscriptions[0])
            await rig.park(subscriptions[0])
            await rig.subscribe(owner)

    more = asyncio.create_task(add_more())
    try:
        for path, wanted in (
            ("/subscriptions", [subscription.id for subscription in subscriptions]),
            ("/attempts", [str(a.id) for a in sorted(attempts, key=lambda a: (a.at, a.id), reverse=True)]),
            ("/parked", [str(one) for one in parked]),
        ):
            found = [item["id"] for item in await bounded(client, path, limit, wanted[-1])]
            assert len(found) == len(set(found))
            assert [one for one in found if one in wanted] == wanted, path
    finally:
        adding.set()
        await more


async def bounded(client: Client, path: str, limit: int, last: str) -> list[dict[str, Any]]:
    """Pages until one has the item; what is added meanwhile may come faster than it can be read."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while last not in [item["id"] for item in found]:
        told = (await client.get(f"{path}?limit={limit}{cursor}")).json()
        found += told["items"]
        assert told["next"] or last in [item["id"] for item in found]
        cursor = f"&cursor={told['next']}"
    return found


async def test_replays_are_paged(rig: Rig, client: Client) -> None:
    owner = await property_of(client)
    wanted = []
    for _ in range(5):
        made = await rig.subscribe(owner, seq=10)
        wanted.append((await ask_replay(rig.database, owner, made.id, Position(seq=1))).id)
    assert [item["id"] for item in await pages(client, "/replays", 2)] == wanted[::-1]


@pytest.mark.parametrize("path", ["/subscriptions", "/attempts", "/parked", "/replays"])
async def test_a_cursor_that_is_none_and_a_limit_out_of_range_are_refused(client: Client, path: str) -> None:
    foreign = "WyJ4IiwiMjAyNC0wMy0xMFQwMDowMDowMCswMDowMCIsIngiXQ"
    for cursor in ("x", "!!!!", "a" * 600, "W10", foreign, "WyJzIl0", "%00"):
        told = await client.get(f"{path}?cursor={cursor}")
        assert (told.code, told.wrong) == ("MH-R010", ["cursor"]), cursor
    for limit in ("0", "501", "-1", "x", "1.5"):
        told = await client.get(f"{path}?limit={limit}")
        assert (told.status, told.code, told.wrong) == (422, "MH-R010", ["limit"]), limit


# --- parked readings ---


async def test_parked_readings_are_redriven_discarded_and_counted_as_they_are_meant(rig: Rig, client: Client) -> None:
    made = await rig.subscribe(await property_of(client))
    ids = [str(one) for one in await rig.park(made, 4)]
    await rig.park(made, 2, code="MH-D009")
    body: dict[str, Any] = {"subscription": made.id}

    async def count(action: str, **selection: Any) -> int:
        told = await client.post(f"/parked/{action}", {**body, **selection})
        assert told.status == 200, told.content
        return int(told.json()["readings"])

    assert await count("redrive", all=True, dry_run=True) == 6
    assert await count("redrive", ids=ids[:2]) == 2
    assert await count("redrive", ids=ids[:2]) == 0
    shown = (await client.get(f"/parked/{ids[0]}")).json()
    assert shown["redrive_at"] is not None
    assert await count("discard", code="MH-D009", dry_run=True) == 2
    assert await count("discard", code="MH-D009") == 2
    assert (await client.get(f"/parked?subscription={made.id}&code=MH-D009")).json()["items"] == []
    sheet = (await client.get(f"/subscriptions/{made.id}")).json()["progress"]
    assert (sheet["parked"], sheet["expired"]) == (4, 2)


@pytest.mark.parametrize("selection", [{}, {"all": True, "code": "x"}, {"ids": ["x"]}, {"since": "soon"}])
@pytest.mark.parametrize("action", ["redrive", "discard"])
async def test_a_selection_that_says_nothing_or_too_much_is_refused(
    rig: Rig, client: Client, action: str, selection: dict[str, Any]
) -> None:
    made = await rig.subscribe(await property_of(client))
    await rig.park(made, 2)
    assert (await client.post(f"/parked/{action}", {"subscription": made.id, **selection})).code == "MH-R010"
    assert len((await client.get("/parked")).json()["items"]) == 2


async def test_an_export_has_every_parked_reading_on_a_line(rig: Rig, client: Client) -> None:
    owner = await property_of(client)
    made = await rig.subscribe(owner)
    ids = await rig.park(made, 2_500)
    told = await client.get("/parked/export")
    assert told.headers["Content-Type"] == "application/x-ndjson"
    lines = told.content.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(one) for one in ids]
    msgspec.json.decode(lines[0], type=documents.ParkedView)
    assert (await client.get("/parked/export?code=MH-D999")).content == b""


# --- replays and the balance ---


async def test_a_replay_is_counted_asked_for_shown_and_withdrawn(rig: Rig, client: Client) -> None:
    owner = await property_of(client)
    seq = await rig.publish(owner, 3)
    made = await rig.subscribe(owner, seq=seq + 1)
    body = {"subscription": made.id, "position": {"seq": seq, "item": 1}}
    planned = await client.post("/replays", {**body, "dry_run": True})
    assert (planned.status, planned.json()["readings"], planned.json()["dry_run"]) == (200, 2, True)
    assert (await client.get("/replays")).json()["items"] == []
    told = await client.post("/replays", body, Idempotency_Key="r")
    assert (told.status, told.json()["state"], told.json()["position"]) == (201, "waiting", {"seq": seq, "item": 1})
    assert told.headers["Location"] == f"/hub/v1/replays/{told.json()['id']}"
    assert (await client.post("/replays", body, Idempotency_Key="r")).content == told.content
    assert (await client.post("/replays", body)).code == "MH-R009"
    path = f"/replays/{told.json()['id']}"
    assert (await client.get(path)).json() == told.json()
    assert (await client.ask("DELETE", path)).status == 204
    assert (await client.get(path)).code == "MH-R008"


async def test_a_replay_begins_at_a_time_a_place_or_an_attempt(rig: Rig, client: Client) -> None:
    owner = await property_of(client)
    seq = await rig.publish(owner, 3)
    made = await rig.subscribe(owner, seq=seq + 1)
    attempt = await rig.attempt(made, start=Position(seq=seq), end=Position(seq=seq + 1))
    for place in (
        {"since": "1970-01-01T00:00:00Z"},
        {"position": {"seq": seq}},
        {"attempt": str(attempt.id)},
    ):
        told = await client.post("/replays", {"subscription": made.id, "dry_run": True, **place})
        assert (told.status, told.json()["readings"]) == (200, 3), told.content
    for wrong in (
        {},
        {"position": {"seq": 0}},
        {"position": {"seq": seq + 1}},
        {"position": {"seq": seq}, "since": "1970-01-01T00:00:00Z"},
        {"since": "2999-01-01T00:00:00Z"},
        {"attempt": "x"},
    ):
        told = await client.post("/replays", {"subscription": made.id, **wrong})
        assert told.code == "MH-R010", wrong


async def test_the_balance_tells_what_became_of_every_reading(rig: Rig, client: Client) -> None:
    owner = await property_of(client)
    first = await rig.subscribe(owner, seq=(await rig.bus.bounds()).last_seq + 1)
    await rig.publish(owner, 3)
    second = await rig.subscribe(owner, seq=(await rig.bus.bounds()).last_seq + 1)
    sheet = (await client.get("/balance")).json()
    assert (sheet["holds"], sheet["total"]["accepted"], sheet["total"]["pending"]) == (True, 3, 3)
    assert {item["subscription"] for item in sheet["items"]} == {first.id, second.id}
    one = (await client.get(f"/subscriptions/{first.id}/balance")).json()
    assert (one["accepted"], one["pending"], one["difference"], one["holds"]) == (3, 3, 0, True)
    await rig.park(first, 1)  # more than came
    broken = (await client.get("/balance")).json()
    assert (broken["holds"], broken["total"]["difference"]) == (False, -1)


# --- what goes wrong ---


async def test_a_path_that_is_none_and_a_method_that_is_not_taken_are_problems(client: Client) -> None:
    assert (await client.get("/nothing")).code == "MH-R008"
    told = await client.ask("PUT", "/subscriptions", {})
    assert (told.status, told.code) == (405, "MH-R011")
    assert told.headers["Allow"] == "GET, OPTIONS, POST"
    told = await client.ask("PUT", f"/subscriptions/{(await created(client))['id']}", {})
    assert told.headers["Allow"] == "DELETE, GET, OPTIONS, PATCH"
    assert (await client.post("/readings", [])).code == "MH-R011"  # this process does not have the role that takes them


@pytest.mark.parametrize(
    "path", ["/attempts/x", "/parked/x", "/subscriptions/%00", "/replays/a%20b", "/subscriptions/.."]
)
async def test_a_path_with_an_id_that_is_none_is_a_problem(client: Client, path: str) -> None:
    assert (await client.get(path)).code in ("MH-R008", "MH-R010")


EXTREMES = ("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "2024-03-10T00:00:00", "0001-01-01T00:00:00Z")


@pytest.mark.parametrize("path", ["/attempts", "/parked", "/parked/export"])
async def test_instants_at_the_ends_of_time_are_instants(client: Client, path: str) -> None:
    for instant in EXTREMES:
        assert (await client.get(f"{path}?since={instant}&until={instant}")).status == 200
    assert (await client.get(f"{path}?since=10000-01-01T00:00:00Z")).wrong == ["since"]


@pytest.mark.parametrize("instant", [instant.replace("%2B", "+") for instant in EXTREMES if len(instant) > 19])
async def test_instants_at_the_ends_of_time_are_instants_in_documents_too(
    rig: Rig, client: Client, instant: str
) -> None:
    made = await rig.subscribe(await property_of(client))
    body = {"subscription": made.id, "since": instant}
    assert (await client.post("/parked/redrive", body)).status == 200
    assert (await client.post("/replays", body)).code in ("MH-R010", "MH-R015")


@pytest.mark.parametrize(
    "query",
    [
        *("/attempts?request_id=%00", "/attempts?subscription=%00", "/parked?code=%00", "/attempts?request_id=%ff"),
        *("/subscriptions?subscripton=x", "/attempts?outcome=all", "/balance?verbose=1", "/parked?property="),
    ],
)
async def test_a_parameter_that_is_none_is_refused_by_name(client: Client, query: str) -> None:
    told = await client.get(query)
    assert (told.code, told.wrong) == ("MH-R010", [query.partition("?")[2].partition("=")[0]])


async def test_signs_that_are_no_text_are_refused_wherever_they_stand(rig: Rig, client: Client) -> None:
    made = await rig.subscribe(await property_of(client))
    for sign in ("\x00", "\ud800"):
        for method, path, body in (
            ("POST", "/subscriptions", {"url": URL, "name": sign}),
            ("POST", "/subscriptions", {"url": URL, "headers": {"X": sign}}),
            ("POST", "/subscriptions", {"url": URL, "notify": {"subscription": sign}}),
            ("POST", "/subscriptions", {"url": URL, "auth": {"scheme": "basic", "user": sign, "password": sign}}),
            ("PATCH", f"/subscriptions/{made.id}", {"name": sign}),
            ("POST", "/parked/redrive", {"subscription": sign, "all": True}),
            ("POST", "/parked/discard", {"subscription": made.id, "code": sign}),
            ("POST", "/replays", {"subscription": sign, "position": {"seq": 1}}),
            ("POST", f"/subscriptions/{made.id}/signing-keys", {"secret": sign}),
        ):
            assert (await client.ask(method, path, body)).code in ("MH-R002", "MH-R010"), (path, body)


async def test_a_body_that_does_not_tell_its_size_is_limited_too(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    sent = {"Authorization": f"Bearer {client.key}", "Content-Type": "application/json"}
    async with client.session.post(f"{client.url}/subscriptions", data=endless(), headers=sent) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (413, "MH-R003")


async def test_a_fault_of_the_database_is_told_without_its_words(rig: Rig, client: Client) -> None:
    made = await created(client, auth={"scheme": "basic", "user": "u", "password": "p"})
    async with rig.database.connection() as connection:
        await connection.execute("update subscriptions set secrets = $2 where id = $1", made["id"], bytes(40))
    rig.facts.clear()
    told = await client.get(f"/subscriptions/{made['id']}")
    assert (told.status, told.code, told.headers["Retry-After"]) == (503, "MH-S001", "1")
    assert b"master key" not in told.content
    (failed,) = [fact for fact in rig.facts if isinstance(fact, RequestFailed)]
    assert "master key" in failed.error
    assert failed.request_id == told.headers["X-Request-Id"]


async def test_a_defect_is_told_without_internals_and_reported_with_its_place(rig: Rig, client: Client) -> None:
    made = await created(client)
    async with rig.database.connection() as connection:
        await connection.execute("""update subscriptions set format = '{"PLANTED": 1}' where id = $1""", made["id"])
    rig.facts.clear()
    told = await client.get(f"/subscriptions/{made['id']}")
    assert (told.status, told.code) == (500, "MH-0000")
    assert b"PLANTED" not in told.content
    (failed,) = [fact for fact in rig.facts if isinstance(fact, RequestFailed)]
    assert (failed.error, failed.at.partition(":")[0]) == ("TypeError", "subscriptions.py")
    (served,) = [fact for fact in rig.facts if isinstance(fact, RequestServed)]
    assert (served.status, served.route) == (500, "/hub/v1/subscriptions/{subscription_id}")


async def test_a_change_by_others_between_reading_and_writing_is_taken_up(rig: Rig, client: Client) -> None:
    made = await created(client)
    owner = made["property"]

    async def keep_changing() -> list[Reply]:
        return [await client.ask("PATCH", f"/subscriptions/{made['id']}", {"batch_items": n}) for n in range(1, 6)]

    async def change_aside() -> None:
        overview = await show_subscription(rig.database, rig.codec, owner, made["id"])
        await update_subscription(rig.database, rig.codec, overview.subscription)

    replies, _ = await asyncio.gather(keep_changing(), change_aside(), return_exceptions=True)
    assert isinstance(replies, list)
    assert {reply.status for reply in replies} == {200}
