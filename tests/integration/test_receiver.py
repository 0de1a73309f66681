"""The HTTPS receiver over real TLS, seen from a client."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence

import aiohttp
import pytest

from matrixhub.model.errors import PortInUse
from matrixhub.testing.receiver import (
    Accept,
    Answer,
    CloseMidResponse,
    Hang,
    HttpsReceiver,
    ResetBeforeAnswer,
)
from matrixhub.testing.tls import LocalAuthority

AUTHORITY = LocalAuthority()
JSON_TYPE = "application/json; charset=utf-8"


def reading(instant_ms: int) -> str:
    return json.dumps({"DEVID": "a", "DevType": "SMARTCLEAN#UM", "unixT": instant_ms, "v": {"count": 1}})


def batch(*instants_ms: int) -> bytes:
    return json.dumps([reading(instant_ms) for instant_ms in instants_ms]).encode()


@pytest.fixture
async def receiver() -> AsyncIterator[HttpsReceiver]:
    async with HttpsReceiver(authority=AUTHORITY) as receiver:
        yield receiver


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=AUTHORITY.client_context())
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def push(
    client: aiohttp.ClientSession,
    url: str,
    body: bytes | io.BytesIO,
    request_id: str | None = "r1",
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 5.0,
) -> int:
    identity = {} if request_id is None else {"X-Request-Id": request_id}
    every = {"Content-Type": JSON_TYPE, **identity, **(headers or {})}
    async with client.post(url, data=body, headers=every, timeout=aiohttp.ClientTimeout(total=timeout_s)) as answer:
        await answer.read()
        return answer.status


async def test_a_push_is_taken_and_counted(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    assert receiver.url.startswith("https://127.0.0.1:")
    assert await push(client, receiver.url, batch(1, 2, 3)) == 204
    assert receiver.ledger.summary().distinct == 3
    assert receiver.rejected.summary().requests == 0
    kept = receiver.requests[-1]
    assert (kept.status, kept.items, kept.size_bytes, kept.path) == (204, 3, len(batch(1, 2, 3)), "/readings")
    assert kept.headers["X-Request-Id"] == "r1"
    assert not receiver.violations


async def test_every_2xx_can_be_the_answer(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    receiver.behave(Accept(201))
    assert await push(client, receiver.url, batch(1)) == 201
    assert receiver.ledger.summary().items == 1


async def test_a_client_without_the_authority_refuses_the_receiver(receiver: HttpsReceiver) -> None:
    for context in (LocalAuthority().client_context(), ssl.create_default_context()):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as stranger:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await push(stranger, receiver.url, batch(1))
    assert receiver.ledger.summary().requests == 0


async def test_plain_http_gets_nowhere(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientError):
        await push(client, receiver.url.replace("https://", "http://"), batch(1))
    assert not receiver.requests


async def test_only_post_is_served(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    async with client.put(receiver.url, data=batch(1)) as answer:
        assert answer.status == 405


async def test_an_answer_other_than_2xx_takes_nothing(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    receiver.behave(Answer(429, {"Retry-After": "2"}, body="slowly"))
    async with client.post(
        receiver.url, data=batch(1), headers={"Content-Type": JSON_TYPE, "X-Request-Id": "r1"}
    ) as answer:
        assert (answer.status, answer.headers["Retry-After"], await answer.text()) == (429, "2", "slowly")
    assert receiver.ledger.summary().items == 0
    assert receiver.rejected.summary().items == 1


async def test_a_hanging_receiver_is_silent_until_the_client_gives_up(
    receiver: HttpsReceiver, client: aiohttp.ClientSession
) -> None:
    receiver.behave(Hang(60))
    with pytest.raises(TimeoutError):
        await push(client, receiver.url, batch(1), timeout_s=0.2)
    assert receiver.ledger.summary().items == 0
    assert receiver.rejected.summary().items == 1


async def test_a_hang_ends_with_503(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    receiver.behave(Hang(0.01))
    assert await push(client, receiver.url, batch(1)) == 503


async def test_leaving_does_not_wait_for_a_hang(client: aiohttp.ClientSession) -> None:
    async with HttpsReceiver(authority=AUTHORITY, behaviour=Hang(60)) as receiver:
        pushing = asyncio.create_task(push(client, receiver.url, batch(1)))
        await receiver.wait_until(lambda: receiver.rejected.summary().items == 1)
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 5
    with pytest.raises(aiohttp.ClientError):
        await pushing


async def test_a_response_cut_in_its_head_is_an_error_of_a_push_that_was_taken(
    receiver: HttpsReceiver, client: aiohttp.ClientSession
) -> None:
    receiver.behave(CloseMidResponse(), requests=1)
    with pytest.raises(aiohttp.ClientError):
        await push(client, receiver.url, batch(1, 2))
    assert receiver.ledger.summary().distinct == 2
    assert await push(client, receiver.url, batch(1, 2)) == 204
    totals = receiver.ledger.summary()
    assert (totals.distinct, totals.duplicates_with_same_request_id, totals.duplicates_in_new_request) == (2, 2, 0)
    assert receiver.ledger.problems() == []


async def test_a_response_cut_in_its_body_shows_its_status_first(
    receiver: HttpsReceiver, client: aiohttp.ClientSession
) -> None:
    receiver.behave(CloseMidResponse(cut_in="body"))
    async with client.post(
        receiver.url, data=batch(1), headers={"Content-Type": JSON_TYPE, "X-Request-Id": "r1"}
    ) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert receiver.ledger.summary().distinct == 1


async def test_a_reset_takes_nothing(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    receiver.behave(ResetBeforeAnswer(), requests=1)
    with pytest.raises(aiohttp.ClientOSError):
        await push(client, receiver.url, batch(1))
    assert receiver.ledger.summary().items == 0
    assert receiver.rejected.summary().items == 1
    assert await push(client, receiver.url, batch(1)) == 204


async def test_a_fault_for_some_requests_ends_by_itself(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    receiver.behave(Answer(500), requests=2)
    assert [await push(client, receiver.url, batch(1)) for _ in range(3)] == [500, 500, 204]
    assert receiver.behaviour == Accept()
    assert receiver.rejected.summary().duplicates_with_same_request_id == 1
    assert receiver.ledger.summary().distinct == 1


async def test_after_a_fault_the_first_status_is_back(client: aiohttp.ClientSession) -> None:
    async with HttpsReceiver(authority=AUTHORITY, behaviour=Accept(200)) as receiver:
        receiver.behave(Answer(500), requests=1)
        assert [await push(client, receiver.url, batch(1)) for _ in range(2)] == [500, 200]


@pytest.mark.parametrize(
    ("kind", "status"), [(Accept, 500), (Accept, 199), (Answer, 204), (Answer, 100), (Answer, 600)]
)
def test_a_status_that_would_belie_the_ledger_is_refused(kind: type[Accept | Answer], status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        kind(status)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Basic ZGVtby11c2VyOmQzbW8gcGFzcw==", 204),
        ("basic ZGVtby11c2VyOmQzbW8gcGFzcw==", 204),
        ("Basic ZGVtby11c2VyOndyb25n", 401),
        ("Basic not base64!", 401),
        ("Bearer ZGVtby11c2VyOmQzbW8gcGFzcw==", 401),
        ("", 401),
    ],
)
async def test_basic_authentication_is_asked_for(client: aiohttp.ClientSession, header: str, status: int) -> None:
    async with HttpsReceiver(authority=AUTHORITY, basic=("demo-user", "d3mo pass")) as receiver:
        headers = {"Authorization": header} if header else {}
        assert await push(client, receiver.url, batch(1), headers=headers) == status
        assert receiver.ledger.summary().items == (1 if status == 204 else 0)
        assert receiver.unauthorised_total == (0 if status == 204 else 1)
        assert receiver.rejected.summary().items == 0


async def test_an_outage_ends_on_the_same_port(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    url = receiver.url
    assert await push(client, url, batch(1)) == 204
    await receiver.stop_listening()
    assert not receiver.is_listening
    for _ in range(2):
        with pytest.raises(aiohttp.ClientError):
            await push(client, url, batch(2))
    await receiver.start_listening()
    assert receiver.url == url
    assert await push(client, url, batch(2)) == 204
    assert receiver.ledger.summary().distinct == 2


async def test_an_outage_cuts_requests_on_their_way(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    started = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield batch(1)[:10]
        started.set()
        await asyncio.sleep(30)

    async def send() -> None:
        async with client.post(receiver.url, data=slowly(), headers={"Content-Type": JSON_TYPE, "X-Request-Id": "r"}):
            pass

    sending = asyncio.create_task(send())
    await started.wait()
    await receiver.stop_listening()
    with pytest.raises(aiohttp.ClientError):
        await sending
    assert receiver.ledger.summary().requests == receiver.rejected.summary().requests == 0
    assert not receiver.requests


async def test_a_restarted_receiver_with_the_same_authority_is_trusted(client: aiohttp.ClientSession) -> None:
    async with HttpsReceiver(authority=AUTHORITY) as first:
        port = int(first.url.split(":")[2].split("/")[0])
        assert await push(client, first.url, batch(1)) == 204
    async with HttpsReceiver(authority=AUTHORITY, port=port) as second:
        assert second.url == first.url
        assert await push(client, second.url, batch(2)) == 204


async def test_a_taken_port_is_explained(receiver: HttpsReceiver) -> None:
    port = int(receiver.url.split(":")[2].split("/")[0])
    with pytest.raises(PortInUse, match=str(port)):
        async with HttpsReceiver(authority=AUTHORITY, port=port):
            pass


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"", {}, "not a JSON array of strings"),
        (b"[]", {}, "the batch is empty"),
        (b'{"a":1}', {}, "not a JSON array of strings"),
        (b'[{"DEVID":"a"}]', {}, "not a JSON array of strings"),
        (b'["' + b"\xff" + b'"]', {}, "not UTF-8"),
        (b'["{}"]', {}, "item 0 is not a reading"),
        (b'["no json"]', {}, "item 0 is not a reading"),
        (batch(1), {"Content-Type": "text/plain"}, "Content-Type is text/plain"),
        (batch(1), {"Content-Type": "application/json; charset=utf-16"}, "charset is utf-16"),
        (batch(1), {"X-Request-Id": ""}, "X-Request-Id is missing"),
        (batch(1), {"Content-Encoding": "gzip"}, "cannot be read"),
    ],
)
async def test_what_is_no_push_is_refused_and_remembered(
    receiver: HttpsReceiver, client: aiohttp.ClientSession, body: bytes, headers: dict[str, str], reason: str
) -> None:
    assert await push(client, receiver.url, body, headers=headers) == 422
    assert receiver.violations_total == 1
    assert reason in receiver.violations[0].reason
    assert receiver.ledger.summary().requests == receiver.rejected.summary().requests == 0
    assert receiver.requests[-1].status == 422


async def test_a_fault_is_not_used_up_by_what_is_no_push(
    receiver: HttpsReceiver, client: aiohttp.ClientSession
) -> None:
    receiver.behave(Answer(500), requests=1)
    assert await push(client, receiver.url, b"[]") == 422
    assert await push(client, receiver.url, batch(1)) == 500


async def test_gzip_is_understood(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    body = gzip.compress(batch(*range(100)))
    assert await push(client, receiver.url, body, headers={"Content-Encoding": "gzip"}) == 204
    assert receiver.ledger.summary().distinct == 100


async def test_a_body_of_many_megabytes_is_taken(receiver: HttpsReceiver, client: aiohttp.ClientSession) -> None:
    item = json.dumps({"DEVID": "a", "DevType": "T", "unixT": 1, "v": {"x": "y" * 20_000_000}})
    assert await push(client, receiver.url, io.BytesIO(json.dumps([item]).encode()), timeout_s=30) == 204


async def test_what_is_taken_is_handed_on(client: aiohttp.ClientSession) -> None:
    taken: list[tuple[str, Sequence[str]]] = []
    async with HttpsReceiver(authority=AUTHORITY, on_items=lambda rid, items: taken.append((rid, items))) as receiver:
        receiver.behave(Answer(500), requests=1)
        for _ in range(2):
            await push(client, receiver.url, batch(1, 2))
    assert taken == [("r1", [reading(1), reading(2)])]


async def test_waiting_for_what_does_not_come_ends(receiver: HttpsReceiver) -> None:
    with pytest.raises(TimeoutError):
        await receiver.wait_until(lambda: receiver.ledger.summary().items > 0, timeout_s=0.05)


async def test_ipv6_is_served(client: aiohttp.ClientSession) -> None:
    async with HttpsReceiver(authority=AUTHORITY, host="::1") as receiver:
        assert receiver.url.startswith("https://[::1]:")
        assert await push(client, receiver.url, batch(1)) == 204
