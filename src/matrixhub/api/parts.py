"""What the faces call: the parts of a hub that they reach."""

from __future__ import annotations

from dataclasses import dataclass

from matrixhub.deliveries.key_sets import KeySets
from matrixhub.model.application import Quota
from matrixhub.model.policy import BatchLimits
from matrixhub.modules.access import Access
from matrixhub.modules.work import Platform
from matrixhub.ports import Buses, Clock, Sender
from matrixhub.store import Database
from matrixhub.store.subscriptions import Codec
from matrixhub.store.versions import Versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The parts; `limits` are those of a subscription that names none, `quota` that of an application that does,
    `allowed_to_all`, `unhealthy_after_s`, `readings_retention_s`, `public_url` and `media_bytes_max` (of the
    attachments of a property) are settings.
    """

    database: Database
    versions: Versions
    access: Access
    codec: Codec
    buses: Buses
    sender: Sender
    key_sets: KeySets
    clock: Clock
    limits: BatchLimits
    allowed_to_all: tuple[str, ...]
    quota: Quota
    unhealthy_after_s: float
    media_bytes_max: int
    readings_retention_s: float = 15_552_000.0
    public_url: str = ""

    @property
    def platform(self) -> Platform:
        """What the modules work with."""
        return Platform(database=self.database, clock=self.clock)
