"""Device slots through the actions face: filters, pages, what each client reads. Source: docs/contract/devices.md §8"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from tests.integration.rest.actions.estate import make_estate
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import Rig

pytestmark = pytest.mark.asyncio(loop_scope="session")

SLOTS = "scdevicemanagement.getDeviceSlots"
LIST = "scdevicemanagement.listDevicesForProjectV2"
BY_TYPE = "scdevicemanagement.listDevicesByProviderType"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def estate(rig: Rig) -> Matrix:
    """More slots than a page has."""
    return await make_estate(rig, devices=1_100)


async def found(estate: Matrix, body: object) -> set[str]:
    """The slots of every page."""
    asked: dict[str, Any] = dict(body or {})  # type: ignore[call-overload]
    seen: list[str] = []
    while True:
        answer = await estate.call(SLOTS, asked)
        seen += [slot["Alias"] for slot in answer["Slots"]]
        if "LastEvaluatedKey" not in answer:
            assert len(seen) == len(set(seen))
            return set(seen)
        asked["LastEvaluatedKey"] = answer["LastEvaluatedKey"]


async def test_all_slots_of_a_building_come_in_pages_of_a_thousand(estate: Matrix) -> None:
    first = await estate.call(SLOTS)
    assert len(first["Slots"]) == 1_000
    assert await found(estate, {}) == {slot.id for slot in estate.site.slots}


async def test_slots_are_narrowed_by_everything_that_is_named(estate: Matrix) -> None:
    slots = estate.site.slots
    zone, kind = slots[0].zone_id, slots[0].devtype
    in_zone = {slot.id for slot in slots if slot.zone_id == zone}
    assert await found(estate, {"ZoneId": zone}) == in_zone
    assert await found(estate, {"InsIDs": [zone]}) == in_zone
    both = {slot.id for slot in slots if slot.zone_id == zone and slot.devtype == kind}
    assert await found(estate, {"ZoneId": [zone], "Type": kind}) == both
    assert await found(estate, {"Types": [kind, "SMARTCLEAN#TR"], "Limit": 1_000}) == {
        slot.id for slot in slots if slot.devtype in (kind, "SMARTCLEAN#TR")
    }
    assert await found(estate, {"Alias": [slots[0].id, slots[9].id, "unknown"]}) == {slots[0].id, slots[9].id}
    assert await found(estate, {"Alias": slots[0].id, "ProviderOrg": "SMARTCLEAN"}) == {slots[0].id}
    assert await found(estate, {"ProviderOrg": "ACME"}) == set()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"Alias": [7]}, "WRONG_PARAMETERS"),
        ({"Alias": {"a": 1}}, "WRONG_PARAMETERS"),
        ({"Alias": ["a"] * 1_001}, "QUERY_LENGTH_EXCEEDED"),
        ({"Limit": 0}, "WRONG_PARAMETERS"),
        ({"Limit": 1.5}, "WRONG_PARAMETERS"),
        ({"Limit": 1_001}, "QUERY_LENGTH_EXCEEDED"),
        ({"LastEvaluatedKey": "no key!"}, "WRONG_PARAMETERS"),
        ({"LastEvaluatedKey": 7}, "WRONG_PARAMETERS"),
    ],
)
async def test_a_query_that_cannot_be_is_refused(estate: Matrix, body: object, code: str) -> None:
    assert await estate.refused(SLOTS, body) == (400, code)


async def test_devices_are_listed_twice_as_its_client_may_read_either(estate: Matrix) -> None:
    page = await estate.call(LIST, {"Limit": "3"})
    assert page["devices"] == page["Data"]
    assert len(page["devices"]) == 3
    assert page["devices"][0]["Lid"] == page["devices"][0]["LID"]
    following = await estate.call(LIST, {"lastEvaluatedKey": page["lastEvaluatedKey"], "limit": 1_000})
    last = await estate.call(LIST, {"LastEvaluatedKey": following["lastEvaluatedKey"]})
    assert last["lastEvaluatedKey"] == ""
    listed = [device["Alias"] for answer in (page, following, last) for device in answer["devices"]]
    assert sorted(listed) == sorted(slot.id for slot in estate.site.slots)


@pytest.mark.parametrize("name", ["DeviceProviderType", "deviceProviderType", "ProviderType", "providerType"])
async def test_devices_are_found_by_type_however_the_field_is_spelled(estate: Matrix, name: str) -> None:
    of_type = {slot.id for slot in estate.site.slots if slot.devtype == "SMARTCLEAN#UM"}
    answer = await estate.call(BY_TYPE, {name: "SMARTCLEAN#UM"})
    assert {device["Alias"] for device in answer["devices"]} == of_type


async def test_devices_are_found_by_their_provider(estate: Matrix) -> None:
    assert len((await estate.call(BY_TYPE, {"ProviderType": "SMARTCLEAN"}))["devices"]) == 1_000
    assert (await estate.call(BY_TYPE, {"ProviderType": "ACME"}))["devices"] == []


async def test_a_slot_that_is_renamed_is_seen_at_once(estate: Matrix) -> None:
    asked = {"Alias": [estate.slot_id]}
    await estate.call(SLOTS, asked)
    async with estate.rig.database.connection() as connection:
        await connection.execute("update slots set name = 'Renamed' where id = $1", estate.slot_id)
    assert (await estate.call(SLOTS, asked))["Slots"][0]["Display"] == "Renamed"
