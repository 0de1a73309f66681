"""A device slot: its health, its record, and what may be said of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from matrixhub.model.devices import DEVICE_TYPES, battery_unit, device_type, provider_of
from matrixhub.model.errors import MissingParameters, RequestError, WrongParameters
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, SlotId, ZoneId
from matrixhub.model.site import Slot
from matrixhub.model.slot import (
    PARAMETERS_BYTES_MAX,
    SILENCE_S_MAX,
    Commissioning,
    DeviceSlot,
    SlotHealth,
    checked_hardware,
    checked_name,
    checked_provider,
    checked_silence,
    checked_slot_id,
    device_parameters,
    device_record,
    missing_parameters,
    patched_parameters,
    provider_type_filter,
    slot_health,
    slot_record,
)

NOW = datetime(2024, 3, 10, 0, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def slot(devtype: str = "SMARTCLEAN#UM", **fields: Any) -> DeviceSlot:
    parameters = fields.pop("parameters", {})
    hardware_id = fields.pop("hardware_id", "7AD01C93E2")
    return DeviceSlot(
        slot=Slot(
            id=SlotId("e2b15d8f6ca451039d7f80212b3c4d5e"),
            property_id=PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210"),
            building_id=BuildingId("c40d2f6e81b94a0c9e3375ab60d1f8e2"),
            zone_id=ZoneId("0a6f3d9be2784c15b7c04e91d85f62aa"),
            devtype=devtype,
            name="Usage L2 Male",
            time_zone="Asia/Singapore",
            hardware_id=hardware_id,
            parameters=parameters,
        ),
        **{
            "organisation_id": "ORCHARD",
            "level_id": LevelId("7e92ab14cd5340f7b1d8806ec3f4a95b"),
            "created_at": datetime.fromtimestamp(1_709_000_000, UTC),
            "created_by": "admin",
            "updated_at": datetime.fromtimestamp(1_709_000_500, UTC),
            "updated_by": "admin",
            **fields,
        },
    )


def test_the_record_is_that_of_the_contract_to_the_letter() -> None:
    found = slot(firmware="2", connection="BLE", commissioning="commissioned", last_seen_at=NOW)
    assert slot_record(found, unhealthy_after_s=3600, now=NOW) == {
        "ATTR": "attr#devices#info#e2b15d8f6ca451039d7f80212b3c4d5e",
        "Alias": "e2b15d8f6ca451039d7f80212b3c4d5e",
        "Commissioned": 1,
        "Conn": "BLE",
        "CreatedBy": "admin",
        "CreatedOn": 1709000000,
        "DeviceId": "7AD01C93E2",
        "DeviceNotAssociated": 0,
        "Devid": "7AD01C93E2",
        "Display": "Usage L2 Male",
        "FirmwareVersion": "2",
        "ID": "SCDevices#e2b15d8f6ca451039d7f80212b3c4d5e",
        "LID": "7e92ab14cd5340f7b1d8806ec3f4a95b",
        "NS": "DEVICE_INFO_GENERAL",
        "Org": "ORCHARD",
        "PID": "c40d2f6e81b94a0c9e3375ab60d1f8e2",
        "Params": {"DeviceParams": {}},
        "ParamsNotConfigured": 0,
        "ParamsOnDeviceNotConfigured": 0,
        "PartnerId": "SMARTCLEAN",
        "PropId": "5b1e0c7a9d2f4e63a8b4c1d09e77f210",
        "ProviderOrg": "SMARTCLEAN",
        "RequiresHealthCheck": 1,
        "RequiresOnDeviceConfiguration": 0,
        "RequiresParamsConfiguration": 0,
        "SRN": "null",
        "TZ": "Asia/Singapore",
        "Type": "SMARTCLEAN#UM",
        "Unhealthy": 0,
        "UpdatedBy": "admin",
        "UpdatedOn": 1709000500,
        "ZoneId": "0a6f3d9be2784c15b7c04e91d85f62aa",
    }


def test_flags_are_the_numbers_0_and_1_and_no_booleans() -> None:
    for found in (
        slot(),
        slot("ACME#BIN", hardware_id="", commissioning="commissioned", commissioned_at=NOW - 2 * HOUR),
    ):
        record = slot_record(found, unhealthy_after_s=3600, now=NOW)
        assert all(type(record[key]) is int for key in FLAGS)


FLAGS = (
    "Commissioned",
    "DeviceNotAssociated",
    "ParamsNotConfigured",
    "ParamsOnDeviceNotConfigured",
    "RequiresHealthCheck",
    "RequiresOnDeviceConfiguration",
    "RequiresParamsConfiguration",
    "Unhealthy",
)


@pytest.mark.parametrize(
    "found,flags",
    [
        (slot(hardware_id=""), {"DeviceNotAssociated"}),
        (slot("SMARTCLEAN#BIN"), {"ParamsNotConfigured", "RequiresParamsConfiguration"}),
        (slot("SMARTCLEAN#BIN", parameters={"MAX": 110}), {"ParamsNotConfigured", "RequiresParamsConfiguration"}),
        (slot("ACME#BIN", parameters={"MAX": 110, "OFFSET": 5}), {"RequiresParamsConfiguration"}),
        (slot(commissioning="commissioned", commissioned_at=NOW), {"Commissioned"}),
        (slot(commissioning="decommissioned", commissioned_at=NOW - 9 * HOUR), set()),
        (slot(last_seen_at=NOW - 2 * HOUR), {"Unhealthy"}),
    ],
)
def test_each_flag_says_one_thing(found: DeviceSlot, flags: set[str]) -> None:
    record = slot_record(found, unhealthy_after_s=3600, now=NOW)
    assert {key for key in FLAGS if record[key]} == flags | {"RequiresHealthCheck"}


def test_the_java_sdk_gets_its_fields_and_the_same_values() -> None:
    found = slot()
    record = slot_record(found, unhealthy_after_s=0, now=NOW)
    device = device_record(found)
    assert set(device) == {
        *("Alias", "ATTR", "Commissioned", "CreatedOn", "DeviceId", "Display", "ID", "Lid", "PID", "Type", "ZoneId")
    }
    assert device.pop("Lid") == record["LID"]
    assert device.items() <= record.items()


@pytest.mark.parametrize(
    "commissioning,commissioned_for,silent_for,expected",
    [
        ("new", None, None, "never seen"),
        ("new", None, HOUR, "healthy"),
        ("new", None, HOUR + timedelta(seconds=1), "unhealthy"),
        ("commissioned", HOUR, None, "never seen"),
        ("commissioned", 2 * HOUR, None, "unhealthy"),
        ("commissioned", 9 * HOUR, HOUR / 2, "healthy"),
        ("commissioned", HOUR / 2, 2 * HOUR, "unhealthy"),
        ("decommissioned", 9 * HOUR, None, "out of service"),
        ("decommissioned", 9 * HOUR, 5 * HOUR, "out of service"),
    ],
)
def test_health_follows_from_the_silence_and_whether_anything_is_expected(
    commissioning: Commissioning,
    commissioned_for: timedelta | None,
    silent_for: timedelta | None,
    expected: SlotHealth,
) -> None:
    found = slot(
        commissioning=commissioning,
        commissioned_at=None if commissioned_for is None else NOW - commissioned_for,
        last_seen_at=None if silent_for is None else NOW - silent_for,
    )
    assert slot_health(found, unhealthy_after_s=3600, now=NOW) == expected


@pytest.mark.parametrize(
    "devtype,own_s,setting_s,expected",
    [
        ("SMARTCLEAN#UM", None, 3600, "unhealthy"),
        ("SMARTCLEAN#UM", None, 0, "not checked"),
        ("SMARTCLEAN#UM", 0, 3600, "not checked"),
        ("SMARTCLEAN#UM", 86_400, 3600, "healthy"),
        ("SMARTCLEAN#UM", 60, 0, "unhealthy"),
        ("SMARTCLEAN#FD", None, 3600, "not checked"),
        ("SMARTCLEAN#FD", 60, 3600, "unhealthy"),
        ("ACME#X", None, 3600, "unhealthy"),
    ],
)
def test_a_silence_of_its_own_wins_and_what_speaks_only_when_touched_is_not_checked(
    devtype: str, own_s: int | None, setting_s: float, expected: SlotHealth
) -> None:
    found = slot(devtype, unhealthy_after_s=own_s, last_seen_at=NOW - 2 * HOUR)
    assert slot_health(found, unhealthy_after_s=setting_s, now=NOW) == expected
    record = slot_record(found, unhealthy_after_s=setting_s, now=NOW)
    assert record["RequiresHealthCheck"] == int(expected != "not checked")


def test_a_type_of_any_provider_has_the_form_of_the_predefined_type() -> None:
    for kind in DEVICE_TYPES:
        word = kind.devtype.partition("#")[2]
        assert device_type(f"ACME#{word}") is kind
    for other in ("ACME#X", "UM", "#UM", "ACME", "ACME#", "A#B#UM", ""):
        assert device_type(other) is None
    assert provider_of("ACME#UM") == "ACME"
    assert provider_of("UM") == ""


def test_batteries_are_in_millivolt_or_percent() -> None:
    assert {kind.devtype: battery_unit(kind) for kind in DEVICE_TYPES if kind.battery} == {
        "SMARTCLEAN#UM": "mV",
        "SMARTCLEAN#OCCMINEW": "%",
        "SMARTCLEAN#TILT": "%",
    }
    assert all(kind.attribute(kind.battery) for kind in DEVICE_TYPES if kind.battery)


def test_parameters_change_one_by_one_and_null_takes_one_away() -> None:
    before = {"MAX": 110, "OFFSET": 5}
    assert patched_parameters(before, {}) == before
    assert patched_parameters(before, {"OFFSET": None, "X": 0}) == {"MAX": 110, "X": 0}
    with pytest.raises(WrongParameters):
        patched_parameters(before, {"X": "x" * PARAMETERS_BYTES_MAX})


def test_only_missing_parameters_that_the_type_needs_are_told() -> None:
    assert missing_parameters(slot("SMARTCLEAN#TR", parameters={"OFFSET": 0}).slot) == ("MAX",)
    assert missing_parameters(slot("SMARTCLEAN#UM").slot) == ()
    assert missing_parameters(slot("ACME#X").slot) == ()


@pytest.mark.parametrize(
    "wrong,error",
    [
        (lambda: checked_provider(""), WrongParameters),
        (lambda: checked_provider("acme"), WrongParameters),
        (lambda: checked_provider("AC#ME"), WrongParameters),
        (lambda: checked_provider("A" * 33), WrongParameters),
        (lambda: checked_provider("ACME\n"), WrongParameters),
        (lambda: checked_slot_id(" x"), WrongParameters),
        (lambda: checked_slot_id("x" * 129), WrongParameters),
        (lambda: checked_name("  "), MissingParameters),
        (lambda: checked_name("x" * 201), WrongParameters),
        (lambda: checked_name("a\nb"), WrongParameters),
        (lambda: checked_hardware(""), MissingParameters),
        (lambda: checked_hardware("a\x00b"), WrongParameters),
        (lambda: checked_silence(-1), WrongParameters),
        (lambda: checked_silence(SILENCE_S_MAX + 1), WrongParameters),
        (lambda: device_parameters({}), MissingParameters),
        (lambda: device_parameters({"DeviceParams": []}), WrongParameters),
        (lambda: device_parameters({"DeviceParams": {}, "Other": {}}), WrongParameters),
    ],
)
def test_what_cannot_be_is_refused_by_a_named_error(wrong: Any, error: type[RequestError]) -> None:
    with pytest.raises(error):
        wrong()


def test_a_slot_type_or_a_provider_alone_selects() -> None:
    assert provider_type_filter("ODRDTR").devtypes == ("ODRDTR",)
    assert provider_type_filter("ACME#X").devtypes == ("ACME#X",)
    assert provider_type_filter("ACME").provider == "ACME"


def test_a_slot_knows_what_its_type_says() -> None:
    assert slot("ACME#UM").kind is device_type("SMARTCLEAN#UM")
    assert replace(slot("ACME#UM")).provider == "ACME"
