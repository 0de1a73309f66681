"""Events from outside: what people and sensors cause reaches a customer, in order and once, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.acceptance.hub import Customer, Hub, free_port, wait_for

from matrixhub.cli.sitefile import read_site
from matrixhub.engines import read_running
from matrixhub.lifecycle import SystemClock
from matrixhub.model.errors import MatrixHubError
from matrixhub.model.site import Site
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.incidents import create_incident
from matrixhub.modules.workforce.sensors import draft_for_sensor
from matrixhub.sources.client import HubClient
from matrixhub.sources.team import Team
from matrixhub.store import open_database
from matrixhub.testing.fakes import FakeClock
from matrixhub.testing.receiver import HttpsReceiver, is_event

pytestmark = pytest.mark.timeout(240)

SPILL_MS = 1710036063011
SITE = """
organisation: {id: ORCHARD, name: Orchard}
property: {id: 5b1e0c7a9d2f4e63a8b4c1d09e77f210, name: Orchard Towers}
buildings:
  - id: c40d2f6e81b94a0c9e3375ab60d1f8e2
    name: Tower 1
    time_zone: Asia/Singapore
    levels:
      - id: 7e92ab14cd5340f7b1d8806ec3f4a95b
        name: L2
        zones:
          - id: 0a6f3d9be2784c15b7c04e91d85f62aa
            name: Washroom L2 Male
            category: WASHROOMS
            slots:
              - {id: 26f591c3a0e8954d71b3c4656f708192, name: Spill L2 Male, type: "SMARTCLEAN#WD"}
