"""Work orders in the database: incidents and tasks, their history and comments, and who could take them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from matrixhub.model.errors import NotFound
from matrixhub.model.escalation import EscalationPolicy, parse_policy
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, SlotId, TaskId, ZoneId
from matrixhub.model.work_order import (
    Assignee,
    Comment,
    HistoryEntry,
    Status,
    TaskItem,
    WorkOrder,
    WorkType,
)
from matrixhub.model.workforce_settings import WorkforceSettings
from matrixhub.store.sql import load_statements

_SQL = load_statements("work_orders.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where work orders of a building belong."""

    building_id: BuildingId
    time_zone: str
    organisation_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneName:
    """What a work order says of its zone."""

    id: ZoneId
    name: str
    category: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What new work orders of a building go by. `numbers` are for the last six digits of their ids, none twice in a
    million.
    """

    place: Place
    zones: Mapping[ZoneId, ZoneName]
    settings: WorkforceSettings
    policies: Sequence[EscalationPolicy]
    numbers: Sequence[int]


Entry = tuple[TaskId, HistoryEntry]
"""A line of the timeline of a work order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Somebody who could take an incident: no `zones` are all. `on_hand` counts the incidents the seat has."""

    seat_id: SeatId
    shift_id: ShiftId
    zones: frozenset[ZoneId]
    on_hand: int
    last_assigned_at: datetime | None

    def covers(self, zone_id: ZoneId) -> bool:
        """Whether the zone is one of theirs."""
        return not self.zones or zone_id in self.zones


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftPart:
    """What assigning has to know of a shift."""

    id: ShiftId
    seat_id: SeatId
    building_id: BuildingId
    status: str
    time_zone: str
    ends_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which work orders are meant: those for which all that is named holds; by start, `since` included, `until` not."""

    building_id: BuildingId | None = None
    zone_id: ZoneId | None = None
    seat_id: SeatId | None = None
    shift_id: ShiftId | None = None
    type: WorkType | None = None
    statuses: tuple[Status, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


async def read_surroundings(
    connection: Any, property_id: PropertyId, building_id: BuildingId, zone_ids: Collection[ZoneId], *, count: int
) -> Surroundings:
    """What so many new work orders in these zones go by. Raises NotFound if there is no such building or zone."""
    row = await connection.fetchrow(_SQL["surroundings"], property_id, building_id, sorted(zone_ids), count)
    if row is None:
        raise NotFound(f"property {property_id} has no building {building_id}")
    return Surroundings(
        place=Place(building_id=building_id, time_zone=row["time_zone"], organisation_id=row["organisation_id"]),
        zones=_zones(building_id, zone_ids, row["zones"]),
        settings=WorkforceSettings({**(row["incident"] or {}), **(row["schedule"] or {})}),
        policies=[
            parse_policy(found["document"], policy_id=found["id"], building_id=building_id, version=found["version"])
            for found in row["policies"]
        ],
        numbers=row["numbers"],
    )


async def read_zones(
    connection: Any, property_id: PropertyId, building_id: BuildingId, zone_ids: Collection[ZoneId]
) -> dict[ZoneId, ZoneName]:
    """The zones of the building by id. Raises NotFound if it lacks one of them."""
    rows = await connection.fetch(_SQL["zones"], property_id, building_id, sorted(zone_ids))
    return _zones(building_id, zone_ids, rows)


async def insert_work_orders(connection: Any, orders: Sequence[WorkOrder], entries: Sequence[Entry]) -> None:
    """Keep new work orders with what their timelines say, all with one statement."""
    if orders:
        await connection.execute(_SQL["insert"], _rows(orders), _entries(orders[0].property_id, entries))


async def read_work_order(connection: Any, property_id: PropertyId, task_id: TaskId) -> WorkOrder:
    """One work order. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["read"], property_id, task_id), property_id, task_id)


async def read_work_orders(
    connection: Any, property_id: PropertyId, task_ids: Collection[TaskId]
) -> dict[TaskId, WorkOrder]:
    """Work orders by id. Raises NotFound if the property lacks one of them."""
    rows = {row["id"]: row for row in await connection.fetch(_SQL["read_all"], property_id, sorted(task_ids))}
    return {task_id: _found(rows.get(task_id), property_id, task_id) for task_id in task_ids}


async def lock_work_order(connection: Any, property_id: PropertyId, task_id: TaskId) -> WorkOrder:
    """One work order, which nobody else changes until the commit. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["lock"], property_id, [task_id]), property_id, task_id)


async def lock_tasks_of_shifts(
    connection: Any, property_id: PropertyId, shift_ids: Collection[ShiftId]
) -> list[WorkOrder]:
    """The tasks of shifts, locked in the order of their ids."""
    return [_order(row) for row in await connection.fetch(_SQL["lock_of_shift"], property_id, sorted(shift_ids))]


async def save_work_orders(connection: Any, orders: Sequence[WorkOrder], entries: Sequence[Entry]) -> None:
    """Keep what acts made of work orders that were locked before, with what their timelines say."""
    if orders:
        await connection.execute(_SQL["save"], _rows(orders), _entries(orders[0].property_id, entries))


