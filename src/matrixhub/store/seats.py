"""Seats of a property."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matrixhub.model.errors import LimitViolated, NotFound
from matrixhub.model.ids import PropertyId, SeatId
from matrixhub.model.seat import SEATS_MAX, Seat, seat_id
from matrixhub.store.sql import load_statements

_SQL = load_statements("seats.sql")


async def create_seat(connection: Any, property_id: PropertyId, *, name: str, email: str, team: str) -> Seat:
    """A new seat, with the next number. Raises NotFound, LimitViolated."""
    if not await connection.fetchval(_SQL["lock_property"], property_id):
        raise NotFound(f"there is no property {property_id}")
    number = await connection.fetchval(_SQL["next_number"], property_id)
    if number > SEATS_MAX:
        raise LimitViolated(f"a property has at most {SEATS_MAX} seats")
    key = seat_id(property_id, number)
    return _seat(await connection.fetchrow(_SQL["create"], key, property_id, number, name, email, team))


async def require_seat(connection: Any, property_id: PropertyId, seat_id: SeatId) -> Seat:
    """A seat of the property. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["read"], property_id, seat_id), property_id, seat_id)


async def lock_seat(connection: Any, property_id: PropertyId, seat_id: SeatId) -> Seat:
    """A seat that nobody else changes, or plans shifts of, before the transaction ends. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["lock"], property_id, seat_id), property_id, seat_id)


async def save_seat(connection: Any, seat: Seat) -> Seat:
    """The seat as it is kept now; it was locked before. Raises NotFound."""
    row = await connection.fetchrow(
        _SQL["save"], seat.property_id, seat.id, seat.name, seat.email, seat.team, seat.active
    )
    return _found(row, seat.property_id, seat.id)


async def list_seats(connection: Any, property_id: PropertyId) -> Sequence[Seat]:
    """All seats of the property, by number."""
    return [_seat(row) for row in await connection.fetch(_SQL["list"], property_id)]


def _found(row: Any, property_id: PropertyId, seat_id: SeatId) -> Seat:
    if row is None:
        raise NotFound(f"property {property_id} has no seat {seat_id}")
    return _seat(row)


def _seat(row: Any) -> Seat:
    return Seat(**dict(row))