"""
EXAMPLE = json.loads(
    """
{"ID":"c40d2f6e81b94a0c9e3375ab60d1f8e2",
"ATTR":"INCIDENT_CREATED_OPEN#5b1e0c7a9d2f4e63a8b4c1d09e77f210#c40d2f6e81b94a0c9e3375ab60d1f8e2#0b6f2c1e-8f0a-4c39-9f0d-6d0d0f3b7a11",
"Description":"Spill detected in Washroom L2 Male","Event":"INCIDENT_CREATED_OPEN",
"Principal":"c40d2f6e81b94a0c9e3375ab60d1f8e2","PType":"building","Entity":"5b1e0c7a9d2f4e63a8b4c1d09e77f210",
"EType":"property",
"RoutingKey":"matrix.c40d2f6e81b94a0c9e3375ab60d1f8e2.scworkforcemanagement.INCIDENT_CREATED_OPEN.HIGH",
"RoutingKeyS":["matrix","c40d2f6e81b94a0c9e3375ab60d1f8e2","scworkforcemanagement","INCIDENT_CREATED_OPEN","HIGH"],
"Status":"HIGH","Time":"scworkforcemanagement#1710036063","UnixTime":"1710036063","UnixTimeInt":1710036063,
"Module":"scworkforcemanagement",
"Meta":{"AEnd":0,"AStart":0,"By":"WD","End":1710036963,"EscalationLevel":"L0","Name":"Water spill","Priority":"H",
"SourceDeviceIdentifier":["26f591c3a0e8954d71b3c4656f708192"],"Start":1710036063,"Status":"NOT_ASSIGNED",
"TaskId":"1710036063011000417","Type":"INCIDENT","Zone":"0a6f3d9be2784c15b7c04e91d85f62aa",
"ZoneName":"Washroom L2 Male"}}
"""
)
"""docs/contract/event-bus.md §5.2"""

KILLS = ("postgres", "everything")


@pytest.fixture
def own() -> Iterator[Hub]:
    """A hub that its test may kill."""
    with Hub.started(port=free_port()) as hub:
        yield hub


@contextlib.asynccontextmanager
async def listener(hub: Hub, property_id: str, *options: str) -> AsyncIterator[tuple[HttpsReceiver, list[str]]]:
    """An endpoint subscribed to the property, and all it has taken, in the order it came."""
    taken: list[str] = []
    customer = Customer()
    customer.receiver = HttpsReceiver(port=free_port(), on_items=lambda _, items: taken.extend(items))
    async with customer.receiver:
        await hub.subscribe(customer, *options, property_id=property_id)
        yield customer.receiver, taken
        await hub.pause(customer)


async def test_a_real_spill_becomes_the_published_event_field_by_field(hub: Hub) -> None:
    file = hub.write("orchard.yaml", SITE)
    hub.ask("site", "apply", str(file))
    site = read_site(file)
    property_id, zone = site.property.id, site.zones[0]
    key = hub.ask("key", "create", "--property", property_id)["key"]
    pattern = f"matrix.{site.buildings[0].id}.scworkforcemanagement.INCIDENT_CREATED_OPEN.*"
    async with (
        listener(hub, property_id) as (_, readings),
        listener(hub, property_id, "--events", "--pattern", pattern) as (receiver, events),
        HubClient(hub.url, key) as device,
        open_database(read_running(hub.data)["postgres_dsn"], connections_max=2) as database,
    ):
        await device.send([{"DEVID": site.slots[0].id, "unixT": SPILL_MS, "v": {"value": 1, "AreaP": 7.25}}])
        await wait_for(lambda: bool(readings), "the reading")
        reading = json.loads(readings[0])
        assert (reading["DevType"], reading["v"]["value"], reading["unixT"]) == ("SMARTCLEAN#WD", 1, SPILL_MS)
        at = datetime.fromtimestamp(reading["unixT"] / 1000, UTC)
        await create_incident(
            Platform(database=database, clock=FakeClock(reading["unixT"])),
            property_id,
            site.buildings[0].id,
            draft_for_sensor(reading["DevType"], site.slots[0], zone, at),
            actor="system",
        )
        await wait_for(lambda: bool(events), "the event")
        assert list(receiver.violations) == []
    [event] = [json.loads(item) for item in events]
    # Drawn anew each time: the last part of ATTR, and the last six digits of the task's id.
    assert event["ATTR"].rpartition("#")[0] == EXAMPLE["ATTR"].rpartition("#")[0]
    assert event["Meta"]["TaskId"][:13] == EXAMPLE["Meta"]["TaskId"][:13]
    assert len(event["Meta"]["TaskId"]) == 19
    assert event["Meta"]["TaskId"].isdigit()
    drawn = {"ATTR": event["ATTR"], "Meta": {**EXAMPLE["Meta"], "TaskId": event["Meta"]["TaskId"]}}
    assert event == {**EXAMPLE, **drawn}
    assert list(event) == list(EXAMPLE)


async def test_every_event_comes_in_the_order_of_commits_whatever_is_killed_in_between(own: Hub) -> None:
    site = read_site(own.directory / "site.yaml")
    async with listener(own, site.property.id, "--events") as (receiver, events):
        for victim in KILLS:
            await act_while(own, site, victim)
        recorded = await wait_recorded_came(own, site, receiver)
    first = list(dict.fromkeys(json.loads(item)["ATTR"] for item in events))
    assert first == recorded
    assert len(first) > 50
    assert receiver.events.summary().duplicates_in_new_request == 0
    assert list(receiver.violations) == []


async def act_while(hub: Hub, site: Site, victim: str) -> None:
    """Let people work, kill something while they do, and let them go on; what they could not do is not done."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(persist(hub, site))
        await asyncio.sleep(0.5)
        if victim in ("hub", "everything"):
            await asyncio.to_thread(hub.kill if victim == "hub" else hub.kill_everything)
            await asyncio.to_thread(hub.start)
        else:
            await asyncio.to_thread(hub.kill_engine, victim)
            await asyncio.to_thread(hub.wait_ready)
        await working


async def persist(hub: Hub, site: Site) -> None:
    """The work of a team, for as long as it takes to do some of it before and after a failure."""
    done = failures = 0
    while done < 20:
        try:
            async with open_database(read_running(hub.data)["postgres_dsn"], connections_max=2) as database:
                team = Team(Platform(database=database, clock=SystemClock()), site, seed=done)
                await team.begin()
                await team.work(30, 0.8)
                await team.end()
                done += team.tally.completed + team.tally.incidents
        except MatrixHubError:
            failures += 1
            assert failures < 300, "PostgreSQL does not come back"
            await asyncio.sleep(0.2)


async def wait_recorded_came(hub: Hub, site: Site, receiver: HttpsReceiver) -> list[str]:
    """The ATTRs of the events in the log, in the order of their commits, once all but those of the site have come."""
    async with (
        open_database(read_running(hub.data)["postgres_dsn"], connections_max=1) as database,
        database.connection() as connection,
    ):
        rows: list[Any] = await connection.fetch(
            "select line::jsonb ->> 'ATTR' as attr from events where property_id = $1 and module <> 'scgrids'"
            " order by number",
            site.property.id,
        )
    recorded = [row["attr"] for row in rows]
    await wait_for(lambda: receiver.events.summary().distinct >= len(recorded), "all events")
    return recorded


def test_events_and_readings_are_told_apart_by_their_fields() -> None:
    assert is_event(json.dumps(EXAMPLE))
    assert not is_event('{"DEVID":"a","v":{}}')
