"""What the handlers call: the parts of a hub that the REST face reaches."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from matrixhub.model.application import Quota
from matrixhub.model.policy import BatchLimits
from matrixhub.ports import Buses, Clock, Sender
from matrixhub.store import Database
from matrixhub.store.subscriptions import Codec


@dataclass(frozen=True, kw_only=True, slots=True)
class RestHub:
    """The parts; `limits` are those of a subscription that names none, `quota` that of an application that does,
    `allowed_to_all` is the setting.
    """

    database: Database
    codec: Codec
    buses: Buses
    sender: Sender
    clock: Clock
    limits: BatchLimits
    allowed_to_all: tuple[str, ...]
    quota: Quota


Hub = NamedDependency[SkipValidation[RestHub]]
