"""Whatever bytes come as path, query and headers: without good credentials the answer is a refusal, in JSON."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.api.access.doubles import NOW_S, PAIR, PROPERTY, parts_with

from matrixhub.api.access import Gate
from matrixhub.api.actions import ActionsApp
from matrixhub.observe import Fact, RequestFailed

OPERATION = "scgrids.buildingZoneMap"
ACCESS_KEY = PAIR.access_key.encode()

SCHEMES = st.sampled_from([b"SCHMAC_V1;", b"schmac_v1;", b"Basic ", b"Bearer mhk_", b"Bearer ", b""])
AUTHORIZATIONS = st.builds(bytes.__add__, SCHEMES, st.binary(max_size=40)) | st.builds(
    lambda key, signature: b";".join([b"SCHMAC_V1", key, signature]),
    st.just(ACCESS_KEY) | st.binary(max_size=20),
    st.binary(max_size=70) | st.integers(0, 16**64 - 1).map(lambda number: b"%064x" % number),
)
TIMES = st.just(b"%d" % NOW_S) | st.binary(max_size=20) | st.integers().map(lambda number: b"%d" % number)
QUERIES = st.dictionaries(
    st.sampled_from(["op", "org", "pid", "propid"]), st.sampled_from([OPERATION, PROPERTY, "scnoop", ""]) | st.text()
).map(lambda query: "&".join(f"{name}={quote_plus(value)}" for name, value in query.items()).encode())


@given(
    authorization=AUTHORIZATIONS,
    time=TIMES,
    query=QUERIES | st.binary(max_size=60),
    path=st.sampled_from(["/prod/v2/scgrids/v1/actions", "/v1/actions", "/api/scbi/v1/actions"]),
)
async def test_no_bytes_do_anything_but_refuse(authorization: bytes, time: bytes, query: bytes, path: str) -> None:
    status, body, facts = await ask(authorization, time, query, path)
    assert status in (400, 401)
    assert {"code", "message", "reason"} <= json.loads(body).keys()
    assert not [fact for fact in facts if isinstance(fact, RequestFailed)]


async def ask(authorization: bytes, time: bytes, query: bytes, path: str) -> tuple[int, bytes, list[Fact]]:
    """A request, without a network."""
    sent: list[Any] = []
    facts: list[Fact] = []
    parts = parts_with(PAIR)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query,
        "headers": [(b"authorization", authorization), (b"x-sc-time", time)],
        "client": ("192.0.2.1", 1),
    }
    await ActionsApp(parts, Gate(parts), facts.append)(scope, receive, send)
    return sent[0]["status"], sent[1]["body"], facts
