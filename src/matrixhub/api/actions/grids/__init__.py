"""Operations of Grids: properties, buildings, levels, zones, the lists they are described by, media attachments.

Which organisation is meant is said by the property of the request; `org` is not looked at, as one client sends the same
word for all. Source: docs/contract/grids.md §2, §8
"""

from matrixhub.api.actions.grids import buildings, catalogue, levels, media, properties, zones
from matrixhub.api.actions.operation import Operation

__all__ = ["OPERATIONS"]

OPERATIONS: tuple[Operation, ...] = (
    *properties.OPERATIONS,
    *buildings.OPERATIONS,
    *levels.OPERATIONS,
    *zones.OPERATIONS,
    *catalogue.OPERATIONS,
    *media.OPERATIONS,
)
