"""Settings of incidents and shifts."""

from __future__ import annotations

import pytest

from matrixhub.model.errors import WrongParameters
from matrixhub.model.workforce_settings import SETTINGS, WorkforceSettings, checked_setting

# As published: web-services §9.5.
DEFAULTS = {
    "INCIDENT_HIGH_TIMEOUT": 900,
    "INCIDENT_MEDIUM_TIMEOUT": 1200,
    "INCIDENT_NORMAL_TIMEOUT": 1800,
    "INCIDENT_LOW_TIMEOUT": 3600,
    "AUTO_ASSIGN_INCIDENTS": True,
    "ALLOW_DELETION_OPEN_INCIDENTS": True,
    "ALLOW_DELETION_PUBLISHED_INCIDENTS": True,
    "ALLOW_INCIDENT_REASSIGNMENT": True,
    "ALLOW_REASSIGNMENT_UNRESOLVED": True,
    "ALLOW_REASSIGNMENT_RESOLVED": False,
    "MAX_INCIDENT_REASSIGN_COUNT": 8,
    "REASSIGNMENT_RESOLVED_MAX": 86400,
    "REASSIGNMENT_UNRESOLVED_MAX": 259200,
    "TASK_CLOSURE_PIC_COMPULSORY": True,
    "DELAYED_SHIFT_THRESHOLD": 1800,
    "ABSENT_SHIFT_THRESHOLD": 3600,
    "END_SHIFT_OVERSHOOT": 4200,
    "TIME_FOR_UNSCHEDULED_SHIFT": 28800,
    "DISTANCE_THRESHOLD_CHECKIN": 1000,
    "ALLOW_EARLY_CHECKOUT": True,
    "AUTO_CLOCKOUT": True,
    "BUILDING_AVAILBILITY": "0",
}


def test_the_defaults_are_the_published_ones() -> None:
    assert {kind.key: kind.default for kind in SETTINGS.values()} == DEFAULTS


def test_what_a_building_set_counts_before_the_default() -> None:
    settings = WorkforceSettings({"INCIDENT_HIGH_TIMEOUT": 60, "AUTO_ASSIGN_INCIDENTS": False})
    assert settings.number("INCIDENT_HIGH_TIMEOUT") == 60
    assert settings.number("INCIDENT_LOW_TIMEOUT") == 3600
    assert settings.flag("AUTO_ASSIGN_INCIDENTS") is False
    assert settings.text("BUILDING_AVAILBILITY") == "0"


def test_the_other_published_name_of_a_setting_is_taken() -> None:
    assert checked_setting("schedule", "DEFAULT_SHIFT_DURATION", 3600) == ("TIME_FOR_UNSCHEDULED_SHIFT", 3600)


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("incident", "NO_SUCH_SETTING", 1),
        ("incident", "DELAYED_SHIFT_THRESHOLD", 1),
        ("schedule", "INCIDENT_HIGH_TIMEOUT", 1),
        ("incident", "INCIDENT_HIGH_TIMEOUT", 0),
        ("incident", "INCIDENT_HIGH_TIMEOUT", -5),
        ("incident", "INCIDENT_HIGH_TIMEOUT", 10**12),
        ("incident", "INCIDENT_HIGH_TIMEOUT", True),
        ("incident", "INCIDENT_HIGH_TIMEOUT", "soon"),
        ("incident", "AUTO_ASSIGN_INCIDENTS", 2),
        ("incident", "AUTO_ASSIGN_INCIDENTS", "maybe"),
        ("schedule", "BUILDING_AVAILBILITY", "2"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(group: str, key: str, value: object) -> None:
    with pytest.raises(WrongParameters):
        checked_setting(group, key, value)  # type: ignore[arg-type]
