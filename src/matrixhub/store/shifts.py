"""Shifts of a property, in the transaction of the act that they are part of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from matrixhub.model.address import Coordinates, read_address
from matrixhub.model.errors import NotFound, QueryTooLong
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.shift import OCCUPYING, Break, Cost, Shift, ShiftStatus
from matrixhub.store.sql import load_statements

SHIFTS_MAX = 5_000
"""Shifts that one query may return."""

_SQL = load_statements("shifts.sql")


async def create_shifts(connection: Any, shifts: Sequence[Shift]) -> None:
    """Keep new shifts."""
    await connection.executemany(
        _SQL["create"],
        [
            (
                s.id,
                s.property_id,
                s.building_id,
                s.seat_id,
                s.starts_at,
                s.ends_at,
                s.started_at,
                s.ended_at,
                s.time_zone,
                s.status,
                s.delayed,
                s.on_break,
                s.zones,
                s.breaks,
                s.cost,
                s.description,
                s.clock_in,
                s.clock_out,
                s.created_by,
                s.created_at,
                s.updated_by,
                s.updated_at,
            )
            for s in shifts
        ],
    )


async def save_shift(connection: Any, shift: Shift) -> None:
    """Keep a shift as it is now; it was locked before. Raises NotFound."""
    saved = await connection.fetchval(
        _SQL["save"],
        shift.property_id,
        shift.id,
        shift.starts_at,
        shift.ends_at,
        shift.started_at,
        shift.ended_at,
        shift.time_zone,
        shift.status,
        shift.delayed,
        shift.on_break,
        shift.zones,
        shift.breaks,
        shift.cost,
        shift.description,
        shift.clock_in,
        shift.clock_out,
        shift.updated_by,
        shift.updated_at,
    )
    if saved is None:
        raise NotFound(_no_shift(shift.property_id, shift.id))


async def delete_shifts(connection: Any, property_id: PropertyId, shift_ids: Collection[ShiftId]) -> None:
    """Remove shifts; they were locked before."""
    await connection.execute(_SQL["delete"], property_id, list(shift_ids))


async def read_shift(connection: Any, property_id: PropertyId, shift_id: ShiftId) -> Shift:
    """A shift of the property. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["read"], property_id, shift_id), property_id, shift_id)


