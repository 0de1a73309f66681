"""Nothing that happened is without its event, nothing that was rolled back has one, wherever a process is killed."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.engines import SharedEngines
from tests.integration.killing import preload, proxied, run_until

from matrixhub.model.ids import AuditId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.place_draft import LevelDraft, ZoneChange, ZoneDraft
from matrixhub.model.work_order import IncidentDraft, TaskItem
from matrixhub.modules.audits import complete_audit, start_audit
from matrixhub.modules.grids.levels import create_level
from matrixhub.modules.grids.zones import create_zones, delete_zone, update_zone
from matrixhub.modules.scheduler import Scheduler
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.attendance import create_ad_hoc_shift, start_shift
from matrixhub.modules.workforce.incidents import create_incident, create_incidents
from matrixhub.modules.workforce.planning import create_shifts, publish_shifts
from matrixhub.modules.workforce.seats import create_seat
from matrixhub.modules.workforce.steps import ShiftDraft
from matrixhub.modules.workforce.work_orders import complete_work, start_work
from matrixhub.observe import ignore
from matrixhub.service import TIMER_HANDLERS
from matrixhub.sources.sites import make_site
from matrixhub.store import open_database
from matrixhub.store.duty import SCHEDULER_DUTY, PostgresDuty
from matrixhub.store.sites import apply_site
from matrixhub.testing.fakes import FakeClock

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

FIRST_STEP, STEPS_MAX = 6, 200
"""With the steps before the first the process connects."""

SITE = make_site(3, seed=1)
PROPERTY, BUILDING, ZONE, LEVEL = SITE.property.id, SITE.buildings[0].id, SITE.zones[0].id, SITE.levels[0].id
LATER_S = 7200

SNAPSHOT = """
select 'level' as thing from levels
union all select 'zone ' || status from zones
union all select 'audit ' || status from audits
union all select 'shift ' || status from shifts
union all select lower(type) || ' ' || status || ' ' || escalation_level || ' ' || delayed from work_orders
union all select 'history ' || act from work_order_history
union all select 'timer ' || kind from timers
union all select 'event ' || event from events
"""
"""All that acts change, without names, ids and times: what one changes can be compared with what another did."""


def draft(*, auto: bool = False) -> IncidentDraft:
    return IncidentDraft(
        zone_id=ZONE, name="Tap drips", raised_by="Guard", tasks=(TaskItem(name="Close valve"),), auto_assigned=auto
    )


def named() -> str:
    return uuid.uuid4().hex


async def nothing(platform: Platform) -> str:
    return ""


async def an_incident_and_no_other_timer(platform: Platform) -> str:
    async with platform.database.connection() as connection:
        await connection.execute("delete from timers")
    return await an_incident(platform)


async def an_incident(platform: Platform) -> str:
    return (await create_incident(platform, PROPERTY, BUILDING, draft(), actor="t")).id


async def an_assigned_incident(platform: Platform) -> str:
    await on_duty(platform)
    made = await create_incident(platform, PROPERTY, BUILDING, draft(auto=True), actor="t")
    assert made.status == "PUBLISHED"
    return made.id


async def a_started_incident(platform: Platform) -> str:
    task = TaskId(await an_assigned_incident(platform))
    return (await start_work(platform, PROPERTY, task, actor="t")).id


async def on_duty(platform: Platform) -> str:
    seat = await create_seat(platform, PROPERTY, name=named(), actor="t")
    await create_ad_hoc_shift(platform, PROPERTY, BUILDING, seat.id, time_zone="UTC", actor="t")
    return ""


async def a_zone(platform: Platform) -> str:
    [made] = await create_zones(platform, PROPERTY, BUILDING, [ZoneDraft(level_id=LEVEL, name=named())], actor="t")
    return made.id


async def an_audit(platform: Platform) -> str:
    return (await start_audit(platform, PROPERTY, BUILDING, ZONE, name="Weekly", by="Ann", actor="t")).id


async def some_shifts(platform: Platform, *, publish: bool = False) -> str:
    seat = await create_seat(platform, PROPERTY, name=named(), actor="t")
    begin = platform.now() + timedelta(hours=1)
    drafts = [
        ShiftDraft(starts_at=begin + timedelta(days=n), ends_at=begin + timedelta(days=n, hours=8), time_zone="UTC")
        for n in range(2)
    ]
    made = await create_shifts(platform, PROPERTY, BUILDING, seat.id, drafts, publish=publish, actor="t")
    return " ".join([seat.id, *(shift.id for shift in made)])


async def a_published_shift(platform: Platform) -> str:
    return await some_shifts(platform, publish=True)


async def do_report(platform: Platform, _: str) -> None:
    await create_incidents(platform, PROPERTY, BUILDING, [draft(), draft()], actor="t")


async def do_report_and_assign(platform: Platform, _: str) -> None:
    await create_incident(platform, PROPERTY, BUILDING, draft(auto=True), actor="t")


async def do_start(platform: Platform, task: str) -> None:
    await start_work(platform, PROPERTY, TaskId(task), actor="t")


async def do_complete(platform: Platform, task: str) -> None:
    await complete_work(platform, PROPERTY, TaskId(task), actor="t")


async def do_let_time_pass(platform: Platform, task: str) -> None:
    """What the scheduler does once the due time and its time-out are over."""
    assert isinstance(platform.clock, FakeClock)
    later = Platform(database=platform.database, clock=FakeClock(platform.clock.now_ms() + LATER_S * 1000))
    duty = PostgresDuty(platform.database.dsn, SCHEDULER_DUTY)
    try:
        await Scheduler(later, TIMER_HANDLERS, duty, ignore).fire_due()
    finally:
        await duty.close()


async def do_create_zones(platform: Platform, _: str) -> None:
    drafts = [ZoneDraft(level_id=LEVEL, name=named()) for _ in range(2)]
    await create_zones(platform, PROPERTY, BUILDING, drafts, actor="t")


async def do_change_zone(platform: Platform, zone: str) -> None:
    change = ZoneChange(name=named(), status="PENDING")
    await update_zone(platform, PROPERTY, BUILDING, ZoneId(zone), change, actor="t")


async def do_remove_zone(platform: Platform, zone: str) -> None:
    await delete_zone(platform, PROPERTY, BUILDING, ZoneId(zone), actor="t")


async def do_create_level(platform: Platform, _: str) -> None:
    await create_level(platform, PROPERTY, BUILDING, LevelDraft(name=named(), level="L7"), actor="t")


async def do_complete_audit(platform: Platform, audit: str) -> None:
    await complete_audit(platform, PROPERTY, AuditId(audit), score=80, actor="t")


async def do_publish_shifts(platform: Platform, ids: str) -> None:
    _, *shifts = ids.split()
    await publish_shifts(platform, PROPERTY, BUILDING, [ShiftId(shift) for shift in shifts], actor="t")


async def do_start_shift(platform: Platform, ids: str) -> None:
    seat, shift, _ = ids.split()
    await start_shift(platform, PROPERTY, SeatId(seat), ShiftId(shift), actor="t")


@dataclass(frozen=True, slots=True)
class Act:
    """What is done, after what was prepared for it, and the events that belong to it."""

    prepare: Callable[[Platform], Awaitable[str]]
    do: Callable[[Platform, str], Awaitable[None]]
    events: Sequence[str]


ACTS: Mapping[str, Act] = {
    "reporting incidents": Act(nothing, do_report, ["INCIDENT_CREATED_OPEN"] * 2),
    "reporting an incident for somebody on duty": Act(on_duty, do_report_and_assign, ["INCIDENT_CREATED"]),
    "starting an incident": Act(an_assigned_incident, do_start, ["INCIDENT_STARTED"]),
    "completing an incident": Act(a_started_incident, do_complete, ["INCIDENT_COMPLETED"]),
    "letting an incident become overdue": Act(
        an_incident_and_no_other_timer, do_let_time_pass, ["INCIDENT_INCOMPLETE"]
    ),
    "creating zones": Act(nothing, do_create_zones, ["ZONE_CREATED"] * 2),
    "changing a zone": Act(a_zone, do_change_zone, ["ZONE_NAME_MODIFIED", "ZONE_STATUS_MODIFIED"]),
    "removing a zone": Act(a_zone, do_remove_zone, ["ZONE_REMOVED"]),
    "creating a level": Act(nothing, do_create_level, ["LEVEL_CREATED"]),
    "completing an audit": Act(an_audit, do_complete_audit, ["AUDIT_COMPLETED"]),
    "publishing shifts": Act(some_shifts, do_publish_shifts, ["SHIFTS_PUBLISHED"]),
    "starting a shift": Act(a_published_shift, do_start_shift, ["SHIFT_STARTED"]),
}


def perform(dsn: str, act: str, what: str, now_ms: int) -> None:
    """Do it, in a process of its own."""

    async def main() -> None:
        async with open_database(dsn, connections_max=1) as database:
            await ACTS[act].do(Platform(database=database, clock=FakeClock(now_ms)), what)

    asyncio.run(main())


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    """Processes start fast."""
    preload(__name__)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(shared_engines: SharedEngines) -> str:
    """The address of a database that a proxy can stand before."""
    return (await shared_engines.new_database()).tcp


@pytest_asyncio.fixture(loop_scope="module")
async def dsn(server: str) -> str:
    """The same, with a site and nothing else in it."""
    async with open_database(server, connections_max=1) as database:
        async with database.connection() as connection:
            await connection.execute("truncate organisations, events, timers cascade")
        await apply_site(database, SITE, remove=False)
    return server


async def seen(connection: Any) -> Counter[str]:
    return Counter(row["thing"] for row in await connection.fetch(SNAPSHOT))


def changes(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    return {thing: after[thing] - before[thing] for thing in before | after if after[thing] != before[thing]}


@pytest.mark.parametrize("act", ACTS)
async def test_a_process_killed_at_any_step_leaves_all_of_an_act_or_nothing(dsn: str, act: str) -> None:
    clock = FakeClock()
    connection = await asyncpg.connect(dsn)
    async with open_database(dsn, connections_max=1) as database, proxied(dsn) as proxy:
        platform = Platform(database=database, clock=clock)
        what = await ACTS[act].prepare(platform)
        prepared = await seen(connection)
        await ACTS[act].do(platform, what)
        done = changes(prepared, await seen(connection))
        assert {k: n for k, n in done.items() if k.startswith("event ")} == {
            f"event {event}": count for event, count in Counter(ACTS[act].events).items()
        }
        fates = []
        for step in range(FIRST_STEP, STEPS_MAX):
            what = await ACTS[act].prepare(platform)
            prepared = await seen(connection)
            ended = await run_until(proxy, step, perform, act, what, clock.now_ms())
            found = changes(prepared, await seen(connection))
            assert found in (done, {}), f"killed before step {step}"
            fates.append(found == done)
            if ended:
                break
    assert fates[-1]  # it was not killed in the end, so all of it is there
    assert fates.count(False) >= 4  # and was killed in the middle of it before
    assert fates == sorted(fates)  # what is done once the commit has come is done for good
    assert fates.count(True) >= 2  # also where the process died before it could know
    numbers = [row["number"] for row in await connection.fetch("select number from events order by number")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    await connection.close()
