"""`POST /hub/v1/readings` from outside: forms of a body, refusals, repeats, keys and limits."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
import pytest
import zstandard
from tests.acceptance.hub import DEVICES, PROPERTY, Hub, Reading, key_of, make_reading, site_text

Session = aiohttp.ClientSession
Answer = tuple[int, dict[str, Any]]


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(
    session: Session, hub: Hub, body: bytes, *, key: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send a body; status and JSON of the answer."""
    authorization = {"Authorization": f"Bearer {hub.key if key is None else key}"}
    every = {**authorization, "Content-Type": "application/json", **(headers or {})}
    async with session.post(f"{hub.url}/hub/v1/readings", data=io.BytesIO(body), headers=every) as answer:
        assert "json" in answer.content_type
        return answer.status, json.loads(await answer.read())


def encode(document: object) -> bytes:
    return json.dumps(document).encode()


def lines(readings: list[dict[str, Any]]) -> bytes:
    return b"\n".join(map(encode, readings)) + b"\n"


FORMS: Mapping[str, tuple[int, Callable[[list[dict[str, Any]]], bytes], Mapping[str, str]]] = {
    "one object": (1, lambda readings: encode(readings[0]), {}),
    "an array": (7, encode, {}),
    "an array of one": (1, encode, {}),
    "NDJSON": (7, lines, {"Content-Type": "application/x-ndjson"}),
    "gzip": (7, lambda readings: gzip.compress(encode(readings)), {"Content-Encoding": "gzip"}),
    "gzip of NDJSON": (7, lambda readings: gzip.compress(lines(readings)), {"Content-Encoding": "gzip"}),
    "zstd": (7, lambda readings: zstandard.compress(encode(readings)), {"Content-Encoding": "zstd"}),
    "zstd of one object": (1, lambda readings: zstandard.compress(encode(readings[0])), {"Content-Encoding": "zstd"}),
}


async def test_every_form_of_a_body_is_taken_and_delivered(hub: Hub, session: Session) -> None:
    sent: list[Reading] = []
    async with hub.customer() as customer:
        for name, (count, body, headers) in FORMS.items():
            readings = [make_reading(DEVICES[number]) for number in range(count)]
            answer = await post(session, hub, body(readings), headers=headers)
            assert answer == (202, {"accepted": count, "repeated": 0, "refused": []}), name
            sent += map(key_of, readings)
        await customer.wait_received(sent)
    customer.check(sent)


async def test_a_reading_without_a_time_is_of_now_and_has_the_general_format(hub: Hub, session: Session) -> None:
    async with hub.customer() as customer:
        before = time.time_ns() // 1_000_000
        status, receipt = await post(session, hub, b'{"DEVID":"device-2","v":{"p":40,"x-extra":[1,{"a":null}]}}')
        after = time.time_ns() // 1_000_000
        assert (status, receipt["accepted"]) == (202, 1)
        await customer.wait_more(1 if not customer.received else 0)
    (item,) = customer.taken[0].items
    reading = json.loads(item)
    assert before <= reading["unixT"] <= after
    assert reading["v"] == {"p": 40, "x-extra": [1, {"a": None}]}
    assert (reading["DEVID"], reading["DevType"], reading["PropId"]) == ("device-2", "SMARTCLEAN#BIN", PROPERTY)
    assert (reading["PID"], reading["InsID"], reading["Region"]) == (
        f"{PROPERTY}-b0",
        f"{PROPERTY}-z0",
        "Asia/Singapore",
    )
    assert reading["utc"] == reading["unix"] == reading["unixT"] // 1000
    assert reading["expire_at"] == reading["utc"] + 15_552_000


