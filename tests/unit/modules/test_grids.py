"""Grids on the wire: what is asked is read, what is answered has exactly the published keys."""

from __future__ import annotations

import base64
import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from matrixhub.model.address import Address, Coordinates
from matrixhub.model.errors import LimitViolated, MatrixHubError, MissingParameters, WrongParameters
from matrixhub.model.floor_plan import FloorPlan, PlanPosition
from matrixhub.model.hours import Opening
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, ZoneId
from matrixhub.model.place import Building, Level, Page, PlaceMetrics, Property, Zone, ZoneCategory, ZoneUnit
from matrixhub.model.place_draft import (
    BuildingChange,
    LevelChange,
    LevelDraft,
    PropertyChange,
    PropertyDraft,
    ZoneChange,
    ZoneDraft,
)
from matrixhub.model.units import UnitCount
from matrixhub.modules.grids import inputs, records
from matrixhub.modules.grids.zones import changed_zone

AT = datetime(2024, 3, 10, 0, 5, 9, 417_000, tzinfo=UTC)
KEPT: dict[str, Any] = {"created_by": "ann", "created_at": AT, "updated_by": "bob", "updated_at": AT}
DAY = {"0": (Opening("0000", "2359"),)}

PROPERTY = Property(
    id=PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210"),
    organisation_id="ORCHARD",
    name="Orchard",
    type_id="BANK",
    address=Address(city="Singapore"),
    status="Active",
    time_zone="Asia/Singapore",
    country="SG",
    country_locale="en",
    plan_type="FREEMIUM",
    **KEPT,
)
BUILDING = Building(
    id=BuildingId("c40d2f6e81b94a0c9e3375ab60d1f8e2"),
    property_id=PROPERTY.id,
    name="Tower",
    time_zone="Asia/Singapore",
    operating_hours=DAY,
    own_address=Address(city="Own", coordinates=Coordinates(latitude=1.25, longitude=103.5)),
    property_address=Address(city="Property's"),
    is_property_address=False,
    email="desk@example.test",
    levels_count=4,
    is_beacon_enabled=True,
    area=1000.0,
    status="draft",
    country="SG",
    country_locale="en",
    **KEPT,
)
LEVEL = Level(
    id=LevelId("7e92ab14cd5340f7b1d8806ec3f4a95b"),
    property_id=PROPERTY.id,
    building_id=BUILDING.id,
    name="Second",
    level="L2",
    area=100.5,
    **KEPT,
)
ZONE = Zone(
    id=ZoneId("0a6f3d9be2784c15b7c04e91d85f62aa"),
    organisation_id="ORCHARD",
    property_id=PROPERTY.id,
    building_id=BUILDING.id,
    level_id=LEVEL.id,
    name="Washroom L2 Male",
    category="WASHROOMS",
    area=40.0,
    floor_type="Tile",
    tags={},
    units={"General": (UnitCount("Sink", 3),)},
    status="Active",
    beacon_id="",
    own_hours={},
    building_hours=DAY,
    is_building_hours=True,
    **KEPT,
)
PNG = b"\x89PNG\r\n\x1a\n..."


# --- the contract page ---

PAGE = Path(__file__).parents[3] / "docs" / "contract" / "grids.md"
OPERATIONS = [
    [re.findall(r"`(\w[\w.]*)`", cell) for cell in row.split("|")[1:6]]
    for row in PAGE.read_text(encoding="utf-8").partition("## 2. ")[2].partition("\n## ")[0].splitlines()
    if row.startswith("| `")
]


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row[0][0])
def test_every_operation_of_the_contract_has_its_functions(row: list[list[str]]) -> None:
    _, functions, _, reads, writes = row
    for name in functions:
        module, _, function = name.partition(".")
        assert callable(getattr(importlib.import_module(f"matrixhub.modules.grids.{module}"), function))
    assert all(callable(getattr(inputs, name)) for name in reads)
    assert all(callable(getattr(records, name)) for name in writes)
    assert functions
    assert writes


# --- records ---


