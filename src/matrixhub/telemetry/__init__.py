"""The role `store`: every reading of the stream into the table of past data.

`batches.py` decides what goes together, `keeper.py` does it; `roller.py` makes numbers by hour and day of it.
Source: docs/decisions/0017-telemetry.md, 0025-rollups.md
"""

from matrixhub.telemetry.keeper import Keeper, KeeperSettings
from matrixhub.telemetry.roller import Roller, RollerSettings

__all__ = ["Keeper", "KeeperSettings", "Roller", "RollerSettings"]
