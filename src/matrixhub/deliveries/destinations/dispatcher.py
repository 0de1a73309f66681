"""The port `Sender` for every kind of destination: each push goes to the sender of its kind."""

from __future__ import annotations

from collections.abc import Mapping

from matrixhub.model.destination import Kind
from matrixhub.ports import Push, Sender, Sent


class Dispatcher:
    """Hands pushes on; `others` are the kinds that do not go over HTTPS."""

    def __init__(self, https: Sender, others: Mapping[Kind, Sender]) -> None:
        self._https = https
        self._others = others

    async def send(self, push: Push) -> Sent:
        """One attempt. See `Sender.send`."""
        return await self._others.get(push.subscription.destination.kind, self._https).send(push)
