"""Figures and solutions, as the REST face gives them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from matrixhub.api.rest.documents import Given, Instant
from matrixhub.model.property_solution import SOLUTIONS, PropertySolution, SolutionStatus
from matrixhub.modules.metrics import Bucket

Figures = Annotated[dict[str, float], Meta(description="Figures by key, such as `ZonesCount`.")]
Day = Annotated[str, Meta(pattern=r"^\d{8}$", description="A day in the time of the building, YYYYMMDD.")]


class FiguresView(Given, frozen=True, kw_only=True):
    """How much there is in a building or property."""

    principal: Annotated[str, Meta(description="The building or property.")]
    namespace: str
    figures: Figures


class DayView(Given, frozen=True, kw_only=True):
    """What happened on a day."""

    day: Day
    counts: Annotated[dict[str, int], Meta(description="Counts by key, such as `WorkOrderCount:WD`.")]


class DaysView(Given, frozen=True, kw_only=True):
    """What happened day by day, the first day first."""

    principal: Annotated[str, Meta(description="The building or property.")]
    namespace: str
    items: list[DayView]


class SolutionView(Given, frozen=True, kw_only=True):
    """A solution, and whether the property has it."""

    id: str
    name: str
    status: SolutionStatus
    requested_by: str
    requested_at: Instant | None
    decided_by: str
    decided_at: Instant | None


class SolutionList(Given, frozen=True, kw_only=True):
    """Every solution that there is."""

    items: list[SolutionView]


def days_view(namespace: str, principal: str, buckets: list[Bucket]) -> DaysView:
    """Days as they are given out."""
    items = [DayView(day=bucket.day, counts=dict(bucket.counts)) for bucket in buckets]
    return DaysView(principal=principal, namespace=namespace, items=items)


def solution_view(found: PropertySolution) -> SolutionView:
    """A solution as it is given out."""
    return SolutionView(
        id=found.id,
        name=SOLUTIONS[found.id],
        status=found.status,
        requested_by=found.requested_by,
        requested_at=found.requested_at,
        decided_by=found.decided_by,
        decided_at=found.decided_at,
    )
