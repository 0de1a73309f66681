"""Past data over REST: in every format, whole or visibly not, and holding nothing while a client is slow."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

import aiohttp
import psutil
import pyarrow as pa
import pytest
import pytest_asyncio
from pyarrow import parquet
from tests.integration.rest.rig import SEEDS, Client, Reply, Rig
from tests.readings import Writer

from matrixhub.lifecycle import SystemClock
from matrixhub.model.application import Quota
from matrixhub.model.errors import StoreError
from matrixhub.model.ids import ApplicationId, BuildingId, PropertyId, ZoneId
from matrixhub.model.past import Wanted
from matrixhub.model.reading_line import Splitter
from matrixhub.model.site import Slot
from matrixhub.modules.events import export_events, publish_events, register_application
from matrixhub.modules.telemetry import readings as past
from matrixhub.modules.work import Platform
from matrixhub.sources.sites import make_site
from matrixhub.store import past_readings
from matrixhub.store.readings import PostgresReadings
from matrixhub.store.sites import apply_site

pytestmark = pytest.mark.asyncio(loop_scope="session")

AT = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)
FORMATS = ("ndjson", "json", "csv", "arrow", "parquet")
TYPES = {
    "ndjson": "application/x-ndjson",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
MIB = 1 << 20
WAIT_S = 20.0


@dataclass(slots=True)
class Stored:
    """A property with slots, and a client that asks for their readings."""

    rig: Rig
    client: Client
    property_id: PropertyId
    slots: Sequence[Slot]
    writer: Writer

    def line(self, at: datetime, number: int = 0, count: int = 1, **more: Any) -> bytes:
        """The line of a reading of one of the slots."""
        return self.writer.line(self.slots[number], round(at.timestamp() * 1000), {"count": count}, **more)

    async def put(self, lines: Iterable[bytes]) -> None:
        """Store lines, as the role `store` does."""
        splitter, store = Splitter(), PostgresReadings(self.rig.database)
        kept = [splitter.split(line) for line in lines]
        while True:
            seq = await store.begin(0)
            if await store.store(kept, [], after_seq=seq, to_seq=seq) is not None:
                return

    async def fill(self, count: int, *, step: str = "1 second", padding: int = 100) -> None:
        """Store many readings of the first slot, quickly."""
        async with self.rig.database.connection() as connection:
            await connection.execute(
                "insert into readings (at, series, origin, v)"
                " select $1::timestamptz + n * $2::text::interval, o.series, o.id,"
                " ('{\"count\":' || n || ',\"pad\":\"' || repeat('x', $3) || '\"}')::json"
                " from generate_series(0, $4 - 1) n, reading_origins o join reading_series s on s.id = o.series"
                " where s.property_id = $5 and s.slot_id = $6",
                AT,
                step,
                padding,
                count,
                self.property_id,
                self.slots[0].id,
            )

    async def export(self, *, headers: Mapping[str, str] | None = None, **query: Any) -> Reply:
        """An export from a while before AT on."""
        given = {"since": _text(AT - timedelta(hours=1)), "until": _text(AT + timedelta(days=400)), **query}
        path = f"/readings/export?{urlencode({k: v for k, v in given.items() if v is not None}, doseq=True)}"
        return await self.client.ask("GET", path, headers={"Accept-Encoding": "identity", **(headers or {})})

    async def lines(self, **query: Any) -> list[bytes]:
        """The lines of an export."""
        reply = await self.export(format="ndjson", **query)
        assert reply.status == 200, reply.content
        return reply.content.splitlines()


def _text(at: datetime) -> str:
    return at.isoformat()


@pytest_asyncio.fixture(loop_scope="session")
async def stored(rig: Rig) -> Stored:
    site = make_site(4, seed=next(SEEDS))
    await apply_site(rig.database, site, remove=False)
    slots = [replace(slot, devtype="SMARTCLEAN#PPLCTR", time_zone="Europe/Berlin") for slot in site.slots]
    found = Stored(rig, await rig.client(site.property.id), site.property.id, slots, Writer())
    for number in range(len(slots)):  # at one instant, the order is the one in which slots were first heard of
        await found.put([found.line(AT - timedelta(days=2), number)])
    return found


def rows_of(name: str, content: bytes) -> list[dict[str, Any]]:
    match name:
        case "ndjson":
            return [json.loads(line) for line in content.splitlines()]
        case "json":
            found: list[dict[str, Any]] = json.loads(content)
            return found
        case "csv":
            return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        case "arrow":
            return list(pa.ipc.open_stream(content).read_all().to_pylist())
    return list(parquet.read_table(io.BytesIO(content)).to_pylist())


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


# formats


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format_has_all_readings_in_order(stored: Stored, name: str) -> None:
    sent = [stored.line(AT + timedelta(seconds=n // 2), n % 2, n) for n in range(10)]
    await stored.put(sent)
    reply = await stored.export(format=name, attributes="count:integer")
    assert (reply.status, reply.headers["Content-Type"]) == (200, TYPES[name])
    rows = rows_of(name, reply.content)
    if name in ("ndjson", "json"):
        assert rows == [json.loads(line) for line in sent]
        assert all(line in reply.content for line in sent)
    else:
        assert [int(row["v_count"]) for row in rows] == list(range(10))
        assert [row["devid"] for row in rows[:2]] == [slot.id for slot in stored.slots[:2]]
        assert rows[3]["v"] == '{"count":3}'


@pytest.mark.parametrize("name", FORMATS)
async def test_an_empty_answer_is_a_whole_file_of_its_format(stored: Stored, name: str) -> None:
    reply = await stored.export(format=name)
    assert (reply.status, reply.headers["Content-Type"], rows_of(name, reply.content)) == (200, TYPES[name], [])


@pytest.mark.parametrize("name", FORMATS)
async def test_one_reading_is_enough(stored: Stored, name: str) -> None:
    await stored.put([stored.line(AT)])
    assert len(rows_of(name, (await stored.export(format=name)).content)) == 1


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/x-ndjson"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/html, application/json;q=0.9, */*;q=0.1", "application/json"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
    ],
)
async def test_the_format_is_the_one_that_is_accepted(stored: Stored, accept: str, kind: str) -> None:
    reply = await stored.export(headers={"Accept": accept})
    assert (reply.status, reply.headers["Content-Type"], reply.headers["Vary"]) == (
        200,
        kind,
        "Accept, Accept-Encoding",
    )


async def test_a_format_that_is_named_counts_more_than_what_is_accepted(stored: Stored) -> None:
    reply = await stored.export(format="json", headers={"Accept": "text/csv"})
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/readings/export", "/events/export"])
async def test_what_cannot_be_accepted_is_refused_with_what_there_is(stored: Stored, path: str) -> None:
    reply = await stored.client.ask("GET", path, headers={"Accept": "image/png"})
    assert (reply.status, reply.code) == (406, "MH-R036")
    assert "text/csv" in reply.json()["detail"]


async def test_an_answer_is_compressed_where_that_is_asked_for(stored: Stored) -> None:
    await stored.fill(500)
    span = urlencode({"since": _text(AT), "until": _text(AT + timedelta(days=1))})
    plain = await stored.export(format="csv")
    async with stored.client.session.get(
        f"{stored.client.url}/readings/export?format=csv&{span}",
        headers={"Authorization": f"Bearer {stored.client.key}", "Accept-Encoding": "gzip"},
        auto_decompress=False,
    ) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        packed = await answer.read()
    assert len(packed) < len(plain.content) / 5
    assert gzip.decompress(packed) == plain.content


async def test_parquet_is_compressed_by_itself(stored: Stored) -> None:
    reply = await stored.export(format="parquet", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in reply.headers
    assert reply.content[:4] == reply.content[-4:] == b"PAR1"


# which readings


async def test_several_slots_zones_buildings_and_types_are_alternatives(stored: Stored) -> None:
    slots = [
        replace(slot, zone_id=ZoneId(f"z{n}"), building_id=BuildingId(f"b{n}"), devtype=f"ACME#T{n}")
        for n, slot in enumerate(stored.slots)
    ]
    stored.slots = slots
    await stored.put([stored.line(AT + timedelta(seconds=n), n, n) for n in range(4)])
    for query in (
        {"slot": [slots[0].id, slots[2].id]},
        {"zone": ["z0", "z2"]},
        {"building": ["b0", "b2", "nowhere"]},
        {"type": ["ACME#T0", "ACME#T2"]},
        {"slot": [slot.id for slot in slots], "type": ["ACME#T0", "ACME#T2", "ACME#T9"]},
    ):
        found = await stored.lines(**query)
        assert [json.loads(line)["v"]["count"] for line in found] == [0, 2], query
    span = urlencode({"since": _text(AT), "until": _text(AT + timedelta(days=1))})
    page = await stored.client.get(f"/readings?slot={slots[0].id}&slot={slots[2].id}&{span}")
    assert [item["v"]["count"] for item in page.json()["items"]] == [0, 2]


async def test_what_is_unknown_or_another_propertys_has_no_readings(stored: Stored, rig: Rig) -> None:
    await stored.put([stored.line(AT)])
    other = replace(stored, client=await rig.client())
    assert await stored.lines(slot="nonsense") == []
    assert await stored.lines(slot="a\nb\u2028") == []
    assert await other.lines(slot=stored.slots[0].id) == []
    assert await other.lines(zone=stored.slots[0].zone_id) == []
    assert (await other.export(property=stored.property_id)).status == 403


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"}, "until"),
        ({"since": "soon"}, "since"),
        ({"format": "xml"}, "format"),
        ({"slot": "a\x00b"}, "slot"),
        ({"type": "no-hash"}, "type"),
        ({"attributes": "count:date"}, "attributes"),
        ({"after": "nonsense"}, "after"),
        ({"after": "99999999999999/d/t"}, "after"),
        ({"after": "1710029109417/d/ACME#T"}, "after"),
        ({"header": "perhaps"}, "header"),
        ({"slots": "a"}, "slots"),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(stored: Stored, query: dict[str, Any], field: str) -> None:
    reply = await stored.export(**query)
    assert reply.status == 422, reply.content
    assert [path.split("[")[0] for path in reply.wrong] == [field]


async def test_hours_that_come_twice_and_never_are_told_apart(stored: Stored) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    forward, back = datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    sent = [at + timedelta(hours=n) for at in (forward, back) for n in range(2)]
    await stored.put([stored.line(at) for at in sent])
    rows = rows_of("csv", (await stored.export(format="csv")).content)
    assert [row["time"] for row in rows] == [at.strftime("%Y-%m-%dT%H:%M:%S.000Z") for at in sent]
    assert [row["hour"] for row in rows] == ["01", "03", "02", "02"]
    assert [row["hour"] for row in rows] == [f"{at.astimezone(berlin):%H}" for at in sent]
    for offset, instant in (("+02:00", sent[2]), ("+01:00", sent[3])):
        [line] = await stored.lines(since=f"2026-10-25T02:30:00{offset}", until=f"2026-10-25T02:30:00.001{offset}")
        assert json.loads(line)["unixT"] == round(instant.timestamp() * 1000)


async def test_readings_that_were_kept_whole_are_in_every_format(stored: Stored) -> None:
    slot = stored.slots[0]
    ids = f'"DEVID":"{slot.id}","DevType":"ACME#X","PID":"b","PropId":"{stored.property_id}","InsID":"z"'
    odd = [
        f'{{"unixT":{round(AT.timestamp() * 1000) + n},"Region":"UTC",{ids},"Display":{display},"v":{values}}}'.encode()
        for n, (display, values) in enumerate(
            [
                ('"a\\u0000"', '{"a":"\\u0000"}'),
                ("[1]", "[1]"),
                ('"=cmd()\\r\\n\\"x\\""', '{"a":"' + "x" * 100_000 + '"}'),
            ]
        )
    ]
    await stored.put(odd)
    assert await stored.lines() == odd
    assert (await stored.export(format="json")).content == b"[" + b",\n".join(odd) + b"]"
    for name in ("csv", "arrow", "parquet"):
        rows = rows_of(name, (await stored.export(format=name)).content)
        assert [row["display"] for row in rows] == ["a\x00", "[1]", '=cmd()\r\n"x"'], name
        assert [row["v"] for row in rows] == ['{"a":"\\u0000"}', "[1]", '{"a":"' + "x" * 100_000 + '"}'], name
        assert not any(row["t"] for row in rows)
    safe = rows_of("csv", (await stored.export(format="csv", spreadsheet="true")).content)
    assert safe[2]["display"] == '\'=cmd()\r\n"x"'


# pages, and going on


async def test_pages_hold_every_reading_once_while_data_arrives(stored: Stored) -> None:
    sent = [stored.line(AT + timedelta(seconds=n // 3), n % 3, n) for n in range(30)]
    await stored.put(sent)
    span = urlencode({"since": _text(AT), "until": _text(AT + timedelta(hours=1)), "limit": 7})
    cursor, got, turn = "", [], 0
    while True:
        page = (await stored.client.get(f"/readings?{span}{cursor}")).json()
        got += page["items"]
        if page["next"] is None:
            break
        # One comes late, at an instant that was read already; one for a time that was not.
        await stored.put([stored.line(AT + timedelta(milliseconds=turn + 1), 3, -1)])
        late = stored.line(AT + timedelta(minutes=30, seconds=turn), 3, 100 + turn)
        await stored.put([late])
        sent.append(late)
        cursor, turn = f"&cursor={page['next']}", turn + 1
    assert got == [json.loads(line) for line in sent]
    assert turn >= 4


async def test_an_export_holds_every_reading_once_while_data_arrives(stored: Stored) -> None:
    sent = [stored.line(AT + timedelta(seconds=n // 3), n % 3, n) for n in range(30)]
    await stored.put(sent)
    platform = Platform(database=stored.rig.database, clock=SystemClock())
    got: list[bytes] = []
    pages = past.export_readings(
        platform, stored.property_id, Wanted(), AT, AT + timedelta(hours=1), page_size=len(stored.slots)
    )
    turn = 0
    async for page in pages:
        got += page
        if turn < 3:
            await stored.put([stored.line(AT + timedelta(milliseconds=turn + 1), 3, -1)])
            late = stored.line(AT + timedelta(minutes=30, seconds=turn), 3, 100 + turn)
            await stored.put([late])
            sent.append(late)
        turn += 1
    assert got == sent


@pytest.mark.parametrize("whole", [0, 1, 2, 3, 11, 12])
async def test_an_export_goes_on_behind_the_last_reading_that_came(stored: Stored, whole: int) -> None:
    sent = [stored.line(AT + timedelta(seconds=n // 3), n % 3, n) for n in range(12)]
    await stored.put(sent)
    got = (await stored.lines())[:whole]
    last = json.loads(got[-1]) if got else None
    after = f"{last['unixT']}/{last['DEVID']}/{last['DevType']}" if last else ""
    assert got + await stored.lines(after=after) == sent


async def test_an_export_does_not_go_on_behind_what_is_another_propertys(stored: Stored, rig: Rig) -> None:
    await stored.put([stored.line(AT)])
    other = replace(stored, client=await rig.client())
    reply = await other.export(after=f"{round(AT.timestamp() * 1000)}/{stored.slots[0].id}/SMARTCLEAN#PPLCTR")
    assert (reply.status, reply.wrong) == (422, ["after"])


async def test_readings_far_apart_are_found_without_sorting_more_than_a_day(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    instants = [AT + timedelta(days=days) for days in (0, 0.5, 3, 40, 390)]
    await stored.put([stored.line(at, n % 2, n) for n, at in enumerate(instants)])
    asked: list[timedelta] = []

    class Watched:
        def __init__(self, connection: Any) -> None:
            self.fetchval = connection.fetchval
            self._connection = connection

        async def fetch(self, statement: str, *given: Any) -> Any:
            if statement == past_readings._SQL["raw"]:
                asked.append(given[2] - given[1])
            return await self._connection.fetch(statement, *given)

    async with stored.rig.database.connection() as connection:
        sources = await past_readings.find_sources(connection, stored.property_id, Wanted())
        page = await past_readings.read_page(
            Watched(connection),
            sources,
            datetime(1971, 1, 1, tzinfo=UTC),
            AT + timedelta(days=500),
            after=None,
            limit=50,
        )
    assert [json.loads(line)["v"]["count"] for line in page.lines[len(stored.slots) :]] == [0, 1, 2, 3, 4]
    assert max(asked) <= past_readings.WINDOW_MAX
    assert len(asked) < 60


# faults, slow clients, limits


@dataclass(slots=True)
class Pages:
    """Counts the pages that are read, and lets one fail."""

    read: int = 0
    fails_at: int = -1


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    counted, read_page = Pages(), past_readings.read_page

    async def read(*args: Any, **kwargs: Any) -> Any:
        counted.read += 1
        if counted.read == counted.fails_at:
            raise StoreError("PostgreSQL: gone")
        return await read_page(*args, **kwargs)

    monkeypatch.setattr(past, "read_page", read)
    monkeypatch.setattr(past.export_readings, "__kwdefaults__", {"after": None, "page_size": 100})
    return counted


@pytest.mark.parametrize("name", ["ndjson", "json", "csv", "arrow"])
async def test_a_fault_in_the_middle_is_seen(stored: Stored, pages: Pages, name: str) -> None:
    await stored.fill(1_000)
    pages.fails_at = 4
    with pytest.raises(aiohttp.ClientPayloadError):
        await stored.export(format=name)
    await until(lambda: stored.rig.parts.exports.running == 0)
    assert len(rows_of(name, (await stored.export(format=name)).content)) == 1_000


@pytest.mark.parametrize("name", FORMATS)
async def test_a_fault_at_the_beginning_is_a_problem(stored: Stored, pages: Pages, name: str) -> None:
    await stored.fill(10)
    pages.fails_at = 1
    reply = await stored.export(format=name)
    assert (reply.status, reply.code) == (503, "MH-S001")
    await until(lambda: stored.rig.parts.exports.running == 0)


async def test_nothing_more_is_read_for_a_client_that_left(stored: Stored, pages: Pages) -> None:
    await stored.fill(20_000, padding=2_000)
    async with _asking(stored) as (reader, writer):
        await reader.readexactly(1_000)
        assert stored.rig.parts.exports.running == 1
        writer.transport.abort()
    await until(lambda: stored.rig.parts.exports.running == 0)
    assert pages.read < 190


async def test_a_client_that_stops_reading_holds_no_connection_of_the_store(stored: Stored, pages: Pages) -> None:
    await stored.fill(20_000, padding=2_000)
    pool = stored.rig.database.pool
    async with _asking(stored) as (reader, writer):
        await reader.readexactly(1_000)
        await until(lambda: _stands_still(pages))
        assert pages.read < 190
        assert stored.rig.parts.exports.running == 1
        assert pool.get_idle_size() == pool.get_size()
        writer.transport.abort()
    await until(lambda: stored.rig.parts.exports.running == 0)


async def _stands_still(pages: Pages) -> bool:
    before = pages.read
    await asyncio.sleep(0.2)
    return pages.read == before


class _asking:  # noqa: N801 - used like a function
    """A client with small buffers, which reads as little as the test does."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(self._stored.client.url)
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        link.setblocking(False)
        await asyncio.get_running_loop().sock_connect(link, (address.hostname, address.port))
        reader, self._writer = await asyncio.open_connection(sock=link, limit=2_000)
        query = urlencode({"since": _text(AT), "until": _text(AT + timedelta(days=1))})
        self._writer.write(
            f"GET {address.path}/readings/export?{query} HTTP/1.1\r\nHost: hub\r\n"
            f"Authorization: Bearer {self._stored.client.key}\r\n\r\n".encode()
        )
        return reader, self._writer

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()


