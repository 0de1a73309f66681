"""A building with people at work, for tests of the workforce: seats, shifts, a clock, and what time brings about."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from tests.integration.modules.rig import FreeDuty

from matrixhub.model.ids import BuildingId, LevelId, PropertyId, SeatId, ShiftId, ZoneId
from matrixhub.model.site import Building, Level, Organisation, Property, Site, Zone
from matrixhub.model.work_order import Assignee, IncidentDraft, TaskItem
from matrixhub.modules.scheduler import Scheduler
from matrixhub.modules.work import Platform
from matrixhub.observe import ignore
from matrixhub.service import TIMER_HANDLERS
from matrixhub.store import Database
from matrixhub.store.sites import apply_site
from matrixhub.testing.fakes import FakeClock

PROPERTY = PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210")
BUILDING = BuildingId("c40d2f6e81b94a0c9e3375ab60d1f8e2")
ZONE = ZoneId("0a6f3d9be2784c15b7c04e91d85f62aa")
LOBBY = ZoneId("1b7f3d9be2784c15b7c04e91d85f62bb")
OTHER_PROPERTY, OTHER_BUILDING, OTHER_ZONE = PropertyId("other"), BuildingId("other-b"), ZoneId("other-z")

EMPTIED = (
    "work_orders",
    "work_order_history",
    "escalation_notices",
    "escalation_policies",
    "shifts",
    "seats",
    "workforce_settings",
    "timers",
    "custom_tasks",
    "task_groups",
    "events",
)
"""Emptied between tests. Deleting few rows is far quicker than truncating."""


def site(property_id: PropertyId, building: BuildingId, zones: Mapping[ZoneId, str]) -> Site:
    level = LevelId(f"{building}-l")
    return Site(
        organisation=Organisation(id="ORCHARD", name="Orchard"),
        property=Property(id=property_id, organisation_id="ORCHARD", name=property_id),
        buildings=(Building(id=building, property_id=property_id, name="B", time_zone="Asia/Singapore"),),
        levels=(Level(id=level, building_id=building, name="L2"),),
        zones=tuple(
            Zone(id=zone, building_id=building, level_id=level, name=name, category="WASHROOMS")
            for zone, name in zones.items()
        ),
        slots=(),
    )


@dataclass
class Floor:
    """The building, its clock, and short ways to set people up."""

    database: Database
    clock: FakeClock = field(default_factory=lambda: FakeClock(1_710_029_109_000))
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def platform(self) -> Platform:
        return Platform(database=self.database, clock=self.clock)

    @property
    def now(self) -> datetime:
        return self.platform.now()

    async def reset(self) -> None:
        """A site without people and work."""
        await apply_site(
            self.database, site(PROPERTY, BUILDING, {ZONE: "Washroom L2 Male", LOBBY: "Lobby"}), remove=False
        )
        await apply_site(self.database, site(OTHER_PROPERTY, OTHER_BUILDING, {OTHER_ZONE: "Z"}), remove=False)
        async with self.database.connection() as connection:
            await connection.execute("; ".join(f"delete from {table}" for table in EMPTIED))
            await connection.execute("alter sequence work_order_numbers restart")

    async def seat(self, *, active: bool = True, property_id: PropertyId = PROPERTY) -> SeatId:
        number = next(self.numbers)
        seat_id = SeatId(f"{property_id}_{number:03d}")
        async with self.database.connection() as connection:
            await connection.execute(
                "insert into seats (id, property_id, number, name, active) values ($1, $2, $3, $1, $4)",
                seat_id,
                property_id,
                number,
                active,
            )
        return seat_id

    async def shift(
        self,
        seat_id: SeatId,
        *,
        status: str = "STARTED",
        zones: Sequence[ZoneId] = (),
        on_break: bool = False,
    ) -> ShiftId:
        shift_id = ShiftId(f"shift-{next(self.numbers):05d}")
        async with self.database.connection() as connection:
            await connection.execute(
                "insert into shifts (id, property_id, building_id, seat_id, starts_at, ends_at, started_at, time_zone,"
                " status, on_break, zones) values ($1, $2, $3, $4, $5, $6, $7, 'Asia/Singapore', $8, $9, $10)",
                shift_id,
                PROPERTY,
                BUILDING,
                seat_id,
                self.now - timedelta(hours=1),
                self.now + timedelta(hours=7),
                self.now - timedelta(hours=1) if status == "STARTED" else None,
                status,
                on_break,
                dict.fromkeys(zones, "name"),
            )
        return shift_id

    async def worker(self, **shift: Any) -> Assignee:
        """A seat with a shift that has started."""
        seat_id = await self.seat()
        return Assignee(seat_id=seat_id, shift_id=await self.shift(seat_id, **shift))

    async def set_shift(self, shift_id: ShiftId, **columns: Any) -> None:
        names = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        async with self.database.connection() as connection:
            await connection.execute(f"update shifts set {names} where id = $1", shift_id, *columns.values())

    async def settings(self, **values: Any) -> None:
        async with self.database.connection() as connection:
            await connection.execute(
                "insert into workforce_settings (building_id, property_id, incident) values ($1, $2, $3)"
                " on conflict (building_id) do update set incident = workforce_settings.incident || excluded.incident",
                BUILDING,
                PROPERTY,
                values,
            )

    async def events(self) -> list[dict[str, Any]]:
        """Every event so far, as a subscriber gets it."""
        async with self.database.connection() as connection:
            rows = await connection.fetch("select line from events order by number")
        return [msgspec.json.decode(row["line"]) for row in rows]

    async def event_names(self) -> list[str]:
        return [event["Event"] for event in await self.events()]

    async def count(self, table: str) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval(f"select count(*) from {table}"))

    async def timers(self) -> dict[str, datetime]:
        async with self.database.connection() as connection:
            rows = await connection.fetch("select entity_id, due_at from timers")
        return {row["entity_id"]: row["due_at"] for row in rows}

    async def fire_due(self) -> int:
        """Fire all that is due, in order, each in a transaction of its own."""
        return await Scheduler(self.platform, TIMER_HANDLERS, FreeDuty(), ignore).fire_due()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and what it brings about happen when it is due."""
        until = self.now + timedelta(seconds=seconds)
        while due := min((at for at in (await self.timers()).values() if at <= until), default=None):
            await self.clock.advance(max(0.0, (due - self.now).total_seconds()))
            await self.fire_due()
        await self.clock.advance((until - self.now).total_seconds())


def draft(**changes: Any) -> IncidentDraft:
    """An incident somebody reports."""
    return IncidentDraft(
        **{
            "zone_id": ZONE,
            "name": "Tap drips",
            "raised_by": "Guard desk",
            "tasks": (TaskItem(name="Close valve"),),
            **changes,
        }
    )


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
