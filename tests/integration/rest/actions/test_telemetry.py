"""Past data: what goes into the stream is stored, and comes out again. Source: docs/contract/past-data.md"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import Rig
from tests.readings import Writer

from matrixhub.lifecycle import SystemClock
from matrixhub.model.devices import Json
from matrixhub.model.ids import SlotId, ZoneId
from matrixhub.model.site import Slot
from matrixhub.modules.telemetry import tsdb
from matrixhub.ports import Outgoing
from matrixhub.store.duty import STORE_DUTY, PostgresDuty
from matrixhub.store.readings import PostgresReadingPartitions, PostgresReadings
from matrixhub.store.rollups import PostgresRollups
from matrixhub.telemetry import Keeper, KeeperSettings

pytestmark = pytest.mark.asyncio(loop_scope="session")

TSDB, AUTO, NAMED, EXECUTE = (
    f"scmetrics.{name}" for name in ("tsdbQuery", "tsdbQueryAuto", "tsdbNamedQuery", "executeNamedQuery")
)
DAY_MS = 86_400_000
AT = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)
"""Two hours before the clocks of Berlin go forward."""

WAIT_S = 20.0


@dataclass(slots=True)
class Past:
    """A store at work behind the served hub, and what sends it readings."""

    rig: Rig
    readings: PostgresReadings
    writer: Writer = field(default_factory=Writer)

    async def send(self, slot: Slot, readings: Sequence[tuple[datetime, Mapping[str, Json]]]) -> list[bytes]:
        """Put readings on the bus, and wait until they are stored; their lines."""
        message = self.writer.message(slot, [(_ms(at), values) for at, values in readings])
        await self.publish(message)
        return message.data.split(b"\n")

    async def publish(self, *messages: Outgoing) -> None:
        assert not any(await self.rig.bus.publish(messages))
        last = (await self.rig.bus.bounds()).last_seq
        async with asyncio.timeout(WAIT_S):
            while True:
                if await self.readings.begin(0) >= last:
                    return
                await asyncio.sleep(0.01)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def past(rig: Rig) -> AsyncIterator[Past]:
    duty = PostgresDuty(rig.database.dsn, STORE_DUTY)
    readings, partitions = PostgresReadings(rig.database), PostgresReadingPartitions(rig.database)
    kept = KeeperSettings(batch_items=1_000, batch_bytes=1 << 20, retention_s=36_500 * 86_400.0)
    keeper, stop = Keeper(rig.bus, readings, partitions, duty, SystemClock(), rig.facts.append, kept), asyncio.Event()
    task = asyncio.create_task(keeper.run(stop))
    yield Past(rig, readings)
    stop.set()
    await task


def slot_of(matrix: Matrix, devtype: str, *, time_zone: str = "") -> Slot:
    found = next(slot for slot in matrix.site.slots if slot.devtype == devtype)
    return replace(found, time_zone=time_zone) if time_zone else found


def raw(slot: Slot | str, start: datetime, end: datetime, **more: object) -> dict[str, Any]:
    slot_id = slot if isinstance(slot, str) else slot.id
    params = {"$start": int(start.timestamp()), "$end": int(end.timestamp()), "$devid": slot_id}
    return {
        "id": "device_slot_raw_data",
        "qcontext": "scglobal",
        "qtype": "raw",
        "params": [{"key": key, "value": value} for key, value in {**params, **more}.items()],
    }


def query(start: datetime, end: datetime, metric: str = "count", **more: object) -> dict[str, Any]:
    times = {name: at.strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in (("start", start), ("end", end))}
    common = {"metrics": [metric], "aggregations": ["sum"], "aggregationInterval": "30T"}
    return {"time": times, **common, **more}


def values_of(answer: Mapping[str, Any], series: int = 0) -> list[dict[str, str]]:
    found: list[dict[str, str]] = answer["series"][series]["values"]
    return found


async def test_values_are_counted_for_each_aggregation(
    matrix: Matrix, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    end = AT + timedelta(hours=1)
    await past.send(slot, [(AT, {"count": 1}), (AT + timedelta(minutes=30), {"count": 2})])
    monkeypatch.setattr(tsdb, "VALUES_MAX", 4)
    assert len(values_of(await matrix.call(TSDB, query(AT, end, aggregations=["sum", "avg"])))) == 4
    refused = await matrix.refused(TSDB, query(AT, end, aggregations=["sum", "avg", "max"]))
    assert refused == (400, "QUERY_LENGTH_EXCEEDED")


# raw data


async def test_readings_come_back_as_they_were_pushed_to_the_byte(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    lines = await past.send(slot, [(AT + timedelta(seconds=n), {"count": n, "out_count": 0}) for n in range(5)])
    reply = await matrix.send(EXECUTE, raw(slot, AT, AT + timedelta(hours=1)))
    assert reply.status == 200
    assert b",".join(lines) in reply.content
    answer = reply.json()
    assert set(answer) == {"code", "message", "data", "LastEvaluatedKey"}
    assert (answer["code"], answer["LastEvaluatedKey"], len(answer["data"])) == ("SUCCESS", "", 5)


async def test_what_was_sent_through_every_type_comes_back_whole(matrix: Matrix, past: Past) -> None:
    sent = []
    for slot in matrix.site.slots:
        sent += await past.send(slot, [(AT, {"made_up": slot.name, "deep": {"a": [1, None, "}"]}})])
    body = raw(",".join(slot.id for slot in matrix.site.slots), AT, AT + timedelta(seconds=1))
    answer = await matrix.call(EXECUTE, body)
    by_slot = {reading["DEVID"]: reading for reading in map(json.loads, sent)}
    assert {reading["DEVID"]: reading for reading in answer["data"]} == by_slot


async def test_pages_hold_every_reading_once_while_data_arrives(matrix: Matrix, past: Past) -> None:
    slots = [slot for slot in matrix.site.slots if slot.devtype == matrix.site.slots[0].devtype] or matrix.site.slots
    slots = [*slots, *matrix.site.slots][:3]
    sent: list[bytes] = []
    for number, slot in enumerate(slots):
        instants = [AT + timedelta(seconds=n * 7 + number % 2) for n in range(40)]
        sent += await past.send(slot, [(at, {"n": 1, "count": 1, "out_count": 0, "p": 5}) for at in instants])
    got: list[dict[str, Any]] = []
    body = raw(",".join({slot.id for slot in slots}), AT, AT + timedelta(hours=1), **{"$limit": 17})
    turn = 0
    while True:
        answer = await matrix.call(EXECUTE, body)
        assert len(answer["data"]) <= 17
        got += answer["data"]
        # What comes late for a time that was read already moves nothing; what comes for a later one is seen.
        early = await past.send(
            slots[0], [(AT + timedelta(milliseconds=turn + 1), {"count": 9, "out_count": 0, "p": 1})]
        )
        late = await past.send(
            slots[0], [(AT + timedelta(minutes=50, seconds=turn), {"count": 9, "out_count": 0, "p": 1})]
        )
        assert early
        turn += 1
        if not answer["LastEvaluatedKey"]:
            break
        sent += late
        body["LastEvaluatedKey"] = answer["LastEvaluatedKey"]
        assert turn < 60
    keys = [(reading["unixT"], reading["DEVID"]) for reading in got]
    assert [at for at, _ in keys] == sorted(at for at, _ in keys)
    expected = {(one["unixT"], one["DEVID"]) for one in map(json.loads, sent)}
    assert len(keys) == len(set(keys))
    assert expected <= set(keys)


async def test_late_readings_lie_in_their_place(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    instants = [AT + timedelta(hours=n) for n in (48, 2, -900, 30, 2)]
    for at in instants:
        await past.send(slot, [(at, {"count": 1, "out_count": 0})])
    answer = await matrix.call(EXECUTE, raw(slot, AT, AT + timedelta(days=3)))
    assert [reading["unixT"] for reading in answer["data"]] == [_ms(AT + timedelta(hours=n)) for n in (2, 30, 48)]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"$start": ""}, "MISSING_PARAMETERS"),
        ({"$devid": ""}, "MISSING_PARAMETERS"),
        ({"$end": "soon"}, "WRONG_PARAMETERS"),
        ({"$end": 1}, "WRONG_PARAMETERS"),
        ({"$start": -5}, "WRONG_PARAMETERS"),
        ({"$end": 1e300}, "WRONG_PARAMETERS"),
        ({"$end": [1]}, "WRONG_PARAMETERS"),
        ({"$limit": "²"}, "WRONG_PARAMETERS"),
        ({"$limit": 1001}, "QUERY_LENGTH_EXCEEDED"),
        ({"$start": int((AT - timedelta(days=32)).timestamp())}, "QUERY_LENGTH_EXCEEDED"),
        ({"$LastEvaluatedKey": "bm9uc2Vuc2U"}, "WRONG_PARAMETERS"),
    ],
)
async def test_a_wrong_parameter_of_raw_data_is_refused(matrix: Matrix, change: dict[str, Any], refusal: str) -> None:
    body = raw(matrix.slot_id, AT, AT + timedelta(hours=1), **change)
    assert await matrix.refused(EXECUTE, body) == (400, refusal)


@pytest.mark.parametrize("operation", [NAMED, EXECUTE])
async def test_an_unknown_named_query_is_refused_with_the_names_there_are(matrix: Matrix, operation: str) -> None:
    reply = await matrix.send(operation, {"id": "nonsense", "params": []})
    assert (reply.status, reply.json()["code"]) == (400, "WRONG_PARAMETERS")
    assert "people_count" in reply.json()["message"]


async def test_the_latest_reading_of_each_slot_is_told(matrix: Matrix, past: Past) -> None:
    one, two = matrix.site.slots[0], matrix.site.slots[1]
    for n in range(3):
        await past.send(one, [(AT + timedelta(minutes=n), {"n": 1})])
    [line] = await past.send(two, [(AT - timedelta(minutes=1), {"n": 1})])
    body = raw("", AT - timedelta(hours=1), AT + timedelta(hours=1))
    body["id"] = "latest_readings"
    found = await matrix.data(EXECUTE, body)
    assert [reading["DEVID"] for reading in found] == [one.id, two.id]
    assert found[0]["unixT"] == _ms(AT + timedelta(minutes=2))
    assert found[1] == json.loads(line)


async def test_the_latest_reading_of_a_zone_is_told_also_where_its_slot_has_moved_since(
    matrix: Matrix, past: Past
) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    [line] = await past.send(slot, [(AT, {"count": 1, "out_count": 0})])
    elsewhere = replace(slot, zone_id=ZoneId("another zone"))
    await past.send(elsewhere, [(AT + timedelta(minutes=1), {"count": 2, "out_count": 0})])
    body = raw("", AT - timedelta(hours=1), AT + timedelta(hours=1))
    body["id"] = "latest_readings"
    body["params"].append({"key": "$zone", "value": slot.zone_id})
    assert await matrix.data(EXECUTE, body) == [json.loads(line)]


# scoping


async def test_slots_of_another_property_have_no_data(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    await past.send(slot, [(AT, {"count": 1, "out_count": 0})])
    stranger = await matrix.rig.client()
    other = replace(matrix, client=stranger)
    end = AT + timedelta(hours=1)
    scope = {"propid": "", "pid": "scnoop"}
    assert await other.data(EXECUTE, raw(slot, AT, end), **scope) == []
    for tag, one in (("l2class", slot.id), ("l1class", slot.zone_id), ("l0class", slot.building_id)):
        answer = await other.call(TSDB, query(AT, end, filter=[{"tagk": tag, "tagv": one}]), **scope)
        assert values_of(answer) == []
    for name in ("people_count_per_zone_and_day", "latest_readings"):
        assert await other.data(EXECUTE, {**raw(slot, AT, end), "id": name}, **scope) == []
    for path in (f"/readings?slot={slot.id}", f"/readings/export?zone={slot.zone_id}"):
        reply = await stranger.get(f"{path}&since=2026-03-01T00:00:00Z&until=2026-04-01T00:00:00Z")
        assert reply.status == 200
        assert reply.content in (b"", b'{"items":[],"next":null}')


async def test_a_page_key_of_one_property_opens_nothing_of_another(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    await past.send(slot, [(AT + timedelta(seconds=n), {"count": 1, "out_count": 0}) for n in range(3)])
    key = (await matrix.call(EXECUTE, raw(slot, AT, AT + timedelta(hours=1), **{"$limit": 1})))["LastEvaluatedKey"]
    other = replace(matrix, client=await matrix.rig.client())
    body = {**raw(slot, AT, AT + timedelta(hours=1)), "LastEvaluatedKey": key}
    assert await other.data(EXECUTE, body, propid="", pid="scnoop") == []


async def test_another_building_narrows_to_nothing(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    await past.send(slot, [(AT, {"count": 1, "out_count": 0})])
    assert await matrix.data(EXECUTE, raw(slot, AT, AT + timedelta(hours=1)), pid="elsewhere") == []
    assert len(await matrix.data(EXECUTE, raw(slot, AT, AT + timedelta(hours=1)), pid="scnoop")) == 1


# buckets


async def test_the_published_shape_of_a_series(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#UM")
    await past.send(slot, [(AT + timedelta(minutes=31 + n), {"count": 7}) for n in range(2)])
    answer = await matrix.call(TSDB, query(AT, AT + timedelta(hours=1)))
    assert answer == {
        "type": "keyval",
        "series": [
            {
                "values": [
                    {
                        "L0CLASS": slot.building_id,
                        "L1CLASS": slot.zone_id,
                        "L2CLASS": slot.id,
                        "_field": "sum",
                        "_time": "2026-03-28T22:30:00Z",
                        "_value": "14",
                    }
                ],
                "id": "0",
                "_start": "2026-03-28T22:00:00Z",
                "_end": "2026-03-28T23:00:00Z",
                "aggregationInterval": "30T",
            }
        ],
        "queryType": "tsdb",
    }
    assert await matrix.call("scmetrics.tsdb.query", query(AT, AT + timedelta(hours=1))) == answer


@pytest.mark.parametrize("interval", ["1T", "5T", "15T", "30T"])
async def test_aggregates_agree_with_an_independent_calculation(matrix: Matrix, past: Past, interval: str) -> None:
    rng = random.Random(interval)
    slots = [slot for slot in matrix.site.slots if slot.devtype in ("SMARTCLEAN#PPLCTR", "SMARTCLEAN#UM")]
    told: dict[tuple[str, int], list[Fraction]] = defaultdict(list)
    width = int(interval[:-1]) * 60_000
    for slot in slots:
        readings = []
        for at in rng.sample(range(0, 4 * 3_600_000, 500), 120):  # late ones among them: they come in any order
            value = rng.choice([rng.randrange(100), rng.random() * 10, None, "12", "soon", True])
            readings.append((AT + timedelta(milliseconds=at), {"made_up": value}))
            if isinstance(value, str) and value != "soon":
                value = int(value)
            inside = at < 3 * 3_600_000
            if isinstance(value, int | float) and not isinstance(value, bool) and inside:
                told[slot.id, (_ms(AT) + at) // width * width].append(Fraction(repr(value)))
        lines = [past.writer.line(slot, _ms(at), values) for at, values in readings]
        await past.publish(_message(past, slot, lines))
    body = query(
        AT,
        AT + timedelta(hours=3),
        f"{slots[0].devtype}:made_up",
        aggregations=["avg", "min", "max", "sum", "count"],
        aggregationInterval=interval,
    )
    body["metrics"] = [f"{devtype}:made_up" for devtype in sorted({slot.devtype for slot in slots})]
    answer = await matrix.call(TSDB, body)
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for series in range(len(body["metrics"])):
        for row in values_of(answer, series):
            found[row["L2CLASS"], _ms(datetime.fromisoformat(row["_time"]))][row["_field"]] = row["_value"]
    assert set(found) == set(told)
    for key, numbers in told.items():
        told_row = {name: Fraction(value) for name, value in found[key].items()}
        assert told_row["count"] == len(numbers)
        small = Fraction(1, 10**5)
        total = sum(numbers, Fraction(0))
        exact = {"sum": total, "avg": total / len(numbers), "min": min(numbers), "max": max(numbers)}
        for name, number in exact.items():
            assert abs(told_row[name] - number) < small, (key, name)


def _message(past: Past, slot: Slot, lines: Sequence[bytes]) -> Outgoing:
    name = f"{slot.id}-{random.random()}"
    return Outgoing(past.writer.plan(slot).subject, b"\n".join(lines), len(lines), name)


@pytest.mark.parametrize(
    ("time_zone", "start", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 28, 23, 0, tzinfo=UTC), {"2026-03-29": 23, "2026-03-30": 24}),
        ("Europe/Berlin", datetime(2025, 10, 25, 22, 0, tzinfo=UTC), {"2025-10-26": 25, "2025-10-27": 24}),
        ("Asia/Kathmandu", datetime(2024, 2, 28, 18, 15, tzinfo=UTC), {"2024-02-29": 24, "2024-03-01": 24}),
    ],
)
async def test_days_are_those_of_the_building(
    matrix: Matrix, past: Past, time_zone: str, start: datetime, hours: Mapping[str, int]
) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR", time_zone=time_zone)
    total = sum(hours.values())
    await past.send(slot, [(start + timedelta(hours=n), {"count": 2, "out_count": 0}) for n in range(total)])
    end = start + timedelta(hours=total)
    for before in (start - timedelta(days=1), end + timedelta(days=1)):  # from readings, and then from rollups
        await rolled_up(past, before)
        await check_days(matrix, slot, start, end, hours)


async def check_days(matrix: Matrix, slot: Slot, start: datetime, end: datetime, hours: Mapping[str, int]) -> None:
    rows = await matrix.data(EXECUTE, {**raw(slot, start, end), "id": "people_count_per_zone_and_day"})
    assert [(row["Day"], row["count"], row["sum"]) for row in rows] == [
        (day, str(count), str(2 * count)) for day, count in hours.items()
    ]
    assert {(row["PID"], row["InsID"]) for row in rows} == {(slot.building_id, slot.zone_id)}
    body = query(start, end, "ppl_in", resamplingParams={"duration": "1D", "fn": "sum"})
    days = values_of(await matrix.call(TSDB, body))
    half_hours = query(start, end, "ppl_in", aggregations=["avg"], resamplingParams={"duration": "1D", "fn": "count"})
    assert [row["_value"] for row in values_of(await matrix.call(TSDB, half_hours))] == [
        str(count) for count in hours.values()
    ]
    assert [row["_value"] for row in days] == [str(2 * count) for count in hours.values()]
    local = [datetime.fromisoformat(row["_time"]).astimezone(ZoneInfo(slot.time_zone)) for row in days]
    assert [at.isoformat()[:16] for at in local] == [f"{day}T00:00" for day in hours]


async def test_groups_are_summed_up_by_the_labels_that_are_kept(matrix: Matrix, past: Past) -> None:
    slots = [slot for slot in matrix.site.slots if slot.devtype == "SMARTCLEAN#PPLCTR"]
    one = slots[0]
    two = replace(one, id=SlotId(f"{one.id}-2"), zone_id=ZoneId(f"{one.zone_id}-2"))
    for slot, count in ((one, 3), (two, 4)):
        await past.send(slot, [(AT + timedelta(minutes=n), {"count": count, "out_count": 0}) for n in range(2)])

    async def asked(*kept: str) -> list[dict[str, str]]:
        steps = [
            {"op": "group by", "args": [{"key": "by", "value": list(kept)}]},
            {"op": "aggregation", "type": "sum", "args": []},
        ]
        body = query(
            AT, AT + timedelta(hours=1), "ppl_in", aggregations=["sum", "count"], postQueryOps=steps, filters=[]
        )
        return values_of(await matrix.call(TSDB, body))

    time = {"_time": "2026-03-28T22:00:00Z"}
    assert await asked("_field") == [
        {"_field": "count", **time, "_value": "4"},
        {"_field": "sum", **time, "_value": "14"},
    ]
    assert await asked("l0class") == [{"L0CLASS": one.building_id, "_field": "sum", **time, "_value": "18"}]
    by_zone = await asked("L1CLASS", "_field")
    assert {(row["L1CLASS"], row["_field"]): row["_value"] for row in by_zone} == {
        (one.zone_id, "sum"): "6",
        (one.zone_id, "count"): "2",
        (two.zone_id, "sum"): "8",
        (two.zone_id, "count"): "2",
    }


async def test_a_slot_that_was_renamed_is_one_and_one_that_was_moved_is_told_by_zone(
    matrix: Matrix, past: Past
) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    renamed, moved = replace(slot, name="New name"), replace(slot, zone_id=ZoneId("another-zone"))
    for number, one in enumerate((slot, renamed, moved)):
        await past.send(one, [(AT + timedelta(seconds=number), {"count": 1, "out_count": 0})])
    found = values_of(await matrix.call(TSDB, query(AT, AT + timedelta(hours=1), "ppl_in")))
    assert {row["L1CLASS"]: row["_value"] for row in found} == {slot.zone_id: "2", "another-zone": "1"}


async def test_a_relative_start_and_a_chosen_interval(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#UM")
    await past.send(slot, [(datetime.now(UTC) - timedelta(minutes=5), {"count": 5})])
    body = {"time": {"start": "-1h"}, "metrics": ["sg.smartclean.um.raw.count"], "aggregations": ["max"]}
    answer = await matrix.call(AUTO, body, org="")
    assert [row["_value"] for row in values_of(answer)] == ["5"]
    assert answer["series"][0]["aggregationInterval"] == "1T"
    named = {"id": "usage_count", "params": [{"key": "$start", "value": 1}, {"key": "$end", "value": 4000}]}
    assert values_of(await matrix.call(NAMED, named)) == []


async def test_a_text_that_postgresql_cannot_look_into_spoils_no_aggregate(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#UM")
    lines = [past.writer.line(slot, _ms(AT) + n, {"count": 1}) for n in range(2)]
    for number, text in enumerate((b'{"count":1,"x":"\\u0000"}', b'{"count":1,"x":"\\ud800"}', b'{"count":1e99999}')):
        head = past.writer.line(slot, _ms(AT) + 10 + number, {}).partition(b',"v":')[0]
        lines.append(head + b',"v":' + text + b"}")
    await past.publish(_message(past, slot, lines))
    found = values_of(await matrix.call(TSDB, query(AT, AT + timedelta(hours=1))))
    assert [row["_value"] for row in found] == ["2"]


async def test_any_query_is_answered_or_refused(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#UM")
    await past.send(slot, [(AT + timedelta(minutes=n), {"count": n, "b": "2980", "x": [1]}) for n in range(90)])
    rng = random.Random(11)
    pick: dict[str, list[Any]] = {
        "time": [
            {"start": "2026-03-28T22:00:00Z", "end": "2026-03-28T23:10:00Z"},
            {"start": "2026-03-01T00:00:00.5Z", "end": "2026-03-31T00:00:00Z"},
            {"start": "-24h"},
            {"start": 7},
        ],
        "metrics": [["count"], ["b", "count"], ["ppl_in"], ["SMARTCLEAN#UM:x"], [slot.id], [7]],
        "aggregations": [["sum"], ["avg", "count", "min", "max", "sum"], ["avg", "avg"], []],
        "aggregationInterval": ["1T", "30T", "5T", None],
        "filter": [
            None,
            [],
            [{"tagk": "l2class", "tagv": slot.id}],
            [{"tagk": "l1class", "tagv": ["\x00", "\ud800", ""]}],
        ],
        "postQueryOps": [
            None,
            [{"op": "group by", "args": [{"key": "by", "value": ["_field", "l0class"]}]}],
            [{"op": "aggregation", "type": "sum"}, {"op": "aggregation", "type": "sum"}],
        ],
        "resamplingParams": [None, {}, {"duration": "1D", "fn": "avg"}, {"duration": "30T", "fn": "count"}],
    }
    seen = set()
    for _ in range(60):
        body = {name: rng.choice(choices) for name, choices in pick.items()}
        reply = await matrix.send(rng.choice([TSDB, AUTO]), body)
        assert reply.status in (200, 400), (body, reply.content)
        assert reply.status == 400 or reply.json()["type"] == "keyval"
        seen.add(reply.status)
    assert seen == {200, 400}


# buckets


async def buckets(matrix: Matrix, start: datetime, end: datetime, **more: str) -> list[dict[str, Any]]:
    """All buckets, page by page."""
    given = {"since": start.isoformat(), "until": end.isoformat(), "metric": "ppl_in", "limit": "40", **more}
    found: list[dict[str, Any]] = []
    while True:
        reply = await matrix.client.get(f"/readings/buckets?{urlencode(given)}")
        assert reply.status == 200, reply.content
        found += reply.json()["items"]
        assert len(reply.json()["items"]) <= 40
        if reply.json()["next"] is None:
            return found
        given["cursor"] = reply.json()["next"]


async def rolled_up(past: Past, before: datetime) -> None:
    rollups = PostgresRollups(past.rig.database)
    found = await rollups.begin(before)
    while found is not None and await rollups.roll(found, 100):
        pass


async def test_buckets_of_any_length_zone_and_group_are_the_same_before_and_after_they_are_rolled_up(
    matrix: Matrix, past: Past
) -> None:
    one = slot_of(matrix, "SMARTCLEAN#PPLCTR", time_zone="Europe/Berlin")
    two = replace(one, id=SlotId(f"{one.id}-2"), zone_id=ZoneId(f"{one.zone_id}-2"))
    start = datetime(2026, 3, 27, 23, tzinfo=UTC)
    for slot in (one, two):
        await past.send(slot, [(start + timedelta(hours=n), {"count": n % 5, "out_count": 0}) for n in range(71)])
    end = start + timedelta(hours=71)
    asked = [
        {"bucket": bucket, "by": by, "time_zone": zone}
        for bucket in ("hour", "day", "week", "month", "6h", "30m")
        for by, zone in (("slot", ""), ("building", ""), ("zone", "Asia/Kolkata"))
    ]
    before = [await buckets(matrix, start, end, **one) for one in asked]
    await rolled_up(past, end + timedelta(days=1))
    assert [await buckets(matrix, start, end, **one) for one in asked] == before
    days = await buckets(matrix, start, end, by="building")
    assert [(day["local_start"], day["count"]) for day in days] == [
        ("2026-03-28T00:00:00+01:00", 48),
        ("2026-03-29T00:00:00+01:00", 46),
        ("2026-03-30T00:00:00+02:00", 48),
    ]
    assert days[0] == {
        "start": "2026-03-27T23:00:00Z",
        "local_start": "2026-03-28T00:00:00+01:00",
        "metric": "ppl_in",
        "building_id": one.building_id,
        "zone_id": None,
        "slot_id": None,
        "count": 48,
        "sum": 92,
        "avg": 92 / 48,
        "min": 0,
        "max": 4,
    }
    await past.send(one, [(start + timedelta(minutes=1), {"count": 100, "out_count": 0})])  # late, and seen at once
    assert (await buckets(matrix, start, end, by="building"))[0]["sum"] == 192


async def test_buckets_are_narrowed_and_refused(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR")
    await past.send(slot, [(AT, {"count": 1, "out_count": 2})])
    end = AT + timedelta(hours=1)
    assert len(await buckets(matrix, AT, end, slot=slot.id, zone=slot.zone_id, type=slot.devtype)) == 1
    assert await buckets(matrix, AT, end, slot="another") == []
    assert await buckets(matrix, AT, end, type="ACME#X") == []
    both = await matrix.client.get(f"/readings/buckets?metric=ppl_in&metric=ppl_out&since={AT:%Y-%m-%dT%H:%M:%SZ}")
    assert [(one["metric"], one["sum"]) for one in both.json()["items"]] == [("ppl_in", 1), ("ppl_out", 2)]
    refused = {
        "metric=nonsense": 400,
        "metric=count&bucket=2d": 400,
        "metric=count&bucket=minute&since=2026-01-01T00:00:00Z&until=2026-12-01T00:00:00Z": 400,
        "metric=count&since=2020-01-01T00:00:00Z&until=2026-12-01T00:00:00Z": 400,
        "metric=count&since=2026-12-01T00:00:00Z&until=2026-01-01T00:00:00Z": 400,
        "metric=count&time_zone=Mars/Base": 422,
        "metric=count&by=floor": 422,
        "metric=count&cursor=x": 422,
        "": 422,
    }
    for query_text, status in refused.items():
        assert (await matrix.client.get(f"/readings/buckets?{query_text}")).status == status, query_text


async def test_where_readings_are_gone_only_whole_hours_and_days_are_answered(matrix: Matrix, past: Past) -> None:
    slot = slot_of(matrix, "SMARTCLEAN#PPLCTR", time_zone="Asia/Kolkata")
    start = datetime(2021, 5, 1, 18, 30, tzinfo=UTC)
    await past.send(slot, [(start + timedelta(hours=n), {"count": 1, "out_count": 0}) for n in range(48)])
    end = start + timedelta(hours=48)
    await PostgresRollups(past.rig.database).settle(start + timedelta(hours=71.5), matrix.property_id)
    async with past.rig.database.connection() as connection:
        await connection.execute("delete from readings where at >= $1 and at < $2", start, end)
    assert [one["sum"] for one in await buckets(matrix, start, end)] == [24, 24]
    await past.send(slot, [(start + timedelta(minutes=7), {"count": 1, "out_count": 0})])  # far too late
    await rolled_up(past, end + timedelta(days=9))
    assert [one["sum"] for one in await buckets(matrix, start, end)] == [24, 24]
    for narrower in ({"bucket": "minute"}, {"since": (start + timedelta(minutes=1)).isoformat()}):
        given = {"metric": "ppl_in", "since": start.isoformat(), "until": end.isoformat(), **narrower}
        assert (await matrix.client.get(f"/readings/buckets?{urlencode(given)}")).code == "MH-R020"


# REST


async def test_rest_lists_pages_and_exports_the_same_lines(matrix: Matrix, past: Past) -> None:
    slots = matrix.site.slots[:3]
    sent = []
    for slot in slots:
        sent += await past.send(slot, [(AT + timedelta(seconds=n), {"n": n, "count": 1, "p": 1}) for n in range(20)])
    time = "since=2026-03-28T22:00:00Z&until=2026-03-28T22:00:20Z"
    exported = await matrix.client.get(f"/readings/export?{time}")
    assert exported.headers["Content-Type"].startswith("application/x-ndjson")
    lines = exported.content.splitlines()
    assert sorted(lines) == sorted(sent)
    listed, cursor = [], ""
    while True:
        reply = await matrix.client.get(f"/readings?{time}&limit=7" + (f"&cursor={cursor}" if cursor else ""))
        assert reply.status == 200
        listed += reply.json()["items"]
        cursor = reply.json()["next"]
        if not cursor:
            break
    assert listed == [json.loads(line) for line in lines]
    narrowed = await matrix.client.get(
        f"/readings?{time}&slot={slots[1].id}&zone={slots[1].zone_id}&building={matrix.building_id}"
        f"&type={slots[1].devtype.replace('#', '%23')}"
    )
    assert len(narrowed.json()["items"]) == 20
    assert (await matrix.client.get("/readings")).json() == {"items": [], "next": None}


async def test_rest_refuses_a_foreign_cursor_an_unknown_parameter_and_a_time_that_ends_before_it_begins(
    matrix: Matrix,
) -> None:
    assert (await matrix.client.get("/readings?cursor=x")).wrong == ["cursor"]
    assert (await matrix.client.get("/readings?from=1")).status == 422
    backwards = await matrix.client.get("/readings?since=2026-03-28T22:00:00Z&until=2026-03-27T22:00:00Z")
    assert (backwards.status, backwards.wrong) == (422, ["until"])
