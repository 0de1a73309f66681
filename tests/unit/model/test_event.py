"""The catalogue of events and their envelope."""

from __future__ import annotations

import dataclasses
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.devices import Json
from matrixhub.model.errors import InvalidValue
from matrixhub.model.event import (
    CATALOGUE,
    ENVELOPE_FIELDS,
    Event,
    check_envelope,
    envelope,
    key_part,
    platform_event,
    routing_words,
)
from matrixhub.model.ids import BuildingId, PropertyId

# As published: event-bus.md §4.
PUBLISHED = """
INCIDENT_CREATED scworkforcemanagement HIGH
INCIDENT_ESCALATED scworkforcemanagement HIGH
INCIDENT_STARTED scworkforcemanagement NORMAL
INCIDENT_COMPLETED scworkforcemanagement NORMAL
INCIDENT_INCOMPLETE scworkforcemanagement HIGH
SHIFT_STARTED scworkforcemanagement NORMAL
SHIFTS_PUBLISHED scworkforcemanagement MEDIUM
SHIFT_DELAYED scworkforcemanagement MEDIUM
SHIFT_ABSENT scworkforcemanagement HIGH
SHIFT_COMPLETED scworkforcemanagement NORMAL
AUDIT_STARTED scaudits NORMAL
AUDIT_COMPLETED scaudits HIGH
TASK_STARTED scworkforcemanagement NORMAL
TASK_COMPLETED scworkforcemanagement NORMAL
TASK_INCOMPLETE scworkforcemanagement HIGH
ZONE_CREATED scgrids NORMAL
ZONE_NAME_MODIFIED scgrids MEDIUM
ZONE_STATUS_MODIFIED scgrids MEDIUM
ZONE_REMOVED scgrids HIGH
LEVEL_CREATED scgrids NORMAL
LEVEL_NAME_MODIFIED scgrids MEDIUM
INCIDENT_CREATED_OPEN scworkforcemanagement HIGH
"""

PROPERTY, BUILDING = PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210"), BuildingId("c40d2f6e81b94a0c9e3375ab60d1f8e2")


def spill(**changes: object) -> Event:
    made = platform_event(
        "INCIDENT_CREATED_OPEN",
        PROPERTY,
        BUILDING,
        happened_at=1710036063,
        description="Spill detected in Washroom L2 Male",
        meta={"TaskId": "1710036063011000417"},
    )
    made = dataclasses.replace(made, id=uuid.UUID("0b6f2c1e-8f0a-4c39-9f0d-6d0d0f3b7a11"))
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_the_catalogue_is_the_published_one() -> None:
    assert [f"{k.id} {k.module} {k.priority}" for k in CATALOGUE.values()] == PUBLISHED.strip().splitlines()


def test_an_envelope_has_the_sixteen_fields_of_the_published_example() -> None:
    made = envelope(spill())
    assert tuple(made) == ENVELOPE_FIELDS
    assert len(made) == 16
    assert made == {
        "ID": BUILDING,
        "ATTR": f"INCIDENT_CREATED_OPEN#{PROPERTY}#{BUILDING}#0b6f2c1e-8f0a-4c39-9f0d-6d0d0f3b7a11",
        "Description": "Spill detected in Washroom L2 Male",
        "Event": "INCIDENT_CREATED_OPEN",
        "Principal": BUILDING,
        "PType": "building",
        "Entity": PROPERTY,
        "EType": "property",
        "RoutingKey": f"matrix.{BUILDING}.scworkforcemanagement.INCIDENT_CREATED_OPEN.HIGH",
        "RoutingKeyS": ["matrix", BUILDING, "scworkforcemanagement", "INCIDENT_CREATED_OPEN", "HIGH"],
        "Status": "HIGH",
        "Time": "scworkforcemanagement#1710036063",
        "UnixTime": "1710036063",
        "UnixTimeInt": 1710036063,
        "Module": "scworkforcemanagement",
        "Meta": {"TaskId": "1710036063011000417"},
    }


def test_an_event_of_the_property_itself_says_so() -> None:
    made = envelope(spill(building_id="", principal=PROPERTY, principal_type="property"))
    assert (made["ID"], made["Principal"], made["PType"]) == (PROPERTY, PROPERTY, "property")
    check_envelope(made)


@given(
    principal=st.text(min_size=1, max_size=200),
    module=st.text(max_size=80),
    event=st.text(max_size=80),
    happened_at=st.integers(0, 2**40),
)
def test_whatever_the_ids_a_key_has_five_words_without_dots_wildcards_or_blanks(
    principal: str, module: str, event: str, happened_at: int
) -> None:
    made = spill(principal=principal, module=module, event=event, happened_at=happened_at)
    words = routing_words(made)
    assert len(words) == 5
    assert all(word and not any(c in ".*#>" or c.isspace() for c in word) for word in words)
    assert str(envelope(made)["RoutingKey"]).split(".") == list(words)
    check_envelope(envelope(made))


def test_ids_as_published_stand_in_the_key_as_they_are() -> None:
    assert key_part(BUILDING) == BUILDING


@pytest.mark.parametrize(
    "broken",
    [
        {"RoutingKey": "matrix.b.scgrids.ZONE_CREATED.NORMAL"},
        {"RoutingKeyS": ["matrix", "b"]},
        {"RoutingKeyS": "matrix"},
        {"Principal": "another"},
        {"Status": "URGENT"},
        {"UnixTime": "1"},
        {"UnixTimeInt": "1710036063"},
        {"UnixTimeInt": True},
        {"Time": "1710036063"},
        {"ATTR": "INCIDENT_CREATED#x"},
        {"Module": "scgrids"},
        {"PType": "zone"},
        {"EType": "zone"},
        {"Meta": []},
    ],
)
def test_an_envelope_that_breaks_an_invariant_is_refused(broken: dict[str, Json]) -> None:
    with pytest.raises(InvalidValue):
        check_envelope({**envelope(spill()), **broken})


@pytest.mark.parametrize("missing", ENVELOPE_FIELDS)
def test_an_envelope_without_one_of_its_fields_is_refused(missing: str) -> None:
    made = envelope(spill())
    del made[missing]
    with pytest.raises(InvalidValue, match="fields"):
        check_envelope(made)


def test_two_events_are_told_apart_by_their_attr() -> None:
    first, second = (
        platform_event("ZONE_CREATED", PROPERTY, BUILDING, happened_at=1, description="", meta={}) for _ in range(2)
    )
    assert envelope(first)["ATTR"] != envelope(second)["ATTR"]
