"""The actions face: paths, queries, bodies, envelopes, refusals. Source: docs/contract/web-services.md §1 to §5"""

from __future__ import annotations

import json

import pytest
from tests.integration.rest.actions.matrix import Matrix

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAP = "scgrids.buildingZoneMap"
SLOTS = "scdevicemanagement.getDeviceSlots"
CREATE = "scteams.createIncidentWithoutAssignee"


async def test_the_zone_map_lists_every_zone_of_the_building(matrix: Matrix) -> None:
    answer = await matrix.call(MAP, {"ESK": ""})
    assert {entry["InsID"] for entry in answer["data"]} == {zone.id for zone in matrix.site.zones}
    assert answer["LEK"] == ""


async def test_slots_are_found_by_provider_and_type(matrix: Matrix) -> None:
    wanted = {slot.id for slot in matrix.site.slots if slot.devtype == "SMARTCLEAN#UM"}
    assert wanted
    found = await matrix.call(SLOTS, {"Type": "SMARTCLEAN#UM", "ProviderOrg": "SMARTCLEAN"})
    assert {slot["Alias"] for slot in found["Slots"]} == wanted


async def test_an_incident_is_created_for_a_zone(matrix: Matrix) -> None:
    made = await matrix.data(CREATE, matrix.example(CREATE))
    assert made["Status"] == "NOT_ASSIGNED"
    assert made["Zone"] == matrix.zone_id


@pytest.mark.parametrize("prefix", ["/prod/v2", "/api", ""])
@pytest.mark.parametrize("service", ["scgrids", ""])
async def test_every_prefix_serves_the_operations_also_without_a_service(
    matrix: Matrix, prefix: str, service: str
) -> None:
    assert await matrix.data(MAP, prefix=prefix, service=service)


@pytest.mark.parametrize("body", [None, b"", b"null", b"{}", b'"{}"', b'"{\\"ESK\\":\\"\\"}"', b'{"ESK":null}'])
async def test_no_body_null_an_empty_object_and_json_in_a_text_are_alike(matrix: Matrix, body: bytes | None) -> None:
    assert len(await matrix.data(MAP, body)) == len(matrix.site.zones)


@pytest.mark.parametrize("missing", ["org", "pid"])
async def test_a_query_without_a_mandatory_parameter_is_refused(matrix: Matrix, missing: str) -> None:
    assert await matrix.refused(MAP, **{missing: ""}) == (400, "MISSING_PARAMETERS")


async def test_a_query_without_an_operation_is_refused(matrix: Matrix) -> None:
    assert await matrix.refused("") == (400, "MISSING_PARAMETERS")


async def test_an_operation_about_a_building_needs_one(matrix: Matrix) -> None:
    assert await matrix.refused(MAP, pid="scnoop") == (400, "MISSING_PARAMETERS")


async def test_an_unknown_operation_is_said_to_be_one(matrix: Matrix) -> None:
    assert await matrix.refused("scgrids.noSuchThing") == (404, "UNKNOWN_OPERATION")


async def test_without_credentials_nothing_is_answered(matrix: Matrix) -> None:
    assert await matrix.refused(MAP, headers={"Authorization": ""}) == (401, "TOKEN_INVALID")


async def test_another_property_is_out_of_reach(matrix: Matrix) -> None:
    other = await matrix.rig.property()
    assert await matrix.refused(MAP, propid=other) == (403, "IMPLICIT_DENY")


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'"x"', b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(matrix: Matrix, body: bytes) -> None:
    status, _ = await matrix.refused(MAP, body)
    assert status == 400


async def test_what_a_body_lacks_is_named_whole(matrix: Matrix) -> None:
    reply = await matrix.send(CREATE, {"Incident": {"Zone": matrix.zone_id}})
    assert reply.json()["code"] == "MISSING_PARAMETERS"
    assert all(name in reply.json()["message"] for name in ("Incident.Name", "Incident.By", "Incident.Tasks"))


async def test_grids_also_says_the_status_in_the_body_of_a_refusal(matrix: Matrix) -> None:
    reply = await matrix.send(MAP, pid="scnoop")
    assert reply.json()["status"] == reply.status == 400


async def test_get_is_not_a_method_of_operations(matrix: Matrix) -> None:
    reply = await matrix.client.session.get(f"{matrix.root}/scgrids/v1/actions?op={MAP}")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert json.loads(await reply.read())["code"] == "failure"


async def test_a_kept_answer_is_made_anew_once_a_zone_changed(matrix: Matrix) -> None:
    before = await matrix.data(MAP)
    assert await matrix.data(MAP) == before
    async with matrix.rig.database.connection() as connection:
        await connection.execute("update zones set name = 'Renamed' where id = $1", matrix.zone_id)
    assert "Renamed" in [zone["Name"] for zone in await matrix.data(MAP)]
