"""Applications that may publish events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from matrixhub.model.application import Application, Quota, Usage
from matrixhub.model.errors import InvalidValue, NameTaken, NotFound
from matrixhub.model.ids import ApplicationId, BuildingId, PropertyId
from matrixhub.store.sql import load_statements

_SQL = load_statements("applications.sql")


async def create_application(connection: Any, application: Application) -> None:
    """Register an application. Raises: NameTaken if the property has one of that id, revoked or not."""
    quota, usage = application.quota, application.usage
    row = await connection.fetchrow(
        _SQL["create"],
        application.id,
        application.property_id,
        application.name,
        quota.per_minute,
        quota.burst,
        quota.per_day,
        application.created_at,
        usage.tokens,
        usage.at,
        usage.day,
    )
    if row is None:
        raise NameTaken(f"property {application.property_id} has or had an application {application.id}")


async def list_applications(connection: Any, property_id: PropertyId) -> Sequence[Application]:
    """The applications of the property, oldest first, revoked ones too."""
    return [_application(row) for row in await connection.fetch(_SQL["list"], property_id)]


async def show_application(connection: Any, property_id: PropertyId, application_id: ApplicationId) -> Application:
    """An application. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["show"], property_id, application_id), application_id)


async def lock_application(connection: Any, property_id: PropertyId, application_id: ApplicationId) -> Application:
    """An application, and nobody else changes it until the end of the transaction. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["lock"], property_id, application_id), application_id)


async def update_application(
    connection: Any, property_id: PropertyId, application_id: ApplicationId, *, name: str, quota: Quota
) -> Application:
    """Change its name and quota. Raises NotFound."""
    row = await connection.fetchrow(
        _SQL["update"], property_id, application_id, name, quota.per_minute, quota.burst, quota.per_day
    )
    return _found(row, application_id)


async def save_usage(connection: Any, property_id: PropertyId, application_id: ApplicationId, usage: Usage) -> None:
    """Keep what is left of its quota; it was locked before."""
    await connection.execute(
        _SQL["save_usage"], property_id, application_id, usage.tokens, usage.at, usage.day, usage.day_events
    )


async def revoke_application(
    connection: Any, property_id: PropertyId, application_id: ApplicationId, now: datetime
) -> Application:
    """Let it publish nothing any more; its keys are revoked with it. Raises NotFound."""
    found = _found(await connection.fetchrow(_SQL["revoke"], property_id, application_id, now), application_id)
    await connection.execute(_SQL["revoke_keys"], property_id, application_id, now)
    return found


async def find_application_property(connection: Any, application_id: ApplicationId) -> PropertyId:
    """The property that has the application, for an operator on this machine.

    Raises: NotFound if none has, InvalidValue if several do.
    """
    rows = await connection.fetch(_SQL["properties_of"], application_id)
    if not rows:
        raise NotFound(f"there is no application {application_id}")
    if len(rows) > 1:
        raise InvalidValue(f"{len(rows)} properties have an application {application_id}; name one: --property")
    return PropertyId(rows[0]["property_id"])


async def building_ids(connection: Any, property_id: PropertyId) -> frozenset[BuildingId]:
    """The buildings of the property."""
    return frozenset(BuildingId(row["id"]) for row in await connection.fetch(_SQL["buildings"], property_id))


def _found(row: Any, application_id: ApplicationId) -> Application:
    if row is None:
        raise NotFound(f"there is no application {application_id}")
    return _application(row)


def _application(row: Any) -> Application:
    return Application(
        id=ApplicationId(row["id"]),
        property_id=PropertyId(row["property_id"]),
        name=row["name"],
        quota=Quota(per_minute=row["per_minute"], burst=row["burst"], per_day=row["per_day"]),
        usage=Usage(tokens=row["tokens"], at=row["tokens_at"], day=row["day"], day_events=row["day_events"]),
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
        version=row["version"],
    )
