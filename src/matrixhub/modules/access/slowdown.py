"""Whoever guesses is slowed down, and others behind the same address are not, as far as that can be.

Wrong credentials are counted for an access key at an address, for an address, and for an access key wherever it is
tried. Beyond so many, nothing is looked at for a wait that doubles with each further one. Who has proven a key at an
address before passes there, though others guess at the address, or guess the secret of the key elsewhere.

Source: docs/decisions/0014-keys.md
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from matrixhub.model.errors import TooManyWrong
from matrixhub.observe import CredentialsSlowed, CredentialsWrong, Observe

WRONG_MAX = 10
"""So many wrong credentials are looked at for one access key at one address."""

ADDRESS_TIMES = 10
"""An address may have so many times more, and …"""

KEY_TIMES = 100
"""… an access key, from all addresses together."""

WINDOW_S = 300.0
"""Without a wrong one for so long, it is as if there had been none."""

WAIT_MAX_S = 60.0
ENTRIES_MAX = 20_000


def wait_s(wrong: int, wrong_max: int) -> float:
    """How long nothing is looked at after so many wrong ones.

    >>> [wait_s(wrong, 3) for wrong in (2, 3, 4, 5, 60)]
    [0.0, 1.0, 2.0, 4.0, 60.0]
    """
    if wrong < wrong_max:
        return 0.0
    return min(2.0 ** min(wrong - wrong_max, 30), WAIT_MAX_S)


def network_of(address: str) -> str:
    """What counts as one address: in IPv6 the /64, of which everybody has as many addresses as he likes.

    >>> network_of("192.0.2.7"), network_of("2001:db8::1:2:3:4"), network_of("::ffff:192.0.2.7"), network_of("")
    ('192.0.2.7', '2001:db8::', '192.0.2.7', '')
    """
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(found) >> 64 << 64))


@dataclass(slots=True)
class _Count:
    wrong: int
    last_s: float
    until_s: float


class _Counts:
    """Wrong ones by what they are counted for; the one that was quiet the longest makes room for a new one."""

    def __init__(self, wrong_max: int) -> None:
        self.wrong_max = wrong_max
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def left_s(self, name: str, now_s: float) -> float:
        """How long nothing is looked at yet."""
        count = self._counts.get(name)
        return 0.0 if count is None else max(0.0, count.until_s - now_s)

    def add(self, name: str, now_s: float) -> float:
        """Count a wrong one, and tell the wait that begins with the first one too many, else 0."""
        count = self._counts.pop(name, None)
        if count is None or now_s - max(count.last_s, count.until_s) > WINDOW_S:
            count = _Count(0, now_s, now_s)
        self._counts[name] = count
        if len(self._counts) > ENTRIES_MAX:
            self._counts.popitem(last=False)
        count.wrong, count.last_s = count.wrong + 1, now_s
        wait = wait_s(count.wrong, self.wrong_max)
        count.until_s = now_s + wait
        return wait if count.wrong == self.wrong_max else 0.0

    def forget(self, name: str) -> None:
        """As if there had been none."""
        self._counts.pop(name, None)


class Slowdown:
    """Decides whether credentials are looked at. What it keeps is bounded, in each process for itself."""

    def __init__(
        self, observe: Observe, *, wrong_max: int = WRONG_MAX, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._observe = observe
        self._now_s = now_s
        self._pairs = _Counts(wrong_max)
        self._addresses = _Counts(wrong_max * ADDRESS_TIMES)
        self._keys = _Counts(wrong_max * KEY_TIMES)
        self._proven: OrderedDict[str, None] = OrderedDict()

    def check(self, address: str, key: str) -> None:
        """Whether credentials for a key are looked at. Raises TooManyWrong."""
        now_s, network = self._now_s(), network_of(address)
        pair = f"{network} {key}"
        left_s = self._pairs.left_s(pair, now_s)
        if pair not in self._proven:
            left_s = max(left_s, self._addresses.left_s(network, now_s), self._keys.left_s(key, now_s))
        if left_s > 0:
            raise TooManyWrong(retry_after_s=left_s)

    def wrong(self, address: str, key: str, scheme: str) -> None:
        """Count wrong credentials for a key."""
        self._observe(CredentialsWrong(scheme=scheme, address=address))
        now_s, network = self._now_s(), network_of(address)
        begun = (
            self._pairs.add(f"{network} {key}", now_s),
            self._addresses.add(network, now_s),
            self._keys.add(key, now_s),
        )
        if any(begun):
            self._observe(CredentialsSlowed(address=network, key=key, wait_s=max(begun)))

    def right(self, address: str, key: str) -> None:
        """Credentials for a key were right: it is known at the address from now on."""
        pair = f"{network_of(address)} {key}"
        self._pairs.forget(pair)
        self._proven[pair] = None
        self._proven.move_to_end(pair)
        if len(self._proven) > ENTRIES_MAX:
            self._proven.popitem(last=False)
