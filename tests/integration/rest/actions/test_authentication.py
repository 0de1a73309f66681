"""Who asks, end to end: every scheme, what revokes and rotates, and what slows down.

Source: docs/contract/web-services.md §3
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import Client

from matrixhub.api import HttpServer, make_app
from matrixhub.api.access.schmac import signature, string_to_sign
from matrixhub.model.access import SENDERS, Rate
from matrixhub.model.errors import NameTaken, NotFound
from matrixhub.model.ids import KeyId
from matrixhub.model.key import Key, new_access_key
from matrixhub.model.secret import Secret
from matrixhub.modules.access import make_access
from matrixhub.modules.access.keys import AccessKeyDraft, alter_key, drop_key, make_access_key, rotate_key
from matrixhub.observe import Metrics, ignore
from matrixhub.store.keys import create_key
from matrixhub.store.versions import Versions
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAP = "scgrids.buildingZoneMap"
REFUSED = (401, "TOKEN_INVALID")


@dataclass(frozen=True, slots=True)
class Pair:
    """A client with an access key and its secret."""

    matrix: Matrix
    key: Key
    secret: Secret

    @property
    def access_key(self) -> str:
        assert self.key.access_key is not None
        return self.key.access_key

    def signed(
        self,
        operation: str = MAP,
        *,
        module: str = "scgrids",
        propid: str | None = None,
        off_s: int = 0,
        secret: Secret | None = None,
    ) -> dict[str, str]:
        """The headers of a signed request."""
        now = str(int(time.time()) + off_s)
        text = string_to_sign(module, propid or self.matrix.property_id, operation, self.access_key, now)
        made = signature(secret or self.secret, text)
        return {"Authorization": f"SCHMAC_V1;{self.access_key};{made}", "x-sc-time": now}

    def basic(self, secret: str | None = None) -> dict[str, str]:
        """The headers of a request with Basic."""
        text = f"{self.access_key}:{self.secret.reveal() if secret is None else secret}"
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

    async def works(self, matrix: Matrix | None = None, **given: Any) -> bool:
        """Whether a signed request is taken."""
        return (await (matrix or self.matrix).send(MAP, headers=self.signed(**given))).status == 200


async def pair_of(matrix: Matrix, **draft: Any) -> Pair:
    """A pair of the property."""
    key, secret = await make_access_key(
        matrix.platform, matrix.rig.codec.sealer, matrix.property_id, AccessKeyDraft(**draft)
    )
    return Pair(matrix, key, secret)


@asynccontextmanager
async def another_process(matrix: Matrix, **settings: Any) -> AsyncIterator[Matrix]:
    """The same hub served by another process, which has its own memory and may have other settings."""
    clock = settings.pop("clock", matrix.rig.parts.clock)
    versions = Versions(matrix.rig.database)
    access = make_access(matrix.rig.database, versions, matrix.rig.codec.sealer, **settings)
    parts = replace(matrix.rig.parts, versions=versions, access=access, clock=clock)
    server, stop = HttpServer("127.0.0.1", 0, 1.0), asyncio.Event()
    serving = asyncio.create_task(server.run(make_app({}, Metrics(), None, parts, ignore), stop))
    try:
        client = Client(f"{server.url}/hub/v1", matrix.client.session, matrix.client.key)
        yield replace(matrix, client=client)
    finally:
        stop.set()
        await serving
        await versions.close()


# --- schemes ---


async def test_a_signed_request_is_taken(matrix: Matrix) -> None:
    pair = await pair_of(matrix)
    assert len(await matrix.data(MAP, headers=pair.signed())) == len(matrix.site.zones)


async def test_an_access_key_with_its_secret_is_taken_as_basic_on_both_faces(matrix: Matrix) -> None:
    pair = await pair_of(matrix)
    assert await matrix.data(MAP, headers=pair.basic())
    assert await matrix.data(MAP, headers=pair.basic(), propid="")
    assert (await matrix.client.ask("GET", "/keys", headers=pair.basic())).status == 200


async def test_the_rest_face_takes_no_signature_and_says_what_it_takes(matrix: Matrix) -> None:
    reply = await matrix.client.ask("GET", "/keys", headers=(await pair_of(matrix)).signed())
    assert reply.code == "MH-R006"
    assert "Basic" in reply.json()["detail"]


async def test_a_pair_of_the_original_platform_is_brought_along(matrix: Matrix) -> None:
    access_key, secret = f"demo-key/{new_access_key()}+/=", Secret("demo-secret-0001")
    pair = await pair_of(matrix, access_key=access_key, secret=secret)
    assert pair.access_key == access_key
    assert await pair.works()
    with pytest.raises(NameTaken):
        await pair_of(matrix, access_key=access_key, secret=Secret("another-secret"))
    await drop_key(matrix.platform, matrix.property_id, pair.key.id)
    assert await (await pair_of(matrix, access_key=access_key, secret=secret)).works()


@pytest.mark.parametrize(("off_s", "works"), [(-290, True), (290, True), (-310, False), (310, False)])
async def test_the_time_may_be_off_by_five_minutes(matrix: Matrix, off_s: int, works: bool) -> None:
    pair = await pair_of(matrix)
    assert await pair.works(off_s=off_s) is works


@pytest.mark.parametrize("service", ["screports", ""])
async def test_what_sdks_call_a_service_may_be_signed(matrix: Matrix, service: str) -> None:
    pair = await pair_of(matrix)
    for module in ("screports", "SCReports") if service else ("scgrids",):
        assert await matrix.data(MAP, service=service, headers=pair.signed(module=module))
    assert await matrix.refused(MAP, service=service, headers=pair.signed(module="SCTasks")) == REFUSED


async def test_a_key_is_for_its_own_property(matrix: Matrix) -> None:
    pair, other = await pair_of(matrix), await matrix.rig.property()
    assert await matrix.refused(MAP, propid=other, headers=pair.signed(propid=other)) == REFUSED
    assert await matrix.refused(MAP, propid=other, headers=pair.basic()) == (403, "IMPLICIT_DENY")


async def test_a_signed_request_names_its_property(matrix: Matrix) -> None:
    pair = await pair_of(matrix)
    assert await matrix.refused(MAP, propid="", headers=pair.signed()) == (400, "MISSING_PARAMETERS")


@pytest.mark.parametrize(
    "changed",
    [
        {"x-sc-time": ""},
        {"x-sc-time": "now"},
        {"Authorization": "SCHMAC_V1"},
        {"Authorization": "SCHMAC_V1;;"},
        {"Authorization": f"SCHMAC_V1;unknown;{'0' * 64}"},
        {"Authorization": f"SCHMAC_V1;a;b;{'0' * 64}"},
        {"Authorization": "Basic"},
        {"Authorization": "Negotiate x"},
    ],
)
async def test_what_is_no_good_is_refused_with_credentials_wrong(matrix: Matrix, changed: Mapping[str, str]) -> None:
    pair = await pair_of(matrix)
    assert await matrix.refused(MAP, headers={**pair.signed(), **changed}) == REFUSED


async def test_a_role_decides_for_keys_of_every_kind(matrix: Matrix) -> None:
    pair = await pair_of(matrix, role_id=SENDERS)
    _, token = await create_key(matrix.rig.database, matrix.property_id, "", manages=True, role_id=SENDERS)
    for headers in (pair.signed(), pair.basic(), {"Authorization": f"Bearer {token.reveal()}"}):
        assert await matrix.refused(MAP, headers=headers) == (403, "IMPLICIT_DENY")
    await alter_key(matrix.platform, matrix.property_id, pair.key.id, role_id=AccessKeyDraft().role_id)
    assert await pair.works()


# --- rotated, revoked, expired ---


async def test_a_revoked_key_is_refused_at_once_by_every_process(matrix: Matrix) -> None:
    pair = await pair_of(matrix)
    async with another_process(matrix) as other:
        assert await pair.works()
        assert await pair.works(other)
        await drop_key(matrix.platform, matrix.property_id, pair.key.id)
        assert await other.refused(MAP, headers=pair.signed()) == REFUSED
        assert await matrix.refused(MAP, headers=pair.basic()) == REFUSED
        token = matrix.client.key
        await drop_key(matrix.platform, matrix.property_id, await own_key(matrix))
        assert await other.refused(MAP, headers={"Authorization": f"Bearer {token}"}) == REFUSED
    with pytest.raises(NotFound):
        await drop_key(matrix.platform, matrix.property_id, pair.key.id)


async def test_the_secret_of_before_is_good_until_the_overlap_ends(matrix: Matrix) -> None:
    pair, clock = await pair_of(matrix), FakeClock(int(time.time() * 1000))
    async with another_process(matrix, clock=clock) as other:
        _, second = await rotate_key(
            matrix.platform, matrix.rig.codec.sealer, matrix.property_id, pair.key.id, overlap_s=100
        )
        assert await pair.works(other)
        assert await pair.works(other, secret=second)
        await clock.advance(200)  # the rotation is by the real clock, which has gone on
        assert not await pair.works(other, off_s=200)
        assert await pair.works(other, secret=second, off_s=200)


async def test_without_an_overlap_the_secret_of_before_is_refused_at_once(matrix: Matrix) -> None:
    pair = await pair_of(matrix)
    assert await pair.works()
    _, second = await rotate_key(matrix.platform, matrix.rig.codec.sealer, matrix.property_id, pair.key.id, overlap_s=0)
    assert not await pair.works()
    assert await pair.works(secret=second)


async def test_of_two_rotations_within_an_overlap_the_last_secret_of_before_is_good(matrix: Matrix) -> None:
    pair = await pair_of(matrix)
    rotations = [
        await rotate_key(matrix.platform, matrix.rig.codec.sealer, matrix.property_id, pair.key.id) for _ in range(2)
    ]
    made = [pair.secret, *(secret for _, secret in rotations)]
    assert [await pair.works(secret=secret) for secret in made] == [False, True, True]


async def test_a_key_expires(matrix: Matrix) -> None:
    clock = FakeClock(int(time.time() * 1000))
    pair = await pair_of(matrix, expires_at=datetime.now(UTC) + timedelta(seconds=100))
    async with another_process(matrix, clock=clock) as other:
        assert await pair.works(other)
        await clock.advance(101)
        assert not await pair.works(other, off_s=101)


async def test_a_secret_is_sealed_for_its_own_row(matrix: Matrix) -> None:
    pair, other = await pair_of(matrix), await pair_of(matrix)
    async with matrix.rig.database.connection() as connection:
        rows = await connection.fetch("select secret from access_keys where property_id = $1", matrix.property_id)
        assert not [row for row in rows if pair.secret.reveal().encode() in row["secret"]]
        await connection.execute(
            "update access_keys set secret = (select secret from access_keys where id = $1) where id = $2",
            pair.key.id,
            other.key.id,
        )
    assert (await matrix.refused(MAP, headers=other.signed()))[0] == 503


# --- replays ---


async def test_the_same_signed_request_is_taken_again_unless_its_key_is_protected(matrix: Matrix) -> None:
    pair = await pair_of(matrix)
    headers = pair.signed()
    for _ in range(2):
        assert await matrix.data(MAP, headers=headers)


async def test_a_protected_key_has_each_request_taken_once_by_all_processes(matrix: Matrix) -> None:
    pair = await pair_of(matrix, replay_protected=True)
    headers = pair.signed()
    async with another_process(matrix) as other:
        assert await matrix.data(MAP, headers=headers)
        for hub in (matrix, other):
            again = await hub.send(MAP, headers=headers)
            assert (again.status, again.json()["code"], again.json()["reason"]) == (401, "TOKEN_INVALID", "MH-R028")
        assert await other.data(MAP, {"ESK": ""}, headers=headers)  # another body is another request
        assert await other.data(MAP, headers=pair.signed(off_s=1))
        assert await other.data(MAP, headers=pair.basic())
        assert await other.data(MAP, headers=pair.basic())


async def test_what_is_kept_of_requests_goes_once_they_would_be_refused_anyway(matrix: Matrix) -> None:
    pair, clock = await pair_of(matrix, replay_protected=True), FakeClock(int(time.time() * 1000))
    count = "select count(*) from signatures_used where expires_at < to_timestamp($1)"
    async with another_process(matrix, clock=clock) as other:
        assert await pair.works(other)
        later_s = time.time() + 602
        assert await matrix.rig.database.pool.fetchval(count, later_s) >= 1
        await clock.advance(602)
        assert await pair.works(other, off_s=602)
        assert await matrix.rig.database.pool.fetchval(count, later_s) == 0


# --- limits ---


async def test_who_guesses_is_slowed_down_and_others_behind_the_address_are_not(matrix: Matrix) -> None:
    pair, neighbour, at_s = await pair_of(matrix), await pair_of(matrix), [0.0]
    async with another_process(matrix, wrong_max=3, now_s=lambda: at_s[0]) as other:
        for _ in range(3):
            assert await other.refused(MAP, headers=pair.basic("wrong")) == REFUSED
        slowed = await other.send(MAP, headers=pair.basic())
        assert (slowed.status, slowed.json()["code"], slowed.json()["reason"]) == (429, "LIMIT_VIOLATED", "MH-R027")
        assert slowed.headers["Retry-After"] == "1"
        assert (await other.client.ask("GET", "/keys", headers=pair.basic())).code == "MH-R027"
        assert await neighbour.works(other)
        assert await other.data(MAP)
        at_s[0] = 1.0
        assert await pair.works(other)


async def test_every_answer_says_how_the_key_stands_and_beyond_its_rate_it_has_to_wait(matrix: Matrix) -> None:
    pair, at_s = await pair_of(matrix, rate=Rate(per_s=0.5, burst=3)), [0.0]
    async with another_process(matrix, now_s=lambda: at_s[0]) as other:
        first = await other.send(MAP, headers=pair.signed())
        second = await other.client.ask("GET", "/keys", headers=pair.basic())
        third = await other.send(MAP, headers=pair.signed(), pid="scnoop")
        standings = [
            [reply.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
            for reply in (first, second, third)
        ]
        assert standings == [["3", "2", "2"], ["3", "1", "4"], ["3", "0", "6"]]
        assert (first.status, second.status, third.status) == (200, 200, 400)
        refused = await other.send(MAP, headers=pair.signed())
        assert (refused.status, refused.json()["code"], refused.headers["Retry-After"]) == (429, "LIMIT_VIOLATED", "2")
        told = await other.client.ask("GET", "/keys", headers=pair.basic())
        assert (told.code, told.headers["Retry-After"], told.headers["RateLimit-Remaining"]) == ("MH-R026", "2", "0")
        assert await other.data(MAP)  # the rate of others is their own
        at_s[0] = 2.0
        assert await pair.works(other)


async def test_the_settings_say_how_often_a_key_without_a_rate_may_ask(matrix: Matrix) -> None:
    async with another_process(matrix, rate=Rate(per_s=1.0, burst=2), now_s=lambda: 0.0) as other:
        assert [(await other.send(MAP)).status for _ in range(3)] == [200, 200, 429]
        await alter_key(matrix.platform, matrix.property_id, await own_key(matrix), rate=Rate(per_s=1.0, burst=5))
        assert (await other.send(MAP)).headers["RateLimit-Limit"] == "5"


async def own_key(matrix: Matrix) -> KeyId:
    """The key of the client."""
    (key,) = [key for key in (await matrix.client.get("/keys")).json()["items"] if key["kind"] == "bearer"]
    return KeyId(key["id"])


async def test_an_answer_to_nobody_tells_no_standing(matrix: Matrix) -> None:
    reply = await matrix.send(MAP, headers={"Authorization": "Bearer mhk_unknown"})
    assert reply.status == 401
    assert not [name for name in reply.headers if name.lower().startswith("ratelimit")]


# --- development ---


async def test_requests_without_credentials_are_taken_only_where_the_operator_lets_them(matrix: Matrix) -> None:
    bare = {"Authorization": ""}
    async with another_process(matrix, unsigned=True) as other:
        assert await other.data(MAP, headers=bare)
        assert await other.refused(MAP, headers=bare, propid="") == (400, "MISSING_PARAMETERS")
        assert await other.refused(MAP, headers={**bare, "Origin": "https://example.org"}) == REFUSED
        assert await other.refused(MAP, headers={**bare, "X-Forwarded-For": "192.0.2.1"}) == REFUSED
        assert (await other.client.ask("GET", "/keys", headers=bare)).code == "MH-R006"
    assert await matrix.refused(MAP, headers=bare) == REFUSED
