"""The egress guard: every special network in every spelling, names that resolve to them, and what is allowed."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.helpers import is_ip_address
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from matrixhub.deliveries.connections import POOLS_MAX, client_timeout
from matrixhub.deliveries.destinations.https import HttpsSender, open_https_sender
from matrixhub.deliveries.egress import (
    NAT64,
    SPECIAL,
    GuardedResolver,
    check_literal,
    check_url,
    forbidden_reason,
    guarded_socket,
    judged_dial,
)
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import Destination
from matrixhub.model.egress import Address, Allowance, canonical_host, canonical_target, literal_address
from matrixhub.model.errors import DestinationUnreachable, EgressRefused, InvalidValue
from matrixhub.model.ids import PropertyId
from matrixhub.ports import Push
from matrixhub.testing.listener import serve_app
from matrixhub.testing.receiver import HttpsReceiver
from matrixhub.testing.samples import sample_push
from matrixhub.testing.tokens import MemoryTokens

NOTHING = Allowance()
PUBLIC = "93.184.215.14"

FORBIDDEN: dict[str, str] = {
    # IPv4, with the borders of each network
    **dict.fromkeys(("0.0.0.0",), "unspecified"),
    **dict.fromkeys(("0.0.0.1", "0.1.2.3", "0.255.255.255"), "this network"),
    **dict.fromkeys(("10.0.0.0", "10.0.0.1", "10.1.2.3", "10.255.255.255"), "private"),
    **dict.fromkeys(("172.16.0.0", "172.16.0.1", "172.20.10.5", "172.31.255.255"), "private"),
    **dict.fromkeys(("192.168.0.0", "192.168.0.1", "192.168.178.1", "192.168.255.255"), "private"),
    **dict.fromkeys(("100.64.0.0", "100.64.0.1", "100.100.100.200", "100.127.255.255"), "CGNAT"),
    **dict.fromkeys(("127.0.0.0", "127.0.0.1", "127.0.1.1", "127.1.1.1", "127.255.255.255"), "loopback"),
    **dict.fromkeys(("169.254.0.0", "169.254.1.1", "169.254.170.2", "169.254.255.255"), "link-local"),
    "169.254.169.254": "metadata",
    "168.63.129.16": "Azure",
    **dict.fromkeys(("192.0.0.0", "192.0.0.1", "192.0.0.170", "192.0.0.192", "192.0.0.255"), "IETF protocol"),
    **dict.fromkeys(("192.0.2.0", "192.0.2.1", "192.0.2.255"), "documentation"),
    **dict.fromkeys(("198.51.100.0", "198.51.100.7", "198.51.100.255"), "documentation"),
    **dict.fromkeys(("203.0.113.0", "203.0.113.9", "203.0.113.255"), "documentation"),
    **dict.fromkeys(("192.88.99.0", "192.88.99.1", "192.88.99.255"), "6to4"),
    **dict.fromkeys(("198.18.0.0", "198.18.0.1", "198.19.255.255"), "benchmarking"),
    **dict.fromkeys(("224.0.0.0", "224.0.0.1", "224.0.0.251", "239.255.255.250", "239.255.255.255"), "multicast"),
    **dict.fromkeys(("240.0.0.0", "240.0.0.1", "250.1.2.3", "255.255.255.254"), "reserved"),
    "255.255.255.255": "broadcast",
    # IPv6
    "::": "unspecified",
    "::1": "loopback",
    **dict.fromkeys(("::2", "::7f00:1", "::127.0.0.1", "::10.0.0.1", "::8.8.8.8", "::ffff"), "IPv4-compatible"),
    **dict.fromkeys(("::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:127.255.255.255"), "loopback"),
    **dict.fromkeys(("::ffff:10.0.0.1", "::ffff:172.16.0.1", "::ffff:192.168.1.1", "::ffff:c0a8:101"), "private"),
    **dict.fromkeys(("::ffff:169.254.169.254", "::ffff:a9fe:a9fe"), "metadata"),
    "::ffff:100.64.0.1": "CGNAT",
    "::ffff:0.0.0.0": "unspecified",
    "::ffff:0.1.2.3": "this network",
    "::ffff:192.0.2.1": "documentation",
    "::ffff:198.18.0.1": "benchmarking",
    "::ffff:224.0.0.1": "multicast",
    "::ffff:240.0.0.1": "reserved",
    "::ffff:255.255.255.255": "broadcast",
    **dict.fromkeys(("::ffff:0:127.0.0.1", "::ffff:0:7f00:1", "::ffff:0:8.8.8.8"), "IPv4-translated"),
    **dict.fromkeys(("64:ff9b::127.0.0.1", "64:ff9b::7f00:1"), "NAT64 of 127.0.0.1: loopback"),
    **dict.fromkeys(("64:ff9b::10.0.0.1", "64:ff9b::192.168.0.1", "64:ff9b::172.31.0.1"), "private"),
    **dict.fromkeys(("64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe"), "metadata"),
    **dict.fromkeys(("64:ff9b::100.64.0.1",), "CGNAT"),
    **dict.fromkeys(("64:ff9b::", "64:ff9b::0.0.0.0"), "unspecified"),
    **dict.fromkeys(("64:ff9b:1::", "64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"), "local NAT64"),
    **dict.fromkeys(("64:ff9b:0:1::1", "64:ff9b:2::1", "64::1"), "reserved"),
    **dict.fromkeys(("100::", "100::1", "100::ffff:ffff:ffff:ffff"), "discarded"),
    "100:0:0:1::1": "dummy",
    "100:0:0:2::1": "reserved",
    **dict.fromkeys(("2001::", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"), "Teredo"),
    **dict.fromkeys(("2001:2::", "2001:2::1", "2001:2:0:ffff::1"), "benchmarking"),
    **dict.fromkeys(("2001:10::", "2001:10::1", "2001:1f:ffff::1"), "ORCHID"),
    **dict.fromkeys(("2001:20::", "2001:20::1", "2001:2f:ffff::1"), "ORCHIDv2"),
    **dict.fromkeys(("2001:1::1", "2001:3::1", "2001:4:112::1", "2001:30::1", "2001:1ff:ffff::1"), "IETF protocol"),
    **dict.fromkeys(("2001:db8::", "2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), "documentation"),
    **dict.fromkeys(("3fff::", "3fff::1", "3fff:fff:ffff::1"), "documentation"),
    **dict.fromkeys(("2002::", "2002:7f00:1::1", "2002:a00:1::", "2002:808:808::1", "2002:ffff::1"), "6to4"),
    **dict.fromkeys(("fc00::", "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254", "fdff:ffff::1"), "private"),
    **dict.fromkeys(("fe80::", "fe80::1", "fe80::a9fe:a9fe", "fe80::1%eth0", "febf:ffff::1"), "link-local"),
    **dict.fromkeys(("fec0::", "fec0::1", "feff:ffff::1"), "site-local"),
    **dict.fromkeys(("ff00::", "ff01::1", "ff02::1", "ff02::fb", "ff05::2", "ff0e::1", "ffff::1"), "multicast"),
    **dict.fromkeys(("5f00::", "5f00::1", "5f00:ffff::1"), "SRv6"),
    **dict.fromkeys(("200::1", "400::1", "1000::1", "1fff::1", "4000::1", "6000::1", "8000::1", "c000::1"), "reserved"),
    **dict.fromkeys(("e000::1", "f000::1", "fe00::1", "fbff::1", "0:0:1::1", "5eff::1", "5f01::1"), "reserved"),
}

ALLOWED = (
    "1.0.0.1", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.1", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
    "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255",
    "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0",
    "223.255.255.255", PUBLIC, "2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1",
    "2003::1", "2606:4700:4700::1111", "2620:fe::fe", "2a00:1450:4001::1", "3ffe::1", "3fff:1000::1", "2001:470::1",
    "::ffff:8.8.8.8", "::ffff:808:808", "::ffff:9.9.9.9", "64:ff9b::8.8.8.8", "64:ff9b::808:808", "64:ff9b::1.1.1.1",
)  # fmt: skip

# fmt: off
SPELLINGS: dict[str, str] = {
    **dict.fromkeys(
        (
            "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F000001", "017700000001", "0177.0.0.1",
            "0x7f.0.0.1", "0x7f.1", "0177.1", "0x7f.0x0.0x0.0x1", "00000000177.0.0.1", "127.0.0.01", "127.0.0.0x1",
            "0x7F.0.0.0x01", "127.0.0.1.", "127.1.", "127.0.0.1..", " 127.0.0.1", "[127.0.0.1]", "１２７.0.0.1",
            "１２７．０．０．１", "127。0。0。1", "127｡0｡0｡1", "①②⑦.0.0.1", "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "127.0.0.\u200b1",
            "127\u00ad.0.0.1", "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "0ｘ7f.1", "127.0.0.1\ufe0f", "0x000000007f000001",
        ),
        "127.0.0.1",
    ),
    **dict.fromkeys(
        ("169.254.43518", "2852039166", "0xa9fea9fe", "0251.0376.43518", "169.254.0xa9fe", "169.0xfea9fe"),
        "169.254.169.254",
    ),
    **dict.fromkeys(("10.1", "0xa.1", "012.1", "167772161"), "10.0.0.1"),
    **dict.fromkeys(("0", "0x", "0x0", "00", "0.0", "0.0.0.0", "0.0.0.0."), "0.0.0.0"),
    **dict.fromkeys(("255.255.255.255", "4294967295", "0xffffffff", "037777777777"), "255.255.255.255"),
    **dict.fromkeys(("192.168.257", "3232235777", "0xc0.0xa8.0x1.0x1"), "192.168.1.1"),
    **dict.fromkeys(("134744072", "8.8.2056", "010.8.8.8"), "8.8.8.8"),
    **dict.fromkeys(
        ("::1", "[::1]", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::0001", "::1.", "[::1%lo]",
         "::１", "::0.0.0.1"),
        "::1",
    ),
    **dict.fromkeys(("fe80::1%eth0", "[fe80::1%25eth0]", "FE80::1", "fe80:0::1%1"), "fe80::1"),
    **dict.fromkeys(("::ffff:127.0.0.1", "::FFFF:7F00:1", "[0:0:0:0:0:ffff:127.0.0.1]"), "::ffff:7f00:1"),
}
# fmt: on

NAMES = (
    "example.org", "localhost", "127.0.0.1.example.org", "1.2.3.4.5", "256.0.0.1", "127.0.0.256", "1.2.3.08", "0x7g.1",
    "4294967296", "0x100000000", "1..2", ".1", "a", "xn--bcher-kva.example", "127-0-0-1.nip.test", "0xcafe.cafe", "-1",
    "1e3", "::g", "1:2", "", "127.0x1ffffff", "1.0x1000000", "+127.0.0.1", "127.0.0.1,", "metadata.google.internal",
)  # fmt: skip


def test_there_are_at_least_two_hundred_vectors() -> None:
    assert len(FORBIDDEN) + len(ALLOWED) + len(SPELLINGS) + len(NAMES) >= 200


@pytest.mark.parametrize("text, reason", FORBIDDEN.items(), ids=FORBIDDEN)
def test_a_special_address_is_refused_and_told_what_it_is(text: str, reason: str) -> None:
    address = ipaddress.ip_address(text)
    found = forbidden_reason(address)
    assert found is not None
    assert reason in found
    with pytest.raises(EgressRefused):
        check_literal(text, NOTHING)


@pytest.mark.parametrize("text", ALLOWED)
def test_an_address_of_the_public_internet_is_not_refused(text: str) -> None:
    assert forbidden_reason(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize("spelling, address", SPELLINGS.items(), ids=map(ascii, SPELLINGS))
def test_an_address_is_known_in_every_spelling(spelling: str, address: str) -> None:
    assert literal_address(spelling) == ipaddress.ip_address(address)
    if spelling != address:
        with pytest.raises(EgressRefused):  # even one of the public internet: others may read it otherwise
            check_literal(spelling, NOTHING)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_address_is_a_name(name: str) -> None:
    assert literal_address(name) is None
    assert check_literal(name, NOTHING) is None


@pytest.mark.parametrize("spelling", [s for s in SPELLINGS if ":" not in s and s.isascii() and s.strip(" []%") == s])
def test_the_c_library_reads_a_spelling_as_we_do_or_not_at_all(spelling: str) -> None:
    try:
        theirs = socket.inet_aton(spelling)
    except OSError:
        return
    assert IPv4Address(theirs) == literal_address(spelling)


def addresses_in(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> st.SearchStrategy[Address]:
    kind = type(network.network_address)
    return st.integers(int(network.network_address), int(network.broadcast_address)).map(kind)


special_v4 = st.sampled_from([s.network for s in SPECIAL if isinstance(s.network, IPv4Network)]).flatmap(addresses_in)


@given(st.sampled_from([s.network for s in SPECIAL]).flatmap(addresses_in))
def test_every_address_inside_a_listed_network_is_refused(address: Address) -> None:
    assert forbidden_reason(address) is not None


@given(special_v4, st.sampled_from(["::ffff:0:0", "64:ff9b::", "::", "::ffff:0:0:0", "64:ff9b:1::"]))
def test_a_special_ipv4_address_is_refused_however_embedded(address: Address, prefix: str) -> None:
    assert forbidden_reason(IPv6Address(int(IPv6Address(prefix)) | int(address))) is not None
    assert forbidden_reason(IPv6Address(0x2002 << 112 | int(address) << 80 | 1)) is not None


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_embedded_address_is_judged_like_itself(address: IPv4Address) -> None:
    itself = forbidden_reason(address) is None
    assert (forbidden_reason(IPv6Address(0xFFFF << 32 | int(address))) is None) is itself
    assert (forbidden_reason(IPv6Address(int(NAT64.network_address) | int(address))) is None) is itself


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.lists(st.sampled_from(["d", "x", "o"]), min_size=4, max_size=4))
def test_any_mix_of_number_bases_and_parts_is_read_like_the_c_library_does(
    value: int, count: int, bases: list[str]
) -> None:
    form = {"d": "{}", "x": "0x{:x}", "o": "0{:o}"}
    rest = 8 * (5 - count)
    parts = [value >> (24 - 8 * place) & 255 for place in range(count - 1)] + [value & (1 << rest) - 1]
    spelling = ".".join(form[base].format(part) for base, part in zip(bases, parts, strict=False))
    assert literal_address(spelling) == IPv4Address(value) == IPv4Address(socket.inet_aton(spelling))


@given(st.text("0123456789abcdefx.:[]%１。", max_size=20))
def test_what_the_http_client_dials_without_resolving_is_judged_or_stopped(host: str) -> None:
    """The client's own rule for addresses is a guess: whatever passes it must have been judged, or get no socket."""
    try:
        dialled = URL(f"https://{host}/").raw_host or ""
    except ValueError:
        return
    if not is_ip_address(dialled):
        return
    try:
        with judged_dial(dialled, NOTHING, "p"):
            guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", (dialled, 443))).close()
    except EgressRefused:
        return
    assert forbidden_reason(ipaddress.ip_address(dialled)) is None


