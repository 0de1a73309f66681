"""All operations there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from matrixhub.api.actions import (
    attendance,
    availability,
    devices,
    escalation,
    grids,
    incidents,
    metrics,
    partners,
    shift_definitions,
    shifts,
    tasks,
    teams,
    telemetry,
    timesheets,
    workforce_settings,
)
from matrixhub.api.actions.operation import Operation
from matrixhub.model.ids import BuildingId

OPERATIONS: tuple[Operation, ...] = (
    *grids.OPERATIONS,
    *devices.OPERATIONS,
    *incidents.OPERATIONS,
    *tasks.OPERATIONS,
    *workforce_settings.OPERATIONS,
    *escalation.OPERATIONS,
    *shifts.OPERATIONS,
    *shift_definitions.OPERATIONS,
    *availability.OPERATIONS,
    *timesheets.OPERATIONS,
    *attendance.OPERATIONS,
    *teams.OPERATIONS,
    *metrics.OPERATIONS,
    *partners.OPERATIONS,
    *telemetry.OPERATIONS,
)
"""Every operation, in the order of the documentation."""

BY_NAME: Mapping[str, Operation] = {
    name: operation for operation in OPERATIONS for name in (operation.name, *operation.also)
}
"""The operations by every name they go by."""


def known_building(operation: str, building: str | None) -> BuildingId | None:
    """The building of a request, where the gate knows it: if the operation is about that building, and no other.

    >>> known_building("scgrids.readZone", "b1"), known_building("scteams.deleteShift", "b1")
    ('b1', None)
    """
    row = BY_NAME.get(operation)
    return BuildingId(building) if building and row is not None and row.about_building else None
