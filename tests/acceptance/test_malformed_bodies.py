"""10,000 bodies that no sender would send: never a 5xx, always an answer in JSON, and the hub works on."""

from __future__ import annotations

import gzip
import http.client
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.acceptance.hub import DEVICES, Hub, make_reading, send_some

EXAMPLES, BODIES = 500, 20
"""Many small lists: Hypothesis gives one example no more than some kilobytes of chance."""

Sent = tuple[bytes, str]
"""A body and its Content-Encoding."""

ANSWERS = frozenset({202, 400, 413, 415, 422})

WORDS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b" ", b"null", b"true", b"NaN", b"-Infinity", b"1e999",
    b"-0", b"1e-400", b"9" * 400, b'"DEVID"', b'"v"', b'"unixT"', b'"t"', b'"time"', b'"device-0"', b'"device-2"',
    b'"count"', b'"p"', b"\\ud800", b'"\\u0000"', b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf",
    b"\x00", b"[" * 2000, b'{"v":' * 600, "\u2028".encode(), b'{"DEVID":"device-0","v":{"count":1}}',
)  # fmt: skip

texts = st.text(max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, 1e308, -1, 0, 1.5, "device-0", "1e5", "١٢٣", "--1", "inf"])
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
readings = st.fixed_dictionaries(
    {
        "DEVID": st.sampled_from(DEVICES) | scalars,
        "v": st.dictionaries(st.sampled_from(["count", "p", "x"]), documents),
    },
    optional={
        "unixT": scalars,
        "time": scalars
        | st.sampled_from(["2024-02-30T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]),
        "t": scalars | st.sampled_from(["00000000000000", "99999999999999", "20240230000000"]),
        "utc": scalars,
        "unix": scalars,
        "DevType": scalars,
        "DASSOC": scalars,
        "DevSubType": scalars,
        "stats": documents,
    },
)


def encoded(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def words(seed: int) -> bytes:
    """Pieces of JSON and of nonsense in any order."""
    chance = random.Random(seed)
    return b"".join(chance.choices(WORDS, k=chance.randrange(12)))


def mutated(seed: int) -> bytes:
    """A valid body in which something is cut off, doubled, removed or changed."""
    chance = random.Random(seed)
    instant = 1_700_000_000_000 + chance.randrange(10**9)
    body = bytearray(
        encoded([{"DEVID": chance.choice(DEVICES), "unixT": instant + n, "v": {"count": n, "p": n}} for n in range(3)])
    )
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(5):
            case 0:
                del body[at:]
            case 1:
                body[at:at] = chance.choice(WORDS)
            case 2:
                del body[at : at + chance.randrange(1, 20)]
            case 3:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                body += body[at:]
    return bytes(body)


def packed(seed: int) -> Sent:
    """A body under the encoding it has, or under another, or cut off."""
    chance = random.Random(seed)
    body = mutated(seed)
    data = chance.choice([body, gzip.compress(body, 1, mtime=0), zstandard.compress(body)])
    if chance.random() < 0.3:
        data = data[: chance.randrange(len(data) + 1)]
    return data, chance.choice(
        ["gzip", "zstd", "x-gzip", "identity", "", "br", "deflate", "GZIP ", "gzip,zstd", "\x7e"]
    )


seeds = st.integers(0, 2**32)
bodies: st.SearchStrategy[Sent] = st.one_of(
    st.binary(max_size=60).map(lambda body: (body, "")),
    documents.map(lambda document: (encoded(document), "")),
    readings.map(lambda reading: (encoded(reading), "")),
    st.lists(readings, max_size=2).map(lambda some: (encoded(some), "")),
    seeds.map(lambda seed: (words(seed), "")),
    seeds.map(lambda seed: (mutated(seed), "")),
    seeds.map(packed),
)


class Line:
    """One keep-alive connection to the hub, made again where the hub has closed it."""

    def __init__(self, hub: Hub) -> None:
        self._headers = {"Authorization": f"Bearer {hub.key}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(str(urlsplit(hub.url).hostname), urlsplit(hub.url).port, 30)
        self.statuses: Counter[int] = Counter()
        self.reconnects = -1

    def post(self, body: bytes, encoding: str) -> tuple[int, str, bytes]:
        """Send a body; status, content type and body of the answer."""
        headers = {**self._headers, "Content-Encoding": encoding} if encoding else self._headers
        if self._connection.sock is None:
            self.reconnects += 1
        self._connection.request("POST", "/hub/v1/readings", body, headers)
        answer = self._connection.getresponse()
        self.statuses[answer.status] += 1
        return answer.status, answer.headers.get_content_type(), answer.read()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def line(hub: Hub) -> Iterator[Line]:
    line = Line(hub)
    yield line
    line.close()


def check_answer(sent: Sent, status: int, kind: str, answer: bytes) -> None:
    """The answer is a receipt or a problem document."""
    assert status in ANSWERS, (sent, status, answer)
    assert kind in ("application/json", "application/problem+json"), sent
    document: dict[str, Any] = json.loads(answer)
    if kind == "application/problem+json":
        assert document["status"] == status
        assert document["code"].startswith("MH-R")
    else:
        assert (status == 202) == (document["accepted"] + document["repeated"] > 0)
        assert all(refusal["code"].startswith("MH-I") for refusal in document["refused"])


@pytest.mark.timeout(240)
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.long
@given(some=st.lists(bodies, min_size=BODIES, max_size=BODIES))
def test_10000_malformed_bodies_get_no_5xx(line: Line, some: list[Sent]) -> None:
    for body, encoding in some:
        check_answer((body, encoding), *line.post(body, encoding))


async def test_the_hub_works_on_after_malformed_bodies(hub: Hub, line: Line) -> None:
    """Also run alone, it sends some hundred of them first."""
    for seed in range(300):
        for body, encoding in ((mutated(seed), ""), (words(seed), ""), packed(seed)):
            check_answer((body, encoding), *line.post(body, encoding))
    assert line.reconnects == 0, "a bad body does not cost the connection"
    assert len(line.statuses) > 3
    async with hub.customer() as customer:
        sent = await send_some(hub, 10)
        await customer.wait_received(sent)
    customer.check(sent)
    status, _, answer = line.post(json.dumps(make_reading("device-0")).encode(), "")
    assert (status, json.loads(answer)["accepted"]) == (202, 1)
    hub.wait_ready()
    assert hub.program.facts("StageStopped") == []