def test_every_row_of_the_table_says_what_and_who_says_so() -> None:
    for special in SPECIAL:
        assert special.what
        assert special.source
    assert len({special.network for special in SPECIAL}) == len(SPECIAL)


def test_no_row_of_the_table_is_hidden_by_a_wider_one_before_it() -> None:
    for place, special in enumerate(SPECIAL):
        for before in SPECIAL[:place]:
            if before.network.version == special.network.version:
                assert special.network.network_address not in before.network or before.network.prefixlen > (
                    special.network.prefixlen
                )


# --- what is allowed ---

TARGETS = {
    "10.1.2.3": "10.1.2.3/32",
    "10.0.0.0/8": "10.0.0.0/8",
    " 10.0.0.0/8 ": "10.0.0.0/8",
    "127.1": "127.0.0.1/32",
    "[::1]": "::1/128",
    "::ffff:10.0.0.1": "10.0.0.1/32",
    "FD00::/8": "fd00::/8",
    "fe80::1%eth0": "fe80::1/128",
    "ERP.Example.org": "erp.example.org",
    "erp.example.org.": "erp.example.org",
    "*.Example.org": "*.example.org",
    "bücher.example": "xn--bcher-kva.example",
    "localhost": "localhost",
    "my_host.lan": "my_host.lan",
}


