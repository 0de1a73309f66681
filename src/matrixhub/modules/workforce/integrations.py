"""Acts on attendance integrations, and of them: what they tell starts and ends shifts.

Source: docs/contract/workforce.md §6
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from matrixhub.model.attendance import (
    ATTENDANCE_EVENTS,
    EARLY_MAX,
    AttendanceEvent,
    AttendanceIntegration,
    IntegrationId,
    checked_integration,
    happened_at,
)
from matrixhub.model.devices import Json
from matrixhub.model.errors import VersionMismatch, WrongParameters, WrongState
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, new_id
from matrixhub.model.shift import Shift
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.attendance import end_shift, start_shift
from matrixhub.store import attendance as store
from matrixhub.store.grids import read_building
from matrixhub.store.shifts import current_shift, organisation_of, shift_to_start


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What came of something that a source told: the shift that was started or ended, and when that was."""

    integration: AttendanceIntegration
    organisation_id: str
    event: AttendanceEvent
    user: str
    shift: Shift
    at: datetime


async def create_integration(
    platform: Platform,
    property_id: PropertyId,
    *,
    name: str,
    users: Mapping[str, SeatId],
    building_id: BuildingId | None = None,
    actor: str,
) -> AttendanceIntegration:
    """A new integration. Raises NotFound, MissingParameters, WrongParameters, LimitViolated, StoreError."""
    checked_integration(name, users)
    async with platform.work(property_id, actor) as work:
        await store.require_seats(work.connection, property_id, users.values())
        if building_id is not None:
            await read_building(work.connection, property_id, building_id)
        made = AttendanceIntegration(
            id=IntegrationId(new_id("att")),
            property_id=property_id,
            name=name.strip(),
            building_id=building_id,
            users=users,
            created_at=work.now,
            updated_at=work.now,
        )
        return await store.create_integration(work.connection, made)


async def update_integration(
    platform: Platform,
    property_id: PropertyId,
    integration_id: IntegrationId,
    *,
    name: str | None = None,
    users: Mapping[str, SeatId | None] | None = None,
    building_id: BuildingId | None = None,
    version: int | None = None,
    actor: str,
) -> AttendanceIntegration:
    """The integration with what is given changed; of its users only those that are named, None takes one away.

    Raises: NotFound, MissingParameters, WrongParameters, VersionMismatch where it is not of the version, StoreError
    """
    async with platform.work(property_id, actor) as work:
        before = await store.lock_integration(work.connection, property_id, integration_id)
        if version is not None and version != before.version:
            raise VersionMismatch(f"integration {integration_id} is of version {before.version}")
        after = {**before.users, **(users or {})}
        changed = replace(
            before,
            name=before.name if name is None else name.strip(),
            users={user: seat for user, seat in after.items() if seat is not None},
            building_id=building_id or before.building_id,
            updated_at=work.now,
        )
        checked_integration(changed.name, changed.users)
        await store.require_seats(work.connection, property_id, [seat for seat in (users or {}).values() if seat])
        if building_id is not None:
            await read_building(work.connection, property_id, building_id)
        return await store.save_integration(work.connection, changed)


async def delete_integration(
    platform: Platform, property_id: PropertyId, integration_id: IntegrationId, *, actor: str
) -> None:
    """Forget an integration; what it told stays. Raises NotFound, StoreError."""
    async with platform.work(property_id, actor) as work:
        await store.delete_integration(work.connection, property_id, integration_id)


async def read_integration(
    platform: Platform, property_id: PropertyId, integration_id: IntegrationId
) -> tuple[AttendanceIntegration, str]:
    """An integration of the property, and its organisation. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        found = await store.read_integration(connection, property_id, integration_id)
        return found, await organisation_of(connection, property_id)


async def list_integrations(platform: Platform, property_id: PropertyId) -> Sequence[AttendanceIntegration]:
    """The integrations of the property, oldest first. Raises StoreError."""
    async with platform.database.connection() as connection:
        return await store.list_integrations(connection, property_id)


async def tell_attendance(
    platform: Platform,
    property_id: PropertyId,
    integration_id: IntegrationId,
    event: str,
    user: str,
    *,
    at: datetime | None = None,
) -> Told:
    """Start or end the shift of whoever came or went, now or at an instant before; the integration is the actor.

    Coming starts the first shift that is published or missed, is not over then and begins within an hour; going ends
    the one that is being worked in. The source stands where it stands, so no coordinates are asked for.

    Raises: NotFound, WrongParameters, WrongState where there is no such shift, StoreError
    """
    told = next((known for known in ATTENDANCE_EVENTS if known == event), None)
    if told is None:
        raise WrongParameters(f"Event is one of {', '.join(ATTENDANCE_EVENTS)}")
    integration, organisation_id = await read_integration(platform, property_id, integration_id)
    seat_id, when = integration.seat_of(user), happened_at(at, platform.now())
    async with platform.database.connection() as connection:
        if told == "CLOCK_IN":
            wanted = await shift_to_start(connection, property_id, seat_id, when, when + EARLY_MAX)
        else:
            wanted = await current_shift(connection, property_id, seat_id, when)
            wanted = wanted if wanted is not None and wanted.status == "STARTED" else None
    if wanted is None:
        raise WrongState(f"seat {seat_id} has no shift to {'start' if told == 'CLOCK_IN' else 'end'}")
    act = start_shift if told == "CLOCK_IN" else end_shift
    # Between the question and the act the shift may change; the act looks again, and refuses then.
    shift = await act(platform, property_id, seat_id, wanted.id, at=when, admin=True, actor=integration_id)
    return Told(integration=integration, organisation_id=organisation_id, event=told, user=user, shift=shift, at=when)


def told_record(told: Told) -> dict[str, Json]:
    """What came of it, as Matrix Web Services show it."""
    return {
        "ID": told.user,
        "Event": told.event,
        "Time": int(told.at.timestamp()),
        "IntegrationId": told.integration.id,
        "PropId": told.integration.property_id,
        "Org": told.organisation_id,
        "PID": told.shift.building_id,
        "SourceSeatId": told.user,
        "MatrixSeatId": told.shift.seat_id,
    }
