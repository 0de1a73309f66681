"""Any sequence of acts on shifts and of time passing: the rows and the events are those of a model in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from tests.integration.modules.rig import World

from matrixhub.model.errors import NotFound, WrongState
from matrixhub.model.ids import PropertyId, SeatId, ShiftId
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce import attendance, planning
from matrixhub.modules.workforce.planning import ShiftChanges
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.sites import apply_site
from matrixhub.testing.fakes import FakeClock

MINUTE, HOUR, DAY = 60, 3600, 86_400
DELAY, ABSENCE, OVERSHOOT, DRAFT, AD_HOC = 1800, 3600, 4200, 3 * DAY, 28_800


@dataclass
class Expected:
    """What a shift should be like; instants are seconds since the beginning."""

    seat: SeatId
    start: int
    end: int
    status: str = "UNPUBLISHED"
    delayed: bool = False
    resting: bool = False
    began: int | None = None
    ended: int | None = None
    timers: dict[str, int] = field(default_factory=dict)


class Shifts(RuleBasedStateMachine):
    """Acts that are allowed do what the model does; all others are refused and change nothing."""

    open_database: ClassVar[Callable[[], Database]]
    run: ClassVar[Callable[[Awaitable[Any]], Any]]

    shifts = Bundle("shifts")

    @initialize()
    def begin(self) -> None:
        self.now = 0
        self.expected: dict[ShiftId, Expected] = {}
        self.events: list[tuple[str, tuple[ShiftId, ...]]] = []
        clock, database = FakeClock(), Shifts.open_database()
        site = make_site(3)
        self.world = World(database=database, clock=clock, platform=Platform(database=database, clock=clock), site=site)
        self.zero = self.world.platform.now()
        Shifts.run(self._fresh())

    async def _fresh(self) -> None:
        await apply_site(self.world.database, self.world.site, remove=False)
        for table in ("timers", "events", "shifts", "seats"):
            await self.world.rows(f"delete from {table}")
        self.seats = [await self.world.seat(name) for name in ("Ann Lee", "Bob Tan")]

    @rule(
        target=shifts,
        seat=st.integers(0, 1),
        begin_min=st.integers(-60, 600),
        length_min=st.sampled_from([15, 60, 240]),
        publish=st.booleans(),
    )
    def plan(self, seat: int, begin_min: int, length_min: int, publish: bool) -> Any:
        seat_id, start = self.seats[seat], self.now + begin_min * MINUTE
        wanted = Expected(seat_id, start, start + length_min * MINUTE)
        made = self._try(
            self.world.shift(seat_id, self.world.draft(begin_min * MINUTE, length_min * MINUTE), publish=publish),
            allowed=self._free(wanted),
        )
        return self._keep(made, wanted, publish=publish)

    @rule(target=shifts, seat=st.integers(0, 1))
    def come_unplanned(self, seat: int) -> Any:
        wanted = Expected(self.seats[seat], self.now, self.now + AD_HOC, "STARTED", began=self.now)
        allowed = self._free(wanted) and not self._works(wanted.seat)
        act = attendance.create_ad_hoc_shift(
            self.world.platform,
            self.property_id,
            self.world.building_id,
            wanted.seat,
            time_zone="Asia/Singapore",
            actor="ann",
        )
        made = self._try(act, allowed=allowed)
        if made is None:
            return multiple()
        self.expected[made.id] = wanted
        wanted.timers = {"shift_end": wanted.end + OVERSHOOT}
        self._tell("SHIFT_STARTED", made.id)
        return made.id

    @rule(shift_id=shifts)
    def publish(self, shift_id: ShiftId) -> None:
        shift = self.expected.get(shift_id)
        act = planning.publish_shifts(
            self.world.platform, self.property_id, self.world.building_id, [shift_id], actor="ann"
        )
        if self._try(act, allowed=shift is not None and shift.status == "UNPUBLISHED"):
            assert shift
            self._published(shift)
            self._tell("SHIFTS_PUBLISHED", shift_id)

    @rule(shift_id=shifts, by_min=st.integers(-240, 240).filter(bool))
    def move(self, shift_id: ShiftId, by_min: int) -> None:
        shift = self.expected.get(shift_id)
        by = by_min * MINUTE
        allowed = (
            shift is not None
            and shift.status in ("UNPUBLISHED", "PUBLISHED")
            and self._free(Expected(shift.seat, shift.start + by, shift.end + by), but=shift_id)
        )
        row = self._row(shift_id)
        changes = ShiftChanges()
        if row is not None:
            delta = timedelta(seconds=by)
            changes = ShiftChanges(starts_at=row["starts_at"] + delta, ends_at=row["ends_at"] + delta)
        act = planning.update_shift(
            self.world.platform, self.property_id, self._seat(shift_id), shift_id, changes, actor="ann"
        )
        if self._try(act, allowed=allowed):
            assert shift
            shift.start, shift.end, shift.delayed = shift.start + by, shift.end + by, False
            if shift.status == "PUBLISHED":
                shift.timers = {"shift_delayed": shift.start + DELAY}
            else:
                shift.timers = {"shift_expiry": shift.start + DRAFT}

    @rule(shift_id=shifts, admin=st.booleans())
    def start(self, shift_id: ShiftId, admin: bool) -> None:
        shift = self.expected.get(shift_id)
        allowed = (
            shift is not None
            and shift.status in (("PUBLISHED", "ABSENT") if admin else ("PUBLISHED",))
            and self.now < shift.end
            and not self._works(shift.seat)
        )
        if self._try(self._act(attendance.start_shift, shift_id, admin=admin), allowed=allowed):
            assert shift
            shift.status, shift.began, shift.timers = "STARTED", self.now, {"shift_end": shift.end + OVERSHOOT}
            self._tell("SHIFT_STARTED", shift_id)

    @rule(shift_id=shifts, admin=st.booleans())
    def end(self, shift_id: ShiftId, admin: bool) -> None:
        shift = self.expected.get(shift_id)
        allowed = shift is not None and shift.status == "STARTED"
        if self._try(self._act(attendance.end_shift, shift_id, admin=admin), allowed=allowed):
            assert shift
            self._completed(shift_id, shift, self.now)

    @rule(shift_id=shifts, begin=st.booleans())
    def rest(self, shift_id: ShiftId, begin: bool) -> None:
        shift = self.expected.get(shift_id)
        allowed = shift is not None and shift.status == "STARTED" and shift.resting != begin
        act = attendance.start_break if begin else attendance.end_break
        if self._try(self._act(act, shift_id), allowed=allowed):
            assert shift
            shift.resting = begin

    @rule(shift_id=shifts)
    def mark_delayed(self, shift_id: ShiftId) -> None:
        shift = self.expected.get(shift_id)
        allowed = shift is not None and shift.status == "PUBLISHED" and not shift.delayed
        if self._try(self._act(attendance.mark_delayed, shift_id), allowed=allowed):
            assert shift
            self._delayed(shift_id, shift)

    @rule(shift_id=shifts, leave=st.booleans())
    def mark_away(self, shift_id: ShiftId, leave: bool) -> None:
        shift = self.expected.get(shift_id)
        allowed = shift is not None and shift.status in (("PUBLISHED", "ABSENT") if leave else ("PUBLISHED",))
        act = attendance.mark_on_leave if leave else attendance.mark_absent
        if self._try(self._act(act, shift_id), allowed=allowed):
            assert shift
            if leave:
                shift.status, shift.timers = "ON_LEAVE", {}
            else:
                self._absent(shift_id, shift)

    @rule(shift_id=consumes(shifts))
    def delete(self, shift_id: ShiftId) -> None:
        shift = self.expected.get(shift_id)
        allowed = shift is not None and shift.status not in ("STARTED", "COMPLETED")
        act = planning.delete_shifts(
            self.world.platform, self.property_id, [(self._seat(shift_id), shift_id)], actor="ann"
        )
        self._try(act, allowed=allowed)
        if allowed:
            del self.expected[shift_id]

    @rule(seconds=st.sampled_from([1, 10 * MINUTE, HOUR, 4 * HOUR, DAY, 4 * DAY]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        fired = 0
        while due := sorted(
            (at, kind, shift_id)
            for shift_id, shift in self.expected.items()
            for kind, at in shift.timers.items()
            if at <= self.now
        ):
            fired += 1
            at, kind, shift_id = due[0]
            shift = self.expected[shift_id]
            if kind == "shift_delayed":
                self._delayed(shift_id, shift)
            elif kind == "shift_absent":
                self._absent(shift_id, shift)
            elif kind == "shift_end":
                self._completed(shift_id, shift, at)
            else:
                del self.expected[shift_id]
        assert Shifts.run(self.world.pass_time(seconds)) == fired

    @invariant()
    def the_rows_are_those_of_the_model(self) -> None:
        if not hasattr(self, "expected"):
            return
        rows, timers, events = Shifts.run(self._look())
        assert {row["id"]: self._found(row) for row in rows} == {
            shift_id: (s.seat, s.start, s.end, s.status, s.delayed, s.resting, s.began, s.ended)
            for shift_id, s in self.expected.items()
        }
        assert {(row["entity_id"], row["kind"]): self._s(row["due_at"]) for row in timers} == {
            (shift_id, kind): at for shift_id, s in self.expected.items() for kind, at in s.timers.items()
        }
        assert [_told(event) for event in events] == self.events

    async def _look(self) -> tuple[Any, Any, Any]:
        return (
            await self.world.rows("select * from shifts"),
            await self.world.rows("select * from timers"),
            await self.world.events(),
        )

    @property
    def property_id(self) -> PropertyId:
        return self.world.property_id

    def _act(self, act: Callable[..., Coroutine[Any, Any, Any]], shift_id: ShiftId, **fields: Any) -> Any:
        return act(self.world.platform, self.property_id, self._seat(shift_id), shift_id, actor="ann", **fields)

    def _try(self, act: Awaitable[Any], *, allowed: bool) -> Any:
        if allowed:
            return Shifts.run(act) or True
        with pytest.raises((WrongState, NotFound)):
            Shifts.run(act)
        return None

    def _keep(self, made: Any, wanted: Expected, *, publish: bool) -> Any:
        if made is None:
            return multiple()
        self.expected[made] = wanted
        wanted.timers = {"shift_expiry": wanted.start + DRAFT}
        if publish:
            self._published(wanted)
            self._tell("SHIFTS_PUBLISHED", made)
        return made

    def _free(self, wanted: Expected, *, but: ShiftId | None = None) -> bool:
        return not any(
            s.seat == wanted.seat
            and s.status in ("UNPUBLISHED", "PUBLISHED", "STARTED", "ON_LEAVE")
            and s.start < wanted.end
            and wanted.start < s.end
            for shift_id, s in self.expected.items()
            if shift_id != but
        )

    def _works(self, seat: SeatId) -> bool:
        return any(s.seat == seat and s.status == "STARTED" for s in self.expected.values())

    def _published(self, shift: Expected) -> None:
        shift.status, shift.timers = "PUBLISHED", {"shift_delayed": shift.start + DELAY}

    def _delayed(self, shift_id: ShiftId, shift: Expected) -> None:
        shift.delayed, shift.timers = True, {"shift_absent": shift.start + DELAY + ABSENCE}
        self._tell("SHIFT_DELAYED", shift_id)

    def _absent(self, shift_id: ShiftId, shift: Expected) -> None:
        shift.status, shift.timers = "ABSENT", {}
        self._tell("SHIFT_ABSENT", shift_id)

    def _completed(self, shift_id: ShiftId, shift: Expected, at: int) -> None:
        shift.status, shift.ended, shift.resting, shift.timers = "COMPLETED", at, False, {}
        self._tell("SHIFT_COMPLETED", shift_id)

    def _tell(self, event: str, *shift_ids: ShiftId) -> None:
        self.events.append((event, shift_ids))

    def _seat(self, shift_id: ShiftId) -> SeatId:
        found = self.expected.get(shift_id)
        return found.seat if found else self.seats[0]

    def _row(self, shift_id: ShiftId) -> dict[str, Any] | None:
        rows = Shifts.run(self.world.rows("select * from shifts where id = $1", shift_id))
        return rows[0] if rows else None

    def _s(self, at: Any) -> int | None:
        return None if at is None else round((at - self.zero).total_seconds())

    def _found(self, row: dict[str, Any]) -> tuple[Any, ...]:
        instants = (self._s(row[key]) for key in ("starts_at", "ends_at"))
        recorded = (self._s(row[key]) for key in ("started_at", "ended_at"))
        return row["seat_id"], *instants, row["status"], row["delayed"], row["on_break"], *recorded


def _told(event: dict[str, Any]) -> tuple[str, tuple[ShiftId, ...]]:
    meta = event["Meta"]
    shifts = meta.get("Shifts", [meta])
    return event["Event"], tuple(shift["ShiftId"] for shift in shifts)


@pytest.fixture
def machine(modules_dsn: str) -> Iterator[type[Shifts]]:
    """The machine with a database on a loop of its own: its rules are not coroutines."""
    loop = asyncio.new_event_loop()
    opened = open_database(modules_dsn, connections_max=2)
    database = loop.run_until_complete(opened.__aenter__())
    Shifts.open_database = staticmethod(lambda: database)
    Shifts.run = staticmethod(loop.run_until_complete)
    yield Shifts
    loop.run_until_complete(opened.__aexit__(None, None, None))
    loop.close()


def test_shifts_and_their_events_follow_the_model(machine: type[Shifts]) -> None:
    # To shrink what fails takes longer than a test may: the steps that failed are shown as they were.
    run_machine(machine, settings=settings(max_examples=15, stateful_step_count=30, phases=[Phase.generate]))
