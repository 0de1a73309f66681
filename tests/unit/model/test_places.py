"""Places: what values can be, and which events the difference of two states makes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.address import Address, Coordinates, address_document, read_address
from matrixhub.model.errors import LimitViolated, MatrixHubError, VersionMismatch, WrongParameters
from matrixhub.model.event import Event, check_envelope, envelope
from matrixhub.model.floor_plan import IMAGE_BYTES_MAX, PlanPosition, media_type_of
from matrixhub.model.hours import Opening, hours_document, read_hours
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, ZoneId
from matrixhub.model.place import check_version, level_word, status_of
from matrixhub.model.place_draft import BuildingDraft, LevelDraft, ZoneChange, ZoneDraft
from matrixhub.model.place_events import LevelMark, PlaceMarks, ZoneMark, marks_of, place_events
from matrixhub.model.units import UnitCount, read_units, units_document

PROPERTY = PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210")
BUILDING, OTHER = BuildingId("c40d2f6e81b94a0c9e3375ab60d1f8e2"), BuildingId("b2")
NOTHING = PlaceMarks()


def zone_mark(**fields: Any) -> ZoneMark:
    known: dict[str, Any] = {
        "id": ZoneId("z1"),
        "building_id": BUILDING,
        "level_id": LevelId("l2"),
        "name": "Washroom L2 Male",
        "category": "WASHROOMS",
        "status": "Active",
    }
    return ZoneMark(**{**known, **fields})


def level_mark(**fields: Any) -> LevelMark:
    known: dict[str, Any] = {"id": LevelId("l2"), "building_id": BUILDING, "name": "Second", "level": "L2"}
    return LevelMark(**{**known, **fields})


def told(before: PlaceMarks, after: PlaceMarks) -> list[Event]:
    return place_events(PROPERTY, before, after, happened_at=1_710_036_063)


def names(before: PlaceMarks, after: PlaceMarks) -> list[str]:
    return [event.event for event in told(before, after)]


# --- events ---


@pytest.mark.parametrize(("renamed", "status"), list(itertools.product([False, True], ["Active", "Inactive"])))
def test_a_zone_makes_an_event_for_its_name_and_one_for_its_status(renamed: bool, status: str) -> None:
    before = zone_mark()
    after = zone_mark(name="Other" if renamed else before.name, status=status)
    wanted = ["ZONE_NAME_MODIFIED"] * renamed + ["ZONE_STATUS_MODIFIED"] * (status != "Active")
    assert names(marks_of(zones=[before]), marks_of(zones=[after])) == wanted


def test_no_event_tells_what_is_in_none() -> None:
    before, after = zone_mark(), zone_mark(category="LABS", level_id=LevelId("l3"))
    assert names(marks_of(zones=[before]), marks_of(zones=[after])) == []
    assert names(marks_of(levels=[level_mark()]), marks_of(levels=[level_mark(level="L3")])) == []
    assert names(marks_of(levels=[level_mark()]), NOTHING) == []


def test_the_events_of_a_zone_carry_what_is_agreed() -> None:
    changed = zone_mark(name="Washroom L2 Women", status="Inactive")
    created, renamed, status, removed = (
        *told(NOTHING, marks_of(zones=[zone_mark()])),
        *told(marks_of(zones=[zone_mark()]), marks_of(zones=[changed])),
        *told(marks_of(zones=[changed]), NOTHING),
    )
    meta = {
        "InsID": "z1",
        "LID": "l2",
        "PID": BUILDING,
        "Name": "Washroom L2 Male",
        "ZoneCategoryID": "WASHROOMS",
        "Status": "Active",
    }
    now = {**meta, "Name": "Washroom L2 Women", "Status": "Inactive"}
    assert [(e.event, e.priority, e.meta) for e in (created, renamed, status, removed)] == [
        ("ZONE_CREATED", "NORMAL", meta),
        ("ZONE_NAME_MODIFIED", "MEDIUM", {**now, "Previous": "Washroom L2 Male"}),
        ("ZONE_STATUS_MODIFIED", "MEDIUM", {**now, "Previous": "Active"}),
        ("ZONE_REMOVED", "HIGH", now),
    ]
    made = envelope(created)
    check_envelope(made)
    assert made["RoutingKey"] == f"matrix.{BUILDING}.scgrids.ZONE_CREATED.NORMAL"


def test_the_events_of_a_level_carry_what_is_agreed() -> None:
    before, after = marks_of(levels=[level_mark()]), marks_of(levels=[level_mark(name="Sky")])
    meta = {"LID": "l2", "PID": BUILDING, "Name": "Second", "Level": "L2"}
    assert [(e.event, e.meta) for e in (*told(NOTHING, before), *told(before, after))] == [
        ("LEVEL_CREATED", meta),
        ("LEVEL_NAME_MODIFIED", {**meta, "Name": "Sky", "Previous": "Second"}),
    ]


def test_what_moves_to_another_building_goes_there_before_it_comes_here() -> None:
    before = marks_of([level_mark()], [zone_mark()])
    after = marks_of([level_mark(building_id=OTHER)], [zone_mark(building_id=OTHER)])
    assert [(e.event, e.principal) for e in told(before, after)] == [
        ("LEVEL_CREATED", OTHER),
        ("ZONE_REMOVED", BUILDING),
        ("ZONE_CREATED", OTHER),
    ]


_ZONES = st.lists(
    st.builds(
        zone_mark,
        id=st.sampled_from("abc").map(ZoneId),
        name=st.sampled_from("xyz"),
        status=st.sampled_from(["Active", "Inactive"]),
        building_id=st.sampled_from([BUILDING, OTHER]),
    ),
    max_size=4,
)


@given(_ZONES, _ZONES)
def test_events_replayed_on_what_was_give_what_is(before: list[ZoneMark], after: list[ZoneMark]) -> None:
    state = {zone.id: (zone.name, zone.status) for zone in marks_of(zones=before).zones.values()}
    for event in told(marks_of(zones=before), marks_of(zones=after)):
        if event.event == "ZONE_REMOVED":
            del state[ZoneId(str(event.meta["InsID"]))]
        else:
            state[ZoneId(str(event.meta["InsID"]))] = (str(event.meta["Name"]), str(event.meta["Status"]))
    assert state == {zone.id: (zone.name, zone.status) for zone in marks_of(zones=after).zones.values()}


# --- hours ---


def test_hours_are_read_and_written_alike() -> None:
    document = {"0": [{"Start": "0000", "End": "2359"}], "3": [], "6": [{"Start": "0800", "End": "1200"}]}
    assert hours_document(read_hours(document)) == document


def test_openings_of_a_day_are_put_in_order_and_may_touch() -> None:
    found = read_hours({"1": [{"Start": "1300", "End": "1700"}, {"Start": "0900", "End": "1300"}]})
    assert found == {"1": (Opening("0900", "1300"), Opening("1300", "1700"))}


@pytest.mark.parametrize(
    "document",
    [
        [],
        "always",
        None,
        {"7": []},
        {"mon": []},
        {"0": "0900"},
        {"0": [None]},
        {"0": [{"Start": "0900"}]},
        {"0": [{"Start": "900", "End": "1000"}]},
        {"0": [{"Start": "0900", "End": "2400"}]},
        {"0": [{"Start": "0960", "End": "1000"}]},
        {"0": [{"Start": 900, "End": 1000}]},
        {"0": [{"Start": "1000", "End": "1000"}]},
        {"0": [{"Start": "2200", "End": "0600"}]},
        {"0": [{"Start": "0900", "End": "1200"}, {"Start": "1100", "End": "1300"}]},
        {"0": [{"Start": "0900", "End": "1200"}] * 25},
    ],
)
def test_hours_that_cannot_be_are_refused(document: object) -> None:
    with pytest.raises(WrongParameters, match="OperatingHours"):
        read_hours(document)


# --- other values ---


def test_an_address_is_read_and_written_alike() -> None:
    address = Address(
        street="1 Orchard Road",
        city="Singapore",
        postal_code="238801",
        coordinates=Coordinates(latitude=1.3, longitude=103.8),
    )
    assert read_address(address_document(address)) == address
    assert read_address({}) == Address()


@pytest.mark.parametrize(
    "document",
    [
        "1 Orchard Road",
        {"City": 7},
        {"City": "a\x00b"},
        {"Coordinates": "here"},
        {"Coordinates": {"Latitude": 91, "Longitude": 0}},
        {"Coordinates": {"Latitude": 10**400, "Longitude": 0}},
        {"Coordinates": {"Latitude": float("nan"), "Longitude": 0}},
        {"Coordinates": {"Latitude": True, "Longitude": 0}},
    ],
)
def test_an_address_that_cannot_be_is_refused(document: object) -> None:
    with pytest.raises(WrongParameters):
        read_address(document)


def test_units_are_read_in_both_forms_and_written_in_the_newer() -> None:
    assert units_document(read_units(["Sink"])) == {"General": [{"Key": "Sink", "Count": 1}]}
    assert read_units({"General": [{"Key": "Sink", "Count": 3}]}) == {"General": (UnitCount("Sink", 3),)}


@pytest.mark.parametrize(
    "document",
    [
        "Sink",
        {"General": "Sink"},
        {"General": [{"Key": "Sink"}]},
        {"General": [{"Key": "Sink", "Count": -1}]},
        {"General": [{"Key": "Sink", "Count": True}]},
        {"": []},
        {"a\x00": []},
        {"General": ["Sink"] * 201},
    ],
)
def test_units_that_cannot_be_are_refused(document: object) -> None:
    with pytest.raises(WrongParameters):
        read_units(document)


def test_a_status_is_taken_in_any_case_and_kept_as_published() -> None:
    assert [status_of("zone", text) for text in ("active", "pending", "Inactive")] == ["Active", "PENDING", "Inactive"]
    assert status_of("building", "Draft") == "draft"


@pytest.mark.parametrize(
    ("kind", "status"), [("zone", "draft"), ("property", "draft"), ("building", ""), ("zone", "gone")]
)
def test_a_status_a_place_cannot_have_is_refused(kind: Any, status: str) -> None:
    with pytest.raises(WrongParameters, match=f"the status of a {kind}"):
        status_of(kind, status)


def test_a_level_has_a_word_where_its_name_is_one() -> None:
    assert [level_word(name) for name in ("L2", "L-1", "Level 2", "L")] == ["L2", "L-1", "", ""]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ZoneDraft(level_id=LevelId("l"), name=""), "name"),
        (lambda: ZoneDraft(level_id=LevelId("l"), name=" Lobby"), "name"),
        (lambda: ZoneDraft(level_id=LevelId("l"), name="x" * 201), "name"),
        (lambda: ZoneDraft(level_id=LevelId("l"), name="a\nb"), "name"),
        (lambda: ZoneChange(area=-1.0), "area"),
        (lambda: ZoneChange(area=float("nan")), "area"),
        (lambda: ZoneChange(floor_type="x" * 501), "floor_type"),
        (lambda: ZoneChange(tags={"a": "\x00"}), "tags"),
        (lambda: ZoneChange(tags={"a": "x" * 5000}), "tags"),
        (lambda: LevelDraft(name="Two", level="2"), "level"),
        (lambda: building(levels_count=61), "levels_count"),
        (lambda: building(levels_count=-1), "levels_count"),
        (lambda: building(time_zone="Mars/Olympus"), "time_zone"),
        (lambda: building(email="nobody"), "email"),
    ],
)
def test_a_draft_that_cannot_be_is_refused_naming_the_field(make: Any, named: str) -> None:
    with pytest.raises(WrongParameters, match=f"^{named}: "):
        make()


def building(**fields: Any) -> BuildingDraft:
    known: dict[str, Any] = {
        "name": "Tower",
        "operating_hours": {},
        "levels_count": 3,
        "country": "SG",
        "country_locale": "en",
    }
    return BuildingDraft(**{**known, **fields})


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0...", "image/jpeg"),
        (b"<svg onload='alert(1)'/>", WrongParameters),
        (b"GIF89a", WrongParameters),
        (b"", WrongParameters),
        (b"\x89PNG\r\n\x1a\n" + bytes(IMAGE_BYTES_MAX), LimitViolated),
    ],
)
def test_the_type_of_an_image_is_told_by_its_bytes(image: bytes, wanted: str | type[MatrixHubError]) -> None:
    if isinstance(wanted, str):
        assert media_type_of(image) == wanted
    else:
        with pytest.raises(wanted):
            media_type_of(image)


@pytest.mark.parametrize("x", [-0.01, 1.01, float("nan")])
def test_a_position_lies_on_the_plan(x: float) -> None:
    with pytest.raises(WrongParameters):
        PlanPosition(kind="zone", id="z", x=x, y=0.5)


def test_a_version_is_compared_only_where_one_is_wanted() -> None:
    check_version(3, None)
    check_version(3, 3)
    with pytest.raises(VersionMismatch):
        check_version(3, 2)
