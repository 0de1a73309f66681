"""The role `store`: every reading of the stream into the table of past data.

`batches.py` decides what goes together, `keeper.py` does it. Source: docs/decisions/0017-telemetry.md
"""

from matrixhub.telemetry.keeper import Keeper, KeeperSettings

__all__ = ["Keeper", "KeeperSettings"]