async def test_a_property_has_only_so_many_exports_at_a_time(stored: Stored, rig: Rig) -> None:
    with ExitStack() as turns:
        for _ in range(4):
            turns.enter_context(rig.parts.exports.taken(stored.property_id))
        reply = await stored.export()
        assert (reply.status, reply.code, reply.headers["Retry-After"]) == (429, "MH-R037", "5")
        assert (await replace(stored, client=await rig.client()).export()).status == 200
    assert (await stored.export()).status == 200


async def test_memory_does_not_grow_with_an_export(stored: Stored) -> None:
    await stored.fill(60_000, padding=800)
    process, base, most, size = psutil.Process(), 0, 0, 0
    query = urlencode({"since": _text(AT), "until": _text(AT + timedelta(days=10))})
    async with stored.client.session.get(
        f"{stored.client.url}/readings/export?{query}",
        headers={"Authorization": f"Bearer {stored.client.key}", "Accept-Encoding": "identity"},
    ) as answer:
        async for part in answer.content.iter_chunked(MIB):
            size += len(part)
            rss = process.memory_info().rss
            base, most = base or rss, max(most, rss)
    assert size > 60 * MIB
    assert most - base < 32 * MIB


# events


@pytest_asyncio.fixture(loop_scope="session")
async def happened(stored: Stored) -> Sequence[Mapping[str, Any]]:
    """Events of an application, in order."""
    platform = Platform(database=stored.rig.database, clock=SystemClock())
    application = ApplicationId("lift-monitor")
    await register_application(platform, stored.property_id, application, name="", quota=Quota())
    given = [
        {"Event": f"LIFT_{n}", "Priority": "HIGH" if n % 2 else "LOW", "Description": f'=lift "{n}"', "Meta": {"N": n}}
        for n in range(4)
    ]
    await publish_events(platform, stored.property_id, application, given)
    page = (await stored.client.get("/events?module=lift-monitor")).json()["items"]
    assert len(page) == 4
    return list(page)


