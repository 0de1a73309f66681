"""Seats: positions in the workforce of a property, each filled by one person.

Source: docs/contract/workforce.md §3
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from matrixhub.model.devices import Json
from matrixhub.model.ids import PropertyId, SeatId

SEATS_MAX = 999
"""Seats of a property: their ids end in three digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """A position in the workforce.

    One that is not active takes no shifts and is not available; one that is confined is available in its zones only.
    """

    id: SeatId
    property_id: PropertyId
    number: int
    name: str
    email: str = ""
    team: str = ""
    active: bool = True
    confined: bool = False
    created_at: datetime
    version: int = 1


def seat_id(property_id: PropertyId, number: int) -> SeatId:
    """The id of a seat of the property.

    >>> seat_id(PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210"), 4)
    '5b1e0c7a9d2f4e63a8b4c1d09e77f210_004'
    """
    return SeatId(f"{property_id}_{number:03d}")


def seat_record(seat: Seat) -> dict[str, Json]:
    """The seat as Matrix Web Services show it; their record of it is not published."""
    return {
        "SeatId": seat.id,
        "PropId": seat.property_id,
        "Name": seat.name,
        "Email": seat.email,
        "Team": seat.team,
        "Status": "Active" if seat.active else "Inactive",
        "CreatedOn": int(seat.created_at.timestamp()),
    }
