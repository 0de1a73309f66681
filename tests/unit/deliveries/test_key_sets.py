"""Keys of identity providers: which are taken, how long they are kept, and when they are asked for again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.model.test_federation import APPLICATION

from matrixhub.deliveries.jwks import KEPT_MAX_S, KEPT_MIN_S, KEYS_MAX, KeySet, kept_s, read_keys
from matrixhub.deliveries.key_sets import FAILED_S, SETS_MAX, STALE_MAX_S, UNKNOWN_KID_S, KeySets
from matrixhub.model.errors import DeliveryError, DestinationUnreachable, FederatedTokenRefused, IdentityProviderAway
from matrixhub.model.ids import IdentityApplicationId
from matrixhub.observe import Fact, ProviderKeysFailed, ProviderKeysRead
from matrixhub.testing.identity_provider import encoded, public_entry, signing_key

KEPT_S = 600.0
ALL: frozenset[str] = frozenset()


def jwks(*entries: object) -> bytes:
    return json.dumps({"keys": entries}).encode()


class Provider:
    """A provider without a network, and its clock."""

    def __init__(self) -> None:
        self.entries = {"k1": public_entry("k1", signing_key(1))}
        self.away = False
        self.reads = 0
        self.now_s = 1_000.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.facts: list[Fact] = []
        self.sets = KeySets(self.read, self.facts.append, lambda: self.now_s)

    async def read(self, _application: object, _allow: frozenset[str]) -> KeySet:
        self.reads += 1
        await self.gate.wait()
        if self.away:
            raise DestinationUnreachable("nobody there")
        return KeySet(keys=read_keys(jwks(*self.entries.values())), kept_s=KEPT_S)

    async def knows(self, kid: str = "k1") -> bool:
        try:
            await self.sets.key(APPLICATION, kid, ALL)
        except FederatedTokenRefused:
            return False
        return True

    async def is_away(self, kid: str = "k1") -> bool:
        try:
            await self.sets.key(APPLICATION, kid, ALL)
        except IdentityProviderAway:
            return True
        return False


async def test_keys_are_read_once_while_they_are_fresh() -> None:
    provider = Provider()
    for _ in range(50):
        assert await provider.knows()
    provider.now_s += KEPT_S - 1
    assert await provider.knows()
    assert provider.reads == 1
    provider.now_s += 1
    assert await provider.knows()
    assert provider.reads == 2
    assert provider.facts == [ProviderKeysRead(application=APPLICATION.id, keys=1)] * 2


async def test_a_key_that_came_by_rotation_is_read_without_a_restart() -> None:
    provider = Provider()
    assert await provider.knows()
    provider.entries = {"k2": public_entry("k2", signing_key(2))}
    provider.now_s += UNKNOWN_KID_S
    assert await provider.knows("k2")
    assert not await provider.knows("k1")


async def test_forged_key_ids_make_the_provider_be_asked_once_in_a_while() -> None:
    provider = Provider()
    assert await provider.knows()
    for number in range(500):
        assert not await provider.knows(f"forged-{number}")
    assert provider.reads == 1
    provider.now_s += UNKNOWN_KID_S
    for number in range(500):
        assert not await provider.knows(f"forged-{number}")
    assert provider.reads == 2
    assert await provider.knows()


async def test_many_at_once_share_one_read() -> None:
    provider = Provider()
    provider.gate.clear()
    asked = [asyncio.create_task(provider.knows()) for _ in range(100)]
    await asyncio.sleep(0)
    provider.gate.set()
    assert all(await asyncio.gather(*asked))
    assert provider.reads == 1


async def test_whoever_began_a_read_may_go_away_while_others_wait_for_it() -> None:
    provider = Provider()
    provider.gate.clear()
    first, second = asyncio.create_task(provider.knows()), asyncio.create_task(provider.knows())
    await asyncio.sleep(0)
    first.cancel()
    provider.gate.set()
    assert await second
    assert provider.reads == 1


async def test_stale_keys_are_used_while_the_provider_is_away_for_a_bounded_time() -> None:
    provider = Provider()
    assert await provider.knows()
    provider.away = True
    provider.now_s += KEPT_S
    assert await provider.knows()
    failed = ProviderKeysFailed(application=APPLICATION.id, error="nobody there", stale=1)
    assert provider.facts[-1] == failed
    provider.now_s += STALE_MAX_S - 1
    assert await provider.knows()
    provider.now_s += 1
    assert await provider.is_away()
    provider.away = False
    provider.now_s += FAILED_S
    assert await provider.knows()


async def test_a_provider_that_is_away_from_the_beginning_is_asked_again_soon_and_not_by_everybody() -> None:
    provider = Provider()
    provider.away = True
    for _ in range(50):
        assert await provider.is_away()
    assert provider.reads == 1
    assert provider.facts == [ProviderKeysFailed(application=APPLICATION.id, error="nobody there", stale=0)]
    provider.away = False
    provider.now_s += FAILED_S
    assert await provider.knows()


async def test_what_is_not_known_while_the_provider_is_away_is_not_said_to_be_forged() -> None:
    provider = Provider()
    assert await provider.knows()
    provider.away = True
    provider.now_s += UNKNOWN_KID_S
    assert await provider.is_away("k2")
    assert await provider.knows("k1")


async def test_a_key_that_was_taken_out_is_good_for_nothing_once_the_keys_are_old() -> None:
    provider = Provider()
    assert await provider.knows()
    provider.entries = {"k2": public_entry("k2", signing_key(2))}
    provider.now_s += KEPT_S
    assert not await provider.knows("k1")


async def test_another_address_of_keys_is_read_at_once() -> None:
    provider = Provider()
    assert await provider.knows()
    await provider.sets.key(replace(APPLICATION, jwks_url="https://id.example.org/keys"), "k1", ALL)
    assert provider.reads == 2


async def test_no_more_sets_are_kept_than_there_is_room_for() -> None:
    provider = Provider()
    for number in range(SETS_MAX + 1):
        await provider.sets.key(replace(APPLICATION, id=IdentityApplicationId(f"quid_{number}")), "k1", ALL)
    await provider.sets.key(replace(APPLICATION, id=IdentityApplicationId("quid_1")), "k1", ALL)
    assert provider.reads == SETS_MAX + 1
    await provider.sets.key(replace(APPLICATION, id=IdentityApplicationId("quid_0")), "k1", ALL)
    assert provider.reads == SETS_MAX + 2


async def test_closing_ends_what_is_being_read() -> None:
    provider = Provider()
    provider.gate.clear()
    waiting = asyncio.create_task(provider.sets.key(APPLICATION, "k1", ALL))
    await asyncio.sleep(0)
    await provider.sets.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


GOOD = public_entry("k1", signing_key(1))


def weak() -> dict[str, str]:
    key: Any = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    return public_entry("weak", key)


@pytest.mark.parametrize(
    "entry",
    [
        weak(),
        {**GOOD, "kty": "EC"},
        {**GOOD, "kty": "oct", "k": "c2VjcmV0"},
        {**GOOD, "use": "enc"},
        {**GOOD, "alg": "RS512"},
        {**GOOD, "alg": "PS256"},
        {**GOOD, "d": GOOD["n"]},
        {**GOOD, "kid": ""},
        {**GOOD, "kid": 7},
        {**GOOD, "kid": "k" * 257},
        {name: value for name, value in GOOD.items() if name != "kid"},
        {**GOOD, "n": "AQAB"},
        {**GOOD, "n": "*"},
        {**GOOD, "n": None},
        {**GOOD, "n": "A" * 2_000},
        {**GOOD, "e": "AA"},
        {**GOOD, "e": "Ag"},
        {**GOOD, "e": encoded(b"\xff" * 300)},
        "text",
        None,
        [],
    ],
)
def test_a_key_that_rs256_cannot_be_verified_with_is_passed_over(entry: object) -> None:
    assert set(read_keys(jwks(entry, {**GOOD, "kid": "other"}))) == {"other"}
    with pytest.raises(DeliveryError):
        read_keys(jwks(entry))


def test_use_and_alg_may_be_left_out_and_of_two_with_one_id_the_first_counts() -> None:
    bare = {name: GOOD[name] for name in ("kty", "kid", "n", "e")}
    second = public_entry("k1", signing_key(2))
    (key,) = read_keys(jwks(bare, second)).values()
    assert key.public_key.public_numbers().n == signing_key(1).public_key().public_numbers().n


def test_no_more_keys_are_looked_at_than_there_is_room_for() -> None:
    entries = [{**GOOD, "kid": f"k{number}"} for number in range(KEYS_MAX + 5)]
    assert len(read_keys(jwks(*entries))) == KEYS_MAX


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"[" * 100_000])
def test_any_other_answer_is_no_jwks(body: bytes) -> None:
    with pytest.raises(DeliveryError):
        read_keys(body)


@given(said=st.lists(st.text(max_size=40), max_size=3))
def test_how_long_keys_are_kept_has_bounds_whatever_is_said(said: list[str]) -> None:
    assert KEPT_MIN_S <= kept_s(said) <= KEPT_MAX_S


@pytest.mark.parametrize(
    "said, wanted",
    [
        ("max-age=999999999", KEPT_MAX_S),
        ("max-age=0", KEPT_MIN_S),
        ('Max-Age = "900"', 900.0),
        ("s-maxage=900", 3_600.0),
    ],
)
def test_the_age_an_answer_may_have_is_respected_within_bounds(said: str, wanted: float) -> None:
    assert kept_s([said]) == wanted
