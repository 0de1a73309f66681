"""The one home of stream and subject names.

Subject of a message of readings: `sensors.<propid>.<pid>.<devtype>`; of an event: `events.<propid>.<routing key>`. Each
part is one word of `ids.subject_token`. The word of the property confines a subscription to what is its property's.
Source: design "The way of the data", docs/decisions/0003-subjects.md, docs/decisions/0011-events.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from matrixhub.model.ids import BuildingId, PropertyId, subject_token
from matrixhub.model.routing import ANY, URGENT, WORDS, expanded, fewest, narrowest, urgent
from matrixhub.model.subscription import Filter, Source

SENSORS_STREAM = "SENSORS"
SENSORS_SUBJECTS = "sensors.>"
EVENTS_STREAM = "EVENTS"
EVENTS_SUBJECTS = "events.>"

MATCHERS_MAX = 4_096
"""So many matchers of events are kept, for patterns are expanded at some cost and asked for again and again."""

STREAMS: Mapping[Source, str] = {"sensors": SENSORS_STREAM, "events": EVENTS_STREAM}
SUBJECTS: Mapping[Source, str] = {"sensors": SENSORS_SUBJECTS, "events": EVENTS_SUBJECTS}

_EVENTS_BEGIN, _URGENT_END = "events.", f".{URGENT}"


def sensor_subject(property_id: PropertyId, building_id: BuildingId, devtype: str) -> str:
    """The subject of readings of one building and device type.

    >>> sensor_subject(PropertyId("p1"), BuildingId("b 1"), "SMARTCLEAN#UM")
    'sensors.p1.b=201.SMARTCLEAN#UM'
    """
    return f"sensors.{subject_token(property_id)}.{subject_token(building_id)}.{subject_token(devtype)}"


def event_subject(property_id: PropertyId, words: Sequence[str]) -> str:
    """The subject of an event with the routing key of these words.

    >>> event_subject(PropertyId("p1"), ["matrix", "b1", "scgrids", "ZONE_CREATED", "NORMAL"])
    'events.p1.matrix.b1.scgrids.ZONE_CREATED.NORMAL'
    """
    return ".".join(["events", subject_token(property_id), *map(subject_token, words)])


def property_pattern(source: Source, property_id: PropertyId) -> str:
    """The subject pattern of all that a stream has of a property.

    >>> property_pattern("sensors", PropertyId("p1"))
    'sensors.p1.>'
    """
    return f"{source}.{subject_token(property_id)}.>"


def filter_pattern(property_id: PropertyId, wanted: Filter) -> str:
    """The narrowest single subject pattern that covers the filter; `filter_matcher` does the rest.

    >>> filter_pattern(PropertyId("p1"), Filter(devtypes=frozenset({"SMARTCLEAN#UM"})))
    'sensors.p1.*.SMARTCLEAN#UM'
    >>> filter_pattern(PropertyId("p1"), Filter(source="events", patterns=frozenset({"matrix.b1.#.HIGH"})))
    'events.p1.matrix.b1.*.*.HIGH'
    """
    if wanted.source == "events":
        return _event_pattern(property_id, narrowest(wanted.patterns))
    building = subject_token(next(iter(wanted.buildings))) if len(wanted.buildings) == 1 else "*"
    devtype = subject_token(next(iter(wanted.devtypes))) if len(wanted.devtypes) == 1 else "*"
    return f"sensors.{subject_token(property_id)}.{building}.{devtype}"


def filter_patterns(property_id: PropertyId, wanted: Filter) -> list[str]:
    """Subject patterns that together cover the filter exactly, zones left aside. Those of readings do not overlap.

    >>> filter_patterns(PropertyId("p"), Filter(devtypes=frozenset({"A", "B"})))
    ['sensors.p.*.A', 'sensors.p.*.B']
    """
    if wanted.source == "events":
        return [_event_pattern(property_id, five) for five in fewest(wanted.patterns)]
    buildings = sorted(map(subject_token, wanted.buildings)) or ["*"]
    devtypes = sorted(map(subject_token, wanted.devtypes)) or ["*"]
    return [f"sensors.{subject_token(property_id)}.{b}.{d}" for b in buildings for d in devtypes]


def _event_pattern(property_id: PropertyId, words: Sequence[str]) -> str:
    tokens = [word if word == ANY else subject_token(word) for word in words]
    return ".".join(["events", subject_token(property_id), *tokens])


def filter_matcher(property_id: PropertyId, wanted: Filter) -> Callable[[str], bool]:
    """A function that says whether a subject is wanted, zones left aside (they are inside the message)."""
    return _event_matcher(property_id, wanted) if wanted.source == "events" else _reading_matcher(property_id, wanted)


@lru_cache(maxsize=MATCHERS_MAX)
def _event_matcher(property_id: PropertyId, wanted: Filter) -> Callable[[str], bool]:
    prefix = f"events.{subject_token(property_id)}."
    patterns = {
        tuple(word if word == ANY else subject_token(word) for word in five)
        for pattern in wanted.patterns
        for five in expanded(pattern)
    }
    # Which words are `*` has few shapes, however many patterns there are: a subject is looked up once for each shape.
    shapes = {tuple(word == ANY for word in five) for five in patterns}

    def matches(subject: str) -> bool:
        if not subject.startswith(prefix):
            return False
        words = subject[len(prefix) :].split(".")
        return not wanted.patterns or (
            len(words) == WORDS
            and any(
                tuple(ANY if any_word else word for any_word, word in zip(shape, words, strict=True)) in patterns
                for shape in shapes
            )
        )

    return matches


def _reading_matcher(property_id: PropertyId, wanted: Filter) -> Callable[[str], bool]:
    prefix = f"sensors.{subject_token(property_id)}."
    buildings = frozenset(map(subject_token, wanted.buildings))
    devtypes = frozenset(map(subject_token, wanted.devtypes))

    def matches(subject: str) -> bool:
        if not subject.startswith(prefix):
            return False
        building, _, devtype = subject[len(prefix) :].partition(".")
        return (not buildings or building in buildings) and (not devtypes or devtype in devtypes)

    return matches


def urgent_filter(wanted: Filter) -> Filter | None:
    """What of the wanted events is urgent, as a filter of its own; None if nothing is.

    >>> urgent_filter(Filter(source="events", patterns=frozenset({"matrix.b1.#"}))).patterns
    frozenset({'matrix.b1.*.*.HIGH'})
    """
    patterns = urgent(wanted.patterns) if wanted.source == "events" else frozenset()
    return replace(wanted, patterns=patterns) if patterns else None


def is_urgent(subject: str) -> bool:
    """Whether the subject is that of an urgent event.

    >>> is_urgent("events.p1.matrix.b1.scgrids.ZONE_REMOVED.HIGH"), is_urgent("sensors.p1.b1.HIGH")
    (True, False)
    """
    return subject.endswith(_URGENT_END) and subject.startswith(_EVENTS_BEGIN)


def subject_property(subject: str) -> str:
    """The word of the property in a subject of either stream: what subscriptions are indexed by."""
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
