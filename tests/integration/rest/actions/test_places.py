"""Every operation of Grids and of device management: its answer, and what it refuses.

Source: docs/contract/grids.md, docs/contract/devices.md §8
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.rest.actions.estate import make_estate, rows_of
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.actions.strict import faults_of
from tests.integration.rest.rig import LOCAL_KEY, Client, Rig

from matrixhub.api.actions import devices, grids
from matrixhub.api.actions.operation import Operation
from matrixhub.api.actions.registry import BY_NAME
from matrixhub.api.actions.shape import NOTHING, Shape

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = Path(__file__).parents[4] / "docs" / "contract" / "grids.md"
ROWS = [*grids.OPERATIONS, *devices.OPERATIONS]
WITH_EXAMPLE = [row for row in ROWS if row.example is not None or row.request is NOTHING]
WRONG: dict[str, object] = {"text": 7, "number": "many", "flag": "perhaps", "list": "one", "object": [], "map": "none"}

every = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
every_with_example = pytest.mark.parametrize(
    "row",
    [row for row in WITH_EXAMPLE if row.name not in ("scgrids.getMediaAttachment",)],
    ids=lambda row: row.name,
)


@pytest_asyncio.fixture(loop_scope="session")
async def estate(rig: Rig) -> Matrix:
    return await make_estate(rig)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bystander(rig: Rig) -> Matrix:
    """Another property, of which nothing may be seen or changed."""
    return await make_estate(rig, devices=3)


@every_with_example
async def test_an_operation_answers_its_example_with_exactly_what_it_says(estate: Matrix, row: Operation) -> None:
    answer = await estate.call(row.name, estate.example(row.name))
    assert faults_of(row, answer) == []
    for name in row.also:
        body = {**(estate.example(row.name) or {}), **({"UnitID": "OTHER"} if "UnitID" in (row.example or {}) else {})}
        assert (await estate.call(name, body)).keys() == answer.keys()


@every
async def test_an_operation_refuses_what_is_missing_wrong_or_not_there_and_changes_nothing(
    estate: Matrix, bystander: Matrix, row: Operation
) -> None:
    before, theirs = await rows_of(estate), await rows_of(bystander)
    good = estate.example(row.name) or {}
    for body in _without(row.request, good):
        assert await estate.refused(row.name, body) == (400, "MISSING_PARAMETERS")
    for body in _wrong(row.request, good):
        assert await estate.refused(row.name, body) == (400, "WRONG_PARAMETERS")
    for malformed in (b"[]", b"7", b"{"):
        assert (await estate.refused(row.name, malformed))[0] == 400
    if row.needs_building:
        assert await estate.refused(row.name, good, pid="scnoop") == (400, "MISSING_PARAMETERS")
        assert (await estate.refused(row.name, good, pid="no-such-building"))[0] == 400
        assert (await estate.refused(row.name, bystander.example(row.name) or {}, pid=bystander.building_id))[0] == 400
    if row.needs_property:
        assert await estate.refused(row.name, good, propid="") == (400, "MISSING_PARAMETERS")
    assert await estate.refused(row.name, good, propid=bystander.property_id) == (403, "IMPLICIT_DENY")
    foreign = bystander.example(row.name) or {}
    if foreign != good:  # it names something by its id
        reply = await estate.send(row.name, foreign)
        assert reply.status == 400 or _is_empty(reply.json()), reply.content
    assert await rows_of(estate) == before
    assert await rows_of(bystander) == theirs


def _without(shape: Shape, good: dict[str, Any]) -> list[dict[str, Any]]:
    """The body without each of what must be there."""
    needed = [field for field in shape.fields if field.required]
    return [{name: value for name, value in good.items() if name != field.name} for field in needed]


def _wrong(shape: Shape, good: dict[str, Any]) -> list[dict[str, Any]]:
    """The body with a value of a wrong kind for each of what may be there, where all that must be is."""
    if any(field.required and field.name not in good for field in shape.fields):
        return []
    return [{**good, field.name: WRONG[field.shape.kind]} for field in shape.fields if field.shape.kind in WRONG]


def _is_empty(answer: dict[str, Any]) -> bool:
    """Whether a list has nothing of what was named."""
    return not answer.get("data", answer.get("Slots", answer.get("devices")))


# --- examples of the contract, key for key ---

ADDRESS = "Street City State Country PostalCode Coordinates"
GOLDEN: dict[str, str] = {
    "scgrids.readProperty": "OrgId PropId Name Address TypeID Status TimeZone",
    "scgrids.readBuilding": (
        "PropId PID Config OperatingHours Coordinates Name Address LevelsCount Status TimeZone IsBeaconEnabled"
        " IsPropertyAddress CreatedBy CreatedOn UpdatedBy UpdatedOn"
    ),
    "scgrids.readPropertyCollaboration": (
        "ID ATTR Modules Status OrgId OwnerOrgId PropId SUB1 NS SRN CreatedBy CreatedOn"
    ),
    "scgrids.listLevelsByBuilding": "Name Level LID Area FloorPlanExists",
    "scgrids.readLevel": "Name Level Area FloorPlan LID",
    "scgrids.createLevel": "Name FloorPlan LID",
    "scgrids.listZonesByLevel": "InsID LID ZoneCategoryID Name Area FloorType Status",
    "scgrids.buildingZoneMap": "PID LID InsID Name ZoneCategoryID",
    "scgrids.readZone": (
        "OrgId PropId PID LID InsID BeaconID ZoneCategoryID Name Area FloorType Tags Units Status OperatingHours"
        " IsBuildingOperatingHours CreatedOn"
    ),
    "scgrids.listBuildingMetrics": "LevelsCount ZonesCount TotalArea BuildingsCount",
    "scgrids.createPropertyType": "Name TypeID",
    "scgrids.createZoneCategory": "Name PropertyTypeID CategoryID",
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
async def test_an_answer_has_the_keys_of_the_contract(estate: Matrix, name: str) -> None:
    data = await estate.data(name, estate.example(name))
    assert set(data[0] if isinstance(data, list) else data) == set(GOLDEN[name].split())


async def test_the_slots_are_those_of_the_published_example_key_for_key(estate: Matrix) -> None:
    answer = await estate.call("scdevicemanagement.getDeviceSlots", {"Alias": [estate.slot_id]})
    published = {
        "ATTR": "attr#devices#info#e2b15d8f6ca451039d7f80212b3c4d5e",
        "Alias": "e2b15d8f6ca451039d7f80212b3c4d5e",
        "Commissioned": 1,
        "Conn": "BLE",
        "CreatedBy": "admin",
        "CreatedOn": 1709000000,
        "DeviceNotAssociated": 0,
        "Devid": "7AD01C93E2",
        "Display": "Usage L2 Male",
        "FirmwareVersion": "2",
        "ID": "SCDevices#e2b15d8f6ca451039d7f80212b3c4d5e",
        "LID": "7e92ab14cd5340f7b1d8806ec3f4a95b",
        "NS": "DEVICE_INFO_GENERAL",
        "Org": "ORCHARD",
        "PID": "c40d2f6e81b94a0c9e3375ab60d1f8e2",
        "Params": {"DeviceParams": {}},
        "ParamsNotConfigured": 0,
        "ParamsOnDeviceNotConfigured": 0,
        "PartnerId": "SMARTCLEAN",
        "PropId": "5b1e0c7a9d2f4e63a8b4c1d09e77f210",
        "ProviderOrg": "SMARTCLEAN",
        "RequiresHealthCheck": 1,
        "RequiresOnDeviceConfiguration": 0,
        "RequiresParamsConfiguration": 0,
        "SRN": "null",
        "TZ": "Asia/Singapore",
        "Type": "SMARTCLEAN#UM",
        "Unhealthy": 0,
        "UpdatedBy": "admin",
        "UpdatedOn": 1709000500,
        "ZoneId": "0a6f3d9be2784c15b7c04e91d85f62aa",
    }
    (slot,) = answer["Slots"]
    assert {name: type(value) for name, value in slot.items() if name != "DeviceId"} == {
        name: type(value) for name, value in published.items()
    }
    assert slot["DeviceId"] == slot["Devid"]
    assert answer.keys() == {"Slots", "code", "message"}
    assert answer["code"] == "SUCCESS"


async def test_the_envelope_of_grids_is_that_of_the_published_example(estate: Matrix) -> None:
    zone = await estate.call("scgrids.readZone", {"InsID": estate.zone_id})
    assert zone.keys() == {"status", "message", "data"}
    zones = await estate.call("scgrids.buildingZoneMap")
    assert zones.keys() == {"status", "message", "data", "LEK"}


@pytest.mark.parametrize(
    "name",
    [
        "createProperty",
        "createPropertyV2",
        "createPropertyType",
        "createLevel",
        "createZone",
        "createZoneCategory",
        "createZoneCategoryForBuilding",
        "createZoneUnit",
        "createZoneUnitForBuilding",
    ],
)
async def test_what_is_published_as_201_is_201(name: str) -> None:
    assert BY_NAME[f"scgrids.{name}"].status == 201


async def test_every_operation_of_the_contract_is_there() -> None:
    listed = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| `\w+(?:\.\w+)?` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    names = {f"scgrids.{name}" for cell in listed for name in re.findall(r"\w+", cell)}
    assert names == {name for row in grids.OPERATIONS for name in (row.name, *row.also)}


# --- properties ---


async def test_a_key_of_a_property_lists_that_property_alone(estate: Matrix) -> None:
    await estate.data("scgrids.createProperty", estate.example("scgrids.createProperty"))
    for name in ("scgrids.listProperties", "scgrids.listOwnerOrgProperties"):
        assert [one["PropId"] for one in await estate.data(name, {})] == [estate.property_id]
        assert await estate.data(name, {"PropTypeID": "BANK"}) == []


async def test_the_hubs_own_key_lists_all_properties_of_the_organisation(estate: Matrix, bystander: Matrix) -> None:
    made = await estate.data("scgrids.createProperty", estate.example("scgrids.createProperty"))
    local = Client(estate.client.url, estate.rig.session, LOCAL_KEY)
    everywhere = _as(estate, local)
    found = await everywhere.data("scgrids.listProperties")
    assert {one["PropId"] for one in found} == {estate.property_id, made["PropId"]}
    assert [one["PropId"] for one in await everywhere.data("scgrids.listProperties", {"PropTypeID": "OFFICE"})] == [
        made["PropId"]
    ]


async def test_a_new_property_belongs_to_the_organisation_of_the_key_and_is_out_of_its_reach(estate: Matrix) -> None:
    body = estate.example("scgrids.createProperty")
    made = await estate.data("scgrids.createProperty", body, org="ANOTHER")
    assert made["OrgId"] == estate.site.organisation.id
    assert await estate.refused("scgrids.readProperty", propid=made["PropId"]) == (403, "IMPLICIT_DENY")
    of_its_own = _as(estate, await estate.rig.client(made["PropId"]))
    assert await of_its_own.data("scgrids.readProperty", propid=made["PropId"]) == made


async def test_lists_of_an_organisation_are_shared_by_its_properties_and_by_nobody_else(
    estate: Matrix, bystander: Matrix
) -> None:
    made = await estate.data("scgrids.createPropertyType", {"Name": "Bank", "TypeID": "BANK"})
    assert await estate.data("scgrids.listPropertyTypes") == [made]
    assert made not in await bystander.data("scgrids.listPropertyTypes")
    assert await estate.refused("scgrids.createPropertyType", {"Name": "Bank", "TypeID": "BANK"}) == (
        400,
        "WRONG_PARAMETERS",
    )


# --- acts that are seen at once ---


async def test_what_is_changed_is_read_back_although_answers_are_kept(estate: Matrix) -> None:
    zone = {"InsID": estate.zone_id}
    assert (await estate.data("scgrids.readZone", zone))["Name"] == estate.site.zones[0].name
    await estate.data("scgrids.updateZone", {**zone, "Name": "Renamed", "Area": "12.5", "Tags": {"a": 1}})
    found = await estate.data("scgrids.readZone", zone)
    assert (found["Name"], found["Area"], found["Tags"]) == ("Renamed", 12.5, {"a": 1})
    hours = {"OperatingHours": {"0": None, "1": [{"Start": "0900", "End": "1700"}]}}
    await estate.data("scgrids.updateBuilding", hours)
    assert (await estate.data("scgrids.readZone", zone))["OperatingHours"]["1"] == hours["OperatingHours"]["1"]
    count = (await estate.data("scgrids.listBuildingMetrics"))["LevelsCount"]
    await estate.data("scgrids.createLevel", estate.example("scgrids.createLevel"))
    assert (await estate.data("scgrids.listBuildingMetrics"))["LevelsCount"] == count + 1
    assert (await estate.data("scgrids.readBuilding"))["LevelsCount"] == count + 1
    await estate.data("scgrids.deleteZone", zone)
    assert await estate.refused("scgrids.readZone", zone) == (400, "failure")


async def test_zones_are_paged_by_the_key_of_the_page_before(estate: Matrix) -> None:
    drafts = [{"LID": estate.level_id, "Name": f"Room {number}", "ZoneCategoryID": "ROOM"} for number in range(100)]
    for hundred in range(6):
        batch = [{**draft, "Name": f"{draft['Name']} of {hundred}"} for draft in drafts]
        await estate.data("scgrids.createZone", {"Zone": batch})
    seen: list[str] = []
    body: dict[str, object] = {"ZoneCategoryID": "ROOM"}
    while True:
        answer = await estate.call("scgrids.listZonesByZoneCategory", body)
        seen += [zone["InsID"] for zone in answer["data"]]
        if not answer["LEK"]:
            break
        body["ExclusiveStartKey"] = {"ATTR": answer["LEK"]}
    assert len(seen) == len(set(seen)) == 600
    assert await estate.refused("scgrids.buildingZoneMap", {"ESK": "not a key!"}) == (400, "WRONG_PARAMETERS")


def _as(estate: Matrix, client: Client) -> Matrix:
    return Matrix(
        rig=estate.rig,
        client=client,
        site=estate.site,
        platform=estate.platform,
        seat_id=estate.seat_id,
    )
