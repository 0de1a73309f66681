"""The role `store`: every reading of the stream into the table of past data, and from there to customers' databases.

`batches.py` decides what goes together, `keeper.py` does it; `roller.py` makes numbers by hour and day of it, and
`backfiller.py` copies it into customers' databases.
Source: docs/decisions/0017-telemetry.md, 0025-rollups.md, 0027-backfill.md
"""

from matrixhub.telemetry.backfiller import Backfiller
from matrixhub.telemetry.keeper import Keeper, KeeperSettings
from matrixhub.telemetry.roller import Roller, RollerSettings

__all__ = ["Backfiller", "Keeper", "KeeperSettings", "Roller", "RollerSettings"]
