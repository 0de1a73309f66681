"""The sender's side of `POST /hub/v1/readings`: what devices, gateways, `simulate` and `replay` use."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from matrixhub.model.errors import (
    BodyTooLarge,
    HubNotRunning,
    InvalidValue,
    MalformedBody,
    MatrixHubError,
    NotFound,
    Overloaded,
    RequestError,
    Unauthorised,
    UnsupportedEncoding,
)
from matrixhub.model.time import parse_retry_after

READINGS_PATH = "/hub/v1/readings"
ANSWER_BYTES_MAX = 16 * 1024 * 1024
RETRIED = frozenset({429, 502, 503, 504, 507})
"""Answers after which the same readings are sent again: a repeat is recognised and stored once."""

_ERRORS: Mapping[int, type[RequestError]] = {
    400: MalformedBody,
    401: Unauthorised,
    404: NotFound,
    413: BodyTooLarge,
    415: UnsupportedEncoding,
    422: InvalidValue,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A reading the hub did not take; `index` is its place in what was sent."""

    index: int
    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The hub's answer: these many readings are on disk, were there already, and these were refused."""

    accepted: int
    repeated: int = 0
    refused: tuple[Refusal, ...] = ()


class HubClient:
    """A connection to a hub.

    Resources:      use it as `async with HubClient(url, key) as hub:`.
    Error handling: while the hub cannot be reached or says "later" (429, 502, 503, 504, 507), the same readings are
                    sent again, after what `Retry-After` says or a growing wait, until `give_up_s` have passed.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        gzip_body: bool = False,
        give_up_s: float = 60.0,
        timeout_s: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = url.rstrip("/") + READINGS_PATH
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if gzip_body:
            self._headers["Content-Encoding"] = "gzip"
        self._gzip = gzip_body
        self._give_up_s = give_up_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(5.0, timeout_s))
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self.retries = 0
        """How often readings were sent again so far."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, readings: Sequence[Mapping[str, Any] | bytes]) -> Receipt:
        """Hand the readings over, in this order; bytes are readings already encoded as JSON.

        Raises: Unauthorised, BodyTooLarge, MalformedBody or another RequestError if the request as a whole is refused;
                Overloaded or HubNotRunning if the hub has not taken it within `give_up_s`.
        """
        if not readings:
            return Receipt(accepted=0)
        body = encode(readings)
        return await self.send_body(gzip.compress(body, compresslevel=1, mtime=0) if self._gzip else body)

    async def send_body(self, body: bytes) -> Receipt:
        """Hand over a request body that is encoded (and compressed) already. Raises as `send` does."""
        give_up_at = time.monotonic() + self._give_up_s
        attempt = 0
        while True:
            attempt += 1
            retry_after_s: float | None = None
            try:
                status, headers, answer = await self._post(body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                failure: MatrixHubError = HubNotRunning(f"no hub answers at {self._url}: {_reason(error)}")
                failure.__cause__ = error
            else:
                if status not in RETRIED:
                    return read_answer(status, answer)
                failure = Overloaded(f"the hub answered {status}: {_message(answer) or 'send again later'}")
                retry_after_s = parse_retry_after(headers.get("Retry-After", ""), time.time())
            wait_s = retry_wait_s(attempt, retry_after_s, spread=random.uniform(0, 0.2))
            if time.monotonic() + wait_s > give_up_at:
                raise failure
            self.retries += 1
            await self._sleep(wait_s)

    async def _post(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            raise RuntimeError("a HubClient is used as `async with HubClient(…) as hub:`")
        async with self._session.post(self._url, data=body, allow_redirects=False) as response:
            return response.status, response.headers, await response.content.read(ANSWER_BYTES_MAX)


def encode(readings: Sequence[Mapping[str, Any] | bytes]) -> bytes:
    """The readings as one JSON array.

    >>> encode([{"DEVID": "a", "v": {"occ": 1}}, b'{"DEVID":"b","v":{"occ":0}}'])
    b'[{"DEVID":"a","v":{"occ":1}},{"DEVID":"b","v":{"occ":0}}]'
    """
    return b"[" + b",".join(r if isinstance(r, bytes) else _ENCODER.encode(r) for r in readings) + b"]"


def read_answer(status: int, answer: bytes) -> Receipt:
    """The receipt in an answer that settles the request.

    Raises: the RequestError that belongs to the status if the request as a whole was refused.
    """
    if status in (200, 202, 422):
        try:
            body = msgspec.json.decode(answer, type=_Answer)
        except msgspec.DecodeError as error:
            if status != 422:
                raise RequestError(f"the answer {status} is not that of a hub: {error}; is the URL right?") from error
        else:
            return Receipt(accepted=body.accepted, repeated=body.repeated, refused=tuple(body.refused))
    kind = _ERRORS.get(status, RequestError)
    raise kind(_explained(status, _message(answer)))


def retry_wait_s(attempt: int, retry_after_s: float | None, *, spread: float) -> float:
    """How long to wait after failed attempt number `attempt`: what the hub asked for, else 0.2 s doubling up to 5 s.

    >>> retry_wait_s(1, None, spread=0.0), retry_wait_s(9, None, spread=0.0), retry_wait_s(1, 2.0, spread=0.5)
    (0.2, 5.0, 2.0)
    """
    if retry_after_s is not None:
        return retry_after_s
    return float(min(5.0, 0.2 * 2 ** min(attempt - 1, 10)) * (1 + spread))


class _Answer(msgspec.Struct):
    accepted: int
    repeated: int = 0
    refused: list[Refusal] = []


_ENCODER = msgspec.json.Encoder()


def _explained(status: int, message: str) -> str:
    hint = {
        401: "the hub does not know this key: is it whole, and of this hub? (`matrixhub key list`)",
        404: "this URL has no hub behind it; give the base URL, such as http://127.0.0.1:8080",
        413: "the request is larger than the hub takes; send fewer readings at a time",
    }.get(status, "the hub refused the request")
    return f"{hint} (answer {status}{': ' + message if message else ''})"


def _message(answer: bytes) -> str:
    """What an error answer says, wherever it says it."""
    try:
        body = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return answer[:200].decode(errors="replace").strip()
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    if not isinstance(body, dict):
        return ""
    return " ".join(str(body[key]) for key in ("code", "message", "detail") if body.get(key))


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
