"""Audits of the zones of a property."""

from __future__ import annotations

from typing import Any

from matrixhub.model.audit import Audit
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import AuditId, BuildingId, PropertyId, ZoneId
from matrixhub.model.place import Page
from matrixhub.store.sql import load_statements

_SQL = load_statements("audits.sql")


async def insert_audit(connection: Any, audit: Audit) -> None:
    """Keep an audit that was started."""
    await connection.execute(
        _SQL["insert"],
        audit.id,
        audit.property_id,
        audit.building_id,
        audit.zone_id,
        audit.zone_name,
        audit.name,
        audit.by,
        audit.status,
        audit.started_at,
    )


async def save_audit(connection: Any, audit: Audit) -> None:
    """Keep what became of an audit that is locked."""
    await connection.execute(
        _SQL["save"], audit.property_id, audit.id, audit.status, audit.ended_at, audit.score, audit.comment
    )


async def read_audit(connection: Any, property_id: PropertyId, audit_id: AuditId) -> Audit:
    """An audit. Raises NotFound."""
    row = await connection.fetchrow(_SQL["show"], property_id, audit_id)
    if row is None:
        raise NotFound(f"property {property_id} has no audit {audit_id}")
    return Audit(**dict(row))


async def lock_audit(connection: Any, property_id: PropertyId, audit_id: AuditId) -> Audit:
    """An audit that nobody else changes until the end of the transaction. Raises NotFound."""
    await connection.execute(_SQL["lock"], property_id, audit_id)
    return await read_audit(connection, property_id, audit_id)


async def page_audits(
    connection: Any,
    property_id: PropertyId,
    *,
    building_id: BuildingId | None,
    zone_id: ZoneId | None,
    after: AuditId | None,
    limit: int,
) -> Page[Audit]:
    """Audits of a property, of a building or a zone, the latest first, behind the one named by `after`."""
    rows = await connection.fetch(_SQL["page"], property_id, building_id, zone_id, after, limit + 1)
    audits = tuple(Audit(**dict(row)) for row in rows[:limit])
    return Page(audits, audits[-1].id if len(rows) > limit else None)