async def test_bad_readings_are_refused_one_by_one_and_the_good_ones_taken(hub: Hub, session: Session) -> None:
    good = [make_reading("device-0"), make_reading("device-1"), make_reading("device-2")]
    now_ms = time.time_ns() // 1_000_000
    readings: list[Any] = [
        good[0],
        {"DEVID": "nobody", "v": {"count": 1}},
        {"DEVID": "device-2", "v": {"p": 300}},
        good[1],
        {"DEVID": "device-2", "v": {"p": "much"}},
        {"DEVID": "device-2", "unixT": 1, "v": {"p": 1}},
        {"DEVID": "device-2", "unixT": now_ms + 10 * 86_400_000, "v": {"p": 1}},
        {"DEVID": "device-2", "time": "yesterday", "v": {"p": 1}},
        {"DEVID": "device-2", "v": {"unheard": 1}},
        {"DEVID": "device-2", "DevType": "SMARTCLEAN#TH", "v": {"p": 1}},
        {"DEVID": "device-2"},
        "not an object",
        good[2],
    ]
    wanted = {
        1: "MH-I002", 2: "MH-I003", 4: "MH-I003", 5: "MH-I005", 6: "MH-I005", 7: "MH-I004", 8: "MH-I006",
        9: "MH-I007", 10: "MH-I001", 11: "MH-I001",
    }  # fmt: skip
    async with hub.customer() as customer:
        status, receipt = await post(session, hub, encode(readings))
        assert status == 202
        assert (receipt["accepted"], receipt["repeated"]) == (3, 0)
        assert {refusal["index"]: refusal["code"] for refusal in receipt["refused"]} == wanted
        assert all(len(refusal["message"]) > 10 for refusal in receipt["refused"])
        await customer.wait_received([key_of(reading) for reading in good])
    customer.check([key_of(reading) for reading in good])


async def test_a_request_without_a_good_reading_is_422_with_the_same_receipt(hub: Hub, session: Session) -> None:
    status, receipt = await post(session, hub, b'[{"DEVID":"nobody","v":{}},{"DEVID":"device-2","v":{"p":-1}}]')
    assert (status, receipt["accepted"], receipt["repeated"]) == (422, 0, 0)
    assert [(refusal["index"], refusal["code"]) for refusal in receipt["refused"]] == [(0, "MH-I002"), (1, "MH-I003")]


async def test_a_broken_line_of_ndjson_costs_only_itself(hub: Hub, session: Session) -> None:
    good = [make_reading("device-0"), make_reading("device-1")]
    body = encode(good[0]) + b'\n{"DEVID": broken\n\n' + encode(good[1])
    status, receipt = await post(session, hub, body)
    assert (status, receipt["accepted"]) == (202, 2)
    assert [(refusal["index"], refusal["code"]) for refusal in receipt["refused"]] == [(1, "MH-I001")]


async def test_a_repeat_is_answered_as_repeated_and_delivered_once(hub: Hub, session: Session) -> None:
    readings = [make_reading(device) for device in DEVICES]
    async with hub.customer() as customer:
        assert await post(session, hub, encode(readings)) == (202, {"accepted": 8, "repeated": 0, "refused": []})
        assert await post(session, hub, encode(readings)) == (202, {"accepted": 0, "repeated": 8, "refused": []})
        mixed = [*readings, make_reading("device-0"), readings[0]]
        assert await post(session, hub, encode(mixed)) == (202, {"accepted": 1, "repeated": 9, "refused": []})
        sent = [key_of(reading) for reading in mixed[:9]]
        await customer.wait_received(sent)
        await hub.check_balance(customer, 9)
    customer.check(sent)


async def test_a_repeat_sent_at_the_same_time_is_stored_once(hub: Hub, session: Session) -> None:
    async with hub.customer() as customer:
        sent = []
        for _ in range(20):
            reading = make_reading("device-0")
            answers = await asyncio.gather(*(post(session, hub, encode(reading)) for _ in range(5)))
            assert sorted(receipt["accepted"] for _, receipt in answers) == [0, 0, 0, 0, 1]
            assert {status for status, _ in answers} == {202}
            sent.append(key_of(reading))
        await customer.wait_received(sent)
        await hub.check_balance(customer, 20)
    customer.check(sent)


