"""Seats, shifts and what belongs to them over REST. Source: docs/contract/workforce.md §7"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.rest.rig import Client, Reply, Rig
from tests.integration.rest.shift_routes import ShiftThings, make_shift_things

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True, slots=True)
class Crew:
    """A client, and the seat and shift it works with."""

    client: Client
    things: ShiftThings

    async def shift(self, act: str, body: object = None) -> Reply:
        """An act on the shift."""
        return await self.client.post(f"/shifts/{self.things.shift}/{act}", body)

    def draft(self, **fields: Any) -> dict[str, Any]:
        found = self.things
        times = {"starts_at": found.starts_at, "ends_at": found.ends_at}
        return {"building": found.building, "seat": found.seat, **times, **fields}


@pytest_asyncio.fixture(loop_scope="session")
async def crew(rig: Rig) -> Crew:
    property_id = await rig.property()
    things = await make_shift_things(rig, property_id)
    return Crew(await rig.client(property_id), things)


def later(instant: str, hours: float) -> str:
    return (datetime.fromisoformat(instant) + timedelta(hours=hours)).isoformat()


async def test_a_seat_is_made_once_under_a_key_and_changed_by_who_has_seen_it(crew: Crew) -> None:
    new = {"name": "Bob Tan", "team": "Night"}
    first = await crew.client.post("/seats", new, Idempotency_Key="seat-1")
    again = await crew.client.post("/seats", new, Idempotency_Key="seat-1")
    assert (first.status, first.content) == (201, again.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    where = first.headers["Location"].removeprefix("/hub/v1")
    assert (await crew.client.get(where)).json()["id"].endswith("_002")
    change = await crew.client.ask("PATCH", where, {"active": False}, headers={"If-Match": first.headers["ETag"]})
    assert (change.json()["active"], change.json()["team"], change.headers["ETag"]) == (False, "Night", '"2"')
    stale = await crew.client.ask("PATCH", where, {"name": "x"}, headers={"If-Match": first.headers["ETag"]})
    assert stale.code == "MH-R012"
    assert [seat["name"] for seat in (await crew.client.get("/seats")).json()["items"]] == ["Ann Lee", "Bob Tan"]
    assert (await crew.client.post("/seats", {"name": ""})).wrong == ["name"]


async def test_a_shift_is_planned_published_and_worked(crew: Crew) -> None:
    cost = {"unit": "SGD", "value": 12.5}
    made = await crew.client.post("/shifts", crew.draft(breaks=[{"kind": "MEAL", "duration_s": 1800}], cost=cost))
    assert made.status == 201
    shift, where = made.json(), made.headers["Location"].removeprefix("/hub/v1")
    assert (shift["status"], shift["cost"], shift["time_zone"]) == ("UNPUBLISHED", cost, "Asia/Singapore")
    assert [(one["kind"], one["duration_s"], one["planned"]) for one in shift["breaks"]] == [("MEAL", 1800, True)]
    assert (await crew.client.post(f"{where}/publish")).json()["status"] == "PUBLISHED"
    assert (await crew.client.post(f"{where}/publish")).code == "MH-R022"
    place = {"latitude": 1.3, "longitude": 103.8}
    started = (await crew.client.post(f"{where}/start", {"place": place})).json()
    assert (started["status"], started["clock_in"], started["ended_at"]) == ("STARTED", place, None)
    on_break = (await crew.client.post(f"{where}/breaks", {"id": shift["breaks"][0]["id"], "notes": "Late"})).json()
    assert (on_break["on_break"], on_break["breaks"][0]["notes"]) == (True, "Late")
    assert (await crew.client.post(f"{where}/breaks/end", {})).json()["on_break"] is False
    assert (await crew.client.post(f"{where}/end", {})).json()["status"] == "COMPLETED"
    assert (await crew.client.ask("DELETE", where)).code == "MH-R022"


async def test_who_did_it_is_the_key_that_asked(crew: Crew) -> None:
    shift = (await crew.client.post("/shifts", crew.draft())).json()
    assert shift["created_by"].startswith("key_")


async def test_a_shift_that_cannot_be_planned_is_refused_with_the_reason(crew: Crew) -> None:
    draft = crew.draft()
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"ends_at": draft["starts_at"]}, "MH-R020"),
        ({"time_zone": "Asia/Atlantis"}, "MH-R020"),
        ({"zones": ["no such zone"]}, "MH-R008"),
        ({"building": "no such building"}, "MH-R008"),
        ({"seat": "nobody"}, "MH-R008"),
        ({"starts_at": "0001-01-01T00:00:00+14:00"}, "MH-R020"),
        ({"starts_at": "soon"}, "MH-R010"),
        ({"starts_at": "2024-03-10T08:00:00"}, "MH-R010"),
        ({"description": "a\x00b"}, "MH-R010"),
        ({"task_groups": [{"name": "n"}]}, "MH-R010"),
    )
    for changes, code in cases:
        assert (await crew.client.post("/shifts", {**draft, **changes})).code == code, changes
    assert (await crew.client.post("/shifts", draft)).status == 201
    assert (await crew.client.post("/shifts", draft)).code == "MH-R022"  # the seat has a shift then


async def test_shifts_are_listed_in_pages_by_their_begin(crew: Crew) -> None:
    times = [(later(crew.things.starts_at, n * 10), later(crew.things.ends_at, n * 10)) for n in range(3)]
    made = [crew.things.shift]
    for start, end in times:
        made.append((await crew.client.post("/shifts", crew.draft(starts_at=start, ends_at=end))).json()["id"])
    found, path = [], "/shifts?limit=3"
    while path:
        page = (await crew.client.get(path)).json()
        found += [shift["id"] for shift in page["items"]]
        path = f"/shifts?limit=3&cursor={page['next']}" if page["next"] else ""
    assert found == made

    async def listed(query: str) -> list[str]:
        return [shift["id"] for shift in (await crew.client.get(f"/shifts?{query}")).json()["items"]]

    since = times[1][0].replace("+", "%2B")
    assert await listed(f"since={since}") == made[2:]
    assert await listed(f"until={since}") == made[:2]
    assert await listed("status=PUBLISHED") == made[:1]
    assert await listed("status=DELAYED") == []
    assert await listed(f"seat={crew.things.seat}&building={crew.things.building}") == made
    assert (await crew.client.get("/shifts?seat=nobody")).code == "MH-R008"
    assert (await crew.client.get("/shifts?status=ASLEEP")).wrong == ["status"]
    assert (await crew.client.get("/shifts?cursor=made-up")).wrong == ["cursor"]


async def test_a_shift_is_changed_and_deleted_only_as_it_was_seen(crew: Crew) -> None:
    where = f"/shifts/{crew.things.shift}"
    seen = await crew.client.get(where)
    match = {"If-Match": seen.headers["ETag"]}
    changed = await crew.client.ask("PATCH", where, {"description": "one", "zones": [crew.things.zone]}, headers=match)
    assert (changed.json()["description"], list(changed.json()["zones"])) == ("one", [crew.things.zone])
    assert (await crew.client.ask("PATCH", where, {"description": "two"}, headers=match)).code == "MH-R012"
    assert (await crew.client.ask("DELETE", where, headers=match)).code == "MH-R012"
    assert (await crew.client.get(where)).json()["description"] == "one"
    assert (await crew.client.ask("DELETE", where, headers={"If-Match": changed.headers["ETag"]})).status == 204
    assert (await crew.client.get(where)).code == "MH-R008"


async def test_a_shift_is_late_missed_and_on_leave_each_once(crew: Crew) -> None:
    assert (await crew.shift("delayed")).json()["delayed"] is True
    assert (await crew.shift("delayed")).code == "MH-R022"
    assert (await crew.shift("absent")).json()["status"] == "ABSENT"
    assert (await crew.shift("start", {})).code == "MH-R022"
    assert (await crew.shift("start-admin", {})).json()["status"] == "STARTED"
    assert (await crew.shift("leave")).code == "MH-R022"
    assert (await crew.shift("end-admin", {})).json()["status"] == "COMPLETED"


async def test_a_timesheet_is_claimed_changed_and_decided_on(crew: Crew) -> None:
    await crew.shift("start", {})
    assert (await crew.client.post("/timesheets", {"shift": crew.things.shift})).code == "MH-R022"
    await crew.shift("end", {})
    made = await crew.client.post("/timesheets", {"shift": crew.things.shift, "comment": "As recorded"})
    assert (made.status, made.json()["status"]) == (201, "REQUESTED")
    where, match = f"/timesheets/{crew.things.shift}", {"If-Match": made.headers["ETag"]}
    changed = await crew.client.ask("PATCH", where, {"comment": "Less"}, headers=match)
    assert (changed.json()["comment"], changed.json()["worked_from"]) == ("Less", made.json()["worked_from"])
    assert (await crew.client.ask("PATCH", where, {"comment": "More"}, headers=match)).code == "MH-R012"
    assert (await crew.client.post(f"{where}/reject", {"comment": "No"})).json()["comment"] == "No"
    assert (await crew.client.post(f"{where}/approve")).code == "MH-R022"
    assert (await crew.client.post("/timesheets", {"shift": crew.things.shift})).status == 201
    approved = (await crew.client.post(f"{where}/approve")).json()
    assert (approved["status"], approved["decided_by"]) == ("APPROVED", approved["requested_by"])
    listed = (await crew.client.get(f"/timesheets?seat={crew.things.seat}&status=APPROVED")).json()
    assert ([one["shift"] for one in listed["items"]], listed["next"]) == ([crew.things.shift], None)
    assert (await crew.client.get("/timesheets?status=REQUESTED")).json()["items"] == []


async def test_availability_and_usual_shifts_are_set_by_day(crew: Crew) -> None:
    night = {"slots": [{"start_s": 79_200, "end_s": 21_600, "name": "Night"}]}
    path = f"/availabilities/{crew.things.seat}"
    found = (await crew.client.ask("PUT", f"{path}/2", night)).json()["items"]
    assert [(one["day_of_week"], one["slots"][0]["next_day"]) for one in found] == [(1, False), (2, True)]
    assert len((await crew.client.get("/availabilities?day_of_week=2")).json()["items"]) == 1
    assert (await crew.client.ask("PUT", f"{path}/7", night)).wrong == ["day"]
    assert (await crew.client.ask("PUT", f"{path}/2", {"slots": night["slots"] * 3})).wrong == ["slots"]
    both = [{"start_s": 0, "end_s": 7200}, {"start_s": 3600, "end_s": 9000}]
    assert (await crew.client.ask("PUT", f"{path}/2", {"slots": both})).code == "MH-R020"
    assert (await crew.client.ask("DELETE", path)).status == 204
    assert (await crew.client.get("/availabilities")).json()["items"] == []
    shifts = {"shifts": [{"name": "Morning", "start_s": 25_200, "end_s": 54_000, "expected_by_team": {"Night": 2}}]}
    for _ in range(2):
        usual = (await crew.client.ask("PUT", "/shift-definitions/1", shifts)).json()["items"]
        assert [(one["day_of_week"], one["shifts"][0]["expected_by_team"]) for one in usual] == [(1, {"Night": 2})]
    assert (await crew.client.ask("DELETE", "/shift-definitions/1")).status == 204
    assert (await crew.client.get("/shift-definitions")).json() == {"items": []}


async def test_an_integration_is_made_changed_and_tells_who_comes(crew: Crew) -> None:
    new = {"name": "Gate", "users": {"badge 1": crew.things.seat}, "building": crew.things.building}
    made = await crew.client.post("/attendance-integrations", new)
    where = made.headers["Location"].removeprefix("/hub/v1")
    match = {"If-Match": made.headers["ETag"]}
    change = {"users": {"badge 1": None, "badge 2": crew.things.seat}}
    changed = await crew.client.ask("PATCH", where, change, headers=match)
    assert (changed.json()["users"], changed.json()["name"]) == ({"badge 2": crew.things.seat}, "Gate")
    assert (await crew.client.ask("PATCH", where, change, headers=match)).code == "MH-R012"
    assert (await crew.client.ask("PATCH", where, {"users": {"x": "nobody"}})).code == "MH-R008"
    assert (await crew.client.post("/attendance-integrations", {**new, "building": "nowhere"})).code == "MH-R008"
    assert (await crew.client.post(f"{where}/events", {"event": "CLOCK_IN", "user": "badge 1"})).code == "MH-R020"
    came = (await crew.client.post(f"{where}/events", {"event": "CLOCK_IN", "user": "badge 2"})).json()
    assert (came["id"], came["status"]) == (crew.things.shift, "STARTED")
    assert (await crew.client.post(f"{where}/events", {"event": "CLOCK_IN", "user": "badge 2"})).code == "MH-R022"
    assert len((await crew.client.get("/attendance-integrations")).json()["items"]) == 2
    assert (await crew.client.ask("DELETE", where)).status == 204
    assert (await crew.client.get(where)).code == "MH-R008"
