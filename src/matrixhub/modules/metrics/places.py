"""How much there is in a property or building.

Source: docs/contract/metrics.md §1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matrixhub.model.devices import Json
from matrixhub.model.errors import NotFound, QueryTooLong, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.modules.grids.buildings import building_metrics
from matrixhub.modules.grids.properties import property_metrics
from matrixhub.modules.grids.records import metrics_record
from matrixhub.modules.work import Platform

PLACE_NAMESPACES: Mapping[str, tuple[str, ...]] = {
    "BUILDING_METRICS": ("LevelsCount", "TotalArea", "ZonesCount"),
    "PROPERTY_METRICS": ("BuildingsCount", "LevelsCount", "TotalArea", "ZonesCount"),
}
"""What is told of a place, by namespace."""

PRINCIPALS_MAX = 100


async def place_metrics(
    platform: Platform, property_id: PropertyId, principals: Sequence[str], namespace: str
) -> list[dict[str, Json]]:
    """The figures of each principal, in their order: of buildings, or of the property.

    Raises: WrongParameters for a namespace that there is not, QueryTooLong for too many principals, NotFound.
    """
    keys = PLACE_NAMESPACES.get(namespace)
    if keys is None:
        raise WrongParameters(f"there is no NS {namespace[:100]!r}; there are {', '.join(PLACE_NAMESPACES)}")
    check_principals(principals)
    found = []
    for principal in principals:
        if namespace == "BUILDING_METRICS":
            counted = await building_metrics(platform, property_id, BuildingId(principal))
        elif principal == property_id:
            counted = await property_metrics(platform, property_id)
        else:
            raise NotFound(f"{principal[:128]!r} is not the property of the request")
        record = metrics_record(counted)
        found.append({key: record[key] for key in keys})
    return found


def check_principals(principals: Sequence[str]) -> None:
    """Raises: WrongParameters for none, QueryTooLong for too many."""
    if not principals:
        raise WrongParameters("a principal is needed")
    if len(principals) > PRINCIPALS_MAX:
        raise QueryTooLong(f"at most {PRINCIPALS_MAX} principals are asked for at once")
