"""Attendance integrations of a property."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from matrixhub.model.attendance import INTEGRATIONS_MAX, AttendanceIntegration, IntegrationId
from matrixhub.model.errors import LimitViolated, NotFound
from matrixhub.model.ids import PropertyId, SeatId
from matrixhub.store.sql import load_statements

_SQL = load_statements("attendance.sql")


async def create_integration(connection: Any, made: AttendanceIntegration) -> AttendanceIntegration:
    """Keep a new integration. Raises NotFound, LimitViolated."""
    if await connection.fetchval(_SQL["lock_property"], made.property_id) is None:
        raise NotFound(f"there is no property {made.property_id}")
    if await connection.fetchval(_SQL["count"], made.property_id) >= INTEGRATIONS_MAX:
        raise LimitViolated(f"a property has at most {INTEGRATIONS_MAX} attendance integrations")
    columns = (made.id, made.property_id, made.name, made.building_id, made.users, made.created_at)
    return _integration(await connection.fetchrow(_SQL["create"], *columns))


async def read_integration(
    connection: Any, property_id: PropertyId, integration_id: IntegrationId
) -> AttendanceIntegration:
    """An integration of the property. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["read"], property_id, integration_id), property_id, integration_id)


async def lock_integration(
    connection: Any, property_id: PropertyId, integration_id: IntegrationId
) -> AttendanceIntegration:
    """An integration that nobody else changes before the transaction ends. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["lock"], property_id, integration_id), property_id, integration_id)


async def save_integration(connection: Any, changed: AttendanceIntegration) -> AttendanceIntegration:
    """Keep an integration as it is now; it was locked before. Raises NotFound."""
    columns = (changed.name, changed.building_id, changed.users, changed.updated_at)
    row = await connection.fetchrow(_SQL["save"], changed.property_id, changed.id, *columns)
    return _found(row, changed.property_id, changed.id)


async def delete_integration(connection: Any, property_id: PropertyId, integration_id: IntegrationId) -> None:
    """Forget an integration. Raises NotFound."""
    if not await connection.fetchval(_SQL["delete"], property_id, integration_id):
        raise NotFound(_none(property_id, integration_id))


async def list_integrations(connection: Any, property_id: PropertyId) -> Sequence[AttendanceIntegration]:
    """The integrations of the property, oldest first."""
    return [_integration(row) for row in await connection.fetch(_SQL["list"], property_id)]


async def require_seats(connection: Any, property_id: PropertyId, seat_ids: Collection[SeatId]) -> None:
    """Raises NotFound where the property has not all of these seats."""
    rows = await connection.fetch(_SQL["seats"], property_id, sorted(set(seat_ids)))
    missing = set(seat_ids) - {row["id"] for row in rows}
    if missing:
        raise NotFound(f"property {property_id} has no seat {min(missing)[:80]}")


def _found(row: Any, property_id: PropertyId, integration_id: IntegrationId) -> AttendanceIntegration:
    if row is None:
        raise NotFound(_none(property_id, integration_id))
    return _integration(row)


def _none(property_id: PropertyId, integration_id: IntegrationId) -> str:
    return f"property {property_id} has no attendance integration {integration_id[:80]}"


def _integration(row: Any) -> AttendanceIntegration:
    return AttendanceIntegration(**dict(row))