async def delete_work_orders(connection: Any, property_id: PropertyId, task_ids: Collection[TaskId]) -> None:
    """Remove work orders that were locked before. Their history stays."""
    await connection.execute(_SQL["delete"], property_id, sorted(task_ids))


async def record_history(connection: Any, property_id: PropertyId, entries: Sequence[Entry]) -> None:
    """Add to the timelines."""
    if entries:
        await connection.execute(_SQL["record_history"], _entries(property_id, entries))


async def read_history(
    connection: Any, property_id: PropertyId, task_id: TaskId, *, act: str = ""
) -> list[HistoryEntry]:
    """The timeline, oldest first, or the entries of one act; also of what was deleted."""
    return (await read_histories(connection, property_id, [task_id], act=act)).get(task_id, [])


async def read_histories(
    connection: Any, property_id: PropertyId, task_ids: Collection[TaskId], *, act: str = ""
) -> dict[TaskId, list[HistoryEntry]]:
    """The timelines of those that have one, each oldest first, or their entries of one act."""
    found: dict[TaskId, list[HistoryEntry]] = {}
    for row in await connection.fetch(_SQL["histories"], property_id, sorted(task_ids), act):
        entry = HistoryEntry(
            at=row["at"], actor=row["actor"], act=row["act"], status=row["status"], detail=row["detail"]
        )
        found.setdefault(TaskId(row["work_order_id"]), []).append(entry)
    return found


async def list_work_orders(
    connection: Any,
    property_id: PropertyId,
    wanted: Wanted,
    *,
    after: tuple[datetime, TaskId] | None = None,
    limit: int,
) -> list[WorkOrder]:
    """At most so many work orders by start and id, behind the one named by `after`."""
    rows = await connection.fetch(
        _SQL["list"],
        property_id,
        wanted.building_id,
        wanted.zone_id,
        wanted.seat_id,
        wanted.shift_id,
        wanted.type,
        None if wanted.statuses is None else list(wanted.statuses),
        wanted.since,
        wanted.until,
        *(after or (None, None)),
        limit,
    )
    return [_order(row) for row in rows]


async def require_known(connection: Any, property_id: PropertyId, wanted: Wanted) -> None:
    """Raises NotFound where a building, zone, seat or shift is named that the property, or the building, has not."""
    named = {
        "building": wanted.building_id,
        "zone": wanted.zone_id,
        "seat": wanted.seat_id,
        "shift": wanted.shift_id,
    }
    row = await connection.fetchrow(_SQL["known"], property_id, *named.values())
    for what, found in named.items():
        if not row[what]:
            raise NotFound(f"property {property_id} has no {what} {found}")


async def latest_tasks(
    connection: Any,
    property_id: PropertyId,
    *,
    building_id: BuildingId | None,
    zone_id: ZoneId | None,
    seat_id: SeatId | None,
    since: datetime,
    until: datetime,
    limit: int,
) -> list[WorkOrder]:
    """The last tasks that began in the range, the newest first."""
    rows = await connection.fetch(_SQL["latest"], property_id, building_id, zone_id, seat_id, since, until, limit)
    return [_order(row) for row in rows]


