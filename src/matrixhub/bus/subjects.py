"""The one home of stream and subject names.

Subject of a message of readings: `sensors.<propid>.<pid>.<devtype>`, each part one word of `ids.subject_token`.
Source: design "The way of the data", docs/decisions/0003-subjects.md
"""

from __future__ import annotations

from collections.abc import Callable

from matrixhub.model.ids import BuildingId, PropertyId, subject_token
from matrixhub.model.subscription import Filter

SENSORS_STREAM = "SENSORS"
SENSORS_SUBJECTS = "sensors.>"


def sensor_subject(property_id: PropertyId, building_id: BuildingId, devtype: str) -> str:
    """The subject of readings of one building and device type.

    >>> sensor_subject(PropertyId("p1"), BuildingId("b 1"), "SMARTCLEAN#UM")
    'sensors.p1.b=201.SMARTCLEAN#UM'
    """
    return f"sensors.{subject_token(property_id)}.{subject_token(building_id)}.{subject_token(devtype)}"


def property_pattern(property_id: PropertyId) -> str:
    """The subject pattern of all readings of a property.

    >>> property_pattern(PropertyId("p1"))
    'sensors.p1.*.*'
    """
    return f"sensors.{subject_token(property_id)}.*.*"


def filter_pattern(property_id: PropertyId, wanted: Filter) -> str:
    """The narrowest single subject pattern that covers the filter; `filter_matcher` does the rest.

    >>> filter_pattern(PropertyId("p1"), Filter(devtypes=frozenset({"SMARTCLEAN#UM"})))
    'sensors.p1.*.SMARTCLEAN#UM'
    """
    building = subject_token(next(iter(wanted.buildings))) if len(wanted.buildings) == 1 else "*"
    devtype = subject_token(next(iter(wanted.devtypes))) if len(wanted.devtypes) == 1 else "*"
    return f"sensors.{subject_token(property_id)}.{building}.{devtype}"


def filter_patterns(property_id: PropertyId, wanted: Filter) -> list[str]:
    """Subject patterns that together cover the filter exactly, zones left aside, and of which no two overlap.

    >>> filter_patterns(PropertyId("p"), Filter(devtypes=frozenset({"A", "B"})))
    ['sensors.p.*.A', 'sensors.p.*.B']
    """
    buildings = sorted(map(subject_token, wanted.buildings)) or ["*"]
    devtypes = sorted(map(subject_token, wanted.devtypes)) or ["*"]
    return [f"sensors.{subject_token(property_id)}.{b}.{d}" for b in buildings for d in devtypes]


def filter_matcher(property_id: PropertyId, wanted: Filter) -> Callable[[str], bool]:
    """A function that says whether a subject is wanted, zones left aside (they are inside the message)."""
    prefix = f"sensors.{subject_token(property_id)}."
    buildings = frozenset(map(subject_token, wanted.buildings))
    devtypes = frozenset(map(subject_token, wanted.devtypes))

    def matches(subject: str) -> bool:
        if not subject.startswith(prefix):
            return False
        building, _, devtype = subject[len(prefix) :].partition(".")
        return (not buildings or building in buildings) and (not devtypes or devtype in devtypes)

    return matches


def subject_property(subject: str) -> str:
    """The word of the property in a subject of readings: what subscriptions are indexed by."""
    return subject.split(".", 2)[1]


def subject_matches(pattern: str, subject: str) -> bool:
    """Whether a subject matches a pattern with `*` for one word and a final `>` for one or more.

    >>> subject_matches("sensors.p1.*.X", "sensors.p1.b.X"), subject_matches("sensors.>", "sensors")
    (True, False)
    """
    wanted, words = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(words) <= len(wanted):
            return False
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(w in ("*", word) for w, word in zip(wanted, words, strict=True))
