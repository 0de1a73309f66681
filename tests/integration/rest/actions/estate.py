"""A property in an organisation of its own, and all that is kept of its places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import SEEDS, Rig

from matrixhub.lifecycle import SystemClock
from matrixhub.model.ids import SeatId
from matrixhub.modules.work import Platform
from matrixhub.sources.sites import make_site
from matrixhub.store.sites import apply_site

_ROWS = {
    "properties": "select * from properties where organisation_id = $1 order by id",
    "property_types": "select * from property_types where organisation_id = $1 order by id",
    "zone_categories": "select * from zone_categories where organisation_id = $1 order by id",
    "zone_units": "select * from zone_units where organisation_id = $1 order by id",
    "buildings": "select b.* from buildings b join properties p on p.id = b.property_id where organisation_id = $1"
    " order by b.id",
    "levels": "select l.* from levels l join buildings b on b.id = l.building_id join properties p"
    " on p.id = b.property_id where organisation_id = $1 order by l.id",
    "zones": "select z.* from zones z join buildings b on b.id = z.building_id join properties p"
    " on p.id = b.property_id where organisation_id = $1 order by z.id",
    "slots": "select s.* from slots s join properties p on p.id = s.property_id where organisation_id = $1"
    " order by s.id",
    "media": "select m.id from media m join properties p on p.id = m.property_id where organisation_id = $1 order by 1",
    "floor_plans": "select f.level_id, md5(f.image) from floor_plans f join levels l on l.id = f.level_id"
    " join buildings b on b.id = l.building_id join properties p on p.id = b.property_id where organisation_id = $1"
    " order by 1",
    "events": "select number from events e join properties p on p.id = e.property_id where organisation_id = $1"
    " order by 1",
}


async def make_estate(rig: Rig, *, devices: int = 16) -> Matrix:
    """A property in an organisation of its own: one building, slots of every type."""
    number = next(SEEDS)
    site = make_site(devices, seed=number, organisation_id=f"ORG{number}")
    await apply_site(rig.database, site, remove=False)
    return Matrix(
        rig=rig,
        client=await rig.client(site.property.id),
        site=site,
        platform=Platform(database=rig.database, clock=SystemClock()),
        seat_id=SeatId("none"),
    )


async def rows_of(estate: Matrix) -> Mapping[str, list[Any]]:
    """Everything that is kept of the places of its organisation."""
    async with estate.rig.database.connection() as connection:
        organisation = estate.site.organisation.id
        return {name: await connection.fetch(statement, organisation) for name, statement in _ROWS.items()}
