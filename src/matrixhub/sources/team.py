"""A simulated facility team: people on shift who are told of incidents, work on them, and do their planned tasks."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from matrixhub.model.ids import BuildingId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.site import Site
from matrixhub.model.work_order import IncidentDraft, TaskItem
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.attendance import create_ad_hoc_shift, end_shift
from matrixhub.modules.workforce.incidents import create_incident
from matrixhub.modules.workforce.seats import create_seat
from matrixhub.modules.workforce.tasks import TaskDraft, add_tasks
from matrixhub.modules.workforce.work_orders import complete_work, start_work

PEOPLE = ("Ann Lee", "Raj Pillai", "Mei Tan")
REPORTS = ("Tap drips", "Light out", "Bin full", "Mirror broken", "No soap")
ACTOR = "demo"


@dataclass(slots=True)
class TeamTally:
    """What the team did. Each of these made an event."""

    shifts_started: int = 0
    shifts_completed: int = 0
    incidents: int = 0
    tasks: int = 0
    started: int = 0
    completed: int = 0

    @property
    def events(self) -> int:
        """How many events that made."""
        return self.shifts_started + self.shifts_completed + self.incidents + self.started + self.completed


@dataclass(frozen=True, slots=True)
class _Worker:
    seat_id: SeatId
    shift_id: ShiftId


class Team:
    """A few people in the first building of a site. Everything they do goes through the functions of the modules."""

    def __init__(self, platform: Platform, site: Site, *, seed: int) -> None:
        self.tally = TeamTally()
        self._platform = platform
        self._property_id = site.property.id
        self._building = site.buildings[0]
        self._zones = [zone.id for zone in site.zones if zone.building_id == self._building.id]
        self._random = random.Random(seed)
        self._people: list[_Worker] = []
        self._waiting: deque[TaskId] = deque()
        self._begun: deque[TaskId] = deque()

    async def begin(self) -> None:
        """Clock in."""
        for name in PEOPLE:
            seat = await create_seat(self._platform, self._property_id, name=name, actor=ACTOR)
            shift = await create_ad_hoc_shift(
                self._platform,
                self._property_id,
                BuildingId(self._building.id),
                seat.id,
                time_zone=self._building.time_zone,
                actor=ACTOR,
            )
            self._people.append(_Worker(seat.id, shift.id))
            self.tally.shifts_started += 1

    async def work(self, per_s: float, seconds: float) -> None:
        """Do something so often for so long: report, plan, begin or complete."""
        loop = asyncio.get_running_loop()
        began, done = loop.time(), 0
        while (due := began + done / per_s) < began + seconds:
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._do_something()
            done += 1

    async def end(self) -> None:
        """Complete what is left, and clock out."""
        while self._waiting or self._begun:
            await (self._complete() if self._begun else self._start())
        for worker in self._people:
            await end_shift(self._platform, self._property_id, worker.seat_id, worker.shift_id, admin=True, actor=ACTOR)
            self.tally.shifts_completed += 1
        self._people.clear()

    async def _do_something(self) -> None:
        likely = [self._report, self._report, self._plan]
        likely += [self._start] * min(3, len(self._waiting)) + [self._complete] * min(3, len(self._begun))
        await self._random.choice(likely)()

    async def _report(self) -> None:
        name = self._random.choice(REPORTS)
        made = await create_incident(
            self._platform,
            self._property_id,
            self._building.id,
            IncidentDraft(
                zone_id=self._zone(),
                name=name,
                raised_by=self._random.choice(PEOPLE),
                tasks=(TaskItem(name=name),),
                auto_assigned=True,
            ),
            actor=ACTOR,
        )
        self._waiting.append(made.id)
        self.tally.incidents += 1

    async def _plan(self) -> None:
        worker, now = self._random.choice(self._people), self._platform.now()
        [made] = await add_tasks(
            self._platform,
            self._property_id,
            worker.seat_id,
            worker.shift_id,
            [
                TaskDraft(
                    zone_id=self._zone(),
                    name="Cleaning",
                    starts_at=now,
                    ends_at=now + timedelta(minutes=30),
                    tasks=(TaskItem(name="Mop the floor"), TaskItem(name="Refill soap")),
                )
            ],
            actor=ACTOR,
        )
        self._waiting.append(made.id)
        self.tally.tasks += 1

    async def _start(self) -> None:
        task = self._waiting.popleft()
        await start_work(self._platform, self._property_id, task, actor=ACTOR)
        self._begun.append(task)
        self.tally.started += 1

    async def _complete(self) -> None:
        await complete_work(self._platform, self._property_id, self._begun.popleft(), actor=ACTOR)
        self.tally.completed += 1

    def _zone(self) -> ZoneId:
        return self._random.choice(self._zones)
