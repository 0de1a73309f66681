"""A platform with one property, and hands to look behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from matrixhub.model.event import check_envelope
from matrixhub.model.ids import BuildingId, PropertyId, ZoneId
from matrixhub.model.site import Site
from matrixhub.modules.work import Platform
from matrixhub.store import Database
from matrixhub.testing.fakes import FakeClock

TABLES = "organisations, properties, buildings, timers, events, seats, shifts, workforce_settings"


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
