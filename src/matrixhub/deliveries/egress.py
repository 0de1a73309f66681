"""The egress guard: pushes go to the public internet, and elsewhere only where an operator allows it.

Whoever names a URL must not reach through the hub what only the hub can reach: its own machine, the network around it,
the metadata service of its cloud. A name is judged by all addresses it resolves to, when a connection is made, and
a socket is made for no address that was not judged for this very attempt. Source: docs/decisions/0007-egress-guard.md
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from matrixhub.model.egress import Address, Allowance, Network, literal_address, unmapped
from matrixhub.model.errors import EgressRefused, InvalidValue


@dataclass(frozen=True, slots=True)
class Special:
    """A network that is not the public internet, what it is, and who says so."""

    network: Network
    what: str
    source: str

    @property
    def reason(self) -> str:
        """Why it is refused."""
        return f"{self.what}, {self.source}"


def _special(network: str, what: str, source: str) -> Special:
    return Special(ipaddress.ip_network(network), what, source)


SPECIAL: tuple[Special, ...] = (
    # Narrow before wide: the first that holds an address tells what it is. IANA keeps the registries (RFC 6890).
    _special("0.0.0.0/32", "unspecified, which means this machine", "RFC 1122 §3.2.1.3"),
    _special("0.0.0.0/8", "this network", "RFC 791 §3.2"),
    _special("10.0.0.0/8", "private", "RFC 1918"),
    _special("100.64.0.0/10", "shared by a carrier (CGNAT)", "RFC 6598"),
    _special("127.0.0.0/8", "loopback, this machine", "RFC 1122 §3.2.1.3"),
    _special("168.63.129.16/32", "host services of Azure", "Azure Virtual Network documentation"),
    _special("169.254.169.254/32", "metadata of the cloud (link-local)", "RFC 3927"),
    _special("169.254.0.0/16", "link-local", "RFC 3927"),
    _special("172.16.0.0/12", "private", "RFC 1918"),
    _special("192.0.0.0/24", "IETF protocol assignments", "RFC 6890 §2.1"),
    _special("192.0.2.0/24", "documentation", "RFC 5737"),
    _special("192.88.99.0/24", "relays of 6to4", "RFC 7526"),
    _special("192.168.0.0/16", "private", "RFC 1918"),
    _special("198.18.0.0/15", "benchmarking", "RFC 2544"),
    _special("198.51.100.0/24", "documentation", "RFC 5737"),
    _special("203.0.113.0/24", "documentation", "RFC 5737"),
    _special("224.0.0.0/4", "multicast", "RFC 5771"),
    _special("255.255.255.255/32", "broadcast", "RFC 919 §7"),
    _special("240.0.0.0/4", "reserved", "RFC 1112 §4"),
    _special("::/128", "unspecified, which means this machine", "RFC 4291 §2.5.2"),
    _special("::1/128", "loopback, this machine", "RFC 4291 §2.5.3"),
    _special("::/96", "IPv4-compatible", "RFC 4291 §2.5.5.1"),
    _special("::ffff:0:0:0/96", "IPv4-translated", "RFC 2765 §2.1"),
    _special("64:ff9b:1::/48", "local NAT64", "RFC 8215"),
    _special("100::/64", "discarded", "RFC 6666"),
    _special("100:0:0:1::/64", "dummy prefix", "RFC 9780"),
    _special("2001::/32", "Teredo", "RFC 4380"),
    _special("2001:2::/48", "benchmarking", "RFC 5180"),
    _special("2001:10::/28", "ORCHID", "RFC 4843"),
    _special("2001:20::/28", "ORCHIDv2", "RFC 7343"),
    _special("2001::/23", "IETF protocol assignments", "RFC 2928"),
    _special("2001:db8::/32", "documentation", "RFC 3849"),
    _special("2002::/16", "6to4", "RFC 3056"),
    _special("3fff::/20", "documentation", "RFC 9637"),
    _special("5f00::/16", "segment routing (SRv6)", "RFC 9602"),
    _special("fc00::/7", "private (unique local)", "RFC 4193"),
    _special("fe80::/10", "link-local", "RFC 4291 §2.5.6"),
    _special("fec0::/10", "site-local", "RFC 3879"),
    _special("ff00::/8", "multicast", "RFC 4291 §2.7"),
)
"""What is refused. Two more prefixes are judged by the IPv4 address in them: IPv4-mapped and NAT64."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6-only networks reach the public IPv4 internet through it, so it is as good as what it leads to. RFC 6052 §2.1"""

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that is given out for the public internet; the rest of IPv6 is reserved. Source: RFC 4291 §2.4"""


def forbidden_reason(address: Address) -> str | None:
    """Why nothing is pushed to an address unless it is allowed, or None for one of the public internet.

    >>> forbidden_reason(IPv4Address("10.1.2.3")), forbidden_reason(IPv6Address("64:ff9b::7f00:1"))
    ('private, RFC 1918', 'NAT64 of 127.0.0.1: loopback, this machine, RFC 1122 §3.2.1.3')
    >>> forbidden_reason(IPv4Address("9.9.9.9")) is forbidden_reason(IPv6Address("2620:fe::fe")) is None
    True
    """
    plain = unmapped(address)
    if isinstance(plain, IPv6Address) and plain in NAT64:
        inner = IPv4Address(int(plain) & 0xFFFF_FFFF)
        reason = forbidden_reason(inner)
        return None if reason is None else f"NAT64 of {inner}: {reason}"
    for special in SPECIAL:
        if plain in special.network:
            return special.reason if plain.version == address.version else f"IPv4-mapped {plain}: {special.reason}"
    if isinstance(plain, IPv6Address) and plain not in GLOBAL_UNICAST:
        return "reserved, RFC 4291 §2.4"
    return None


def check_address(host: str, address: Address, allowance: Allowance, property_id: str = "") -> None:
    """Raises: EgressRefused if the host must not be dialled at the address."""
    reason = forbidden_reason(address)
    if reason is not None and not allowance.allows(host, address):
        raise EgressRefused(host=host, address=str(address), reason=reason, property_id=property_id)


def check_literal(host: str, allowance: Allowance, property_id: str = "") -> Address | None:
    """The address of a host that is one, judged; None for a name, which is judged when it is resolved.

    Raises: EgressRefused if the address is forbidden, or is spelt in a way that others may read otherwise.
    """
    address = literal_address(host)
    if address is None:
        return None
    check_address(host, address, allowance, property_id)
    if host != str(address):
        raise EgressRefused(
            f"{host} is an unusual spelling of an address, which is not dialled; write {address} in the URL",
            host=host,
            address=str(address),
        )
    return address


def check_url(url: str, allowance: Allowance, property_id: str) -> None:
    """Refuse early what the dial would refuse for certain: a URL whose host is a forbidden address.

    Raises: InvalidValue with the same advice.
    """
    try:
        check_literal(URL(url).raw_host or "", allowance, property_id)
    except ValueError as error:
        raise InvalidValue("the URL cannot be read; it is like https://example.org/readings") from error
    except EgressRefused as error:
        raise InvalidValue(error.message) from error


@dataclass(frozen=True, slots=True)
class Dial:
    """The attempt under way: whose it is, and the addresses judged for it; a connection is made to one of these."""

    property_id: str = ""
    judged: set[Address] = field(default_factory=set)


_dial: ContextVar[Dial | None] = ContextVar("dial", default=None)


@contextlib.contextmanager
def judged_dial(host: str, allowance: Allowance, property_id: str) -> Iterator[None]:
    """Within the block, connections are made to judged addresses of this attempt only. Raises: EgressRefused."""
    address = check_literal(host, allowance, property_id)
    token = _dial.set(Dial(property_id, set() if address is None else {address}))
    try:
        yield
    finally:
        _dial.reset(token)


class GuardedResolver(AbstractResolver):
    """Resolves a name, judges every address of the answer, and gives out exactly those."""

    def __init__(self, resolver: AbstractResolver, allowance: Allowance) -> None:
        self._resolver = resolver
        self._allowance = allowance

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises: EgressRefused if one of them is forbidden, OSError if there is none."""
        found = await self._resolver.resolve(host, port, family)
        dial = _dial.get() or Dial()
        addresses = [ipaddress.ip_address(entry["host"]) for entry in found]
        for address in addresses:
            check_address(host, address, self._allowance, dial.property_id)
        dial.judged.update(addresses)
        return found

    async def close(self) -> None:
        """Close the resolver behind it."""
        await self._resolver.close()


def guarded_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for an address that was judged for this attempt. Raises: EgressRefused for any other.

    The last line of defence: whatever the HTTP client takes for an address and dials without resolving, stops here.
    """
    family, kind, protocol, _, where = info
    host = str(where[0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or address not in (_dial.get() or Dial()).judged:
        raise EgressRefused(
            f"{host} is not dialled: it was not judged for this attempt", host=host, address=str(address or host)
        )
    return socket.socket(family, kind, protocol)
