"""`simulate` and `replay` against a running hub: all is accepted, and received in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.hub import Customer, Done, Hub, by_device, wait_for

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RECORDED = ROOT.parent / "shared" / "data"

OFFICE, DOOR, DEMO = (
    "ae1dd2011d5b52ddb41178202a3a14c7",
    "6db1879c4aac5edbbf68f555017a48a7",
    "fabf1b599691574c9d1f4048bdf80972",
)

OFFICE_CSV = """\
"date","Temperature","Humidity","Light","CO2","HumidityRatio","Occupancy"
"1","2015-02-04 17:51:00",23.18,27.272,426,721.25,0.00479298817650529,1
"2","2015-02-04 17:51:59",23.15,27.2675,429.5,714,0.00478344094931065,1
"3","2015-02-04 17:53:00",23.15,27.245,426,713.5,0.00477946352442199,1
"4","2015-02-04 17:54:00",23.15,27.2,0,708.25,0.00477150882608175,0
"""

DOOR_CSV = """\
7,07/24/05,00:00:00,0
9,07/24/05,00:00:00,3
7,07/24/05,00:30:00,1
9,07/24/05,00:30:00,0
"""


@contextlib.asynccontextmanager
async def customer_of(hub: Hub, site: str, property_id: str) -> AsyncIterator[Customer]:
    """A site of the examples, and a customer who gets its readings."""
    applied = await asyncio.to_thread(hub.run, "site", "apply", str(EXAMPLES / site))
    assert applied.code == 0, applied.said
    customer = Customer()
    async with customer.receiver:
        await hub.subscribe(customer, property_id=property_id)
        yield customer
        await hub.pause(customer)


def items(customer: Customer) -> list[dict[str, Any]]:
    """All readings received, as they came."""
    return [json.loads(item) for taken in customer.taken for item in taken.items]


async def check_all_came(hub: Hub, customer: Customer, done: Done) -> int:
    """All that the command says was accepted has come once, in order."""
    summary = done.json()
    assert summary["readings"] == summary["accepted"] > 0
    assert (summary["repeated"], summary["refused"], summary["refused_by_code"]) == (0, 0, {})
    await wait_for(lambda: len(customer.received) >= summary["accepted"], "all that was accepted")
    await hub.check_balance(customer, summary["accepted"])
    customer.check(sorted(customer.received, key=lambda key: key[1]))
    return int(summary["accepted"])


async def replay(hub: Hub, file: Path, mapping: str, *options: str) -> Done:
    args = ("replay", str(file), "--mapping", str(EXAMPLES / mapping), "--json", *options)
    return await asyncio.to_thread(hub.run, *args)


async def test_an_excerpt_of_the_office_is_replayed(hub: Hub) -> None:
    file = hub.write("office.csv", OFFICE_CSV)
    async with customer_of(hub, "office.site.yaml", OFFICE) as customer:
        done = await replay(hub, file, "office-environment.mapping.yaml")
        assert await check_all_came(hub, customer, done) == 12
    climate = [item for item in items(customer) if item["DevType"] == "SMARTCLEAN#TH"]
    assert [item["v"] for item in climate][:2] == [{"t": 23.18, "h": 27.272}, {"t": 23.15, "h": 27.2675}]
    assert [item["time"] for item in climate][:2] == ["2015-02-04T17:51:00+0100", "2015-02-04T17:51:59+0100"]
    assert [item["v"]["occ"] for item in items(customer) if item["DevType"] == "SMARTCLEAN#OCCDESK"] == [1, 1, 1, 0]


async def test_an_excerpt_of_the_door_is_replayed_as_if_it_ended_now(hub: Hub) -> None:
    file = hub.write("door.csv", DOOR_CSV)
    async with customer_of(hub, "door.site.yaml", DOOR) as customer:
        done = await replay(hub, file, "door-counts.mapping.yaml", "--shift-to-now", "--gzip")
        assert await check_all_came(hub, customer, done) == 2
    assert [item["v"] for item in items(customer)] == [{"count": 3, "out_count": 0}, {"count": 0, "out_count": 1}]
    first, second = by_device([(item["DEVID"], item["unixT"]) for item in items(customer)]).popitem()[1]
    assert second - first == 1_800_000


async def test_a_recording_that_cannot_be_read_says_where_to_go_on(hub: Hub) -> None:
    file = hub.write("broken.csv", DOOR_CSV + "9,not a date,00:30:00,0\n")
    async with customer_of(hub, "door.site.yaml", DOOR):
        done = await replay(hub, file, "door-counts.mapping.yaml", "--shift-to-now", "--speed", "real")
    assert done.code == 1
    assert "broken.csv:5" in done.said
    assert "--from-line" in done.said
    assert "Traceback" not in done.said


@pytest.mark.long
@pytest.mark.parametrize(
    "name, site, property_id",
    [("office-environment", "office.site.yaml", OFFICE), ("door-counts", "door.site.yaml", DOOR)],
)
async def test_a_whole_recording_is_replayed(hub: Hub, name: str, site: str, property_id: str) -> None:
    file = RECORDED / f"{name}.csv"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    async with customer_of(hub, site, property_id) as customer:
        # Shifted, so that nothing of it was sent before by the test of an excerpt.
        done = await replay(hub, file, f"{name}.mapping.yaml", "--shift-to-now")
        assert await check_all_came(hub, customer, done) > 2_000


async def test_the_sample_building_is_simulated(hub: Hub) -> None:
    async with customer_of(hub, "demo.site.yaml", DEMO) as customer:
        done = await asyncio.to_thread(hub.run, "simulate", "--speed", "3600", "--seconds", "2", "--json")
        assert await check_all_came(hub, customer, done) > 100
    assert len({item["DevType"] for item in items(customer)}) > 5


@pytest.mark.long
async def test_a_load_of_a_made_building_is_simulated(hub: Hub) -> None:
    made = hub.directory / "made.yaml"
    args = ("simulate", "--devices", "200", "--buildings", "2")
    assert (await asyncio.to_thread(hub.run, *args, "--write-site", str(made))).code == 0
    applied = await asyncio.to_thread(hub.ask, "site", "apply", str(made))
    customer = Customer()
    async with customer.receiver:
        await hub.subscribe(customer, property_id=applied["property"])
        done = await asyncio.to_thread(hub.run, *args, "--rate", "500", "--seconds", "2", "--json")
        assert await check_all_came(hub, customer, done) > 500
        await hub.pause(customer)
    assert len({device for device, _ in customer.received}) == 200
