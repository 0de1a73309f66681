"""Whatever is asked of the actions face is answered in JSON, and nothing of it is a fault of ours."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.rest.actions.matrix import Matrix

from matrixhub.api.actions.registry import OPERATIONS
from matrixhub.observe import RequestFailed

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK, LONG = 150, 5_000
PATIENT: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["", "0", "-1", "1e400", "scnoop", "\x00", "\ud800", "a" * 300, "2024-03-10T00:00:00Z", "-1h"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
ROWS = st.sampled_from([row for row in OPERATIONS if not row.takes_form])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a document."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, (*path, number))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with something else at a place."""
    if not path:
        return value
    made = copy.deepcopy(document)
    holder = made
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return made


@st.composite
def bodies(draw: st.DrawFn, example: Any) -> Any:
    """The example with up to three things in it that are something else."""
    for _ in range(draw(st.integers(1, 3))):
        example = replaced(example, draw(st.sampled_from(list(places(example)))), draw(VALUES))
    return example


def faults(matrix: Matrix) -> list[RequestFailed]:
    """The faults that were reported until now."""
    return [fact for fact in matrix.rig.facts if isinstance(fact, RequestFailed)]


async def try_bodies(matrix: Matrix, data: st.DataObject) -> None:
    """One operation with a body that is almost its example."""
    row = data.draw(ROWS)
    example = {} if row.example is None else matrix.example(row.name)
    body = data.draw(bodies(example))
    queries: list[dict[str, Any]] = [{}, {"pid": "scnoop"}, {"pid": "none"}, {"org": "x"}]
    query = data.draw(st.sampled_from(queries))
    before = len(faults(matrix))
    reply = await matrix.send(row.name, json.dumps(body).encode(), **query)
    assert reply.status < 500, (row.name, body, reply.content, faults(matrix)[before:])
    assert reply.headers["Content-Type"] == "application/json"
    assert isinstance(reply.json(), dict | list)


@settings(max_examples=QUICK, **PATIENT)
@given(data=st.data())
async def test_a_body_that_is_almost_right_is_no_fault(matrix: Matrix, data: st.DataObject) -> None:
    await try_bodies(matrix, data)


@pytest.mark.long
@settings(max_examples=LONG, **PATIENT)
@given(data=st.data())
async def test_very_many_bodies_that_are_almost_right_are_no_fault(matrix: Matrix, data: st.DataObject) -> None:
    await try_bodies(matrix, data)


async def raw(matrix: Matrix, request: bytes) -> tuple[int, bytes, bytes]:
    """Status, content type and body of the answer to bytes."""
    where = urlsplit(matrix.root)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(request)
    head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    kinds = [
        line.partition(b":")[2].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"content-type")
    ]
    return int(head.split(b" ")[1]), kinds[0], body


QUERIES = st.one_of(
    st.binary(max_size=60).map(lambda found: found.translate(None, b" \r\n\x00#")),
    st.lists(
        st.tuples(
            st.sampled_from(["op", "org", "pid", "propid", "x"]), st.text(max_size=20) | st.sampled_from(["scnoop"])
        ),
        max_size=6,
    ).map(lambda pairs: urlencode(pairs, quote_via=quote, errors="replace").encode()),
)
PATHS = st.sampled_from(
    [b"/prod/v2/scgrids/v1/actions", b"/api/x/v9/actions", b"/v1/actions", b"/scmetrics/v1/actions/", b"//v1/actions"]
)
AUTHORISATIONS = st.one_of(
    st.binary(max_size=60).map(lambda found: found.translate(None, b"\r\n\x00")),
    st.text(alphabet=";/=+ :abcSCHMAC_V1BasicBearer0123456789", max_size=60).map(str.encode),
    st.sampled_from(
        [b"SCHMAC_V1;a;b", b"SCHMAC_V1;;", b"SCHMAC_V1;;;;", b"Basic \xff", b"Basic YTpi", b"Bearer a.b.c"]
    ),
)


@settings(max_examples=QUICK, **PATIENT)
@given(
    path=PATHS, query=QUERIES, authorisation=AUTHORISATIONS, time=st.binary(max_size=12), body=st.binary(max_size=60)
)
async def test_any_query_header_and_body_is_answered_in_json(
    matrix: Matrix, path: bytes, query: bytes, authorisation: bytes, time: bytes, body: bytes
) -> None:
    before = len(faults(matrix))
    request = b"POST %b?%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: %b\r\nx-sc-time: %b\r\n" % (
        path,
        query,
        authorisation,
        time.translate(None, b"\r\n\x00"),
    )
    request += b"x-sc-auth: quid\r\n" if len(body) % 3 == 0 else b""
    status, kind, answer = await raw(matrix, request + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    assert 400 <= status < 500, (request, answer, faults(matrix)[before:])
    assert kind in (b"application/json", b"application/problem+json")
    assert json.loads(answer)["code"]
