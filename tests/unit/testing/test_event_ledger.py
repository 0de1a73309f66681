"""The books of a receiver of events."""

from __future__ import annotations

import msgspec
import pytest

from matrixhub.model.devices import Json
from matrixhub.model.event import ENVELOPE_FIELDS, envelope, platform_event
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.testing.event_ledger import EventLedger, NotAnEvent


def event(kind: str = "ZONE_CREATED", changes: dict[str, Json] | None = None) -> str:
    made = platform_event(kind, PropertyId("p"), BuildingId("b"), happened_at=1, description="", meta={})
    return msgspec.json.encode({**envelope(made), **(changes or {})}).decode()


def test_what_comes_is_counted_once_by_its_attr() -> None:
    ledger = EventLedger()
    first, second = event(), event("INCIDENT_STARTED")
    ledger.record("r1", [first, second])
    ledger.record("r1", [first, second])
    ledger.record("r2", [first])
    found = ledger.summary()
    assert (found.requests, found.items, found.distinct, found.duplicates) == (3, 5, 2, 3)
    assert (found.duplicates_with_same_request_id, found.duplicates_in_new_request) == (2, 1)
    assert found.by_event == {"ZONE_CREATED": 1, "INCIDENT_STARTED": 1}


@pytest.mark.parametrize("missing", ENVELOPE_FIELDS)
def test_an_event_without_one_of_its_fields_is_none_and_nothing_of_its_request_is_entered(missing: str) -> None:
    document = msgspec.json.decode(event())
    del document[missing]
    ledger = EventLedger()
    with pytest.raises(NotAnEvent, match="item 1"):
        ledger.record("r", [event(), msgspec.json.encode(document).decode()])
    assert ledger.summary().items == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"Another": 1},
        {"RoutingKey": "matrix.b.scgrids.ZONE_CREATED.HIGH"},
        {"RoutingKeyS": ["matrix"]},
        {"Principal": "c"},
        {"Status": "URGENT"},
        {"UnixTime": "2"},
        {"UnixTimeInt": 2},
        {"Time": "1"},
        {"ATTR": "LEVEL_CREATED#p#b#1"},
        {"PType": "zone"},
        {"EType": "zone"},
        {"Meta": None},
    ],
)
def test_an_event_that_breaks_an_invariant_is_none(changes: dict[str, Json]) -> None:
    with pytest.raises(NotAnEvent):
        EventLedger().record("r", [event(changes=changes)])


def test_it_forgets_the_oldest_rather_than_grow_without_end() -> None:
    ledger = EventLedger(events_max=2, request_ids_max=2)
    first = event()
    ledger.record("r1", [first])
    for number in range(3):
        ledger.record(f"r{number + 2}", [event()])
    ledger.record("r1", [first])
    assert ledger.summary().duplicates == 0