@pytest.mark.long
async def test_repeats_are_recognised_after_crashes_of_the_hub() -> None:
    sent: list[Reading] = []
    with Hub.started() as hub:
        async with hub.customer() as customer:
            for end in (hub.kill, hub.kill_everything):
                readings = [make_reading(device) for device in DEVICES for _ in range(5)]
                sent += map(key_of, readings)
                async with aiohttp.ClientSession() as session:
                    status, receipt = await post(session, hub, encode(readings))
                    assert (status, receipt["accepted"]) == (202, 40)
                await asyncio.to_thread(end)
                await asyncio.to_thread(hub.start)
                async with aiohttp.ClientSession() as session:
                    answer = await post(session, hub, encode(readings))
                    assert answer == (202, {"accepted": 0, "repeated": 40, "refused": []})
            await customer.wait_received(sent)
            await hub.check_balance(customer, 80)
    customer.check(sent, repeats=2)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer mhk_wrong", "Basic bWhrOng=", "Bearer \u00e9", "bearer  "],
    ids=["none", "no key", "wrong key", "other scheme", "not ASCII", "blank"],
)
async def test_a_wrong_or_missing_key_is_401(hub: Hub, session: Session, authorization: str) -> None:
    headers = {"Authorization": authorization}
    status, problem = await post(session, hub, encode(make_reading("device-0")), headers=headers)
    assert (status, problem["code"]) == (401, "MH-R006")
    assert problem["status"] == 401


async def test_a_revoked_key_is_401(hub: Hub, session: Session) -> None:
    made = await asyncio.to_thread(hub.ask, "key", "create", "--property", PROPERTY)
    deadline = time.monotonic() + 30
    while (await post(session, hub, encode(make_reading("device-0")), key=made["key"]))[0] != 202:
        assert time.monotonic() < deadline
    await asyncio.to_thread(hub.run, "key", "revoke", made["id"], "--property", PROPERTY)
    while (await post(session, hub, encode(make_reading("device-0")), key=made["key"]))[0] != 401:
        assert time.monotonic() < deadline


async def test_a_body_over_the_limit_is_413(hub: Hub, session: Session) -> None:
    large = b'{"DEVID":"device-0","v":{"count":1,"x":"' + b"x" * 8_388_608 + b'"}}'
    status, problem = await post(session, hub, large)
    assert (status, problem["code"]) == (413, "MH-R003")
    unpacked = {"gzip": gzip.compress(b" " * 40_000_000, 1), "zstd": zstandard.compress(b" " * 40_000_000)}
    for encoding, body in unpacked.items():
        status, problem = await post(session, hub, body, headers={"Content-Encoding": encoding})
        assert (status, problem["code"]) == (413, "MH-R003"), encoding


async def test_too_many_readings_are_413(hub: Hub, session: Session) -> None:
    status, problem = await post(session, hub, b"[" + b",".join([b'{"DEVID":"nobody","v":{}}'] * 10_001) + b"]")
    assert (status, problem["code"]) == (413, "MH-R004")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x"])
async def test_an_unsupported_encoding_is_415(hub: Hub, session: Session, encoding: str) -> None:
    status, problem = await post(session, hub, b"{}", headers={"Content-Encoding": encoding})
    assert (status, problem["code"]) == (415, "MH-R005")