@pytest.mark.parametrize("text, target", TARGETS.items())
def test_an_entry_is_kept_in_one_form(text: str, target: str) -> None:
    assert canonical_target(text) == target
    assert canonical_target(target) == target


@pytest.mark.parametrize(
    "text",
    ["", " ", "*", "*.", "*.*.org", "a..b", "-a.org", "a-.org", "https://a.org", "a.org:443", "a.org/x", "1.2.3.4.5",
     "256.1.1.1", "10.1.2.3/8", "10.0.0.0/33", "fd00::1/8", "a b", "a" * 64, ".".join(["abc"] * 70), "x.0x7f",
     "1.2.3.08", "*.10.0.0.1"],
)  # fmt: skip
def test_what_is_no_network_and_no_host_is_not_allowed(text: str) -> None:
    with pytest.raises(InvalidValue):
        canonical_target(text)


def test_a_network_with_bits_behind_its_prefix_is_corrected_in_the_error() -> None:
    with pytest.raises(InvalidValue, match=r"write 10\.0\.0\.0/8"):
        canonical_target("10.1.2.3/8")


def test_an_allowed_network_is_allowed_for_its_addresses_and_no_other() -> None:
    allowance = Allowance.of(["10.1.0.0/16", "::1"])
    for host in ("10.1.2.3", "::1"):
        assert check_literal(host, allowance) is not None
    assert allowance.allows("x", ipaddress.ip_address("::ffff:10.1.2.3"))
    for host in ("10.2.0.1", "127.0.0.1", "::2", "64:ff9b::a01:203"):
        with pytest.raises(EgressRefused):
            check_literal(host, allowance)