async def count_work_orders(
    connection: Any,
    property_id: PropertyId,
    *,
    building_id: BuildingId | None,
    seat_id: SeatId | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[tuple[WorkType, Status], int]:
    """How many work orders there are of each type and status."""
    rows = await connection.fetch(_SQL["counts"], property_id, building_id, seat_id, since, until)
    return {(row["type"], row["status"]): row["found"] for row in rows}


async def lock_assignment(connection: Any, building_id: BuildingId) -> None:
    """Be the only one who finds assignees in the building, until the commit. Take it before any row."""
    await connection.execute(_SQL["lock_assignment"], building_id)


async def candidates_on_duty(
    connection: Any, property_id: PropertyId, building_id: BuildingId, zone_ids: Collection[ZoneId], at: datetime
) -> list[Candidate]:
    """Whose shift has started, is not on a break and covers one of the zones, in the order of their seats."""
    rows = await connection.fetch(_SQL["on_duty"], property_id, building_id, sorted(zone_ids), at)
    return [
        Candidate(
            seat_id=row["seat_id"],
            shift_id=row["shift_id"],
            zones=frozenset(map(ZoneId, row["zones"])),
            on_hand=row["on_hand"],
            last_assigned_at=row["last_assigned_at"],
        )
        for row in rows
    ]


async def candidates_of_seats(
    connection: Any, property_id: PropertyId, seats: Mapping[SeatId, frozenset[ZoneId]]
) -> list[Candidate]:
    """Active seats as candidates themselves, whatever their shifts, each with its zones."""
    rows = await connection.fetch(_SQL["seats_on_hand"], property_id, sorted(seats))
    return [
        Candidate(
            seat_id=row["seat_id"],
            shift_id=ShiftId(row["seat_id"]),
            zones=seats[row["seat_id"]],
            on_hand=row["on_hand"],
            last_assigned_at=row["last_assigned_at"],
        )
        for row in rows
    ]


async def read_seats(connection: Any, property_id: PropertyId, seat_ids: Collection[SeatId]) -> dict[SeatId, bool]:
    """Seats of the property, and whether they are active."""
    return {row["id"]: row["active"] for row in await connection.fetch(_SQL["seats"], property_id, sorted(seat_ids))}


async def share_shifts(
    connection: Any, property_id: PropertyId, shift_ids: Collection[ShiftId]
) -> dict[ShiftId, ShiftPart]:
    """Shifts of the property, which nobody changes until the commit."""
    rows = await connection.fetch(_SQL["shifts"], property_id, sorted(shift_ids))
    return {row["id"]: ShiftPart(**dict(row)) for row in rows}


async def add_comment(connection: Any, comment: Comment) -> None:
    """Keep a comment."""
    await connection.execute(
        _SQL["add_comment"],
        comment.id,
        comment.work_order_id,
        comment.user_name,
        comment.comment,
        comment.created_by,
        comment.created_at,
    )


async def count_comments(connection: Any, task_id: TaskId) -> int:
    """How many comments a work order has; it was locked before."""
    return int(await connection.fetchval(_SQL["count_comments"], task_id))


async def update_comment(
    connection: Any, task_id: TaskId, comment_id: str, *, comment: str, user_name: str, now: datetime
) -> Comment:
    """Change a comment of a work order that was locked before. Raises NotFound."""
    row = await connection.fetchrow(_SQL["update_comment"], task_id, comment_id, comment, user_name, now)
    return _comment(row, task_id, comment_id)


async def delete_comment(connection: Any, task_id: TaskId, comment_id: str) -> Comment:
    """Remove a comment of a work order that was locked before. Raises NotFound."""
    return _comment(await connection.fetchrow(_SQL["delete_comment"], task_id, comment_id), task_id, comment_id)


async def list_comments(connection: Any, property_id: PropertyId, task_id: TaskId) -> list[Comment]:
    """The comments on a work order, oldest first."""
    return [Comment(**dict(row)) for row in await connection.fetch(_SQL["comments"], property_id, task_id)]


def _zones(building_id: BuildingId, zone_ids: Collection[ZoneId], rows: Sequence[Any]) -> dict[ZoneId, ZoneName]:
    found = {ZoneId(row["id"]): ZoneName(id=row["id"], name=row["name"], category=row["category"]) for row in rows}
    for zone_id in zone_ids:
        if zone_id not in found:
            raise NotFound(f"building {building_id} has no zone {zone_id}")
    return found


def _entries(property_id: PropertyId, entries: Sequence[Entry]) -> str:
    """Rows of `work_order_history` as JSON."""
    rows = [
        {
            "work_order_id": task_id,
            "property_id": property_id,
            "at": entry.at,
            "actor": entry.actor,
            "act": entry.act,
            "status": entry.status,
            "detail": entry.detail,
        }
        for task_id, entry in entries
    ]
    return msgspec.json.encode(rows).decode()


def _found(row: Any, property_id: PropertyId, task_id: TaskId) -> WorkOrder:
    if row is None:
        raise NotFound(f"property {property_id} has no incident or task {task_id}")
    return _order(row)


def _comment(row: Any, task_id: TaskId, comment_id: str) -> Comment:
    if row is None:
        raise NotFound(f"{task_id} has no comment {comment_id}")
    return Comment(**dict(row))


_SAME = (
    "id",
    "property_id",
    "building_id",
    "type",
    "status",
    "name",
    "description",
    "priority",
    "raised_by",
    "event_source",
    "subject",
    "zone_id",
    "zone_name",
    "zone_category",
    "starts_at",
    "ends_at",
    "timeout_s",
    "started_at",
    "closed_at",
    "auto_assigned",
    "delayed",
    "assigned_at",
    "announced",
    "reassigned",
    "opened_at",
    "policy_id",
    "policy_version",
    "escalation_type",
    "escalation_level",
    "escalated",
    "created_by",
    "created_at",
    "updated_by",
    "updated_at",
    "version",
)
"""The columns that hold what the field of that name holds."""


def _rows(orders: Sequence[WorkOrder]) -> str:
    """Rows of `work_orders` as JSON."""
    return msgspec.json.encode([_columns(order) for order in orders]).decode()


def _columns(order: WorkOrder) -> dict[str, Any]:
    columns = {name: getattr(order, name) for name in _SAME}
    columns.update(
        source_slots=order.source_slots,
        seat_id=order.assignee.seat_id if order.assignee else None,
        shift_id=order.assignee.shift_id if order.assignee else None,
        tasks=order.tasks,
        attachments=order.attachments,
    )
    return columns


def _order(row: Any) -> WorkOrder:
    return WorkOrder(
        **{name: row[name] for name in _SAME},
        organisation_id=row["organisation_id"],
        time_zone=row["time_zone"],
        source_slots=tuple(map(SlotId, row["source_slots"])),
        assignee=Assignee(seat_id=row["seat_id"], shift_id=row["shift_id"]) if row["seat_id"] else None,
        tasks=tuple(TaskItem(**{**task, "attachments": tuple(task["attachments"])}) for task in row["tasks"]),
        attachments=tuple(row["attachments"]),
    )
