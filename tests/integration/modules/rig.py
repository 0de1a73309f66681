"""A platform with one property, and hands to look behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from matrixhub.model.event import check_envelope
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, ZoneId
from matrixhub.model.shift import Shift
from matrixhub.model.site import Site
from matrixhub.modules.scheduler import Scheduler
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.planning import create_shifts
from matrixhub.modules.workforce.seats import create_seat
from matrixhub.modules.workforce.steps import ShiftDraft
from matrixhub.observe import ignore
from matrixhub.service import TIMER_HANDLERS
from matrixhub.store import Database
from matrixhub.store.shifts import read_shift
from matrixhub.testing.fakes import FakeClock

TABLES = ("timers", "shifts", "seats", "slots", "buildings", "properties", "organisations", "events")
"""What is emptied between tests, in this order; the rest goes with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """A platform with one property, and hands to look behind it."""

    database: Database
    clock: FakeClock
    platform: Platform
    site: Site

    @property
    def property_id(self) -> PropertyId:
        return self.site.property.id

    @property
    def building_id(self) -> BuildingId:
        return self.site.buildings[0].id

    @property
    def zone_id(self) -> ZoneId:
        return self.site.zones[0].id

    async def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            return [dict(row) for row in await connection.fetch(statement, *values)]

    def at(self, in_s: float) -> datetime:
        """The instant so many seconds from now."""
        return self.platform.now() + timedelta(seconds=in_s)

    async def seat(self, name: str = "Ann Lee") -> SeatId:
        return (await create_seat(self.platform, self.property_id, name=name, actor="ann")).id

    def draft(self, in_s: float = 3600, length_s: float = 14_400, **fields: Any) -> ShiftDraft:
        """A shift that begins in so many seconds."""
        start = self.at(in_s)
        fields = {"time_zone": "Asia/Singapore", **fields}
        return ShiftDraft(starts_at=start, ends_at=start + timedelta(seconds=length_s), **fields)

    async def shift(self, seat_id: SeatId, draft: ShiftDraft | None = None, *, publish: bool = True) -> ShiftId:
        """A shift of a seat, one published that begins in an hour where nothing else is said."""
        [made] = await create_shifts(
            self.platform,
            self.property_id,
            self.building_id,
            seat_id,
            [draft or self.draft()],
            publish=publish,
            actor="ann",
        )
        return made.id

    async def read(self, shift_id: ShiftId) -> Shift:
        async with self.database.connection() as connection:
            return await read_shift(connection, self.property_id, shift_id)

    async def pass_time(self, seconds: float) -> int:
        """Let time pass, and what is due then happen; how many timers that were."""
        await self.clock.advance(seconds)
        return await Scheduler(self.platform, TIMER_HANDLERS, FreeDuty(), ignore).fire_due()

    async def told(self) -> list[str]:
        """The names of all events."""
        return [str(event["Event"]) for event in await self.events()]

    async def events(self) -> list[dict[str, Any]]:
        """The envelopes of all events, in the order of the commits; each keeps the invariants of the contract."""
        made = [msgspec.json.decode(row["line"]) for row in await self.rows("select line from events order by number")]
        for event in made:
            check_envelope(event)
        return made


class FreeDuty:
    """A duty that everybody has."""

    async def held(self) -> bool:
        return True

    async def close(self) -> None:
        """Nothing to give back."""
