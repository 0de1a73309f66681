"""Where pushes may go besides the public internet: address literals in every spelling, and what an operator allows.

Pure, so that settings, store and commands check entries by the same rules as the dial does.
Source: docs/decisions/0007-egress-guard.md
"""

from __future__ import annotations

import functools
import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import unquote

from matrixhub.model.errors import InvalidValue

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
"""What IDNA takes for a dot. Source: RFC 3490 §3.1"""


@functools.lru_cache(maxsize=4_096)  # asked for every push, and mostly of the same hosts
def literal_address(host: str) -> Address | None:
    """The address a host stands for if it is an address in any spelling, or None where it is a name.

    Besides the standard form: what the C library takes (`127.1`, decimal, octal, hexadecimal parts), brackets, zone
    ids, a dot at the end, percent-encoding, full-width digits and the other dots of IDNA.
    Source: inet_aton(3), WHATWG URL §3.5, RFC 4007 §11, UTS 46

    >>> [str(literal_address(h)) for h in ("127.1", "0x7f000001", "[fe80::1%25eth0]", "１２７。０。０。１")]
    ['127.0.0.1', '127.0.0.1', 'fe80::1', '127.0.0.1']
    >>> literal_address("127.0.0.1.example.org") is None
    True
    """
    folded = "".join(sign for sign in _folded(host) if unicodedata.category(sign) != "Mn")  # IDNA drops some of these
    text = folded.strip().removeprefix("[").removesuffix("]")
    if ":" in text:
        try:
            return IPv6Address(text.partition("%")[0].rstrip("."))
        except ValueError:
            return None
    return _ipv4(text.rstrip("."))


def canonical_host(host: str) -> str:
    """A host name as names are compared: lower case, in A-labels, without the dot at the end.

    >>> canonical_host("Bücher.Example.")
    'xn--bcher-kva.example'
    """
    text = _folded(host).strip().rstrip(".").lower()
    try:
        return text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def canonical_target(text: str) -> str:
    """An entry of an allow-list in the one form it is kept in: a network, a host name or `*.` and a domain.

    Raises: InvalidValue if it is none of these.

    >>> [canonical_target(t) for t in ("10.1.2.3", "fd00::/8", "ERP.example.org.", "*.Example.org")]
    ['10.1.2.3/32', 'fd00::/8', 'erp.example.org', '*.example.org']
    """
    text = text.strip()
    if "/" in text:
        return str(_network(text))
    address = literal_address(text)
    if address is not None:
        return str(ipaddress.ip_network(unmapped(address)))
    name = canonical_host(text.removeprefix("*."))
    labels = name.split(".")
    numeric = re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1]) is not None  # would be taken for an address by some
    if numeric or len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise InvalidValue(
            f"{text!r} is neither a network (10.1.0.0/16), an address (10.1.2.3), a host name (erp.example.org) "
            "nor *. and a domain (*.example.org)"
        )
    return f"*.{name}" if text.startswith("*.") else name


def unmapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped one, for they are dialled alike; any other without its zone."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be pushed to although it is not on the public internet; `plain_http` is for development only."""

    networks: frozenset[Network] = frozenset()
    names: frozenset[str] = frozenset()
    plain_http: bool = False

    @classmethod
    def of(cls, targets: Iterable[str], *, plain_http: bool = False) -> Allowance:
        """The allowance that a list says. Raises: InvalidValue naming the entry that is wrong."""
        canonical = [canonical_target(target) for target in targets]
        return cls(
            networks=frozenset(ipaddress.ip_network(target) for target in canonical if "/" in target),
            names=frozenset(target for target in canonical if "/" not in target),
            plain_http=plain_http,
        )

    def __or__(self, other: Allowance) -> Allowance:
        return Allowance(self.networks | other.networks, self.names | other.names, self.plain_http or other.plain_http)

    def allows(self, host: str, address: Address) -> bool:
        """Whether the host may be dialled at the address, by its name or by the address."""
        plain = unmapped(address)
        return self.allows_name(host) or any(plain in network or address in network for network in self.networks)

    def allows_name(self, host: str) -> bool:
        """Whether the host is named, itself or by a domain above it.

        >>> allowance = Allowance.of(["erp.test", "*.example.org"])
        >>> [allowance.allows_name(host) for host in ("ERP.test.", "a.b.example.org", "example.org", "xerp.test")]
        [True, True, False, False]
        """
        if not self.names or literal_address(host) is not None:
            return False
        name = canonical_host(host)
        above = name.split(".")[1:]
        return name in self.names or any(f"*.{'.'.join(above[n:])}" in self.names for n in range(len(above)))


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidValue(f"{text!r} is not a network: {error}") from error
    raise InvalidValue(f"{text} is an address within a network; for the whole network write {meant}")


def _folded(host: str) -> str:
    """The host as a lenient parser reads it: percent-encoding undone, compatible forms folded, ignorable signs gone."""
    text = host if ":" in host else unquote(host)
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text.translate(_DOTS))
    return "".join(sign for sign in folded if unicodedata.category(sign) != "Cf")


def _ipv4(text: str) -> IPv4Address | None:
    """One to four parts, the last of which fills what is left. Source: inet_aton(3)"""
    parts = text.split(".")
    if len(parts) > 4:
        return None
    values = [_number(part) for part in parts]
    *heads, last = values
    if last is None or last >= 256 ** (5 - len(parts)):
        return None
    total = last
    for place, head in enumerate(heads):
        if head is None or head > 255:
            return None
        total += head << (24 - 8 * place)
    return IPv4Address(total)


def _number(part: str) -> int | None:
    """A part as inet_aton reads it: 0x… hexadecimal, 0… octal, else decimal."""
    part = part.lower()
    if len(part) > 40:
        return None
    if re.fullmatch(r"0x[0-9a-f]*", part):
        return int(part[2:] or "0", 16)
    if re.fullmatch(r"0[0-7]*", part):
        return int(part, 8)
    return int(part) if re.fullmatch(r"[1-9][0-9]*", part) else None
