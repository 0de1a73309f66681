"""Settings of incidents and shifts of a building, with the published defaults.

Source: docs/contract/workforce.md §5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from matrixhub.model.errors import WrongParameters

SettingGroup = Literal["incident", "schedule"]
SettingValue = bool | int | str


@dataclass(frozen=True, slots=True)
class SettingKind:
    """A setting: its key on the wire, what it holds and its default. `low` and `high` bound a number."""

    key: str
    group: SettingGroup
    default: SettingValue
    description: str
    unit: str = ""
    low: int = 0
    high: int = 31_536_000


SETTINGS: Mapping[str, SettingKind] = {
    kind.key: kind
    for kind in (
        SettingKind("INCIDENT_HIGH_TIMEOUT", "incident", 900, "Time for an incident of priority H", "s", 1),
        SettingKind("INCIDENT_MEDIUM_TIMEOUT", "incident", 1200, "Time for an incident of priority M", "s", 1),
        SettingKind("INCIDENT_NORMAL_TIMEOUT", "incident", 1800, "Time for an incident of priority N", "s", 1),
        SettingKind("INCIDENT_LOW_TIMEOUT", "incident", 3600, "Time for an incident of priority L", "s", 1),
        SettingKind("AUTO_ASSIGN_INCIDENTS", "incident", True, "Assign incidents that ask for it by themselves"),
        SettingKind("ALLOW_DELETION_OPEN_INCIDENTS", "incident", True, "Open incidents may be deleted"),
        SettingKind("ALLOW_DELETION_PUBLISHED_INCIDENTS", "incident", True, "Assigned incidents may be deleted"),
        SettingKind("ALLOW_INCIDENT_REASSIGNMENT", "incident", True, "Assigned incidents may be reassigned"),
        SettingKind("ALLOW_REASSIGNMENT_UNRESOLVED", "incident", True, "Incomplete incidents may be reassigned"),
        SettingKind("ALLOW_REASSIGNMENT_RESOLVED", "incident", False, "Completed incidents may be reassigned"),
        SettingKind(
            "MAX_INCIDENT_REASSIGN_COUNT", "incident", 8, "How often an incident may be reassigned", "", 0, 1000
        ),
        SettingKind("REASSIGNMENT_RESOLVED_MAX", "incident", 86_400, "How long after completion", "s"),
        SettingKind("REASSIGNMENT_UNRESOLVED_MAX", "incident", 259_200, "How long after it became incomplete", "s"),
        SettingKind("TASK_CLOSURE_PIC_COMPULSORY", "incident", True, "A picture is needed to close a task in the app"),
        SettingKind(
            "DELAYED_SHIFT_THRESHOLD", "schedule", 1800, "A shift not started so long after its start is delayed", "s"
        ),
        SettingKind(
            "ABSENT_SHIFT_THRESHOLD", "schedule", 3600, "A delayed shift not started so much later is absent", "s"
        ),
        SettingKind("END_SHIFT_OVERSHOOT", "schedule", 4200, "A shift ends by itself so long after its end", "s"),
        SettingKind("TIME_FOR_UNSCHEDULED_SHIFT", "schedule", 28_800, "How long an ad-hoc shift is", "s", 60),
        SettingKind("DISTANCE_THRESHOLD_CHECKIN", "schedule", 1000, "How far from the building one may clock in", "m"),
        SettingKind("ALLOW_EARLY_CHECKOUT", "schedule", True, "A shift may end before its time"),
        SettingKind("AUTO_CLOCKOUT", "schedule", True, "A shift ends by itself"),
        SettingKind(
            "BUILDING_AVAILBILITY", "schedule", "0", "1: incidents are assigned by availability, not by shifts"
        ),
    )
}
"""All settings by key, spelled as published."""

ALIASES: Mapping[str, str] = {"DEFAULT_SHIFT_DURATION": "TIME_FOR_UNSCHEDULED_SHIFT"}
"""Other published names of the same settings."""


@dataclass(frozen=True, slots=True)
class WorkforceSettings:
    """The settings of a building: what was set, and the defaults."""

    own: Mapping[str, SettingValue]

    def number(self, key: str) -> int:
        """A number. Raises KeyError if there is no such setting."""
        return int(self._value(key))

    def flag(self, key: str) -> bool:
        """Yes or no. Raises KeyError if there is no such setting."""
        return bool(self._value(key))

    def text(self, key: str) -> str:
        """A text. Raises KeyError if there is no such setting."""
        return str(self._value(key))

    def _value(self, key: str) -> SettingValue:
        return self.own.get(key, SETTINGS[key].default)


def checked_setting(group: SettingGroup, key: str, value: object) -> tuple[str, SettingValue]:
    """The key and value of a setting as they are kept; 0 and 1 are taken for no and yes, texts for what they say.

    Raises: WrongParameters if there is none of that name in the group, or the value does not fit.

    >>> checked_setting("incident", "AUTO_ASSIGN_INCIDENTS", 1)
    ('AUTO_ASSIGN_INCIDENTS', True)
    >>> checked_setting("incident", "INCIDENT_HIGH_TIMEOUT", "900")
    ('INCIDENT_HIGH_TIMEOUT', 900)
    """
    key = ALIASES.get(key, key)
    kind = SETTINGS.get(key)
    if kind is None or kind.group != group:
        raise WrongParameters(f"there is no {group} setting {key[:80]!r}")
    if isinstance(value, str) and not isinstance(kind.default, str):
        value = _said(value)
    if isinstance(kind.default, bool):
        if value in (True, False, 0, 1):
            return key, bool(value)
        raise WrongParameters(f"{key} is true or false")
    if isinstance(kind.default, str):
        if str(value) in ("0", "1"):
            return key, str(value)
        raise WrongParameters(f'{key} is "0" or "1"')
    if isinstance(value, bool) or not isinstance(value, int) or not kind.low <= value <= kind.high:
        raise WrongParameters(f"{key} is a whole number of {kind.low} to {kind.high} {kind.unit}".rstrip())
    return key, value


def _said(text: str) -> object:
    """The flag or the number that a text says, else the text."""
    flags = {"true": True, "false": False}
    return flags.get(text.lower(), int(text) if text.isdecimal() and len(text) < 20 else text)
