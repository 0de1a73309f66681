"""One reading of a device becomes one line of the general data format; done here once, never again.

The slot decides everything but the values and the time. What a slot contributes is rendered once, when the slots are
loaded, so that a reading costs a few look-ups and one join of bytes.
Source: docs/contract/sensor-data.md §1 and §5, design decision 1.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec

from matrixhub.bus.subjects import sensor_subject
from matrixhub.model.devices import (
    EXACT_MAX,
    GOOD_THRESHOLD,
    MAX_RATING,
    Attribute,
    DeviceType,
    Json,
    canonical_devtype,
    device_type,
    normal_values,
    parameter,
)
from matrixhub.model.errors import AbsurdTime, BadTime, BadValue, MalformedReading, NoValues, WrongDeviceType
from matrixhub.model.reading_line import render_aggregated, render_calendar
from matrixhub.model.site import Slot
from matrixhub.model.time import (
    SECONDS_BELOW,
    calendar_cache,
    instant_from_iso,
    instant_from_local,
    instant_from_number,
    zone,
)

_BLANKS = re.compile(rb"\s")
_NEEDS_CARE = re.compile(rb"\\|[:,\[]-?[0-9]+(?:\.[0-9]*[eE]|[eE]|\.0+(?![0-9]))")
"""What keeps the bytes of `v` from being passed on as they are: escapes, exponents, whole numbers with a fraction."""

KEY_INSTANT_BITS = 48
"""Room for the instant in a deduplication key: every millisecond of the years 1970 to 9999."""

REMEMBERED_MAX = 2048
"""Different `v` remembered for each device type: most sensors say the same few things again and again."""

_NO_STATS = msgspec.Raw()

_encode = msgspec.json.Encoder().encode
_decode_values = msgspec.json.Decoder(dict[str, Any]).decode


class Incoming(msgspec.Struct, gc=False):
    """A reading as a device sends it. Only `DEVID` and `v` are needed; what the slot knows better is ignored."""

    DEVID: str
    v: msgspec.Raw
    unixT: int | float | str | None = None  # noqa: N815 - the spelling of the wire
    time: str | None = None
    t: str | None = None
    utc: int | float | str | None = None
    unix: int | float | str | None = None
    DevType: str | None = None
    DASSOC: str | None = None
    DevSubType: str | None = None
    stats: msgspec.Raw = _NO_STATS


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeRules:
    """Which instants are believed, in epoch milliseconds and milliseconds ahead of the hub's clock."""

    oldest_ms: int
    ahead_max_ms: int


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """All that a reading of the slot has in common, ready to be joined."""

    key_base: int
    """The device part of a deduplication key: the number of the slot in this process, above any instant."""
    property_id: str
    subject: str
    devtype: str
    tz: ZoneInfo
    calendar: Callable[[int], bytes]
    fixed: bytes
    """What the slot says of place and type, as members of the object."""
    hardware: bytes
    """What it says of the device; the device may know better."""
    middle: bytes
    """Both, framed to stand between `unixT` and the value of `v`."""
    check: Callable[[bytes], bytes]


def plan_slot(slot: Slot, number: int, calendars: dict[tuple[str, bool], Callable[[int], bytes]]) -> SlotPlan:
    """What readings of the slot have in common.

    Shape:  calendars is shared by all slots, so that each region renders a second once.
    """
    devtype = canonical_devtype(slot.devtype)
    kind = device_type(devtype)
    aggregates = kind is not None and kind.aggregates
    tz = zone(slot.time_zone)
    key = (slot.time_zone, aggregates)
    if key not in calendars:
        calendars[key] = calendar_cache(tz, render_aggregated if aggregates else render_calendar)
    fixed: dict[str, str] = {
        "Region": slot.time_zone,
        "DEVID": slot.id,
        "DevType": devtype,
        "PID": slot.building_id,
        "PropId": slot.property_id,
        "InsID": slot.zone_id,
        "Display": slot.name,
        "Type": "",
    }
    if aggregates:
        fixed["ID"] = slot.id
    place = _members(fixed)
    hardware = _members({"DASSOC": slot.hardware_id, "DevSubType": slot.sub_type})
    return SlotPlan(
        key_base=number << KEY_INSTANT_BITS,
        property_id=slot.property_id,
        subject=sensor_subject(slot.property_id, slot.building_id, devtype),
        devtype=devtype,
        tz=tz,
        calendar=calendars[key],
        fixed=place,
        hardware=hardware,
        middle=_middle(place, hardware),
        check=_value_check(kind, *_feedback_limits(slot.parameters)) if kind else _pass_object,
    )


