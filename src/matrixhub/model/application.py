"""Applications of third parties: who they are, which events they may publish, and how many.

Nobody but the hub says in whose name an event is: the module is the id of the application, the property is its own.
Source: docs/contract/event-bus.md §8
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec

from matrixhub.model.errors import (
    InvalidValue,
    LimitViolated,
    MissingParameters,
    RateExceeded,
    RequestError,
    WrongParameters,
)
from matrixhub.model.event import CATALOGUE, PRIORITIES, Event, Priority
from matrixhub.model.ids import ApplicationId, BuildingId, PropertyId

REQUEST_EVENTS_MAX = 100
META_BYTES_MAX = 16 * 1024
META_DEPTH_MAX = 16
DESCRIPTION_MAX = 1_000
NAME_MAX = 200
QUOTA_MAX = 10_000_000

CLOCK_FAULT = timedelta(days=1)
"""Usage from further in the future than this was counted by a clock that was wrong; that of copies differs by less."""

_ID = re.compile(r"[a-z0-9_-]{3,64}")
_EVENT = re.compile(r"[A-Z][A-Z0-9_]{2,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

REQUIRED_FIELDS = ("Event", "Priority", "Description", "Meta")
FIELDS = (*REQUIRED_FIELDS, "Principal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """How many events an application may publish: in the long run, in one burst, and in a day (UTC)."""

    per_minute: int = 60
    burst: int = 100
    per_day: int = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What is left of a quota: the tokens that were in the bucket at an instant, and the events of a day."""

    tokens: float
    at: datetime
    day: date
    day_events: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """An application as a property has registered it; its id is the module of its events."""

    id: ApplicationId
    property_id: PropertyId
    name: str
    quota: Quota
    usage: Usage
    created_at: datetime
    revoked_at: datetime | None = None
    version: int = 1


def check_application_id(text: str) -> ApplicationId:
    """The id, if it can be one.

    >>> check_application_id("lift-monitor")
    'lift-monitor'

    Raises: InvalidValue if it cannot, or could be taken for a module of the platform.
    """
    what = ""
    if _ID.fullmatch(text) is None:
        what = "has 3 to 64 characters of a-z, 0-9, _ and -"
    elif text.startswith("sc"):
        what = "does not begin with sc: those are the platform's own"
    if what:
        raise InvalidValue(f"the id of an application {what}", fields=[("id", what)])
    return ApplicationId(text)


def check_quota(quota: Quota) -> None:
    """Raises: InvalidValue naming the number that is out of range."""
    for name in ("per_minute", "burst", "per_day"):
        value = getattr(quota, name)
        if not 1 <= value <= QUOTA_MAX:
            what = f"is from 1 to {QUOTA_MAX:,}, not {value:,}"
            raise InvalidValue(f"{name} {what}", fields=[(name, what)])


def check_name(name: str) -> None:
    """Raises: InvalidValue if it is too long or has what cannot be shown."""
    if len(name) > NAME_MAX or _CONTROL.search(name):
        what = f"has at most {NAME_MAX} characters, none of them a control character"
        raise InvalidValue(f"the name {what}", fields=[("name", what)])


def fresh_usage(quota: Quota, now: datetime) -> Usage:
    """The usage of an application that has published nothing yet: its bucket is full."""
    return Usage(tokens=float(quota.burst), at=now, day=now.date())


def used(quota: Quota, usage: Usage, count: int, now: datetime) -> Usage:
    """What is left after so many events, taken all together.

    The bucket fills with time, up to a burst. A clock that goes back takes nothing away and gives nothing.
    Raises: RateExceeded with the time after which they may be taken; LimitViolated if they never may.

    >>> now = datetime(2024, 3, 10, tzinfo=UTC)
    >>> used(Quota(), fresh_usage(Quota(), now), 30, now).tokens
    70.0
    """
    refilled = refill(quota, usage, now)
    if count > min(quota.burst, quota.per_day):
        raise LimitViolated(f"{count} events at once are more than the quota ever allows")
    if refilled.day_events + count > quota.per_day:
        tomorrow = datetime.combine(refilled.day + timedelta(days=1), time(), UTC)
        wait_s = (tomorrow - now).total_seconds()
        raise RateExceeded(f"more than {quota.per_day:,} events a day (UTC)", retry_after_s=wait_s)
    missing = count - refilled.tokens
    if missing > 1e-6:  # what adds up from parts of seconds is not exact
        wait_s = missing * 60 / quota.per_minute + max(0.0, (refilled.at - now).total_seconds())
        raise RateExceeded(f"more than {quota.per_minute} events a minute", retry_after_s=wait_s)
    return replace(refilled, tokens=max(0.0, -missing), day_events=refilled.day_events + count)


