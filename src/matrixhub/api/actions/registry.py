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