async def test_events_come_in_every_line_format(stored: Stored, happened: Sequence[Mapping[str, Any]]) -> None:
    names = [f"LIFT_{n}" for n in range(4)]
    for name in ("ndjson", "json"):
        reply = await stored.client.get(f"/events/export?module=lift-monitor&format={name}")
        assert reply.headers["Content-Type"] == TYPES[name]
        assert [event["Event"] for event in rows_of(name, reply.content)] == names
    reply = await stored.client.get("/events/export?module=lift-monitor&format=csv")
    rows = rows_of("csv", reply.content)
    assert [row["event"] for row in rows] == names
    assert [json.loads(row["meta"]) for row in rows] == [{"N": n} for n in range(4)]
    assert rows[1]["description"] == '=lift "1"'
    assert rows[1]["time"] == f"{datetime.fromtimestamp(int(rows[1]['unixtimeint']), UTC):%Y-%m-%dT%H:%M:%S}.000Z"


async def test_events_are_chosen_by_pattern_and_time(stored: Stored, happened: Sequence[Mapping[str, Any]]) -> None:
    async def found(**query: Any) -> list[str]:
        reply = await stored.client.get(f"/events/export?{urlencode({'format': 'ndjson', **query}, doseq=True)}")
        assert reply.status == 200, reply.content
        return [event["Event"] for event in rows_of("ndjson", reply.content) if event["Event"].startswith("LIFT")]

    assert await found(pattern="matrix.#.HIGH") == ["LIFT_1", "LIFT_3"]
    assert await found(pattern=["matrix.*.*.LIFT_0.*", "matrix.#.LIFT_3.HIGH"]) == ["LIFT_0", "LIFT_3"]
    assert await found(until="2020-01-01T00:00:00Z") == []
    assert await found(since="2020-01-01T00:00:00Z", pattern="#") == [f"LIFT_{n}" for n in range(4)]


async def test_a_wrong_pattern_is_refused(stored: Stored) -> None:
    reply = await stored.client.get(f"/events/export?pattern={quote('matrix..#')}")
    assert reply.status == 422


async def test_events_of_another_property_are_not_told(rig: Rig, happened: Sequence[Mapping[str, Any]]) -> None:
    reply = await (await rig.client()).get("/events/export?module=lift-monitor")
    assert (reply.status, reply.content) == (200, b"")


async def test_events_are_exported_page_by_page(stored: Stored, happened: Sequence[Mapping[str, Any]]) -> None:
    platform = Platform(database=stored.rig.database, clock=SystemClock())
    pages = export_events(platform, stored.property_id, module="lift-monitor", patterns=["#.HIGH"], page_size=1)
    assert [[json.loads(line)["Event"] for line in page] async for page in pages] == [["LIFT_1"], ["LIFT_3"]]