def test_the_published_example_of_a_zone_is_answered_key_for_key() -> None:
    published = {
        "OrgId": "ORCHARD",
        "PropId": "5b1e0c7a9d2f4e63a8b4c1d09e77f210",
        "PID": "c40d2f6e81b94a0c9e3375ab60d1f8e2",
        "LID": "7e92ab14cd5340f7b1d8806ec3f4a95b",
        "InsID": "0a6f3d9be2784c15b7c04e91d85f62aa",
        "BeaconID": "N.A.",
        "ZoneCategoryID": "WASHROOMS",
        "Name": "Washroom L2 Male",
        "Area": 40,
        "FloorType": "Tile",
        "Status": "Active",
        "OperatingHours": {"0": [{"Start": "0000", "End": "2359"}]},
        "IsBuildingOperatingHours": True,
    }
    units = {"General": [{"Key": "Sink", "Count": 3}]}
    assert records.zone_record(ZONE) == {**published, "Tags": {}, "Units": units, "CreatedOn": 1710029109}
    assert isinstance(records.zone_record(ZONE)["Area"], int)


def test_the_zone_map_is_answered_as_published() -> None:
    page = Page((ZONE,), None)
    assert [records.zone_map_entry(zone) for zone in page.items] == [
        {
            "PID": BUILDING.id,
            "LID": LEVEL.id,
            "InsID": ZONE.id,
            "Name": "Washroom L2 Male",
            "ZoneCategoryID": "WASHROOMS",
        }
    ]
    assert records.last_key(page) == ""


RECORDS: list[tuple[dict[str, Any], str]] = [
    (records.property_record(PROPERTY), "OrgId PropId Name Address TypeID Status TimeZone"),
    (records.property_subscription_record(PROPERTY), "PropId PlanType"),
    (
        records.property_collaboration_record(PROPERTY),
        "ID ATTR Modules Status OrgId OwnerOrgId PropId SUB1 NS SRN CreatedBy CreatedOn",
    ),
    (
        records.building_record(BUILDING),
        (
            "PropId PID Config OperatingHours Coordinates Name Address LevelsCount Status TimeZone IsBeaconEnabled "
            "IsPropertyAddress CreatedBy CreatedOn UpdatedBy UpdatedOn"
        ),
    ),
    (records.level_entry(LEVEL), "Name Level LID Area FloorPlanExists"),
    (records.level_record(LEVEL, None), "Name Level Area FloorPlan LID"),
    (records.new_level_record(LEVEL, None), "Name FloorPlan LID"),
    (records.zone_entry(ZONE), "InsID LID ZoneCategoryID Name Area FloorType Status"),
    (
        records.metrics_record(PlaceMetrics(buildings=1, levels=2, zones=3, area=4.5)),
        "LevelsCount ZonesCount TotalArea BuildingsCount",
    ),
    (
        records.zone_category_record(ZoneCategory(id="LABS", name="Labs", property_type_id="SCHOOL")),
        "Name PropertyTypeID CategoryID",
    ),
    (
        records.zone_unit_record(ZoneUnit(id="SINK", name="Sink", image_url="", category_id="WASHROOMS")),
        "Name UnitID ImageURL ZoneCategoryID",
    ),
]


@pytest.mark.parametrize(("record", "keys"), RECORDS)
def test_a_record_has_exactly_the_keys_of_the_wire(record: dict[str, Any], keys: str) -> None:
    assert list(record) == keys.split()


def test_a_building_has_the_address_of_its_property_where_it_says_so() -> None:
    own, shared = (
        records.building_record(replace(BUILDING, is_property_address=whose))["Address"] for whose in (False, True)
    )
    assert isinstance(own, dict)
    assert isinstance(shared, dict)
    assert (own["City"], shared["City"]) == ("Own", "Property's")
    assert records.building_record(BUILDING)["Coordinates"] == {"Latitude": 1.25, "Longitude": 103.5}
    assert records.building_record(replace(BUILDING, is_property_address=True))["Coordinates"] == {}


def test_a_floor_plan_is_answered_in_base64_and_read_back() -> None:
    plan = FloorPlan(level_id=LEVEL.id, media_type="image/png", image=PNG)
    text = records.level_record(LEVEL, plan)["FloorPlan"]
    assert inputs.level_draft({"Name": "Two", "Level": "L2", "FloorPlan": text}).floor_plan == PNG


def test_a_page_that_is_not_the_last_gives_the_key_of_the_next() -> None:
    key = records.last_key(Page((ZONE,), ZONE.id))
    assert key != ZONE.id
    assert inputs.start_key({"ESK": key}) == ZONE.id


