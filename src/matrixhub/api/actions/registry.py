"""All operations there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from matrixhub.api.actions import devices, grids, incidents, metrics, partners
from matrixhub.api.actions.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *grids.OPERATIONS,
    *devices.OPERATIONS,
    *incidents.OPERATIONS,
    *metrics.OPERATIONS,
    *partners.OPERATIONS,
)
"""Every operation, in the order of the documentation."""

BY_NAME: Mapping[str, Operation] = {
    name: operation for operation in OPERATIONS for name in (operation.name, *operation.also)
}
"""The operations by every name they go by."""