def _middle(place: bytes, hardware: bytes) -> bytes:
    return b',%b,%b,"v":' % (place, hardware)


def reading_instant(item: Incoming, plan: SlotPlan, now_ms: int, rules: TimeRules) -> int | None:
    """The instant of a reading in epoch milliseconds, or None if it came without any time.

    The first of `unixT`, `time`, `t`, `utc`, `unix` that is there counts. Raises: BadTime, AbsurdTime.
    """
    given = item.unixT
    try:
        if isinstance(given, int) and given > SECONDS_BELOW:
            instant = given
        elif given is not None:
            instant = instant_from_number(_number(given))
        elif item.time:
            instant = instant_from_iso(item.time, plan.tz)
        elif item.t:
            instant = instant_from_local(item.t, plan.tz)
        elif item.utc is not None or item.unix is not None:
            instant = instant_from_number(_number(item.utc if item.utc is not None else item.unix))
        else:
            return None
    except ValueError as error:
        raise BadTime(f"the time cannot be read: {error}") from error
    if instant < rules.oldest_ms:
        raise AbsurdTime(f"the time {_shown(instant)} is absurdly old: the device's clock is not set")
    if instant > now_ms + rules.ahead_max_ms:
        raise AbsurdTime(f"the time {_shown(instant)} is absurdly far ahead of the hub's clock")
    return instant