@pytest.mark.parametrize(
    "document", [{}, {"ESK": ""}, {"ESK": None}, {"ESK": {}}, {"ESK": records.last_key(Page((), None))}]
)
def test_without_a_key_the_first_page_is_meant(document: dict[str, Any]) -> None:
    assert inputs.start_key(document) == ""


def test_a_key_is_also_taken_in_the_older_forms() -> None:
    key = records.last_key(Page((ZONE,), ZONE.id))
    assert inputs.start_key({"ESK": {"ID": BUILDING.id, "ATTR": key}}) == ZONE.id
    assert inputs.start_key({"ExclusiveStartKey": key}) == ZONE.id


@pytest.mark.parametrize("key", ["!!!", 7, ["x"], "A" * 401, base64.b64encode(b"\xff\xfe").decode(), "AAAA"])
def test_a_key_that_no_page_gave_is_refused(key: object) -> None:
    with pytest.raises(WrongParameters):
        inputs.start_key({"ESK": key})


# --- inputs ---


def test_a_property_is_read() -> None:
    document = {
        "Name": "Orchard",
        "TypeID": "BANK",
        "Address": {"City": "Singapore"},
        "TimeZone": "Asia/Singapore",
        "Country": "SG",
        "CountryLocale": "en",
    }
    draft = PropertyDraft(
        name="Orchard",
        type_id="BANK",
        address=Address(city="Singapore"),
        time_zone="Asia/Singapore",
        country="SG",
        country_locale="en",
    )
    assert inputs.property_draft(document) == draft
    assert inputs.property_draft({**document, "PlanType": "FREEMIUM"}) == replace(draft, plan_type="FREEMIUM")


def test_a_building_is_read() -> None:
    draft = inputs.building_draft(
        {
            "Name": "Tower",
            "OperatingHours": {"0": [{"Start": "0000", "End": "2359"}]},
            "LevelsCount": 4,
            "Country": "SG",
            "CountryLocale": "en",
            "Email": {"Default": "desk@example.test"},
            "IsBeaconEnabled": 1,
            "Area": 1000,
            "SomethingNewer": True,
        }
    )
    assert (draft.operating_hours, draft.levels_count, draft.email) == (DAY, 4, "desk@example.test")
    assert (draft.is_beacon_enabled, draft.is_property_address, draft.area) == (True, False, 1000.0)


def test_several_zones_are_read() -> None:
    document = {"Zone": [{"LID": "l", "Name": "A", "ZoneCategoryID": "LABS"}, {"LID": "l", "Name": "B", "Area": 4}]}
    assert inputs.zone_drafts(document) == [
        ZoneDraft(level_id=LevelId("l"), name="A", category="LABS"),
        ZoneDraft(level_id=LevelId("l"), name="B", area=4.0),
    ]


def test_what_a_change_does_not_name_stays() -> None:
    assert inputs.zone_change({"InsID": "z"}) == ZoneChange()
    assert inputs.zone_change({"Status": "PENDING", "Name": None}) == ZoneChange(status="PENDING")
    assert inputs.building_change({"Status": "Active"}) == BuildingChange(status="Active")
    assert inputs.property_change({"Name": "New"}) == PropertyChange(name="New")
    assert inputs.level_change({"LID": "l", "Area": 3}) == LevelChange(area=3.0)


def test_a_level_is_read_and_named_in_both_spellings() -> None:
    assert inputs.level_draft({"Name": "Two", "Level": "L2", "FloorPlan": ""}) == LevelDraft(name="Two", level="L2")
    assert inputs.level_id({"LID": "l"}) == inputs.level_id({"lid": "l"}) == "l"


def test_lists_and_positions_are_read() -> None:
    assert inputs.category_ids({}) == []
    assert inputs.category_ids({"ZoneCategoryIDs": ["LABS"]}) == ["LABS"]
    assert inputs.required_ids({"InsIDs": ["a", "b"]}, "InsIDs") == ["a", "b"]
    position = {"Kind": "slot", "ID": "s", "X": 0, "Y": 0.5}
    assert inputs.plan_positions({"Positions": [position]}) == [PlanPosition(kind="slot", id="s", x=0.0, y=0.5)]
    assert records.plan_position_record(PlanPosition(kind="slot", id="s", x=0.0, y=0.5)) == position