async def lock_shift(connection: Any, property_id: PropertyId, shift_id: ShiftId) -> Shift:
    """A shift that nobody else changes before the transaction ends. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["lock"], property_id, shift_id), property_id, shift_id)


async def lock_shifts(connection: Any, property_id: PropertyId, shift_ids: Collection[ShiftId]) -> Sequence[Shift]:
    """Shifts that nobody else changes before the transaction ends, in id order. Raises NotFound if one is missing."""
    found = [_shift(row) for row in await connection.fetch(_SQL["lock_many"], property_id, list(shift_ids))]
    missing = set(shift_ids) - {shift.id for shift in found}
    if missing:
        raise NotFound(_no_shift(property_id, min(missing)))
    return found


async def lock_drafts(
    connection: Any, property_id: PropertyId, building_id: BuildingId, start: datetime, end: datetime, *, limit: int
) -> Sequence[Shift]:
    """At most so many of the unpublished shifts of a building that begin in a range, locked, in id order."""
    rows = await connection.fetch(_SQL["lock_drafts"], property_id, building_id, start, end, limit)
    return [_shift(row) for row in rows]


async def overlapping_shift(
    connection: Any,
    property_id: PropertyId,
    seat_id: SeatId,
    spans: Sequence[tuple[datetime, datetime]],
    *,
    but: ShiftId | None = None,
) -> ShiftId | None:
    """A shift of the seat that takes up some of these times, other than that named; None if there is none."""
    found = await connection.fetchval(
        _SQL["overlapping"],
        property_id,
        seat_id,
        [start for start, _ in spans],
        [end for _, end in spans],
        sorted(OCCUPYING),
        but or "",
    )
    return None if found is None else ShiftId(found)


async def other_started_shift(
    connection: Any, property_id: PropertyId, seat_id: SeatId, but: ShiftId | None = None
) -> ShiftId | None:
    """A shift that the seat is working in, other than that named."""
    found = await connection.fetchval(_SQL["started_of_seat"], property_id, seat_id, but or "")
    return None if found is None else ShiftId(found)


async def shifts_in_range(
    connection: Any,
    property_id: PropertyId,
    start: datetime,
    end: datetime,
    *,
    building_id: BuildingId | None = None,
    seat_id: SeatId | None = None,
    status: ShiftStatus | str | None = None,
) -> Sequence[Shift]:
    """The shifts that begin in a range, its end excluded, in the order of their begin. Raises QueryTooLong.

    The status `DELAYED` finds those published ones that are late.
    """
    rows = await connection.fetch(
        _SQL["in_range"], property_id, building_id, seat_id, status, start, end, SHIFTS_MAX + 1
    )
    if len(rows) > SHIFTS_MAX:
        raise QueryTooLong(f"more than {SHIFTS_MAX} shifts begin in that time; ask for less of it")
    return [_shift(row) for row in rows]


async def current_shift(connection: Any, property_id: PropertyId, seat_id: SeatId, at: datetime) -> Shift | None:
    """The shift the seat is working in, or else should be, or None."""
    row = await connection.fetchrow(_SQL["current"], property_id, seat_id, at)
    return None if row is None else _shift(row)


async def next_shifts(
    connection: Any, property_id: PropertyId, seat_id: SeatId, at: datetime, limit: int
) -> Sequence[Shift]:
    """The next published shifts of the seat that begin at that instant or later."""
    return [_shift(row) for row in await connection.fetch(_SQL["next"], property_id, seat_id, at, limit)]


async def page_shifts(
    connection: Any,
    property_id: PropertyId,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    building_id: BuildingId | None = None,
    seat_id: SeatId | None = None,
    status: str | None = None,
    after: tuple[datetime, ShiftId] | None = None,
    limit: int,
) -> Sequence[Shift]:
    """At most so many shifts by begin and id, behind the one named by `after`; `DELAYED` as `shifts_in_range`."""
    rows = await connection.fetch(
        _SQL["page"], property_id, building_id, seat_id, status, start, end, *(after or (None, None)), limit
    )
    return [_shift(row) for row in rows]


async def shift_to_start(
    connection: Any, property_id: PropertyId, seat_id: SeatId, at: datetime, begins_by: datetime
) -> Shift | None:
    """The first shift, published or missed, that is not over at that instant and begins by the other."""
    row = await connection.fetchrow(_SQL["to_start"], property_id, seat_id, at, begins_by)
    return None if row is None else _shift(row)


async def organisation_of(connection: Any, property_id: PropertyId) -> str:
    """The organisation whose property it is. Raises NotFound."""
    found = await connection.fetchval(_SQL["organisation"], property_id)
    if found is None:
        raise NotFound(f"there is no property {property_id}")
    return str(found)


async def tasks_of_shifts(
    connection: Any, property_id: PropertyId, shift_ids: Collection[ShiftId]
) -> Mapping[ShiftId, Sequence[TaskId]]:
    """The ids of the task groups of shifts, by shift."""
    found: dict[ShiftId, list[TaskId]] = {}
    for row in await connection.fetch(_SQL["tasks_of_shifts"], property_id, list(shift_ids)):
        found.setdefault(ShiftId(row["shift_id"]), []).append(TaskId(row["id"]))
    return found


async def shift_counts(
    connection: Any,
    property_id: PropertyId,
    start: datetime,
    end: datetime,
    *,
    building_id: BuildingId | None = None,
    seat_id: SeatId | None = None,
) -> Mapping[str, int]:
    """How many shifts begin in a range, by status, and of them under `Delayed` those that are or were late."""
    rows = await connection.fetch(_SQL["counts"], property_id, building_id, seat_id, start, end)
    counts: dict[str, int] = {"Delayed": 0}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + row["shifts"]
        counts["Delayed"] += row["shifts"] if row["delayed"] else 0
    return counts


async def shifts_on_duty(
    connection: Any, property_id: PropertyId, building_id: BuildingId, zone_id: ZoneId, at: datetime
) -> list[Shift]:
    """The shifts of a building that are being worked in at that instant, without break, for a zone or for all."""
    rows = await connection.fetch(_SQL["on_duty"], property_id, building_id, zone_id, at)
    return [_shift(row) for row in rows]


async def free_seats(
    connection: Any, property_id: PropertyId, start: datetime, end: datetime, *, but: SeatId
) -> Sequence[SeatId]:
    """The active seats, other than that named, that have no shift in that time."""
    rows = await connection.fetch(_SQL["free_seats"], property_id, but, start, end, sorted(OCCUPYING))
    return [SeatId(row["id"]) for row in rows]


async def zone_names(
    connection: Any, property_id: PropertyId, building_id: BuildingId, zone_ids: Collection[ZoneId]
) -> Mapping[ZoneId, str]:
    """The names of zones of a building, by id. Raises NotFound if it does not have one of them."""
    rows = await connection.fetch(_SQL["zone_names"], property_id, building_id, list(zone_ids))
    names = {ZoneId(row["id"]): str(row["name"]) for row in rows}
    missing = set(zone_ids) - names.keys()
    if missing:
        raise NotFound(f"building {building_id} has no zone {min(missing)}")
    return {zone_id: names[zone_id] for zone_id in zone_ids}


async def building_place(connection: Any, property_id: PropertyId, building_id: BuildingId) -> Coordinates | None:
    """Where a building is, or None where its address does not say."""
    return read_address(await connection.fetchval(_SQL["building_address"], property_id, building_id) or {}).coordinates


def _found(row: Any, property_id: PropertyId, shift_id: ShiftId) -> Shift:
    if row is None:
        raise NotFound(_no_shift(property_id, shift_id))
    return _shift(row)


def _no_shift(property_id: PropertyId, shift_id: ShiftId) -> str:
    return f"property {property_id} has no shift {shift_id[:80]}"


def _shift(row: Any) -> Shift:
    fields = dict(row)
    return Shift(
        **{
            **fields,
            "breaks": msgspec.convert(fields["breaks"], tuple[Break, ...]),
            "cost": msgspec.convert(fields["cost"], Cost),
            "clock_in": msgspec.convert(fields["clock_in"], Coordinates | None),
            "clock_out": msgspec.convert(fields["clock_out"], Coordinates | None),
        }
    )
