"""Every device type of the platform as a table: attributes, units, ranges and quirks.

Source: docs/contract/sensor-data.md §2–4; the quirk numbers Q1–Q15 are those of its §3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A decoded JSON value."""

EXACT_MAX = 2**53
"""Larger numbers are not held exactly by receivers that keep numbers as doubles; no device measures one."""

_NUMBER = re.compile(r"\s*-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)

Kind = Literal["number", "text", "object"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """One key of `v`: what it holds and within which limits.

    `key` is the spelling that leaves the hub; `aliases` are accepted on ingest. `text` attributes are strings on the
    wire even where they hold a number. An `optional` attribute does not make a reading on its own.
    """

    key: str
    kind: Kind = "number"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    integral: bool = False
    optional: bool = False
    aliases: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceType:
    """A predefined device type: how its `v` looks and which solution reads it."""

    devtype: str
    name: str
    solution: str
    attributes: tuple[Attribute, ...]
    aggregates: bool = False
    """Readings also carry `AGG` (same as `t`) and `ID` (same as `DEVID`), as published for UM, FD and AQ Lite."""
    occupied: int | None = None
    """The value of `occ` that means occupied: 0 for the enclosed types, 1 for the open area (Q4)."""
    aliases: tuple[str, ...] = ()
    battery: str = ""
    """The key of `v` that tells the battery, in the unit of its attribute; '' where none does."""
    required_parameters: tuple[str, ...] = ()
    """What a slot of this type must be told before it can be commissioned (docs/contract/devices.md §5)."""
    regular: bool = True
    """Whether the device reports by itself, so that its silence means something."""

    def attribute(self, key: str) -> Attribute | None:
        """The attribute of that key or alias."""
        return next((a for a in self.attributes if key == a.key or key in a.aliases), None)


def _level(name: str, devtype: str, solution: str, what: str) -> DeviceType:
    return DeviceType(
        devtype=devtype,
        name=name,
        solution=solution,
        required_parameters=("MAX", "OFFSET"),
        attributes=(
            Attribute(key="p", unit="%", low=0, high=100, note=f"{what} percent; low means action is needed (Q10)"),
            Attribute(
                key="d", unit="mm", low=0, optional=True, note="sensor to content; grows as the level falls (Q11)"
            ),
        ),
    )


def _scored(key: str) -> tuple[Attribute, ...]:
    return (
        Attribute(key=key, unit="ppm", low=0),
        Attribute(key=f"{key}_zscore", optional=True, note="anomaly score against the predicted level"),
        Attribute(key=f"{key}_expected", unit="ppm", optional=True, note="predicted level"),
    )


def _text(key: str, note: str, unit: str = "") -> Attribute:
    return Attribute(key=key, kind="text", unit=unit, optional=True, note=note)


DEVICE_TYPES: tuple[DeviceType, ...] = (
    DeviceType(
        devtype="SMARTCLEAN#PPLCTR",
        name="People counter",
        solution="usage",
        attributes=(
            Attribute(key="count", unit="people in", low=0, integral=True, note="since the last report (Q12)"),
            Attribute(key="out_count", unit="people out", low=0, integral=True, note="since the last report (Q12)"),
        ),
    ),
    DeviceType(
        devtype="SMARTCLEAN#UM",
        name="Usage monitor (PC Lite)",
        solution="usage",
        aggregates=True,
        battery="b",
        attributes=(
            Attribute(key="count", unit="entries", low=0, integral=True, note="motion, not directional (Q13)"),
            _text("b", "battery, a string (Q2)", unit="mV"),
            _text("u", "undocumented counter, a string (Q2)"),
        ),
    ),
    DeviceType(
        devtype="SMARTCLEAN#FD",
        name="Feedback tablet or QR feedback",
        solution="feedback",
        aggregates=True,
        regular=False,
        attributes=(
            Attribute(key="rating", low=1, integral=True, note="1 is best; MaxRating + 1 - s (Q7)"),
            Attribute(key="s", unit="stars", low=1, integral=True, note="higher is better (Q7)"),
            Attribute(key="n", low=0, integral=True, optional=True, note="1 negative, any other value positive (Q8)"),
            _text("nm", "name of the rating"),
            _text("c", "id of the slot configuration"),
            _text("type", "category, such as DEFECT or FEEDBACK"),
            Attribute(key="reasons", kind="object", optional=True, note="only with negative feedback (Q9)"),
        ),
    ),
    _level("Toilet roll level", "SMARTCLEAN#TR", "consumable", "remaining"),
    _level("Paper towel level", "SMARTCLEAN#PT", "consumable", "remaining"),
    _level("Soap level", "SMARTCLEAN#SS", "consumable", "remaining"),
    _level("Bin level", "SMARTCLEAN#BIN", "bin", "empty"),
    DeviceType(
        devtype="SMARTCLEAN#WD",
        name="Spill detection",
        solution="spill",
        attributes=(
            Attribute(key="value", low=0, high=1, integral=True, note="1 is a spill"),
            Attribute(key="AreaP", unit="%", low=0, high=100, note="part of the field of view that is wet"),
        ),
    ),
    DeviceType(
        devtype="SMARTCLEAN#ODRDTR",
        name="Air quality, wired",
        solution="air_quality",
        attributes=(
            *_scored("amm"),
            *_scored("alc"),
            *_scored("no2"),
            _text("rssi", "signal, a string (Q1)", unit="dBm"),
        ),
        aliases=("ODRDTR",),
    ),
    DeviceType(
        devtype="SMARTCLEAN#ODRDTR_BATT_V1",
        name="Air quality lite",
        solution="air_quality",
        aggregates=True,
        attributes=(
            Attribute(key="amm", unit="ppb", low=0, note="ppb here, ppm when wired (Q5)"),
            Attribute(key="aqi", unit="index", low=0, high=500, note="1 to 500; 0 while the device warms up"),
            Attribute(key="rh", unit="0.1 %", low=0, high=1000, note="ten times the value (Q6)"),
            Attribute(key="temp", unit="0.1 °C", low=-1000, high=2000, note="ten times the value (Q6)"),
        ),
    ),
    DeviceType(
        devtype="SMARTCLEAN#ODRDTR_10_IN_1",
        name="Air quality 10-in-1",
        solution="",
        attributes=(
            Attribute(key="temperature", unit="°C", low=-100, high=200),
            Attribute(key="humidity", unit="%", low=0, high=100),
            Attribute(key="light_level", unit="level", low=0, high=5, integral=True, note="see LIGHT_LEVELS (Q15)"),
            Attribute(key="co2", unit="ppm", low=0),
            Attribute(key="pir_trigger", low=0, high=1, integral=True, note="1 is motion"),
            Attribute(key="tvoc", unit="mg/m³", low=0),
            Attribute(key="pressure", unit="mbar", low=0),
            Attribute(key="hcho", unit="mg/m³", low=0, note="formaldehyde"),
            Attribute(key="pm_25", unit="µg/m³", low=0, aliases=("pm_2.5",), note="spelled both ways (Q14)"),
            Attribute(key="pm_10", unit="µg/m³", low=0),
        ),
    ),
    DeviceType(
        devtype="SMARTCLEAN#OCCMINEW",
        name="Enclosed occupancy, type 1",
        solution="",
        occupied=0,
        battery="batt",
        attributes=(
            Attribute(key="occ", low=0, high=1, integral=True, note="0 occupied, 1 free (Q4)"),
            Attribute(key="batt", unit="%", optional=True),
            Attribute(key="rssi", unit="dBm", optional=True, note="a number here (Q1)"),
            _text("C", "undocumented (Q3)"),
            _text("Disass", "undocumented (Q3)"),
            _text("Src", "undocumented (Q3)"),
        ),
    ),
    DeviceType(
        devtype="SMARTCLEAN#OCCSCM",
        name="Enclosed occupancy, type 2",
        solution="",
        occupied=0,
        attributes=(
            Attribute(key="occ", low=0, high=1, integral=True, note="0 occupied, 1 free (Q4)"),
            _text("b", "undocumented battery flag (Q3)"),
        ),
    ),
    DeviceType(
        devtype="SMARTCLEAN#OCCDESK",
        name="Open-area occupancy",
        solution="",
        occupied=1,
        attributes=(Attribute(key="occ", low=0, high=1, integral=True, note="1 occupied, 0 free (Q4)"),),
    ),
    DeviceType(
        devtype="SMARTCLEAN#TILT",
        name="Tree tilt",
        solution="",
        battery="v",
        attributes=(
            Attribute(key="Xt", unit="°", low=-360, high=360, note="against a recorded baseline"),
            Attribute(key="Yt", unit="°", low=-360, high=360, note="against a recorded baseline"),
            Attribute(key="Zt", unit="°", low=-360, high=360, note="against a recorded baseline"),
            Attribute(key="v", unit="%", low=0, high=100, optional=True, note="battery; a `v` inside `v`"),
            _text("Tb", "undocumented"),
        ),
    ),
    DeviceType(
        devtype="SMARTCLEAN#TH",
        name="Temperature and humidity",
        solution="",
        attributes=(
            Attribute(key="t", unit="°C", low=-100, high=200, note="inside `v`; not the time"),
            Attribute(key="h", unit="%", low=0, high=100),
        ),
    ),
)

_BY_NAME: Mapping[str, DeviceType] = {name: kind for kind in DEVICE_TYPES for name in (kind.devtype, *kind.aliases)}
_BY_WORD: Mapping[str, DeviceType] = {kind.devtype.partition("#")[2]: kind for kind in DEVICE_TYPES}

LIGHT_LEVELS: Mapping[int, tuple[int, int]] = {0: (0, 5), 1: (6, 50), 2: (51, 100), 3: (101, 500)}
"""Lux range of each light level of the 10-in-1 (Q15)."""

MAX_RATING = 5
"""Stars on a feedback tablet unless its slot's parameters say otherwise."""

GOOD_THRESHOLD = 3
"""Stars from which feedback counts as good unless the slot's parameters say otherwise."""


def device_type(devtype: str) -> DeviceType | None:
    """The predefined type of a slot type, whoever provides it, or None if it is not predefined.

    >>> device_type("ODRDTR").devtype, device_type("ACME#UM").devtype, device_type("ACME#X")
    ('SMARTCLEAN#ODRDTR', 'SMARTCLEAN#UM', None)
    """
    found = _BY_NAME.get(devtype)
    if found is None:
        provider, mark, word = devtype.partition("#")
        found = _BY_WORD.get(word) if provider and mark else None
    return found


def provider_of(devtype: str) -> str:
    """Who supplies devices of a slot type; '' if it does not say.

    >>> provider_of("ACME#UM"), provider_of("ODRDTR")
    ('ACME', 'SMARTCLEAN')
    """
    provider, mark, _ = canonical_devtype(devtype).partition("#")
    return provider if mark else ""


def battery_level(kind: DeviceType, values: Mapping[str, Json]) -> float | None:
    """The battery that `v` tells, in millivolt or percent as the type has it, or None.

    >>> battery_level(device_type("SMARTCLEAN#UM"), {"count": 1, "b": "2980"})
    2980.0
    """
    value = values.get(kind.battery) if kind.battery else None
    if value is None:
        return None
    try:
        return float(_number(kind.battery, value))
    except ValueError:
        return None  # a text that is no number tells nothing; the reading itself was taken


def battery_unit(kind: DeviceType) -> str:
    """The unit of the battery of a type; '' where it tells none.

    >>> battery_unit(device_type("SMARTCLEAN#UM")), battery_unit(device_type("SMARTCLEAN#TILT"))
    ('mV', '%')
    """
    found = kind.attribute(kind.battery) if kind.battery else None
    return found.unit if found else ""


def canonical_devtype(devtype: str) -> str:
    """The spelling that leaves the hub: AQ Wired is sometimes named without its provider (README §7 row 7)."""
    kind = _BY_NAME.get(devtype)
    return kind.devtype if kind else devtype


def is_occupied(devtype: str, occ: int) -> bool | None:
    """Whether `occ` says that the place is taken, or None if the type has no occupancy.

    The push never turns the value round (Q4); this helper is for readers.

    >>> is_occupied("SMARTCLEAN#OCCMINEW", 0), is_occupied("SMARTCLEAN#OCCDESK", 0)
    (True, False)
    """
    kind = device_type(devtype)
    if kind is None or kind.occupied is None:
        return None
    return occ == kind.occupied


def ammonia_ppb(devtype: str, amm: float) -> float:
    """Ammonia in parts per billion, whichever the unit of the device type (Q5).

    >>> ammonia_ppb("SMARTCLEAN#ODRDTR", 0.4), ammonia_ppb("SMARTCLEAN#ODRDTR_BATT_V1", 120)
    (400.0, 120)
    """
    kind = device_type(devtype)
    return amm * 1000 if kind is not None and kind.devtype == "SMARTCLEAN#ODRDTR" else amm


def display_value(devtype: str, key: str, value: float) -> tuple[float, str]:
    """The value and unit as a person reads them: AQ Lite sends tenths of a percent and of a degree (Q6).

    >>> display_value("SMARTCLEAN#ODRDTR_BATT_V1", "rh", 734)
    (73.4, '%')
    """
    kind = device_type(devtype)
    found = kind.attribute(key) if kind else None
    unit = found.unit if found else ""
    if unit.startswith("0.1 "):
        return value / 10, unit.removeprefix("0.1 ")
    return value, unit


def standard_metric(devtype: str, key: str) -> str:
    """The published name of a raw metric.

    >>> standard_metric("SMARTCLEAN#PPLCTR", "count")
    'sg.smartclean.pplctr.raw.count'
    """
    return f"sg.smartclean.{canonical_devtype(devtype).rpartition('#')[2].lower()}.raw.{key}"


def normal_values(kind: DeviceType, values: Mapping[str, Json], parameters: Mapping[str, Json]) -> dict[str, Json]:
    """`v` as it leaves the hub: published spellings and types, unknown keys untouched, known nulls left out.

    Shape:  values is the decoded `v`; parameters are those of the slot (MaxRating, GoodThreshold).
    Raises: ValueError naming the attribute that has the wrong type or lies outside its range; LookupError if none of
            the attributes that make a reading of this type is there.
    """
    known: dict[str, Json] = {}
    rest: dict[str, Json] = {}
    for key, value in values.items():
        attribute = kind.attribute(key)
        if attribute is None:
            rest[key] = value
        elif value is not None:
            known[attribute.key] = _normal_value(attribute, value)
    if kind.devtype == "SMARTCLEAN#FD":
        known = _normal_feedback(known, parameters)
    needed = [a.key for a in kind.attributes if not a.optional]
    if not any(key in known for key in needed):
        raise LookupError(f"`v` has none of {_listed(needed)}")
    return {**known, **rest}


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _normal_value(attribute: Attribute, value: Json) -> Json:
    match attribute.kind:
        case "text":
            return _normal_text(attribute, value)
        case "object":
            if not isinstance(value, dict):
                raise ValueError(f"`{attribute.key}` is not an object")
            return value
        case "number":
            return _normal_number(attribute, value)


def _normal_text(attribute: Attribute, value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"`{attribute.key}` is not a string")
    return str(int(value)) if value == int(value) else str(value)


def _normal_number(attribute: Attribute, value: Json) -> int | float:
    number = _number(attribute.key, value)
    if attribute.integral and isinstance(number, float):
        raise ValueError(f"`{attribute.key}` is {number}, not a whole number")
    if attribute.low is not None and number < attribute.low:
        raise ValueError(f"`{attribute.key}` is {number}, below {attribute.low:g}")
    if attribute.high is not None and number > attribute.high:
        raise ValueError(f"`{attribute.key}` is {number}, above {attribute.high:g}")
    return number


def _number(key: str, value: Json) -> int | float:
    """The number, parsed from a string if need be; a float without a fraction becomes an integer."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ValueError(f"`{key}` is {value[:40]!r}, not a number")
        try:
            value = float(value) if any(c in value for c in ".eE") else int(value)
        except ValueError as error:
            raise ValueError(f"`{key}` is {str(value)[:40]!r}, not a number") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"`{key}` is not a number")
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"`{key}` is not a finite number")
        if value.is_integer():
            value = int(value)
    if not -EXACT_MAX <= value <= EXACT_MAX:
        raise ValueError(f"`{key}` is beyond what every receiver can hold exactly (2^53)")
    return value


def _normal_feedback(known: dict[str, Json], parameters: Mapping[str, Json]) -> dict[str, Json]:
    """Rating and stars made consistent, and `n` where it is missing (Q7, Q8, README §7 rows 13 and 29)."""
    best = parameter(parameters, "MaxRating", MAX_RATING)
    rating, stars = known.get("rating"), known.get("s")
    if isinstance(stars, int):
        # The stars are what the person touched; the rating is always derived from them.
        known["rating"] = rating = best + 1 - stars
    elif isinstance(rating, int):
        known["s"] = stars = best + 1 - rating
    if isinstance(rating, int) and isinstance(stars, int):
        if not 1 <= stars <= best:
            raise ValueError(f"`s` is {stars} and `rating` {rating}, outside 1 to {best}")
        known.setdefault("n", int(stars < parameter(parameters, "GoodThreshold", GOOD_THRESHOLD)))
    return known


def parameter(parameters: Mapping[str, Json], name: str, default: int) -> int:
    """A whole number from the slot's parameters, or the default where it is missing or something else."""
    value = parameters.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
