"""Levels of a building, their floor plans, and where zones and slots are on these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matrixhub.model.errors import LimitViolated, WrongParameters
from matrixhub.model.floor_plan import POSITIONS_MAX, FloorPlan, PlanPosition, media_type_of
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, new_hex_id
from matrixhub.model.place import LEVELS_MAX, Level, check_version
from matrixhub.model.place_draft import LevelChange, LevelDraft
from matrixhub.model.place_events import PlaceMarks, marks_of, place_events
from matrixhub.modules.work import Platform, Work
from matrixhub.store import grids as store


async def list_levels(platform: Platform, property_id: PropertyId, building_id: BuildingId) -> Sequence[Level]:
    """The levels of a building, from the lowest up. Raises NotFound."""
    async with platform.database.transaction() as connection:
        await store.read_building(connection, property_id, building_id)
        return await store.list_levels(connection, property_id, building_id)


async def read_level(platform: Platform, property_id: PropertyId, building_id: BuildingId, level_id: LevelId) -> Level:
    """A level. Raises NotFound."""
    async with platform.database.connection() as connection:
        return await store.read_level(connection, property_id, building_id, level_id)


async def create_level(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, draft: LevelDraft, *, actor: str
) -> Level:
    """Make a level, with its floor plan where one is given.

    Raises: NotFound, NameTaken, LimitViolated, WrongParameters, StoreError.
    """
    async with platform.work(property_id, actor) as work:
        await store.share_places(work.connection, property_id)
        await store.lock_building(work.connection, property_id, building_id)  # so that the count holds
        if await store.count_levels(work.connection, property_id, building_id) >= LEVELS_MAX:
            raise LimitViolated(f"a building has at most {LEVELS_MAX} levels")
        made = Level(
            id=LevelId(new_hex_id()),
            property_id=property_id,
            building_id=building_id,
            name=draft.name,
            level=draft.level,
            area=draft.area,
            created_by=actor,
            created_at=work.now,
            updated_by=actor,
            updated_at=work.now,
        )
        await store.insert_level(work.connection, made)
        if draft.floor_plan is not None:
            made = await _keep_plan(work, made, draft.floor_plan)
        work.publish(
            *place_events(property_id, PlaceMarks(), marks_of(levels=[made.mark]), happened_at=work.now_s),
        )
    return made


async def update_level(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    level_id: LevelId,
    change: LevelChange,
    *,
    actor: str,
    version: int | None = None,
) -> Level:
    """Change a level or its floor plan. Raises: NotFound, NameTaken, VersionMismatch, LimitViolated, StoreError."""
    async with platform.work(property_id, actor) as work:
        before = await _locked(work, building_id, level_id)
        check_version(before.version, version)
        after = changed_level(before, change)
        if after == before and change.floor_plan is None:
            return before
        after = replace(after, updated_by=actor, updated_at=work.now, version=before.version + 1)
        await store.save_level(work.connection, after)
        if change.floor_plan is not None:
            after = await _keep_plan(work, after, change.floor_plan)
        marks = (marks_of(levels=[level.mark]) for level in (before, after))
        work.publish(*place_events(property_id, *marks, happened_at=work.now_s))
    return after


def changed_level(before: Level, change: LevelChange) -> Level:
    """The level with what changes, its floor plan aside."""
    return replace(
        before,
        name=before.name if change.name is None else change.name,
        level=before.level if change.level is None else change.level,
        area=before.area if change.area is None else change.area,
    )


async def update_floor_plan(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, level_id: LevelId, image: bytes, *, actor: str
) -> Level:
    """Give a level a floor plan, PNG or JPEG. Raises: NotFound, LimitViolated, WrongParameters, StoreError."""
    change = LevelChange(floor_plan=image)
    return await update_level(platform, property_id, building_id, level_id, change, actor=actor)


async def read_floor_plan(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, level_id: LevelId
) -> FloorPlan | None:
    """The floor plan of a level, None if it has none. Raises NotFound."""
    async with platform.database.transaction() as connection:
        await store.read_level(connection, property_id, building_id, level_id)
        return await store.read_floor_plan(connection, property_id, building_id, level_id)


async def list_plan_positions(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, level_id: LevelId
) -> Sequence[PlanPosition]:
    """Where zones and slots are on the plan of a level, zones first. Raises NotFound."""
    async with platform.database.transaction() as connection:
        await store.read_level(connection, property_id, building_id, level_id)
        return await store.list_plan_positions(connection, property_id, building_id, level_id)


async def place_on_plan(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    level_id: LevelId,
    positions: Sequence[PlanPosition],
    *,
    actor: str,
) -> Sequence[PlanPosition]:
    """Say where zones and slots are on the plan of a level; what is not named is nowhere on it.

    Raises: NotFound if one of them is not on the level, WrongParameters if one is named twice, LimitViolated,
    StoreError.
    """
    if len(positions) > POSITIONS_MAX:
        raise LimitViolated(f"a floor plan has at most {POSITIONS_MAX:,} positions")
    if len({(p.kind, p.id) for p in positions}) < len(positions):
        raise WrongParameters("a zone or slot is on a floor plan once")
    async with platform.work(property_id, actor) as work:
        level = await _locked(work, building_id, level_id)
        await store.save_plan_positions(work.connection, level, positions)
        return await store.list_plan_positions(work.connection, property_id, building_id, level_id)


async def delete_level(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, level_id: LevelId, *, actor: str
) -> Level:
    """Remove a level with its zones, an event for each, and their slots; what it was. Raises: NotFound, StoreError."""
    async with platform.work(property_id, actor) as work:
        await store.share_places(work.connection, property_id)
        level, zones = await store.lock_level_with_zones(work.connection, property_id, building_id, level_id)
        await store.delete_level(work.connection, property_id, level_id)
        await store.tell_places_changed(work.connection)
        gone = marks_of(levels=[level.mark], zones=[zone.mark for zone in zones])
        work.publish(*place_events(property_id, gone, PlaceMarks(), happened_at=work.now_s))
    return level


async def _locked(work: Work, building_id: BuildingId, level_id: LevelId) -> Level:
    await store.share_places(work.connection, work.property_id)
    await store.lock_levels(work.connection, work.property_id, building_id, [level_id])
    return await store.read_level(work.connection, work.property_id, building_id, level_id)


async def _keep_plan(work: Work, level: Level, image: bytes) -> Level:
    plan = FloorPlan(level_id=level.id, media_type=media_type_of(image), image=image)
    await store.save_floor_plan(work.connection, level, plan)
    return replace(level, has_floor_plan=True)