@pytest.mark.parametrize(
    "host, allowed",
    [
        ("erp.test", True), ("ERP.test.", True), ("a.example.org", True), ("a.b.example.org", True),
        ("example.org", False), ("badexample.org", False), ("erp.test.evil.org", False), ("x.erp.test", False),
        ("org", False), ("", False),
    ],
)  # fmt: skip
def test_an_allowed_name_is_exact_or_below_a_domain(host: str, allowed: bool) -> None:
    assert Allowance.of(["erp.test", "*.example.org"]).allows_name(host) is allowed


def test_a_name_allows_no_address_that_looks_like_it() -> None:
    assert not Allowance(names=frozenset({"127.0.0.1"})).allows_name("127.0.0.1")


def test_allowances_add_up() -> None:
    both = Allowance.of(["10.0.0.0/8"]) | Allowance.of(["erp.test"])
    assert both.allows("erp.test", IPv4Address("127.0.0.1"))
    assert both.allows("x", IPv4Address("10.0.0.1"))
    assert not both.allows("x", IPv4Address("127.0.0.1"))


@given(st.text(max_size=30))
def test_any_text_is_a_host_or_none(text: str) -> None:
    literal_address(text)
    canonical_host(text)


def test_a_url_is_refused_early_with_the_advice() -> None:
    with pytest.raises(InvalidValue, match=r"loopback.*matrixhub egress allow --property P 127\.0\.0\.1"):
        check_url("https://127.0.0.1:8443/x", NOTHING, "P")
    for url in (
        "https://[::1]/",
        "https://[fe80::1]:443/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1./",
    ):
        with pytest.raises(InvalidValue):
            check_url(url, NOTHING, "P")
    check_url("https://127.0.0.1:8443/x", Allowance.of(["127.0.0.1"]), "P")
    check_url("https://localhost:8443/x", NOTHING, "P")  # names are judged when they are resolved
    check_url(f"https://{PUBLIC}/x", NOTHING, "P")


