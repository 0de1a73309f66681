"""Parameters that several resources have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, overload
from uuid import UUID

from litestar.params import PathParameter, QueryParameter

from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import SubscriptionId

SubscriptionQuery = Annotated[
    str | None, QueryParameter(pattern=r"^[\w-]{1,128}$", description="Only those of this subscription.")
]
SubscriptionPath = Annotated[
    str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the subscription, sub_….")
]
SinceQuery = Annotated[datetime | None, QueryParameter(description="Only those from this instant on, RFC 3339.")]
UntilQuery = Annotated[datetime | None, QueryParameter(description="Only those before this instant, RFC 3339.")]


FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@overload
def in_utc(instant: datetime) -> datetime: ...
@overload
def in_utc(instant: datetime | None) -> datetime | None: ...
def in_utc(instant: datetime | None) -> datetime | None:
    """The instant in UTC, which one without zone is taken to be in; at most the first and the last that there are.

    >>> str(in_utc(datetime.fromisoformat("0001-01-01T00:00:00+14:00")))
    '0001-01-01 00:00:00+00:00'
    """
    if instant is None or instant.tzinfo is None:
        return instant and instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return FIRST if instant.year == FIRST.year else LAST


def subscription_id_of(text: str | None) -> SubscriptionId | None:
    """The id, where one is given."""
    return None if text is None else SubscriptionId(text)


def uuids(texts: Sequence[str], path: str) -> tuple[UUID, ...]:
    """The ids. Raises: InvalidValue naming the one that is none."""
    found = []
    for number, text in enumerate(texts):
        try:
            found.append(UUID(text))
        except ValueError:
            where = f"{path}[{number}]"
            raise InvalidValue(f"{where} is not an id", fields=((where, "is not an id"),)) from None
    return tuple(found)
