from __future__ import annotations

import pytest

from matrixhub.model.errors import WrongParameters
from matrixhub.model.ids import BuildingId
from matrixhub.model.workforce_settings import SETTINGS, WorkforceSettings
from matrixhub.modules.workforce.settings import given_value, settings_record, system_settings_record

PUBLISHED = {
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
    "REASSIGNMENT_RESOLVED_MAX": 86_400,
    "REASSIGNMENT_UNRESOLVED_MAX": 259_200,
    "TASK_CLOSURE_PIC_COMPULSORY": True,
    "DELAYED_SHIFT_THRESHOLD": 1800,
    "ABSENT_SHIFT_THRESHOLD": 3600,
    "END_SHIFT_OVERSHOOT": 4200,
    "TIME_FOR_UNSCHEDULED_SHIFT": 28_800,
    "DISTANCE_THRESHOLD_CHECKIN": 1000,
    "ALLOW_EARLY_CHECKOUT": True,
    "AUTO_CLOCKOUT": True,
    "BUILDING_AVAILBILITY": "0",
}


def test_the_defaults_are_those_published() -> None:
    assert {key: kind.default for key, kind in SETTINGS.items()} == PUBLISHED


def test_settings_are_shown_with_their_types_and_units() -> None:
    record = settings_record("schedule", WorkforceSettings({"AUTO_CLOCKOUT": False}), BuildingId("b"))
    assert list(record) == ["ScheduleSettings", "ATTR", "ID"]
    assert (record["ATTR"], record["ID"]) == ("attr#schedules#b", "b")
    shown = record["ScheduleSettings"]
    assert isinstance(shown, dict)
    assert shown["AUTO_CLOCKOUT"] == {
        "Type": "Boolean",
        "BooleanValue": False,
        "Description": "A shift ends by itself",
    }
    assert shown["DISTANCE_THRESHOLD_CHECKIN"] == {
        "Type": "Long",
        "LongValue": 1000,
        "Description": "How far from the building one may clock in",
        "Unit": "m",
    }
    assert shown["BUILDING_AVAILBILITY"]["Value"] == "0"  # type: ignore[call-overload, index]
    assert settings_record("incident", WorkforceSettings({}), BuildingId("b"))["ATTR"] == "attr#incidents#b"


def test_defaults_can_be_asked_for_by_key_also_by_the_other_name() -> None:
    found = system_settings_record("schedule", ["DEFAULT_SHIFT_DURATION", "AUTO_CLOCKOUT"])["ScheduleSettings"]
    assert isinstance(found, dict)
    assert set(found) == {"TIME_FOR_UNSCHEDULED_SHIFT", "AUTO_CLOCKOUT"}
    with pytest.raises(WrongParameters):
        system_settings_record("incident", ["AUTO_CLOCKOUT"])


def test_a_value_is_given_as_it_is_or_in_the_field_of_its_type() -> None:
    assert [given_value("k", v) for v in (7, {"LongValue": 0}, {"BooleanValue": False}, {"Value": "1"})] == [
        7,
        0,
        False,
        "1",
    ]
    with pytest.raises(WrongParameters):
        given_value("k", {"Type": "Long"})
