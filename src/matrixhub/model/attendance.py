"""Attendance integrations: systems such as gates and terminals that tell when people come and go.

Source: docs/contract/workforce.md §6
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NewType

from matrixhub.model.devices import Json
from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, is_id
from matrixhub.model.text import TEXT_MAX, is_text

IntegrationId = NewType("IntegrationId", str)

AttendanceEvent = Literal["CLOCK_IN", "CLOCK_OUT"]
ATTENDANCE_EVENTS: tuple[AttendanceEvent, ...] = ("CLOCK_IN", "CLOCK_OUT")

USERS_MAX = 5_000
INTEGRATIONS_MAX = 100
"""Integrations of a property."""

EARLY_MAX = timedelta(hours=1)
"""How long before a shift begins its seat may come; who comes earlier does not start it."""

LATE_MAX = timedelta(days=1)
"""How long ago something may have happened that is told now."""

AHEAD_MAX = timedelta(minutes=5)
"""How far the clock of a source may be ahead; what it tells then happens now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttendanceIntegration:
    """A system that tells who comes and goes. `users` is the id of a person there → the seat it fills."""

    id: IntegrationId
    property_id: PropertyId
    name: str
    building_id: BuildingId | None = None
    users: Mapping[str, SeatId]
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def seat_of(self, user: str) -> SeatId:
        """The seat that a person of the source fills. Raises WrongParameters."""
        found = self.users.get(user)
        if found is None:
            raise WrongParameters(f"integration {self.id} has no user {user[:80]!r}")
        return found


def checked_integration(name: str, users: Mapping[str, SeatId]) -> None:
    """Refuse what no integration can be. Raises: MissingParameters, WrongParameters."""
    if not name.strip():
        raise MissingParameters("an integration has a name")
    if not is_text(name):
        raise WrongParameters(f"the name is a text of at most {TEXT_MAX} printable characters")
    if len(users) > USERS_MAX or not all(is_id(user) for user in users):
        raise WrongParameters(f"users are at most {USERS_MAX}, each with an id of 1 to 128 printable characters")


def happened_at(told: datetime | None, now: datetime) -> datetime:
    """When something happened that is told now: now, where nothing is said or the source is a little ahead.

    Raises: WrongParameters for what is too far from now.

    >>> from datetime import UTC
    >>> now = datetime(2024, 3, 10, 8, tzinfo=UTC)
    >>> str(happened_at(now + timedelta(seconds=30), now)), str(happened_at(now - EARLY_MAX, now))
    ('2024-03-10 08:00:00+00:00', '2024-03-10 07:00:00+00:00')
    """
    if told is None:
        return now
    if not now - LATE_MAX <= told <= now + AHEAD_MAX:
        raise WrongParameters("Time is at most a day ago, and at most five minutes ahead")
    return min(told, now)


def integration_record(integration: AttendanceIntegration, organisation_id: str) -> dict[str, Json]:
    """The integration as Matrix Web Services show it."""
    return {
        "Org": organisation_id,
        "IntegrationId": integration.id,
        "DefaultPID": integration.building_id or "",
        "ID": integration.property_id,
        "UserMap": {user: str(seat) for user, seat in integration.users.items()},
        "Description": integration.name,
        "Created": int(integration.created_at.timestamp()),
        "Updated": int(integration.updated_at.timestamp()),
    }
