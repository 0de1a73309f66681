import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from matrixhub.model.errors import BodyTooLarge, HubNotRunning, MalformedBody, Overloaded, RequestError, Unauthorised
from matrixhub.sources.client import HubClient, Receipt, Refusal
from matrixhub.testing.listener import serve_app

READINGS = [{"DEVID": "a", "unixT": 1, "v": {"occ": 1}}, {"DEVID": "b", "unixT": 2, "v": {"occ": 0}}]
ACCEPTED = {"accepted": 2, "repeated": 0, "refused": []}

Answer = Callable[[], web.StreamResponse]


def drop() -> web.StreamResponse:
    """The connection is closed instead of answered."""
    return web.Response()


class Hub:
    """A real HTTP server that answers as told, in turn, and remembers what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0)
        if answer is drop:
            assert request.transport is not None
            request.transport.close()
        return answer()


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Hub]:
    hub = Hub(*answers)
    app = web.Application()
    app.router.add_post("/hub/v1/readings", hub.handle)
    async with serve_app(app) as port:
        hub.url = f"http://127.0.0.1:{port}"
        yield hub


def json(status: int, body: Any, **headers: str) -> Answer:
    return lambda: web.json_response(body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


class Naps:
    """Waits that take no time and are remembered."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> Awaitable[None]:
        self.seconds.append(seconds)
        return self._none()

    async def _none(self) -> None:
        return


async def test_readings_are_posted_as_an_array_with_the_key() -> None:
    async with serving(json(202, ACCEPTED)) as hub, HubClient(hub.url + "/", "mhk_x") as client:
        receipt = await client.send([READINGS[0], msgspec.json.encode(READINGS[1])])
    assert receipt == Receipt(accepted=2)
    assert msgspec.json.decode(hub.bodies[0]) == READINGS
    assert hub.headers[0]["Authorization"] == "Bearer mhk_x"


async def test_no_readings_make_no_request() -> None:
    async with HubClient("http://127.0.0.1:9", "mhk_x") as client:
        assert await client.send([]) == Receipt(accepted=0)


async def test_a_compressed_body_unpacks_to_the_readings() -> None:
    async with serving(json(202, ACCEPTED)) as hub, HubClient(hub.url, "mhk_x", gzip_body=True) as client:
        await client.send(READINGS)
    assert hub.headers[0]["Content-Encoding"] == "gzip"
    body = hub.bodies[0]
    assert msgspec.json.decode(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body) == READINGS


async def test_a_hub_that_says_later_is_asked_again_after_the_time_it_names() -> None:
    naps = Naps()
    later, also_later = json(503, {}, Retry_After="3"), json(429, {}, Retry_After="0")
    async with (
        serving(later, also_later, json(202, ACCEPTED)) as hub,
        HubClient(hub.url, "mhk_x", sleep=naps) as client,
    ):
        receipt = await client.send(READINGS)
    assert receipt.accepted == 2
    assert naps.seconds == [3.0, 0.0]
    assert client.retries == 2
    assert len(set(hub.bodies)) == 1


async def test_without_a_named_time_the_waits_grow() -> None:
    naps = Naps()
    answers = [json(503, {}) for _ in range(3)]
    async with serving(*answers, json(202, ACCEPTED)) as hub, HubClient(hub.url, "k", sleep=naps) as client:
        await client.send(READINGS)
    assert naps.seconds == sorted(naps.seconds)
    assert 0.2 <= naps.seconds[0] < naps.seconds[2] <= 0.8 * 1.2


async def test_a_hub_that_stays_busy_is_given_up_on_with_what_it_said() -> None:
    busy = json(503, {"code": "MH-R007", "message": "stream is away"}, Retry_After="100")
    async with serving(busy) as hub, HubClient(hub.url, "k", give_up_s=10) as client:
        with pytest.raises(Overloaded, match="MH-R007 stream is away") as caught:
            await client.send(READINGS)
    assert caught.value.retry_helps


async def test_a_connection_that_breaks_before_the_answer_is_made_again() -> None:
    naps = Naps()
    async with serving(drop, json(202, ACCEPTED)) as hub, HubClient(hub.url, "k", sleep=naps) as client:
        assert (await client.send(READINGS)).accepted == 2
    assert len(naps.seconds) == 1
    assert hub.bodies[0] == hub.bodies[1]


async def test_a_refused_connection_is_tried_again_and_then_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody answers and nobody else can take the port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        naps = Naps()
        async with HubClient(url, "k", give_up_s=0.5, sleep=naps) as client:
            with pytest.raises(HubNotRunning, match=f"no hub answers at {url}/hub/v1/readings"):
                # The waits take no time here, so the third one alone passes the limit.
                await client.send(READINGS)
    assert 1 <= len(naps.seconds) <= 3


async def test_partly_refused_readings_come_back_with_index_and_reason() -> None:
    answer = {"accepted": 1, "repeated": 3, "refused": [{"index": 1, "code": "MH-I002", "message": "no slot b"}]}
    async with serving(json(202, answer)) as hub, HubClient(hub.url, "k") as client:
        receipt = await client.send(READINGS)
    assert receipt == Receipt(accepted=1, repeated=3, refused=(Refusal(index=1, code="MH-I002", message="no slot b"),))


async def test_readings_all_refused_are_a_receipt_too() -> None:
    answer = {"accepted": 0, "repeated": 0, "refused": [{"index": 0, "code": "MH-I003", "message": "x"}]}
    async with serving(json(422, answer)) as hub, HubClient(hub.url, "k") as client:
        receipt = await client.send(READINGS)
    assert receipt.accepted == 0
    assert len(receipt.refused) == 1


@pytest.mark.parametrize(
    "status,kind,message",
    [
        (401, Unauthorised, "does not know this key.*MH-R006 a valid key"),
        (413, BodyTooLarge, "fewer readings"),
        (400, MalformedBody, "refused the request"),
        (404, RequestError, "base URL"),
        (500, RequestError, "answer 500"),
        (302, RequestError, "answer 302"),
    ],
)
async def test_a_request_refused_as_a_whole_is_an_error_at_once(
    status: int, kind: type[RequestError], message: str
) -> None:
    body = {"code": "MH-R006", "message": "a valid key is needed"}
    async with serving(json(status, body)) as hub, HubClient(hub.url, "k") as client:
        with pytest.raises(kind, match=message):
            await client.send(READINGS)
    assert len(hub.bodies) == 1


async def test_an_answer_that_is_not_a_hubs_is_said_to_be_so() -> None:
    async with (
        serving(lambda: web.Response(status=200, text="<html>")) as hub,
        HubClient(hub.url, "k") as client,
    ):
        with pytest.raises(RequestError, match="not that of a hub"):
            await client.send(READINGS)


async def test_a_client_that_was_not_entered_says_how_it_is_used() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await HubClient("http://127.0.0.1:9", "k").send(READINGS)
