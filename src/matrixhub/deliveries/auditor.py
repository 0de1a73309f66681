"""The auditor: counts what each subscription is to have, looking at the stream only, and reports whether it adds up.

Each stream has an auditor of its own.

It reads the headers of what is new once for all subscriptions. What it counts is saved where there is something, and
for the others now and then, so that a restart has little to count again. Each count is saved only where the one before
it ended, so nothing is counted twice, however many auditors there are and wherever one dies.
Source: docs/decisions/0009-balance.md
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from matrixhub.bus.subjects import SUBJECTS, filter_matcher, subject_property
from matrixhub.deliveries.balance import want_from
from matrixhub.deliveries.pending import count_wanted
from matrixhub.model.balance import Account, Balance, balance_of, total_balance
from matrixhub.model.errors import BusError, StoreError
from matrixhub.model.ids import PropertyId, SubscriptionId, subject_token
from matrixhub.model.subscription import Filter, Position, Source
from matrixhub.observe import BalanceBroken, BalanceMeasured, BalanceRestored, BalancesForgotten, Observe, StoreFailed
from matrixhub.ports import Books, Bounds, Bus, Clock, Counted, Duty

ROUND_S = 5.0
BREATH_S = 0.02
MEASURE_S = 15.0
SAVE_ALL_S = 300.0

CATCH_UP_MESSAGES = 100_000
"""Messages looked at in one go for those that lag, so that a long way is saved on the way."""

NEAR_MESSAGES = 20_000
"""Whoever is less far behind the end is measured each time, in one pass for all; the others when their turn comes."""

MEASURE_MAX_S = 0.5
REST_MIN_S, REST_FACTOR = 60.0, 20.0
"""The turns of those far behind: at most so long together, and again after a rest in proportion to their cost."""

IN_A_ROW = 25
"""After so many subjects or subscriptions others have a turn: pushes wait for the same event loop."""

SAVE_MAX = 2_000
SHOWN_MAX = 1_000
"""Most subscriptions with metrics of their own; the totals are of all."""


@dataclass(slots=True)
class _Entry:
    """What the auditor knows of a subscription: its row when last read, and what was found since `saved_to`.

    `seen` is all that was found while it is known, `waiting` what lay behind the position `waiting_at` when `seen` was
    `waiting_seen`.
    """

    account: Account
    saved_to: Position
    counted_to: Position
    found: int = 0
    seen: int = 0
    waiting: int = 0
    waiting_at: Position | None = None
    waiting_seen: int = 0
    balance: Balance | None = None
    due_s: float = 0.0
    difference: int = 0

    def add(self, items: int, counted_to: Position) -> None:
        """Take over a count."""
        self.found += items
        self.seen += items
        self.counted_to = counted_to


_Wanted = tuple[PropertyId, Filter]
"""What is wanted of which property: the same for many subscriptions, so it is counted once."""


class _Index(Protocol):
    """Which filters a subject passes."""

    def __init__(self, all_wanted: Iterable[_Wanted]) -> None: ...

    def passed_by(self, subject: str) -> Iterator[_Wanted]:
        """Those of its property that want it."""
        ...


class _ReadingIndex:
    """Which filters the subject of readings passes, found without asking each."""

    def __init__(self, all_wanted: Iterable[_Wanted]) -> None:
        self._by_building: dict[tuple[str, str], list[_Wanted]] = {}
        for property_id, wanted in all_wanted:
            for building in map(subject_token, wanted.buildings or ("",)):
                self._by_building.setdefault((subject_token(property_id), building), []).append((property_id, wanted))

    def passed_by(self, subject: str) -> Iterator[_Wanted]:
        """Those of its property that want its building and device type."""
        _, property_token, building, devtype = subject.split(".")
        for key in ((property_token, building), (property_token, "")):
            for wanted in self._by_building.get(key, ()):
                devtypes = wanted[1].devtypes
                if not devtypes or devtype in map(subject_token, devtypes):
                    yield wanted


class _EventIndex:
    """Which filters the subject of an event passes: those of its property are asked, one by one."""

    def __init__(self, all_wanted: Iterable[_Wanted]) -> None:
        self._by_property: dict[str, list[tuple[_Wanted, Callable[[str], bool]]]] = {}
        for wanted in all_wanted:
            self._by_property.setdefault(subject_token(wanted[0]), []).append((wanted, filter_matcher(*wanted)))

    def passed_by(self, subject: str) -> Iterator[_Wanted]:
        """Those of its property whose patterns it matches."""
        for wanted, matches in self._by_property.get(subject_property(subject), ()):
            if matches(subject):
                yield wanted


_INDEXES: Mapping[Source, type[_Index]] = {"sensors": _ReadingIndex, "events": _EventIndex}


def _wanted(entry: _Entry) -> _Wanted:
    return entry.account.property_id, entry.account.filter


class Auditor:
    """The stage that keeps the books of the subscriptions to one stream."""

    def __init__(
        self, bus: Bus, books: Books, duty: Duty, clock: Clock, observe: Observe, source: Source = "sensors"
    ) -> None:
        self._source = source
        self._bus = bus
        self._books = books
        self._duty = duty
        self._clock = clock
        self._observe = observe
        self._forget()

    def _forget(self) -> None:
        self._entries: dict[SubscriptionId, _Entry] = {}
        self._index: _Index = _INDEXES[self._source](())
        self._lagging: dict[SubscriptionId, _Entry] = {}
        self._frontier: Position | None = None
        self._fingerprint: Sequence[int] = ()
        self._measured_end: Position | None = None
        self._far_left = False
        self._shown: set[SubscriptionId] = set()
        self._measure_at_s = float("-inf")
        self._save_all_at_s = self._clock.monotonic() + SAVE_ALL_S
        self._saved_frontier: Position | None = None

    @property
    def name(self) -> str:
        """The name of this stage."""
        return "auditor" if self._source == "sensors" else f"auditor of {self._source}"

    async def run(self, stop: asyncio.Event) -> None:
        """Count and report until stop, while no other process does."""
        try:
            while not stop.is_set():
                more = await self._step()
                await self._clock.wait(stop, BREATH_S if more else ROUND_S)
            await self._save_at_stop()
        finally:
            await self._duty.close()

    async def _step(self) -> bool:
        """A round, if this process has the duty; whether there is more to count at once."""
        try:
            if await self._duty.held():
                await self.round()
                frontier = self._frontier
                return frontier is not None and any(e.counted_to < frontier for e in self._lagging.values())
            if self._entries:
                self._observe(BalancesForgotten(source=self._source))
                self._forget()
        except BusError:
            # NATS is away, which its connection reports; everything is counted later from where it was left.
            self._measure_at_s = float("-inf")
        except StoreError as error:
            self._observe(StoreFailed(step="audit", error=error.message))
            self._measure_at_s = float("-inf")
        return False

    async def _save_at_stop(self) -> None:
        try:
            if self._entries and await self._duty.held():
                await self._save(list(self._entries.values()), everything=True)
        except StoreError as error:
            self._observe(StoreFailed(step="audit", error=error.message))

    async def round(self) -> None:
        """Count what is new and save it; report, if it is time for that. Raises BusError, StoreError."""
        measure = self._clock.monotonic() >= self._measure_at_s
        before = await self._bus.bounds()
        changed = measure and await self._books_changed()
        if changed:
            self._reconcile(await self._books.accounts(self._source))
        bounds = await self._bus.bounds()
        end = Position(seq=bounds.last_seq + 1)
        found = await self._count_new(end)
        found += await self._catch_up(end)
        if measure:
            self._measure_at_s = self._clock.monotonic() + MEASURE_S
            if changed or end != self._measured_end or self._far_left:
                await self._measure(before, end)
        await self._save(found, everything=False)
        if self._clock.monotonic() >= self._save_all_at_s:
            self._save_all_at_s = self._clock.monotonic() + SAVE_ALL_S
            if end != self._saved_frontier:
                await self._save(list(self._entries.values()), everything=True)
                self._saved_frontier = end

    async def _books_changed(self) -> bool:
        fingerprint = await self._books.fingerprint()
        changed, self._fingerprint = fingerprint != self._fingerprint, fingerprint
        return changed

    def _reconcile(self, accounts: Sequence[Account]) -> None:
        """Take over what the rows say; what was counted in memory stays, unless it began elsewhere."""
        entries: dict[SubscriptionId, _Entry] = {}
        for account in accounts:
            entry = self._entries.get(account.id)
            if entry is None or (entry.saved_to, entry.account.filter) != (account.accepted_to, account.filter):
                entry = _Entry(
                    account=account,
                    saved_to=account.accepted_to,
                    counted_to=account.accepted_to,
                    balance=entry.balance if entry else None,
                    difference=entry.difference if entry else 0,
                )
            entry.account = account
            entries[account.id] = entry
        for gone in self._shown - entries.keys():
            self._shown.discard(gone)
            self._observe(BalancesForgotten(subscription=gone, source=self._source))
        self._entries = entries
        self._index = _INDEXES[self._source]({_wanted(entry) for entry in entries.values()})
        self._lagging = {}
        for entry in entries.values():
            if entry.counted_to != self._frontier:
                self._lagging[entry.account.id] = entry

    async def _count_new(self, end: Position) -> list[_Entry]:
        """Count what came since the last round, once for all who were counted up to there; who has something new."""
        if self._frontier is None:
            self._frontier = end
            for entry in [e for e in self._lagging.values() if e.counted_to == end]:
                del self._lagging[entry.account.id]
            return []
        if end <= self._frontier:
            return []
        current = [e for e in self._entries.values() if e.account.id not in self._lagging]
        totals: Counter[str] = Counter()
        async with aclosing(self._bus.headers(SUBJECTS[self._source], self._frontier.seq, end.seq)) as pages:
            async for page in pages:
                for message in page:
                    totals[message.subject] += message.items
        items: Counter[_Wanted] = Counter()
        for number, (subject, count) in enumerate(totals.items()):
            await _let_others(number)
            for wanted in self._index.passed_by(subject):
                items[wanted] += count
        found = {entry.account.id: items[_wanted(entry)] for entry in current if _wanted(entry) in items}
        zoned = [entry for entry in current if entry.account.id in found and entry.account.filter.zones]
        wants = [want_from(entry.account, self._frontier) for entry in zoned]
        for entry, count in zip(zoned, await count_wanted(self._bus, wants, end.seq), strict=True):
            found[entry.account.id] = count
        # From here on nothing waits, so that the counts and the frontier change together.
        for entry in current:
            entry.add(found.get(entry.account.id, 0), end)
        self._frontier = end
        return [self._entries[subscription] for subscription in found]

    async def _catch_up(self, end: Position) -> list[_Entry]:
        """Count on for those that lag: the new ones, and all after a start."""
        behind = [entry for entry in self._lagging.values() if entry.counted_to < end]
        if behind:
            first = min(entry.counted_to.seq for entry in behind)
            until = min(Position(seq=first + CATCH_UP_MESSAGES), end)
            behind = [entry for entry in behind if entry.counted_to < until]
            wants = [want_from(entry.account, entry.counted_to) for entry in behind]
            for entry, items in zip(behind, await count_wanted(self._bus, wants, until.seq), strict=True):
                entry.add(items, until)
        for entry in [e for e in self._lagging.values() if e.counted_to == self._frontier]:
            del self._lagging[entry.account.id]
        return behind

    async def _save(self, entries: Sequence[_Entry], *, everything: bool) -> None:
        """Save the counts that hold something, or all. Who was counted up by another stays for the next reading."""
        counted = {
            entry.account.id: Counted(
                subscription=entry.account.id,
                filter=entry.account.filter,
                start=entry.saved_to,
                to_seq=entry.counted_to.seq,
                items=entry.found,
            )
            for entry in entries
            if entry.counted_to > entry.saved_to and (entry.found or everything)
        }
        for start in range(0, len(counted), SAVE_MAX):
            some = list(counted.values())[start : start + SAVE_MAX]
            for subscription in await self._books.add_accepted(some):
                entry, count = self._entries[subscription], counted[subscription]
                entry.saved_to = Position(seq=count.to_seq)
                entry.account = replace(
                    entry.account, accepted=entry.account.accepted + count.items, accepted_to=entry.saved_to
                )
                entry.found -= count.items

    async def _measure(self, before: Bounds, end: Position) -> None:
        """Take the balances that can be had at little cost, and report them."""
        current = [entry for entry in self._entries.values() if entry.counted_to == end]
        near, far = [], []
        for number, entry in enumerate(current):
            await _let_others(number)
            position = entry.account.position
            if entry.waiting_at == position:  # it has not moved, so all that came since waits too
                self._took(entry, entry.waiting + entry.seen - entry.waiting_seen)
            elif position.seq >= end.seq - NEAR_MESSAGES:
                near.append(entry)
            else:
                far.append(entry)
        counts = await count_wanted(self._bus, [want_from(e.account, e.account.position) for e in near], end.seq)
        if await self._was_purged(before):
            return
        for number, (entry, waiting) in enumerate(zip(near, counts, strict=True)):
            await _let_others(number)
            self._took(entry, waiting)
        self._far_left = len(current) < len(self._entries)
        self._far_left |= await self._measure_far(before, far, end)
        self._measured_end = end
        if all(entry.balance is not None for entry in self._entries.values()):
            self._observe(_measured(self._source, total_balance(self.balances.values()), ""))

    async def _measure_far(self, before: Bounds, far: Sequence[_Entry], end: Position) -> bool:
        """Whose turn it is of those with a long way to count, for as long as a measurement may take; whether some are
        left.
        """
        began = self._clock.monotonic()
        left = len(far)
        for entry in sorted(far, key=lambda entry: entry.due_s):
            started = self._clock.monotonic()
            if entry.due_s > started or started - began > MEASURE_MAX_S:
                break
            [waiting] = await count_wanted(self._bus, [want_from(entry.account, entry.account.position)], end.seq)
            if await self._was_purged(before):
                break
            self._took(entry, waiting)
            took_s = self._clock.monotonic() - started
            entry.due_s = self._clock.monotonic() + max(REST_MIN_S, took_s * REST_FACTOR)
            left -= 1
        return left > 0

    async def _was_purged(self, before: Bounds) -> bool:
        """Whether messages that were there when the accounts were read are gone; then nothing can be said now."""
        if (await self._bus.bounds()).first_seq == before.first_seq:
            return False
        self._measure_at_s = float("-inf")
        self._fingerprint = ()
        return True

    def _took(self, entry: _Entry, waiting: int) -> None:
        entry.waiting = waiting
        entry.waiting_at = entry.account.position
        entry.waiting_seen = entry.seen
        self._take(entry)

    def _take(self, entry: _Entry) -> None:
        """Report the balance, if it is another one than before."""
        subscription = entry.account.id
        balance = balance_of(entry.account, uncounted=entry.found, waiting=entry.waiting)
        if balance != entry.balance and (subscription in self._shown or len(self._shown) < SHOWN_MAX):
            self._shown.add(subscription)
            self._observe(_measured(self._source, balance, subscription))
        entry.balance = balance
        if balance.difference != entry.difference:
            entry.difference = balance.difference
            self._observe(
                BalanceRestored(subscription=subscription)
                if balance.holds
                else BalanceBroken(subscription=subscription, difference=balance.difference)
            )

    @property
    def balances(self) -> Mapping[SubscriptionId, Balance]:
        """The balances as they were last taken."""
        return {id_: entry.balance for id_, entry in self._entries.items() if entry.balance}


async def _let_others(number: int) -> None:
    if number % IN_A_ROW == IN_A_ROW - 1:
        await asyncio.sleep(0)


def _measured(source: Source, balance: Balance, subscription: str) -> BalanceMeasured:
    return BalanceMeasured(
        source=source,
        subscription=subscription,
        accepted=balance.accepted,
        delivered=balance.delivered,
        pending=balance.pending,
        parked=balance.parked,
        expired=balance.expired,
        skipped=balance.skipped,
        difference=balance.difference,
    )