BUILDING_DOCUMENT = {"Name": "T", "OperatingHours": {}, "LevelsCount": 1, "Country": "SG", "CountryLocale": "en"}


@pytest.mark.parametrize(
    ("read", "document", "error"),
    [
        *((inputs.building_draft, {**BUILDING_DOCUMENT, key: None}, MissingParameters) for key in BUILDING_DOCUMENT),
        (inputs.property_draft, {"Name": "x"}, MissingParameters),
        (inputs.property_type, {"Name": "x"}, MissingParameters),
        (inputs.level_draft, {"Name": "x"}, MissingParameters),
        (inputs.level_id, {}, MissingParameters),
        (inputs.zone_drafts, {}, MissingParameters),
        (inputs.zone_drafts, {"Zone": []}, MissingParameters),
        (inputs.zone_drafts, {"Zone": [{"Name": "x"}]}, MissingParameters),
        (inputs.zone_category, {"Name": "x", "CategoryID": "X"}, MissingParameters),
        (inputs.zone_unit, {"Name": "x", "UnitID": "X"}, MissingParameters),
        (inputs.plan_positions, {}, MissingParameters),
        (inputs.building_draft, {**BUILDING_DOCUMENT, "LevelsCount": 61}, WrongParameters),
        (inputs.building_draft, {**BUILDING_DOCUMENT, "LevelsCount": 1.5}, WrongParameters),
        (inputs.building_draft, {**BUILDING_DOCUMENT, "LevelsCount": "four"}, WrongParameters),
        (inputs.building_draft, {**BUILDING_DOCUMENT, "LevelsCount": 10**400}, WrongParameters),
        (inputs.building_draft, {**BUILDING_DOCUMENT, "Email": "desk@example.test"}, WrongParameters),
        (inputs.building_draft, {**BUILDING_DOCUMENT, "IsBeaconEnabled": "yes"}, WrongParameters),
        (inputs.building_draft, {**BUILDING_DOCUMENT, "Name": " "}, WrongParameters),
        (inputs.zone_drafts, {"Zone": {"LID": "l"}}, WrongParameters),
        (inputs.zone_drafts, {"Zone": ["x"]}, WrongParameters),
        (inputs.zone_change, {"Name": 7}, WrongParameters),
        (inputs.zone_change, {"Tags": []}, WrongParameters),
        (inputs.zone_change, {"Area": True}, WrongParameters),
        (inputs.level_id, {"LID": " x"}, WrongParameters),
        (inputs.level_draft, {"Name": "x", "Level": "L1", "FloorPlan": "?"}, WrongParameters),
        (inputs.level_draft, {"Name": "x", "Level": "L1", "FloorPlan": "A" * 3_000_000}, LimitViolated),
        (inputs.category_ids, {"ZoneCategoryIDs": "LABS"}, WrongParameters),
        (inputs.category_ids, {"ZoneCategoryIDs": ["a\x00"]}, WrongParameters),
        (inputs.plan_positions, {"Positions": [{"Kind": "door", "ID": "d", "X": 0, "Y": 0}]}, WrongParameters),
        (inputs.zone_unit, {"UnitID": "X", "Name": "", "ZoneCategoryID": "Y"}, WrongParameters),
    ],
)
def test_what_cannot_be_read_is_a_named_error(
    read: Callable[[dict[str, Any]], object], document: dict[str, Any], error: type[MatrixHubError]
) -> None:
    with pytest.raises(error):
        read(document)


# --- whose hours ---


@pytest.mark.parametrize(
    ("change", "whose", "in_force"),
    [
        (ZoneChange(name="x"), True, DAY),
        (ZoneChange(operating_hours={"1": ()}), False, {"1": ()}),
        (ZoneChange(operating_hours={"1": ()}, is_building_hours=True), True, DAY),
        (ZoneChange(is_building_hours=False), False, {}),
    ],
)
def test_hours_of_a_zone_are_its_own_or_those_of_the_building(
    change: ZoneChange, whose: bool, in_force: dict[str, Any]
) -> None:
    zone = changed_zone(ZONE, change)
    assert (zone.is_building_hours, zone.operating_hours) == (whose, in_force)
