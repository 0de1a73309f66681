"""Acts on seats. Source: docs/contract/workforce.md §3.1"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matrixhub.model.errors import MissingParameters, VersionMismatch
from matrixhub.model.ids import PropertyId, SeatId
from matrixhub.model.seat import Seat
from matrixhub.modules.work import Platform
from matrixhub.store import seats as store


async def create_seat(
    platform: Platform, property_id: PropertyId, *, name: str, email: str = "", team: str = "", actor: str
) -> Seat:
    """A new seat of the property. Raises NotFound, MissingParameters, LimitViolated, StoreError."""
    async with platform.work(property_id, actor) as work:
        return await store.create_seat(work.connection, property_id, name=_named(name), email=email, team=team)


async def update_seat(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    *,
    name: str | None = None,
    email: str | None = None,
    team: str | None = None,
    active: bool | None = None,
    version: int | None = None,
    actor: str,
) -> Seat:
    """The seat with what is given changed.

    Raises: NotFound, MissingParameters, VersionMismatch where it is not of the version, StoreError
    """
    async with platform.work(property_id, actor) as work:
        seat = await store.lock_seat(work.connection, property_id, seat_id)
        if version is not None and version != seat.version:
            raise VersionMismatch(f"seat {seat_id} is of version {seat.version}")
        changed = replace(
            seat,
            name=seat.name if name is None else _named(name),
            email=seat.email if email is None else email,
            team=seat.team if team is None else team,
            active=seat.active if active is None else active,
        )
        return await store.save_seat(work.connection, changed)


async def deactivate_seat(platform: Platform, property_id: PropertyId, seat_id: SeatId, *, actor: str) -> Seat:
    """The seat, which takes no new shifts any more and cannot start one. Raises NotFound, StoreError."""
    return await update_seat(platform, property_id, seat_id, active=False, actor=actor)


async def read_seat(platform: Platform, property_id: PropertyId, seat_id: SeatId) -> Seat:
    """A seat of the property. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        return await store.require_seat(connection, property_id, seat_id)


async def list_seats(platform: Platform, property_id: PropertyId) -> Sequence[Seat]:
    """All seats of the property, by number. Raises StoreError."""
    async with platform.database.connection() as connection:
        return await store.list_seats(connection, property_id)


def _named(name: str) -> str:
    if not name.strip():
        raise MissingParameters("a seat has a name")
    return name.strip()
