"""What ingest knows of slots and keys, kept in memory and loaded again whenever they change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matrixhub.ingest.normalise import SlotPlan, plan_slot
from matrixhub.lifecycle import rung_by
from matrixhub.model.errors import AccessDenied, StoreError, Unauthorised
from matrixhub.model.iam import Decision
from matrixhub.model.ids import PropertyId, SlotId
from matrixhub.model.site import Slot
from matrixhub.observe import Observe, SlotsLoaded, StoreFailed

RELOAD_RETRY_S = 0.5
PAUSE_EVERY = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """Who sends: the property its key is for, or every property."""

    property_id: PropertyId | None


@dataclass(slots=True)
class Registry:
    """The slots and keys in force. `reload` replaces them as a whole; readers see one or the other."""

    load_slots: Callable[[], Awaitable[Sequence[Slot]]]
    load_keys: Callable[[], Awaitable[Mapping[bytes, PropertyId | Decision | None]]]
    digest: Callable[[str], bytes]
    observe: Observe
    slots: Mapping[str, SlotPlan] = field(default_factory=dict)
    _planned: dict[str, tuple[Slot, SlotPlan]] = field(default_factory=dict)
    _calendars: dict[tuple[str, bool], Callable[[int], bytes]] = field(default_factory=dict)
    _keys: Mapping[bytes, PropertyId | Decision | None] = field(default_factory=dict)
    _numbers: dict[tuple[SlotId, str], int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def reload(self) -> None:
        """Load slots and keys. Raises StoreError."""
        keys, slots = await self.load_keys(), await self.load_slots()
        planned: dict[str, tuple[Slot, SlotPlan]] = {}
        for index, slot in enumerate(slots):
            known = self._planned.get(slot.id)
            if known is None or known[0] != slot:
                known = slot, plan_slot(slot, self._number(slot), self._calendars)
            planned[slot.id] = known
            if index % PAUSE_EVERY == 0:
                await asyncio.sleep(0)  # a hundred thousand slots take a while; readings of known slots go on
        self._planned = planned
        self.slots = {slot_id: plan for slot_id, (_, plan) in planned.items()}
        self._keys = keys
        self.observe(SlotsLoaded(slots=len(slots), keys=len(keys)))

    def _number(self, slot: Slot) -> int:
        """A slot keeps its number while it keeps its type, so that the deduplication window stays true."""
        return self._numbers.setdefault((slot.id, slot.devtype), len(self._numbers))

    def slot_of_number(self) -> Sequence[SlotId]:
        """The slot of each number, of slots that are gone as well."""
        return [slot_id for slot_id, _ in self._numbers]

    def changed(self) -> None:
        """Say that slots or keys may be different now."""
        self._changed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Reload after every change until stop."""
        async with rung_by(stop, self._changed):
            while not stop.is_set():
                await self._changed.wait()
                self._changed.clear()
                if not stop.is_set():
                    await self._reload_or_retry()

    async def _reload_or_retry(self) -> None:
        """While PostgreSQL is away, the slots known so far stay in force and the reload is tried again."""
        try:
            await self.reload()
        except StoreError as error:
            self.observe(StoreFailed(step="load slots", error=error.message))
            self._changed.set()
            await asyncio.sleep(RELOAD_RETRY_S)

    def authenticate(self, authorization: str) -> Sender:
        """Who the `Authorization` header names. Raises: Unauthorised, AccessDenied where that key may not send."""
        scheme, _, token = authorization.partition(" ")
        digest = self.digest(token.strip())
        if scheme.lower() != "bearer" or digest not in self._keys:
            raise Unauthorised
        found = self._keys[digest]
        if isinstance(found, Decision):
            raise AccessDenied(found.why, reason=found.denial)
        return Sender(property_id=found)