def refill(quota: Quota, usage: Usage, now: datetime) -> Usage:
    """The usage as it is now, before anything is taken."""
    if usage.at - now > CLOCK_FAULT:
        usage = replace(usage, at=now, day=now.date())
    elapsed_s = max(0.0, (now - usage.at).total_seconds())
    tokens = min(float(quota.burst), usage.tokens + elapsed_s * quota.per_minute / 60)
    today = max(usage.day, now.date())
    day_events = usage.day_events if today == usage.day else 0
    return Usage(tokens=tokens, at=max(usage.at, now), day=today, day_events=day_events)


def application_event(
    application: Application, item: object, buildings: Collection[BuildingId], happened_at: int
) -> Event:
    """The event an application asks for, in its own name.

    Shape:  item is an object of a request, with the fields of FIELDS; buildings are those of the property.
    Units:  happened_at is epoch seconds.
    Raises: MissingParameters, WrongParameters, LimitViolated saying what is wrong with which field.
    """
    if not isinstance(item, Mapping):
        raise WrongParameters("an event is an object")
    missing = [name for name in REQUIRED_FIELDS if name not in item]
    if missing:
        raise MissingParameters(f"{' and '.join(missing)} of an event must be given")
    unknown = sorted(str(name)[:64] for name in item if name not in FIELDS)
    if unknown:
        raise WrongParameters(f"an event has no field {unknown[0]!r}; it has {', '.join(FIELDS)}")
    principal = _principal(application, item.get("Principal"), buildings)
    return Event(
        property_id=application.property_id,
        building_id=BuildingId(principal) if principal in buildings else "",
        event=_event_id(item["Event"]),
        module=application.id,
        priority=_priority(item["Priority"]),
        description=_description(item["Description"]),
        happened_at=happened_at,
        meta=_meta(item["Meta"]),
        principal=principal,
        principal_type="building" if principal in buildings else "property",
        id=uuid.uuid4(),
    )


def _principal(application: Application, given: object, buildings: Collection[BuildingId]) -> str:
    """A building whose id is that of the property goes before it."""
    if given is None:
        return application.property_id
    if isinstance(given, str) and (given == application.property_id or given in buildings):
        return given
    raise WrongParameters("Principal is the property, or one of its buildings")


def _event_id(given: object) -> str:
    if not isinstance(given, str) or _EVENT.fullmatch(given) is None:
        raise WrongParameters("Event begins with a capital letter and has 3 to 64 characters of A-Z, 0-9 and _")
    if given in CATALOGUE:
        raise WrongParameters(f"{given} is an event of the platform")
    return given


def _priority(given: object) -> Priority:
    for priority in PRIORITIES:
        if given == priority:
            return priority
    raise WrongParameters(f"Priority is one of {', '.join(PRIORITIES)}")


def _description(given: object) -> str:
    if not isinstance(given, str):
        raise WrongParameters("Description is a text")
    if len(given) > DESCRIPTION_MAX:
        raise LimitViolated(f"Description has at most {DESCRIPTION_MAX:,} characters")
    if _CONTROL.search(given) or _is_torn(given):
        raise WrongParameters("Description has no control characters")
    return given


def _meta(given: object) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise WrongParameters("Meta is an object")
    if _depth(given, META_DEPTH_MAX) > META_DEPTH_MAX:
        raise LimitViolated(f"Meta is at most {META_DEPTH_MAX} objects or lists deep")
    try:
        size_bytes = len(msgspec.json.encode(given))
    except (UnicodeEncodeError, TypeError, ValueError):
        raise WrongParameters("Meta is a JSON object in UTF-8") from None
    if size_bytes > META_BYTES_MAX:
        raise LimitViolated(f"Meta has at most {META_BYTES_MAX:,} bytes as JSON")
    return given


def _depth(value: object, limit: int) -> int:
    """How deep a document is, looked at no further than is asked for."""
    inner: Collection[object] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return 0
    if limit == 0:
        return 1
    return 1 + max((_depth(part, limit - 1) for part in inner), default=0)


def _is_torn(text: str) -> bool:
    """Whether it has half a character, which no encoding knows."""
    return any("\ud800" <= c <= "\udfff" for c in text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """An event of a request that was not taken: which, from 0, and why."""

    index: int
    error: RequestError
