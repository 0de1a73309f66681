"""Events and applications over REST."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.rest.rig import Client, Rig

from matrixhub.model.application import Quota
from matrixhub.model.event import check_envelope
from matrixhub.model.ids import ApplicationId, PropertyId
from matrixhub.store.keys import create_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD: dict[str, Any] = {"Event": "LIFT_STUCK", "Priority": "HIGH", "Description": "Lift 2", "Meta": {"Lift": 2}}


async def speaker(rig: Rig, property_id: PropertyId, application: ApplicationId) -> Client:
    """A client with a key of the application."""
    _, token = await create_key(rig.database, property_id, "", application_id=application)
    return Client(rig.url, rig.session, token.reveal())


async def test_an_application_speaks_with_a_key_of_its_own(rig: Rig) -> None:
    property_id = await rig.property()
    application, manager = await rig.application(property_id), await rig.client(property_id)
    client = await speaker(rig, property_id, application)
    told = await client.post("/events", {"events": [GOOD, {**GOOD, "Event": "ZONE_CREATED"}, {"Event": 5}]})
    assert told.status == 200
    assert told.json()["accepted"] == 1
    assert [(r["index"], r["code"]) for r in told.json()["rejected"]] == [(1, "MH-R020"), (2, "MH-R019")]
    listed = (await manager.get(f"/events?module={application}&since=2001-01-01T00:00:00Z")).json()
    assert [e["Event"] for e in listed["items"]] == ["TRIED", "LIFT_STUCK"]
    for event in listed["items"]:
        check_envelope(event)


async def test_a_key_of_an_application_speaks_for_no_other_and_does_nothing_else(rig: Rig) -> None:
    property_id = await rig.property()
    one, other = await rig.application(property_id), await rig.application(property_id)
    client = await speaker(rig, property_id, one)
    assert (await client.post("/events", {"application": other, "events": [GOOD]})).code == "MH-R014"
    assert (await client.post("/events", {"application": one, "events": [GOOD]})).status == 200
    for path in ("/events", "/applications", "/subscriptions", "/balance"):
        assert (await client.get(path)).code == "MH-R014"
    assert (await client.post(f"/events?property={await rig.property()}", {"events": [GOOD]})).code == "MH-R014"
    foreign = await rig.application(await rig.property())
    manager = await rig.client(property_id)
    assert (await manager.post("/events", {"application": foreign, "events": [GOOD]})).code == "MH-R008"
    assert (await manager.post("/events", {"events": [GOOD]})).wrong == ["application"]


async def test_a_request_that_is_repeated_under_its_key_publishes_once(rig: Rig) -> None:
    property_id = await rig.property()
    application = await rig.application(property_id)
    client, manager = await speaker(rig, property_id, application), await rig.client(property_id)
    first = await client.post("/events", {"events": [GOOD] * 2}, Idempotency_Key="once")
    again = await client.post("/events", {"events": [GOOD] * 2}, Idempotency_Key="once")
    assert (first.content, again.headers["Idempotency-Replayed"]) == (again.content, "true")
    listed = (await manager.get(f"/events?module={application}")).json()["items"]
    assert [e["Event"] for e in listed].count("LIFT_STUCK") == 2


async def test_an_idempotency_key_is_that_of_whoever_asks(rig: Rig) -> None:
    """Two applications number their requests from 1 on; the events of the second are published, too."""
    property_id = await rig.property()
    one, other = await rig.application(property_id), await rig.application(property_id)
    manager = await rig.client(property_id)
    for application in (one, other):
        client = await speaker(rig, property_id, application)
        told = await client.post("/events", {"events": [GOOD]}, Idempotency_Key="1")
        assert (told.status, told.headers.get("Idempotency-Replayed")) == (200, None)
        listed = (await manager.get(f"/events?module={application}")).json()["items"]
        assert [e["Event"] for e in listed] == ["TRIED", "LIFT_STUCK"]


async def test_a_secret_is_not_told_again_to_somebody_else(rig: Rig) -> None:
    property_id = await rig.property()
    first, second = await rig.client(property_id), await rig.client(property_id)
    made, other = [(await c.post("/keys", {"name": "gate"}, Idempotency_Key="gate")).json() for c in (first, second)]
    assert made["id"] != other["id"]
    assert made["secret"] != other["secret"]


async def test_a_quota_that_is_used_up_is_told_with_the_time_to_wait(rig: Rig) -> None:
    property_id = await rig.property()
    application = await rig.application(property_id, Quota(per_minute=1, burst=3, per_day=100))
    client = await speaker(rig, property_id, application)
    assert (await client.post("/events", {"events": [GOOD] * 2}, Idempotency_Key="a")).status == 200
    told = await client.post("/events", {"events": [GOOD] * 2}, Idempotency_Key="b")
    assert (told.status, told.code) == (429, "MH-R018")
    assert 100 < int(told.headers["Retry-After"]) <= 120
    never = await client.post("/events", {"events": [GOOD] * 4})
    assert (never.status, never.code) == (400, "MH-R017")


async def test_pages_of_events_follow_each_other(rig: Rig) -> None:
    property_id = await rig.property()
    application, manager = await rig.application(property_id), await rig.client(property_id)
    await manager.post(
        "/events", {"application": application, "events": [{**GOOD, "Description": str(n)} for n in range(7)]}
    )
    found: list[str] = []
    following = ""
    for _ in range(3):  # with the event it was made with, there are eight
        page = (await manager.get(f"/events?module={application}&limit=3{following}")).json()
        found += [e["Description"] for e in page["items"] if e["Event"] == "LIFT_STUCK"]
        following = f"&cursor={page['next']}"
    assert page["next"] is None
    assert found == [str(n) for n in range(7)]
    assert (await manager.get("/events?cursor=x")).wrong == ["cursor"]


async def test_an_application_is_registered_changed_and_revoked(rig: Rig) -> None:
    property_id = await rig.property()
    manager = await rig.client(property_id)
    made = await manager.post("/applications", {"id": "lift-monitor", "name": "Lifts", "burst": 7})
    assert made.status == 201
    assert (made.json()["per_minute"], made.json()["burst"]) == (Quota().per_minute, 7)
    path = made.headers["Location"].removeprefix("/hub/v1")
    assert (await manager.post("/applications", {"id": "lift-monitor"})).code == "MH-R023"
    assert (await manager.post("/applications", {"id": "sc-lifts"})).wrong == ["id"]
    assert (await manager.post("/applications", {"id": "lifts", "burst": 0})).wrong == ["burst"]
    changed = (await manager.ask("PATCH", path, {"per_day": 9})).json()
    assert (changed["per_day"], changed["burst"], changed["version"]) == (9, 7, 2)
    client = await speaker(rig, property_id, ApplicationId("lift-monitor"))
    assert (await manager.ask("DELETE", path)).status == 204
    assert (await manager.get(path)).json()["revoked_at"] is not None
    assert (await client.post("/events", {"events": [GOOD]})).code == "MH-R006"
    assert (await manager.post("/events", {"application": "lift-monitor", "events": [GOOD]})).code == "MH-R014"
    assert [a["id"] for a in (await manager.get("/applications")).json()["items"]] == ["lift-monitor"]
