"""Events of the bus: the catalogue of those the platform makes, and the envelope they travel in.

Source: docs/contract/event-bus.md §2–4
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from matrixhub.model.devices import Json
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import BuildingId, PropertyId

Priority = Literal["HIGH", "MEDIUM", "NORMAL", "LOW"]
PRIORITIES: tuple[Priority, ...] = ("HIGH", "MEDIUM", "NORMAL", "LOW")

PrincipalType = Literal["building", "property"]
Family = Literal["incident", "task", "shift", "shifts", "audit", "zone", "level"]

LITERAL = "matrix"
"""The first word of every routing key."""

WORKFORCE, AUDITS, GRIDS = "scworkforcemanagement", "scaudits", "scgrids"

ENVELOPE_FIELDS = (
    "ID",
    "ATTR",
    "Description",
    "Event",
    "Principal",
    "PType",
    "Entity",
    "EType",
    "RoutingKey",
    "RoutingKeyS",
    "Status",
    "Time",
    "UnixTime",
    "UnixTimeInt",
    "Module",
    "Meta",
)
"""The 16 fields, in the order of the published example."""

_NOT_IN_A_PART = re.compile(r"[.*#>\s\x00-\x1f\x7f]")
_PART_MAX = 128


@dataclass(frozen=True, slots=True)
class EventKind:
    """An event of the catalogue: `family` says which schema its `Meta` has."""

    id: str
    module: str
    priority: Priority
    family: Family


CATALOGUE: Mapping[str, EventKind] = {
    kind.id: kind
    for kind in (
        EventKind("INCIDENT_CREATED", WORKFORCE, "HIGH", "incident"),
        EventKind("INCIDENT_ESCALATED", WORKFORCE, "HIGH", "incident"),
        EventKind("INCIDENT_STARTED", WORKFORCE, "NORMAL", "incident"),
        EventKind("INCIDENT_COMPLETED", WORKFORCE, "NORMAL", "incident"),
        EventKind("INCIDENT_INCOMPLETE", WORKFORCE, "HIGH", "incident"),
        EventKind("SHIFT_STARTED", WORKFORCE, "NORMAL", "shift"),
        EventKind("SHIFTS_PUBLISHED", WORKFORCE, "MEDIUM", "shifts"),
        EventKind("SHIFT_DELAYED", WORKFORCE, "MEDIUM", "shift"),
        EventKind("SHIFT_ABSENT", WORKFORCE, "HIGH", "shift"),
        EventKind("SHIFT_COMPLETED", WORKFORCE, "NORMAL", "shift"),
        EventKind("AUDIT_STARTED", AUDITS, "NORMAL", "audit"),
        EventKind("AUDIT_COMPLETED", AUDITS, "HIGH", "audit"),
        EventKind("TASK_STARTED", WORKFORCE, "NORMAL", "task"),
        EventKind("TASK_COMPLETED", WORKFORCE, "NORMAL", "task"),
        EventKind("TASK_INCOMPLETE", WORKFORCE, "HIGH", "task"),
        EventKind("ZONE_CREATED", GRIDS, "NORMAL", "zone"),
        EventKind("ZONE_NAME_MODIFIED", GRIDS, "MEDIUM", "zone"),
        EventKind("ZONE_STATUS_MODIFIED", GRIDS, "MEDIUM", "zone"),
        EventKind("ZONE_REMOVED", GRIDS, "HIGH", "zone"),
        EventKind("LEVEL_CREATED", GRIDS, "NORMAL", "level"),
        EventKind("LEVEL_NAME_MODIFIED", GRIDS, "MEDIUM", "level"),
        EventKind("INCIDENT_CREATED_OPEN", WORKFORCE, "HIGH", "incident"),
    )
}
"""The 22 published events by id. Source: docs/contract/event-bus.md §4"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened, as its module states it. The envelope follows from it.

    `principal` is the id of the building or property it belongs to, `building_id` '' where it concerns no building,
    `happened_at` epoch seconds. `id` makes its `ATTR`, by which a receiver knows a repeat.
    """

    property_id: PropertyId
    building_id: BuildingId | Literal[""]
    event: str
    module: str
    priority: Priority
    description: str
    happened_at: int
    meta: Mapping[str, Json]
    principal: str
    principal_type: PrincipalType = "building"
    id: uuid.UUID = field(default_factory=uuid.uuid4)


def platform_event(
    event: str,
    property_id: PropertyId,
    building_id: BuildingId,
    *,
    happened_at: int,
    description: str,
    meta: Mapping[str, Json],
) -> Event:
    """An event of the catalogue, whose principal is the building.

    Units:  happened_at is epoch seconds.
    Raises: KeyError if the catalogue does not have it: that is a defect.
    """
    kind = CATALOGUE[event]
    return Event(
        property_id=property_id,
        building_id=building_id,
        event=event,
        module=kind.module,
        priority=kind.priority,
        description=description,
        happened_at=happened_at,
        meta=meta,
        principal=building_id,
    )


def key_part(text: str) -> str:
    """The text as one word of a routing key: dots, wildcards and blanks become `_`.

    >>> key_part("c40d2f6e81b94a0c9e3375ab60d1f8e2"), key_part("Block 7.1 *")
    ('c40d2f6e81b94a0c9e3375ab60d1f8e2', 'Block_7_1__')
    """
    return _NOT_IN_A_PART.sub("_", text)[:_PART_MAX] or "_"


def routing_words(event: Event) -> tuple[str, str, str, str, str]:
    """The five words of the routing key."""
    return (LITERAL, key_part(event.principal), key_part(event.module), key_part(event.event), event.priority)


def envelope(event: Event) -> dict[str, Json]:
    """The event as it is delivered: the 16 fields.

    The suffix of `ATTR` is `<PropId>#<PID>#<uuid>`. Source: docs/contract/event-bus.md §3
    """
    words = routing_words(event)
    seconds = str(event.happened_at)
    building = event.building_id or event.principal
    return {
        "ID": building,
        "ATTR": f"{words[3]}#{event.property_id}#{building}#{event.id}",
        "Description": event.description,
        "Event": words[3],
        "Principal": words[1],
        "PType": event.principal_type,
        "Entity": event.property_id,
        "EType": "property",
        "RoutingKey": ".".join(words),
        "RoutingKeyS": list(words),
        "Status": words[4],
        "Time": f"{words[2]}#{seconds}",
        "UnixTime": seconds,
        "UnixTimeInt": event.happened_at,
        "Module": words[2],
        "Meta": dict(event.meta),
    }


def check_envelope(made: Mapping[str, Json]) -> None:
    """Refuse an envelope that breaks an invariant of the contract.

    Raises: InvalidValue naming the field.
    """
    if tuple(made) != ENVELOPE_FIELDS:
        raise InvalidValue(f"an event has the fields {', '.join(ENVELOPE_FIELDS)}, in this order")
    words, seconds = made["RoutingKeyS"], made["UnixTimeInt"]
    rules: Sequence[tuple[str, bool]] = (
        ("RoutingKeyS", words == [LITERAL, made["Principal"], made["Module"], made["Event"], made["Status"]]),
        ("RoutingKeyS", isinstance(words, list) and all(isinstance(w, str) and key_part(w) == w for w in words)),
        ("RoutingKey", isinstance(words, list) and made["RoutingKey"] == ".".join(map(str, words))),
        ("Status", made["Status"] in PRIORITIES),
        ("UnixTimeInt", type(seconds) is int),
        ("UnixTime", made["UnixTime"] == str(seconds)),
        ("Time", made["Time"] == f"{made['Module']}#{seconds}"),
        ("ATTR", str(made["ATTR"]).startswith(f"{made['Event']}#")),
        ("PType", made["PType"] in ("building", "property")),
        ("EType", made["EType"] in ("building", "property")),
        ("Meta", isinstance(made["Meta"], dict)),
    )
    for name, holds in rules:
        if not holds:
            raise InvalidValue(f"{name} of an event does not fit its other fields", fields=[(name, "does not fit")])
