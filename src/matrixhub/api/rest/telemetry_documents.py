"""What the REST face gives of past data, as types; OpenAPI is made from them. The lines themselves are passed on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from matrixhub.api.rest.documents import Given, Next, Taken


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A reading in the general format, as it was pushed; docs/contract/sensor-data.md has all of its fields."""

    DEVID: Annotated[str, Meta(description="Id of the slot.")]
    DevType: Annotated[str, Meta(description="Its type, `<provider>#<type>`.")]
    PropId: Annotated[str, Meta(description="The property.")]
    PID: Annotated[str, Meta(description="The building.")]
    InsID: Annotated[str, Meta(description="The zone.")]
    Region: Annotated[str, Meta(description="Time zone of the building.")]
    unixT: Annotated[int, Meta(description="The instant, epoch milliseconds.")]  # noqa: N815 - the spelling of the wire
    v: Annotated[dict[str, Any], Meta(description="The attributes of the device type.")]


class ReadingPage(msgspec.Struct, frozen=True, kw_only=True):
    """Readings, in time order."""

    items: list[Reading]
    next: Next


class Bucket(Given, frozen=True, kw_only=True):
    """Numbers of one metric that fell into one bucket of time; averages are rounded as floating point numbers are."""

    start: Annotated[datetime, Meta(tz=True, description="When the bucket begins, RFC 3339 in UTC.")]
    local_start: Annotated[str, Meta(description="The same as the time zone of the bucket has it, with its offset.")]
    metric: str
    building_id: str
    zone_id: Annotated[str | None, Meta(description="null where zones are put together.")]
    slot_id: Annotated[str | None, Meta(description="null where slots are put together.")]
    count: Annotated[int, Meta(ge=1, description="How many numbers there are.")]
    sum: float
    avg: float
    min: float
    max: float


class BucketPage(Given, frozen=True, kw_only=True):
    """Numbers in the order of their buckets; one without any is left out."""

    items: list[Bucket]
    next: Next


class ReadingRetention(msgspec.Struct, frozen=True, kw_only=True):
    """For how long readings are kept as past data."""

    days: Annotated[float, Meta(description="So many days.")]
    own: Annotated[bool, Meta(description="Whether the property says so itself; else it is the setting of the hub.")]


class NewReadingRetention(Taken, frozen=True, kw_only=True):
    """For how long readings are to be kept as past data."""

    days: Annotated[int, Meta(ge=1, le=3650, description="So many days.")]
