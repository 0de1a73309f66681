"""What shifts a property usually has: documents that planners work from; no shift follows from them by itself.

Source: docs/contract/workforce.md §3.5
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matrixhub.model.availability import DAY_S
from matrixhub.model.devices import Json
from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters

DEFINITIONS_MAX = 50
NAME_LENGTH_MAX = 100

_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftDefinition:
    """A shift of a day of the week: its times in seconds since local midnight, and how many people it should have."""

    name: str
    start_s: int
    end_s: int
    colour: str = ""
    expected: int | None = None
    expected_by_team: Mapping[str, int] = field(default_factory=dict)


def checked_definitions(definitions: Sequence[ShiftDefinition]) -> tuple[ShiftDefinition, ...]:
    """The shifts of a day in the order of their start.

    Raises: MissingParameters, LimitViolated, WrongParameters where one is no time of a day or a name is used twice
    """
    if not definitions or not all(d.name.strip() for d in definitions):
        raise MissingParameters("at least one shift is needed, and each has a name")
    if len(definitions) > DEFINITIONS_MAX:
        raise LimitViolated(f"at most {DEFINITIONS_MAX} shifts are defined for a day")
    names = [d.name for d in definitions]
    rules = (
        (len(set(names)) == len(names), "no name is used twice"),
        (all(len(name) <= NAME_LENGTH_MAX for name in names), f"a name has at most {NAME_LENGTH_MAX} characters"),
        (all(_is_time(d) for d in definitions), f"Start and End are seconds since midnight, 0 to {DAY_S}, and differ"),
        (all(not d.colour or _COLOUR.fullmatch(d.colour) for d in definitions), "a ColorCode is such as #1F7A4D"),
        (all(_is_staffed(d) for d in definitions), "numbers of people are not below 0"),
    )
    for holds, rule in rules:
        if not holds:
            raise WrongParameters(f"of shift definitions, {rule}")
    return tuple(sorted(definitions, key=lambda d: (d.start_s, d.name)))


def definition_record(definition: ShiftDefinition) -> dict[str, Json]:
    """A definition as Matrix Web Services show it."""
    record: dict[str, Json] = {
        "Name": definition.name,
        "ColorCode": definition.colour,
        "Start": definition.start_s,
        "End": definition.end_s,
    }
    if definition.expected is not None:
        record["ExpectedPresent"] = definition.expected
    if definition.expected_by_team:
        record["ExpectedPresentByTeam"] = dict(definition.expected_by_team)
    return record


def hours_record(definition: ShiftDefinition) -> dict[str, Json]:
    """The hours of a shift as Matrix Web Services show them."""
    return {
        "ShiftName": definition.name,
        "ColorCode": definition.colour,
        "Start": definition.start_s,
        "End": definition.end_s,
    }


def _is_time(definition: ShiftDefinition) -> bool:
    start, end = definition.start_s, definition.end_s
    return 0 <= start < DAY_S and 0 <= end <= DAY_S and start != end


def _is_staffed(definition: ShiftDefinition) -> bool:
    return all(number >= 0 for number in (definition.expected or 0, *definition.expected_by_team.values()))
