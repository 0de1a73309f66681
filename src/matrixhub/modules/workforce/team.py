"""What is asked about the people of a property: who fills a seat, and who works together.

Source: docs/contract/workforce.md §3.1
"""

from __future__ import annotations

from collections.abc import Sequence

from matrixhub.model.devices import Json
from matrixhub.model.seat import Seat


def member_groups(seats: Sequence[Seat]) -> list[dict[str, Json]]:
    """The active seats by team, those without one under ''; as Matrix Web Services show them, which is ours.

    >>> member_groups([])
    []
    """
    active = [seat for seat in seats if seat.active]
    return [
        {
            "Group": team,
            "Members": [{"SeatId": seat.id, "Name": seat.name} for seat in active if seat.team == team],
        }
        for team in sorted({seat.team for seat in active})
    ]


def user_details(seat: Seat, *, with_profile: bool) -> dict[str, Json]:
    """Who fills a seat, with how to reach them where that is asked for; the record is ours."""
    record: dict[str, Json] = {
        "SeatId": seat.id,
        "PropId": seat.property_id,
        "Name": seat.name,
        "Team": seat.team,
        "Status": "Active" if seat.active else "Inactive",
    }
    if with_profile:
        record["Profile"] = {"Name": seat.name, "Email": seat.email, "CreatedOn": int(seat.created_at.timestamp())}
    return record
