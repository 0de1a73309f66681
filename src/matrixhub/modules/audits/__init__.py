"""Audits: a zone is inspected, and gets a score."""

from __future__ import annotations

from matrixhub.model.audit import Audit, audit_event, check_audit_texts, completed_audit, next_status
from matrixhub.model.ids import AuditId, BuildingId, PropertyId, ZoneId, new_id
from matrixhub.model.paging import check_page
from matrixhub.model.place import PAGE, Page
from matrixhub.modules.work import Platform
from matrixhub.store import audits as store
from matrixhub.store.grids import lock_zone


async def start_audit(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    zone_id: ZoneId,
    *,
    name: str,
    by: str,
    actor: str,
) -> Audit:
    """Begin to inspect a zone; several may do so at once. Raises: NotFound, WrongParameters, StoreError."""
    check_audit_texts(name, by)
    status, event = next_status(None, "start")
    async with platform.work(property_id, actor) as work:
        zone = await lock_zone(work.connection, property_id, building_id, zone_id)
        audit = Audit(
            id=AuditId(new_id("aud")),
            property_id=property_id,
            building_id=building_id,
            zone_id=zone_id,
            zone_name=zone.name,
            name=name.strip(),
            by=by.strip(),
            status=status,
            started_at=work.now,
        )
        await store.insert_audit(work.connection, audit)
        work.publish(audit_event(event, audit, happened_at=work.now_s))
    return audit


async def complete_audit(
    platform: Platform, property_id: PropertyId, audit_id: AuditId, *, score: float, comment: str = "", actor: str
) -> Audit:
    """End an audit with its score, 0 to 100. Raises: NotFound, WrongState, WrongParameters, StoreError."""
    async with platform.work(property_id, actor) as work:
        before = await store.lock_audit(work.connection, property_id, audit_id)
        after, event = completed_audit(before, score, comment, work.now)
        await store.save_audit(work.connection, after)
        work.publish(audit_event(event, after, happened_at=work.now_s))
    return after


async def read_audit(platform: Platform, property_id: PropertyId, audit_id: AuditId) -> Audit:
    """An audit. Raises NotFound."""
    async with platform.database.connection() as connection:
        return await store.read_audit(connection, property_id, audit_id)


async def list_audits(
    platform: Platform,
    property_id: PropertyId,
    *,
    building_id: BuildingId | None = None,
    zone_id: ZoneId | None = None,
    after: AuditId | None = None,
    limit: int = PAGE,
) -> Page[Audit]:
    """The audits of a property, of a building or of a zone, the latest first, a page at a time.

    Raises: WrongParameters, QueryTooLong for a page of nothing or of too much, StoreError.
    """
    check_page(limit)
    async with platform.database.connection() as connection:
        return await store.page_audits(
            connection, property_id, building_id=building_id, zone_id=zone_id, after=after, limit=limit
        )