# --- names, at dial time ---


class FakeNames(AbstractResolver):
    """Answers one list of addresses after the other; the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None:
        pass


async def test_a_name_is_resolved_to_exactly_the_addresses_that_were_judged() -> None:
    names = FakeNames([PUBLIC, "2606:4700:4700::1111"])
    found = await GuardedResolver(names, NOTHING).resolve("example.org", 443)
    assert [entry["host"] for entry in found] == [PUBLIC, "2606:4700:4700::1111"]


@pytest.mark.parametrize("answer", [["10.0.0.1"], [PUBLIC, "10.0.0.1"], ["::1", PUBLIC], [PUBLIC, "fe80::1%eth0"]])
async def test_one_forbidden_address_in_the_answer_refuses_the_name(answer: list[str]) -> None:
    with pytest.raises(EgressRefused) as refused:
        await GuardedResolver(FakeNames(answer), NOTHING).resolve("mixed.example", 443)
    assert "mixed.example is " in refused.value.message
    assert refused.value.retry_helps


async def test_a_mixed_answer_is_taken_where_its_forbidden_address_is_allowed() -> None:
    names = FakeNames([PUBLIC, "10.0.0.1"])
    for target in ("10.0.0.1", "mixed.example", "*.example"):
        assert len(await GuardedResolver(names, Allowance.of([target])).resolve("mixed.example", 443)) == 2


async def test_a_socket_is_made_for_no_address_that_was_not_judged_for_this_attempt() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", (PUBLIC, 443))
    with pytest.raises(EgressRefused):
        guarded_socket(info)
    with judged_dial("example.org", NOTHING, "p"):
        with pytest.raises(EgressRefused):
            guarded_socket(info)
        await GuardedResolver(FakeNames([PUBLIC]), NOTHING).resolve("example.org", 443)
        guarded_socket(info).close()
    with pytest.raises(EgressRefused), judged_dial("example.org", NOTHING, "p"):
        guarded_socket(info)


# --- the sender, with real TLS ---

LOOPBACK = frozenset({"127.0.0.0/8"})


@asynccontextmanager
async def sending(
    names: FakeNames | None = None, allowed_to_all: Allowance = NOTHING
) -> AsyncIterator[tuple[HttpsSender, HttpsReceiver]]:
    """A sender and a receiver on loopback whose certificate is for the name `receiver.test` or its address."""
    name = "receiver.test" if names else ""
    opened = open_https_sender(allowed_to_all, MemoryTokens(), SystemClock(), names)
    async with HttpsReceiver(name=name) as receiver, opened as sender:
        yield sender, receiver


def push(receiver: HttpsReceiver, *allow: str, number: int = 1) -> Push:
    destination = Destination(url=receiver.url, ca_pem=receiver.ca_pem, egress_allow=frozenset(allow))
    item = b'["{\\"DEVID\\":\\"d\\",\\"DevType\\":\\"T\\",\\"unixT\\":%d,\\"v\\":{}}"]' % number
    return sample_push(destination, item, request_id=f"request-{number}", property_id=PropertyId("prop"))


async def test_a_loopback_receiver_gets_nothing_unless_it_is_allowed() -> None:
    async with sending() as (sender, receiver):
        with pytest.raises(EgressRefused) as refused:
            await sender.send(push(receiver))
        assert refused.value.code == "MH-D004"
        assert (refused.value.host, refused.value.address) == ("127.0.0.1", "127.0.0.1")
        assert "matrixhub egress allow --property prop 127.0.0.1" in refused.value.message
        assert not receiver.requests
        assert (await sender.send(push(receiver, *LOOPBACK))).http_status == 204


async def test_the_setting_allows_for_every_property() -> None:
    async with sending(allowed_to_all=Allowance.of(LOOPBACK)) as (sender, receiver):
        assert (await sender.send(push(receiver))).http_status == 204


@pytest.mark.parametrize("target", ["receiver.test", "*.test", "127.0.0.1/32"])
async def test_a_name_is_pushed_to_where_it_or_its_address_is_allowed(target: str) -> None:
    async with sending(FakeNames(["127.0.0.1"])) as (sender, receiver):
        with pytest.raises(EgressRefused, match=r"receiver\.test is 127\.0\.0\.1"):
            await sender.send(push(receiver))
        with pytest.raises(EgressRefused):
            await sender.send(push(receiver, "other.test", "10.0.0.0/8"))
        assert not receiver.requests
        assert (await sender.send(push(receiver, target))).http_status == 204


async def test_a_name_that_answers_public_first_and_private_later_is_refused_then() -> None:
    """DNS rebinding: the first connection is dialled to the public address only, every new one is judged anew."""
    names = FakeNames([PUBLIC], ["127.0.0.1"])
    dialled: list[str] = []

    async def dial(self: asyncio.AbstractEventLoop, sock: socket.socket, address: tuple[str, int]) -> None:
        dialled.append(address[0])
        raise ConnectionRefusedError(111, "nobody there")

    async with sending(names) as (sender, receiver):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(asyncio.get_running_loop()), "sock_connect", dial)
            with pytest.raises(DestinationUnreachable):
                await sender.send(push(receiver))
            assert dialled == [PUBLIC]
            with pytest.raises(EgressRefused):
                await sender.send(push(receiver))
        assert dialled == [PUBLIC]
        assert names.asked == 2
        assert not receiver.requests


async def test_an_open_connection_is_used_again_without_asking_the_name() -> None:
    names = FakeNames(["127.0.0.1"], ["10.0.0.1"])
    async with sending(names) as (sender, receiver):
        for number in (1, 2, 3):
            await sender.send(push(receiver, *LOOPBACK, number=number))
        assert names.asked == 1


async def test_an_open_connection_of_one_property_is_not_there_for_another_nor_after_leave_is_revoked() -> None:
    async with sending() as (sender, receiver):
        await sender.send(push(receiver, *LOOPBACK))
        with pytest.raises(EgressRefused):
            await sender.send(push(receiver, number=2))
        assert len(receiver.requests) == 1


async def test_connections_are_kept_for_so_many_allow_lists_and_no_more() -> None:
    async with sending() as (sender, receiver):
        for number in range(POOLS_MAX + 5):
            await sender.send(push(receiver, *LOOPBACK, f"h{number}.test", number=number + 1))
        assert len(sender._connections._pools) == POOLS_MAX
        await sender.send(push(receiver, *LOOPBACK, "h0.test", number=POOLS_MAX + 9))
        assert len(receiver.requests) == POOLS_MAX + 6


async def test_pushes_at_once_do_not_judge_for_each_other() -> None:
    async with sending(FakeNames(["127.0.0.1"])) as (sender, receiver):
        pushes = [push(receiver, *(LOOPBACK if n % 2 else ()), number=n + 1) for n in range(20)]
        results = await asyncio.gather(*(sender.send(p) for p in pushes), return_exceptions=True)
        assert [isinstance(result, EgressRefused) for result in results] == [n % 2 == 0 for n in range(20)]
        assert len(receiver.requests) == 10


@pytest.mark.parametrize("allowed", [False, True])
async def test_plain_http_is_spoken_only_with_the_dangerous_switch(allowed: bool) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", answer)
    async with serve_app(app) as port:
        destination = Destination(url=f"http://127.0.0.1:{port}/")
        allowance = Allowance.of(LOOPBACK, plain_http=allowed)
        async with open_https_sender(allowance, MemoryTokens(), SystemClock()) as sender:
            if allowed:
                assert (await sender.send(sample_push(destination, b"[]"))).http_status == 204
            else:
                with pytest.raises(EgressRefused, match="dangerously_allow_plain_http"):
                    await sender.send(sample_push(destination, b"[]"))


def test_limits_of_a_request_are_not_rounded_to_full_seconds() -> None:
    assert client_timeout(5.0, 15.0).ceil_threshold > 60