def reading_line(item: Incoming, plan: SlotPlan, instant_ms: int) -> bytes:
    """The reading in the general data format: one JSON object on one line.

    Raises: BadValue, NoValues, WrongDeviceType, MalformedReading.
    """
    if item.DevType is not None and canonical_devtype(item.DevType) != plan.devtype:
        raise WrongDeviceType(f"the reading is of {item.DevType}, but its slot takes {plan.devtype}")
    try:
        end = b"}" if item.stats is _NO_STATS else _stats(bytes(item.stats))
        values = plan.check(bytes(item.v))
    except RecursionError as error:
        raise BadValue("`v` or `stats` is nested too deeply") from error
    middle = plan.middle
    if item.DASSOC is not None or item.DevSubType is not None:
        middle = _middle(plan.fixed, _device_hardware(item, plan))
    calendar = plan.calendar(instant_ms // 1000)
    return b"".join((calendar, b',"unixT":', b"%d" % instant_ms, middle, values, end))


def _stats(raw: bytes) -> bytes:
    """The end of the object with the tags that analytics on the device added."""
    return b"}" if raw == b"null" else b',"stats":%b}' % _pass_object(raw)


def reading_key(plan: SlotPlan, instant_ms: int) -> int:
    """What makes a repeat of a reading: the slot (which has one type) and the instant, as one exact number."""
    return plan.key_base + instant_ms


def _device_hardware(item: Incoming, plan: SlotPlan) -> bytes:
    """The device knows its own number and firmware best; what it does not say stays the slot's."""
    known = msgspec.json.decode(b"{%b}" % plan.hardware, type=dict[str, str])
    if item.DASSOC is not None:
        known["DASSOC"] = item.DASSOC
    if item.DevSubType is not None:
        known["DevSubType"] = item.DevSubType
    return _members(known)


def _members(fields: Mapping[str, str]) -> bytes:
    """The members of an object without its braces."""
    return _encode(fields)[1:-1]


def _feedback_limits(parameters: Mapping[str, Json]) -> tuple[int, int]:
    """What of a slot's parameters the values depend on; most slots have the same, and so share their check."""
    return (
        parameter(parameters, "MaxRating", MAX_RATING),
        parameter(parameters, "GoodThreshold", GOOD_THRESHOLD),
    )


@functools.cache
def _value_check(kind: DeviceType, max_rating: int, good_threshold: int) -> Callable[[bytes], bytes]:
    """A function that gives `v` as it leaves the hub.

    Values that already have their published form, which is nearly all, are decoded once into a struct made for the
    type and their bytes are passed on; everything else takes the long way round through `normal_values`. That both
    ways agree is a property test.
    """
    parameters: Mapping[str, Json] = {"MaxRating": max_rating, "GoodThreshold": good_threshold}
    quick = msgspec.json.Decoder(_struct_for(kind)).decode
    is_normal = _feedback_is_normal(max_rating) if kind.devtype == "SMARTCLEAN#FD" else _any_needed(kind)
    remembered: dict[bytes, bytes] = {}

    def remember(raw: bytes) -> bytes:
        values = remembered.get(raw)
        if values is None:
            if len(remembered) >= REMEMBERED_MAX:
                remembered.clear()
            values = remembered[raw] = check(raw)
        return values

    def check(raw: bytes) -> bytes:
        if _BLANKS.search(raw):
            raw = _compact(raw)
        if not _NEEDS_CARE.search(raw):
            try:
                if is_normal(quick(raw)):
                    return raw
            except msgspec.ValidationError:
                pass  # the long way finds out whether the value can be mended, and says what is wrong if not
        return _encode(_long_way(kind, raw, parameters))

    return remember


def _long_way(kind: DeviceType, raw: bytes, parameters: Mapping[str, Json]) -> dict[str, Json]:
    try:
        return normal_values(kind, _decode_values(raw), parameters)
    except LookupError as error:
        raise NoValues(str(error.args[0])) from error
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise BadValue(str(error)) from error


def _compact(raw: bytes) -> bytes:
    return bytes(msgspec.json.format(raw, indent=-1))


def _pass_object(raw: bytes) -> bytes:
    """An object of a type or place the hub does not know: its content is not touched."""
    compact = _compact(raw) if _BLANKS.search(raw) else raw
    if not compact.startswith(b"{"):
        raise MalformedReading("`v` is not an object")
    try:
        _decode_values(compact)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadValue(f"`v` cannot be read: {error}") from error
    return compact


def _struct_for(kind: DeviceType) -> type[msgspec.Struct]:
    """A struct whose decoding succeeds only where every known attribute has its published type and range.

    Aliases are fields of a type that no JSON value has, so that a reading with one takes the long way.
    """
    fields: list[Any] = []
    rename: dict[str, str] = {}
    for attribute in kind.attributes:
        name = f"a{len(fields)}"
        rename[name] = attribute.key
        fields.append((name, _annotation(attribute) | msgspec.UnsetType, msgspec.UNSET))
        for alias in attribute.aliases:
            name = f"a{len(fields)}"
            rename[name] = alias
            fields.append((name, msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct(f"{kind.devtype}Values", fields, rename=rename, gc=False)


def _annotation(attribute: Attribute) -> Any:
    match attribute.kind:
        case "text":
            return str
        case "object":
            return dict[str, Any]
        case "number":
            low = -EXACT_MAX if attribute.low is None else attribute.low
            high = EXACT_MAX if attribute.high is None else attribute.high
            limits = msgspec.Meta(ge=low, le=high)
            return _limited(int, limits) if attribute.integral else _limited(int, limits) | _limited(float, limits)


def _limited(base: type, limits: msgspec.Meta) -> Any:
    return Annotated[base, limits]


def _any_needed(kind: DeviceType) -> Callable[[Any], bool]:
    names: list[str] = []
    number = 0
    for attribute in kind.attributes:
        if not attribute.optional:
            names.append(f"a{number}")
        number += 1 + len(attribute.aliases)

    absent = (msgspec.UNSET,) * len(names)
    needed = attrgetter(*names) if len(names) > 1 else lambda values: (getattr(values, names[0]),)
    return lambda values: needed(values) != absent


def _feedback_is_normal(best: int) -> Callable[[Any], bool]:
    """Feedback passes as it is when rating, stars and sign are all there and agree (Q7)."""

    def normal(values: Any) -> bool:
        rating, stars, sign = values.a0, values.a1, values.a2
        return (
            rating is not msgspec.UNSET
            and stars is not msgspec.UNSET
            and sign is not msgspec.UNSET
            and rating + stars == best + 1
            and 1 <= stars <= best
        )

    return normal


def _number(value: float | str | None) -> float:
    """A time number, also where it was sent as a string. Raises ValueError."""
    if isinstance(value, str):
        return int(value) if value.lstrip("-").isdigit() else float(value)
    if value is None:
        raise ValueError("no number")
    return value


def _shown(instant_ms: int) -> str:
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms)).isoformat(timespec="seconds")
    except OverflowError:
        return f"{instant_ms} ms"
