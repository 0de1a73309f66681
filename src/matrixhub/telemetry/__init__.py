"""The role `store`: every reading of the stream into the table of past data, and from there to customers' databases.

`batches.py` decides what goes together, `keeper.py` does it; `backfiller.py` copies.
Source: docs/decisions/0017-telemetry.md, docs/decisions/0027-backfill.md
"""

from matrixhub.telemetry.backfiller import Backfiller
from matrixhub.telemetry.keeper import Keeper, KeeperSettings

__all__ = ["Backfiller", "Keeper", "KeeperSettings"]
