"""Keys of an identity provider over real HTTPS: rotation, outage, and answers that are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from tests.unit.model.test_federation import APPLICATION

from matrixhub.deliveries import jwks
from matrixhub.deliveries.connections import Connections
from matrixhub.deliveries.jwks import DOCUMENT_BYTES_MAX, JwksReader
from matrixhub.deliveries.key_sets import UNKNOWN_KID_S, KeySets
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DeliveryError, FederatedTokenRefused, IdentityProviderAway
from matrixhub.model.federation import IdentityApplication
from matrixhub.observe import Fact, ProviderKeysFailed
from matrixhub.testing.identity_provider import Answer, IdentityProvider, signing_key
from matrixhub.testing.tls import LocalAuthority

LOCAL = frozenset({"127.0.0.0/8"})
AUTHORITY = LocalAuthority()


@dataclass(slots=True)
class Rig:
    """A provider, an application of it, and who reads its keys."""

    provider: IdentityProvider
    application: IdentityApplication
    reader: JwksReader
    facts: list[Fact] = field(default_factory=list)
    now_s: float = 0.0

    def sets(self) -> KeySets:
        return KeySets(self.reader.read, self.facts.append, lambda: self.now_s)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    reader = JwksReader(Connections(Allowance(), aiohttp.ThreadedResolver()))
    async with IdentityProvider(authority=AUTHORITY) as provider:
        ours = replace(APPLICATION, jwks_url=provider.jwks_url, issuer=provider.issuer, ca_pem=AUTHORITY.ca_pem)
        yield Rig(provider, ours, reader)
        await reader.close()


async def test_a_rotation_is_followed_and_the_age_of_the_answer_respected(rig: Rig) -> None:
    sets = rig.sets()
    await sets.key(rig.application, "k1", LOCAL)
    rig.provider.keys = {"k1": signing_key(1), "k2": signing_key(2)}
    with pytest.raises(FederatedTokenRefused):
        await sets.key(rig.application, "k2", LOCAL)
    rig.now_s += UNKNOWN_KID_S
    await sets.key(rig.application, "k2", LOCAL)
    rig.provider.keys = {"k2": signing_key(2)}
    rig.now_s += 599
    await sets.key(rig.application, "k1", LOCAL)
    rig.now_s += 1
    with pytest.raises(FederatedTokenRefused):
        await sets.key(rig.application, "k1", LOCAL)
    assert rig.provider.reads == 3


async def test_an_outage_leaves_the_known_keys_in_use(rig: Rig) -> None:
    sets = rig.sets()
    await sets.key(rig.application, "k1", LOCAL)
    rig.provider.fault = Answer(status=503)
    rig.now_s += 3_600
    await sets.key(rig.application, "k1", LOCAL)
    assert isinstance(rig.facts[-1], ProviderKeysFailed)
    with pytest.raises(IdentityProviderAway):
        await rig.sets().key(rig.application, "k1", LOCAL)


async def test_a_redirect_is_not_followed(rig: Rig) -> None:
    async with IdentityProvider(authority=AUTHORITY) as other:
        rig.provider.fault = Answer(status=302, headers={"Location": other.jwks_url})
        with pytest.raises(DeliveryError, match="HTTP 302"):
            await rig.reader.read(rig.application, LOCAL)
        assert other.reads == 0


@pytest.mark.parametrize(
    "fault, why",
    [
        (Answer(status=404), "HTTP 404"),
        (Answer(status=204), "HTTP 204"),
        (Answer(body=b"<html>"), "not JSON"),
        (Answer(body=b'{"keys":[]}'), "no RSA key"),
        (Answer(body=b" " * (DOCUMENT_BYTES_MAX + 1)), "larger than"),
    ],
)
async def test_an_answer_that_is_no_jwks_is_told(rig: Rig, fault: Answer, why: str) -> None:
    rig.provider.fault = fault
    with pytest.raises(DeliveryError, match=why):
        await rig.reader.read(rig.application, LOCAL)


async def test_a_provider_that_hangs_is_not_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "TOTAL_S", 0.1)
    rig.provider.fault = Answer(wait_s=60)
    with pytest.raises(DeliveryError, match="no answer in time"):
        await rig.reader.read(rig.application, LOCAL)


async def test_keys_are_read_past_the_egress_guard_over_https_with_a_certificate_that_is_trusted(rig: Rig) -> None:
    with pytest.raises(DeliveryError, match="egress allow"):
        await rig.reader.read(rig.application, frozenset())
    plain = rig.provider.jwks_url.replace("https:", "http:")
    with pytest.raises(DeliveryError, match="https"):
        await rig.reader.read(replace(rig.application, jwks_url=plain), LOCAL)
    with pytest.raises(DeliveryError, match="TLS"):
        await rig.reader.read(replace(rig.application, ca_pem=LocalAuthority().ca_pem), LOCAL)
    assert rig.provider.reads == 0
