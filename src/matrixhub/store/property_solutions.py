"""Which solutions a property has asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matrixhub.model.errors import NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.model.property_solution import PropertySolution, SolutionId
from matrixhub.store.sql import load_statements

_SQL = load_statements("property_solutions.sql")


async def list_property_solutions(connection: Any, property_id: PropertyId) -> Mapping[SolutionId, PropertySolution]:
    """Those that the property has asked for, by id."""
    rows = await connection.fetch(_SQL["list"], property_id)
    return {
        SolutionId(row["solution_id"]): PropertySolution(
            id=SolutionId(row["solution_id"]),
            property_id=property_id,
            status=row["status"],
            requested_by=row["requested_by"],
            requested_at=row["requested_at"],
            decided_by=row["decided_by"] or "",
            decided_at=row["decided_at"],
        )
        for row in rows
    }


async def lock_property_solutions(connection: Any, property_id: PropertyId) -> None:
    """Be the only one who acts on the solutions of the property, until the commit. Raises NotFound."""
    if not await connection.fetchval(_SQL["lock"], property_id):
        raise NotFound(f"there is no property {property_id}")


async def save_property_solution(connection: Any, solution: PropertySolution) -> None:
    """Keep what was asked for or decided."""
    await connection.execute(
        _SQL["save"],
        solution.property_id,
        solution.id,
        solution.status,
        solution.requested_by,
        solution.requested_at,
        solution.decided_by or None,
        solution.decided_at,
    )