MALFORMED = {
    "empty": (b"", {}),
    "blank": (b"  \n", {}),
    "not JSON": (b"DEVID=device-0", {}),
    "truncated": (b'[{"DEVID":"device-0","v":{"count":1', {}),
    "not UTF-8": (b'{"DEVID":"device-\xff","v":{}}', {}),
    "an empty array": (b"[]", {}),
    "nested deeply": (b"[" * 100_000, {}),
    "not gzip": (b"{}", {"Content-Encoding": "gzip"}),
    "gzip cut off": (gzip.compress(b'{"DEVID":"device-0","v":{"count":1}}')[:-12], {"Content-Encoding": "gzip"}),
    "not zstd": (b"{}", {"Content-Encoding": "zstd"}),
    "zstd cut off": (
        zstandard.compress(b'{"DEVID":"device-0","v":{"count":1}}')[:-5],
        {"Content-Encoding": "zstd"},
    ),
}


@pytest.mark.parametrize("body, headers", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_body_is_400(hub: Hub, session: Session, body: bytes, headers: Mapping[str, str]) -> None:
    status, problem = await post(session, hub, body, headers=headers)
    assert (status, problem["code"]) == (400, "MH-R002")
    assert len(problem["detail"]) > 10


async def test_a_key_of_one_property_cannot_send_for_another(hub: Hub, session: Session) -> None:
    other = hub.write("other.yaml", site_text("other-property", ("other-0", "other-1")))
    assert hub.run("site", "apply", str(other)).code == 0
    key = hub.ask("key", "create", "--property", "other-property")["key"]
    own, foreign = make_reading("other-0"), make_reading("device-0")
    deadline = time.monotonic() + 30
    while (await post(session, hub, encode(own), key=key))[0] != 202:  # the hub hears of a new key by itself
        assert time.monotonic() < deadline
    status, receipt = await post(session, hub, encode([make_reading("other-1"), foreign]), key=key)
    assert (status, receipt["accepted"]) == (202, 1)
    assert [(refusal["index"], refusal["code"]) for refusal in receipt["refused"]] == [(1, "MH-I002")]
    status, receipt = await post(session, hub, encode(foreign), key=key)
    assert (status, receipt["refused"][0]["code"]) == (422, "MH-I002")


async def test_what_was_sent_can_be_asked_for_at_the_same_path(hub: Hub, session: Session) -> None:
    key = hub.ask("key", "create", "--property", PROPERTY, "--manage")["key"]
    reading = make_reading("device-1")
    assert (await post(session, hub, encode(reading)))[0] == 202
    url = f"{hub.url}/hub/v1/readings/export?slot=device-1"
    async with asyncio.timeout(30):
        while True:
            async with session.get(url, headers={"Authorization": f"Bearer {key}"}) as answer:
                assert answer.status == 200
                stored = [json.loads(line) for line in (await answer.read()).splitlines()]
            if any((one["DEVID"], one["unixT"]) == key_of(reading) for one in stored):
                break
            await asyncio.sleep(0.05)
    async with session.get(
        f"{hub.url}/hub/v1/readings?slot=device-1", headers={"Authorization": f"Bearer {key}"}
    ) as answer:
        assert (await answer.json())["items"] == stored[:50]


async def test_other_methods_and_paths_are_4xx(hub: Hub, session: Session) -> None:
    headers = {"Authorization": f"Bearer {hub.key}"}
    async with session.get(f"{hub.url}/hub/v1/readings", headers=headers) as answer:
        assert 400 <= answer.status < 500
    async with session.post(f"{hub.url}/hub/v1/nothing", headers=headers) as answer:
        assert answer.status == 404


async def test_health_and_metrics_tell_what_happened(hub: Hub, session: Session) -> None:
    await post(session, hub, encode(make_reading("device-0")))
    async with session.get(f"{hub.url}/health/live") as answer:
        assert answer.status == 200
    async with session.get(f"{hub.url}/health/ready") as answer:
        assert (answer.status, set((await answer.json())["checks"])) == (
            200,
            {"postgres", "nats", "deliveries", "relay", "scheduler", "store"},
        )
    async with session.get(f"{hub.url}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    counted = [line for line in text.splitlines() if line.startswith("matrixhub_readings_accepted_total ")]
    assert len(counted) == 1
    assert float(counted[0].split()[1]) >= 1
