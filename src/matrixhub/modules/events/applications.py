"""Registering applications, and what they may."""

from __future__ import annotations

from matrixhub.model.application import (
    Application,
    Quota,
    check_application_id,
    check_name,
    check_quota,
    fresh_usage,
)
from matrixhub.model.ids import ApplicationId, PropertyId
from matrixhub.modules.work import Platform
from matrixhub.store.applications import (
    create_application,
    lock_application,
    revoke_application,
    update_application,
)
from matrixhub.store.sites import require_property


async def register_application(
    platform: Platform, property_id: PropertyId, application_id: str, *, name: str, quota: Quota
) -> Application:
    """A new application of the property.

    Raises: InvalidValue, NotFound if there is no such property, NameTaken if it has one of that id, StoreError.
    """
    found = check_application_id(application_id)
    check_name(name)
    check_quota(quota)
    await require_property(platform.database, property_id)
    async with platform.work(property_id) as work:
        application = Application(
            id=found,
            property_id=property_id,
            name=name,
            quota=quota,
            usage=fresh_usage(quota, work.now),
            created_at=work.now,
        )
        await create_application(work.connection, application)
    return application


async def change_application(
    platform: Platform,
    property_id: PropertyId,
    application_id: ApplicationId,
    *,
    name: str | None = None,
    per_minute: int | None = None,
    burst: int | None = None,
    per_day: int | None = None,
) -> Application:
    """Change what is given; None keeps it as it is. Raises InvalidValue, NotFound, StoreError."""
    async with platform.work(property_id) as work:
        before = await lock_application(work.connection, property_id, application_id)
        quota = Quota(
            per_minute=before.quota.per_minute if per_minute is None else per_minute,
            burst=before.quota.burst if burst is None else burst,
            per_day=before.quota.per_day if per_day is None else per_day,
        )
        new_name = before.name if name is None else name
        check_quota(quota)
        check_name(new_name)
        return await update_application(work.connection, property_id, application_id, name=new_name, quota=quota)


async def revoke(platform: Platform, property_id: PropertyId, application_id: ApplicationId) -> Application:
    """Let an application publish nothing any more; its id stays taken. Done twice, it stays as it was.

    Raises: NotFound, StoreError.
    """
    async with platform.work(property_id) as work:
        before = await lock_application(work.connection, property_id, application_id)
        if before.revoked_at is not None:
            return before
        return await revoke_application(work.connection, property_id, application_id, work.now)
