"""The nouns of Grids as the wire has them, one shape each, and what is the same of all its operations.

Source: docs/contract/grids.md §3
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from matrixhub.api.actions.operation import Answer, Call, Operation
from matrixhub.api.actions.shape import ANY, FLAG, NUMBER, SECONDS, TEXT, Shape, list_of, map_of, may, needs, of
from matrixhub.model.errors import MissingParameters

KEEPS_S = 3600.0
"""How long answers are kept that show nothing but a building, its levels and zones, and its property."""

COORDINATES = of(may("Latitude", NUMBER, "degrees"), may("Longitude", NUMBER, "degrees"))
ADDRESS = of(
    *(needs(name) for name in ("Street", "City", "State", "Country", "PostalCode")), needs("Coordinates", COORDINATES)
)
ADDRESS_ASKED = of(
    *(may(name) for name in ("Street", "City", "State", "Country", "PostalCode")), may("Coordinates", COORDINATES)
)
HOURS = map_of(list_of(of(needs("Start", note="HHMM"), needs("End", note="HHMM"))), "by day, 0 is Sunday")
HOURS_ASKED = map_of(ANY, "by day, 0 is Sunday: list of {Start, End} as HHMM, or null")
UNITS = map_of(list_of(of(needs("Key"), needs("Count", NUMBER))), "by group, such as General")

PROPERTY = of(
    needs("OrgId"),
    needs("PropId"),
    needs("Name"),
    needs("Address", ADDRESS),
    needs("TypeID"),
    needs("Status"),
    needs("TimeZone"),
)
BUILDING = of(
    needs("PropId"),
    needs("PID"),
    needs("Config", of(needs("Email", of(needs("Default"))))),
    needs("OperatingHours", HOURS),
    needs("Coordinates", COORDINATES),
    needs("Name"),
    needs("Address", ADDRESS),
    needs("LevelsCount", NUMBER),
    needs("Status"),
    needs("TimeZone"),
    needs("IsBeaconEnabled", FLAG),
    needs("IsPropertyAddress", FLAG),
    needs("CreatedBy"),
    needs("CreatedOn", SECONDS),
    needs("UpdatedBy"),
    needs("UpdatedOn", SECONDS),
)
METRICS = of(*(needs(name, NUMBER) for name in ("LevelsCount", "ZonesCount", "TotalArea", "BuildingsCount")))
ZONE = of(
    *(needs(name) for name in ("OrgId", "PropId", "PID", "LID", "InsID", "BeaconID", "ZoneCategoryID", "Name")),
    needs("Area", NUMBER),
    needs("FloorType"),
    needs("Tags", map_of(ANY)),
    needs("Units", UNITS),
    needs("Status"),
    needs("OperatingHours", HOURS),
    needs("IsBuildingOperatingHours", FLAG),
    needs("CreatedOn", SECONDS),
)

START = may("ESK", ANY, "`LEK` of the page before; left out for the first page", also=("ExclusiveStartKey",))
IDS = list_of(TEXT)


def operation(
    name: str, summary: str, call: Callable[[Call], Awaitable[Answer]], response: Shape, **facts: Any
) -> Operation:
    """A row of Grids."""
    return Operation(
        name=f"scgrids.{name}",
        service="scgrids",
        summary=summary,
        call=call,
        response=response,
        envelope="grids",
        **facts,
    )


def file_of(call: Call, name: str) -> bytes:
    """The bytes of a file of the form, whose name is taken in any case. Raises MissingParameters."""
    content = any_file_of(call, name)
    if content is None:
        raise MissingParameters(f"{name}: missing, a file of a form")
    return content


def any_file_of(call: Call, name: str) -> bytes | None:
    """The bytes of a file of the form, None where there is none of that name."""
    for given, file in call.files.items():
        if given.lower() == name.lower():
            return file.content
    return None
