"""Solutions of a property: which there are, and whether it has asked for them.

Source: docs/contract/metrics.md §4
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NewType

from matrixhub.model.errors import NotFound, WrongState
from matrixhub.model.ids import PropertyId

SolutionId = NewType("SolutionId", str)

SolutionStatus = Literal["NOT_ADDED", "PENDING", "APPROVED", "DENIED"]
Decision = Literal["APPROVED", "DENIED"]

SOLUTIONS: Mapping[SolutionId, str] = {
    SolutionId("air"): "Air quality",
    SolutionId("usage"): "Usage",
    SolutionId("spill"): "Spill",
    SolutionId("feedback"): "Feedback",
    SolutionId("consumable"): "Consumable",
    SolutionId("bin"): "Bin",
}
"""The solutions that there are, and what people call them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PropertySolution:
    """A solution as a property has it: not added, or asked for and not decided, approved or denied."""

    id: SolutionId
    property_id: PropertyId
    status: SolutionStatus = "NOT_ADDED"
    requested_by: str = ""
    requested_at: datetime | None = None
    decided_by: str = ""
    decided_at: datetime | None = None


def check_solution(text: str) -> SolutionId:
    """The id of a solution. Raises NotFound.

    >>> check_solution("bin")
    'bin'
    """
    found = SolutionId(text)
    if found not in SOLUTIONS:
        raise NotFound(f"there is no solution {text[:64]!r}; there are {', '.join(SOLUTIONS)}")
    return found


def added(solution: PropertySolution, actor: str, now: datetime) -> PropertySolution:
    """The solution, asked for; one that is already, or was approved, stays. What was denied is asked for anew."""
    if solution.status in ("PENDING", "APPROVED"):
        return solution
    return replace(solution, status="PENDING", requested_by=actor, requested_at=now, decided_by="", decided_at=None)


def decided(solution: PropertySolution, decision: Decision, actor: str, now: datetime) -> PropertySolution:
    """The solution, approved or denied; either may follow the other. Raises WrongState if nobody has asked for it."""
    if solution.status == "NOT_ADDED":
        raise WrongState(f"the solution {solution.id} was not added to the property")
    if solution.status == decision:
        return solution
    return replace(solution, status=decision, decided_by=actor, decided_at=now)
