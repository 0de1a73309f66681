"""Solutions of a property: asked for, approved, denied.

Source: docs/contract/metrics.md §4
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from matrixhub.model.devices import Json
from matrixhub.model.ids import PropertyId
from matrixhub.model.property_solution import (
    SOLUTIONS,
    Decision,
    PropertySolution,
    SolutionId,
    added,
    check_solution,
    decided,
)
from matrixhub.modules.work import Platform, Work
from matrixhub.store.property_solutions import (
    list_property_solutions,
    lock_property_solutions,
    save_property_solution,
)


async def list_solutions(platform: Platform, property_id: PropertyId) -> list[PropertySolution]:
    """Every solution that there is, and how the property has it. Raises StoreError."""
    async with platform.database.connection() as connection:
        found = await list_property_solutions(connection, property_id)
    return [found.get(one, PropertySolution(id=one, property_id=property_id)) for one in SOLUTIONS]


async def show_solution(platform: Platform, property_id: PropertyId, solution_id: str) -> PropertySolution:
    """One solution, and how the property has it. Raises NotFound if there is no such solution, StoreError."""
    wanted = check_solution(solution_id)
    (found,) = [one for one in await list_solutions(platform, property_id) if one.id == wanted]
    return found


async def add_solution(
    platform: Platform, property_id: PropertyId, solution_id: str, *, actor: str
) -> PropertySolution:
    """Ask for a solution. Raises NotFound if there is no such solution or property, StoreError."""
    return await _changed(platform, property_id, solution_id, actor, lambda one, work: added(one, actor, work.now))


async def decide_solution(
    platform: Platform, property_id: PropertyId, solution_id: str, decision: Decision, *, actor: str
) -> PropertySolution:
    """Approve or deny a solution. Raises NotFound, WrongState if it was not asked for, StoreError."""
    return await _changed(
        platform, property_id, solution_id, actor, lambda one, work: decided(one, decision, actor, work.now)
    )


async def _changed(
    platform: Platform,
    property_id: PropertyId,
    solution_id: str,
    actor: str,
    change: Callable[[PropertySolution, Work], PropertySolution],
) -> PropertySolution:
    wanted: SolutionId = check_solution(solution_id)
    async with platform.work(property_id, actor=actor) as work:
        await lock_property_solutions(work.connection, property_id)
        known = await list_property_solutions(work.connection, property_id)
        before = known.get(wanted, PropertySolution(id=wanted, property_id=property_id))
        after = change(before, work)
        if after != before:
            await save_property_solution(work.connection, after)
    return after


def solution_record(solution: PropertySolution) -> dict[str, Json]:
    """A solution as the wire has it. All its keys are ours."""
    return {
        "SolutionId": solution.id,
        "Name": SOLUTIONS[solution.id],
        "PropId": solution.property_id,
        "Status": solution.status,
        "RequestedBy": solution.requested_by,
        "RequestedOn": _seconds(solution.requested_at),
        "DecidedBy": solution.decided_by,
        "DecidedOn": _seconds(solution.decided_at),
    }


def _seconds(at: datetime | None) -> int:
    return int(at.timestamp()) if at else 0
