"""What became of a push, or of a part of a stretch that is sent in several."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from matrixhub.deliveries.plan import Batch, Condemned
from matrixhub.model.delivery import Attempt, ParkedItem
from matrixhub.model.errors import DestinationRefused
from matrixhub.model.subscription import Position

Todo = Batch | Condemned


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of readings that will not be sent again."""

    delivered: int = 0
    parked: tuple[ParkedItem, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    refused: int = 0

    def __add__(self, other: Settled) -> Settled:
        return Settled(
            self.delivered + other.delivered,
            self.parked + other.parked,
            self.attempts + other.attempts,
            self.refused + other.refused,
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """A push that must be sent in smaller pieces, or not at all."""

    error: DestinationRefused
    attempt: Attempt


class Failed:
    """A push that is to be sent again when its time has come; that is saved."""


class Stopped:
    """The subscription is not to be delivered any longer; that is saved."""


Outcome = Settled | Refused | Failed | Stopped


@dataclass(slots=True)
class Parcel:
    """A part on its way: what of it is still to be done, and what became of the rest."""

    part: Batch
    todo: deque[Todo]
    total: Settled = Settled()
    urgent: bool = False


def parcel_of(part: Batch) -> Parcel:
    """The part, with all of it still to be done."""
    return Parcel(part, deque([part]))


def start_of(todo: Todo) -> Position:
    """Where the stretch begins that is dealt with."""
    return todo.batch.start if isinstance(todo, Condemned) else todo.start


def end_of(todo: Todo) -> Position:
    """Where the stretch ends that is dealt with."""
    return todo.batch.end if isinstance(todo, Condemned) else todo.end
