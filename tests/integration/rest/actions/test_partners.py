"""Events of applications, solutions of a property, integrations, and where modules are found."""

from __future__ import annotations

import json

import pytest
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import Client

from matrixhub.api.discovery import MODULES, base_of
from matrixhub.model.application import Quota
from matrixhub.model.destination import BasicAuth, Destination, Header
from matrixhub.model.errors import InvalidValue
from matrixhub.model.property_solution import SOLUTIONS
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter
from matrixhub.store.keys import create_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUBLISH = "meb.publishEvents"
GOOD = {"Event": "LIFT_STUCK", "Priority": "HIGH", "Description": "Lift 2", "Meta": {"Lift": 2}}


async def speaking(matrix: Matrix, quota: Quota | None = None) -> tuple[str, dict[str, str]]:
    """An application of the property, and the headers of its key."""
    application = await matrix.rig.application(matrix.property_id, quota)
    _, key = await create_key(matrix.rig.database, matrix.property_id, "", application_id=application)
    return application, {"Authorization": f"Bearer {key.reveal()}"}


async def test_an_application_publishes_with_its_own_key_and_is_told_what_was_not_taken(matrix: Matrix) -> None:
    application, headers = await speaking(matrix)
    items = [GOOD, {**GOOD, "Event": "ZONE_CREATED"}, {"Event": "X"}, 5, {**GOOD, "Principal": matrix.building_id}]
    answer = await matrix.call(PUBLISH, {"Events": items}, headers=headers, pid="scnoop", org="ORCHARD")
    assert answer["data"]["Accepted"] == 2
    rejected = [(one["index"], one["code"]) for one in answer["data"]["Rejected"]]
    assert rejected == [(1, "WRONG_PARAMETERS"), (2, "MISSING_PARAMETERS"), (3, "WRONG_PARAMETERS")]
    body = {"Principal": matrix.building_id, "Module": application, "N": 5}
    logged = await matrix.call("scmetrics.getNLatestEventLogs", body)
    assert [event["Event"] for event in logged["series"]["values"]] == ["LIFT_STUCK"]


async def test_the_key_of_an_application_calls_no_other_operation_and_speaks_for_no_other(matrix: Matrix) -> None:
    _, headers = await speaking(matrix)
    other, _ = await speaking(matrix)
    assert await matrix.refused("scgrids.buildingZoneMap", headers=headers) == (403, "IMPLICIT_DENY")
    refused = await matrix.send(PUBLISH, {"Events": [GOOD], "Application": other}, headers=headers)
    assert (refused.status, refused.json()["reason"]) == (403, "MH-R014")


async def test_a_key_of_the_property_names_the_application(matrix: Matrix) -> None:
    application, _ = await speaking(matrix)
    assert await matrix.refused(PUBLISH, {"Events": [GOOD]}) == (400, "MISSING_PARAMETERS")
    assert (await matrix.data(PUBLISH, {"Events": [GOOD], "Application": application}))["Accepted"] == 1
    foreign = await matrix.rig.application(await matrix.rig.property())
    assert (await matrix.refused(PUBLISH, {"Events": [GOOD], "Application": foreign}))[0] == 400


async def test_more_events_than_the_quota_are_put_off(matrix: Matrix) -> None:
    _, headers = await speaking(matrix, Quota(per_minute=1, burst=3, per_day=100))
    assert (await matrix.data(PUBLISH, {"Events": [GOOD] * 2}, headers=headers))["Accepted"] == 2
    reply = await matrix.send(PUBLISH, {"Events": [GOOD] * 2}, headers=headers)
    assert (reply.status, reply.json()["code"]) == (429, "LIMIT_VIOLATED")
    assert int(reply.headers["Retry-After"]) >= 60
    assert await matrix.refused(PUBLISH, {"Events": [GOOD] * 101}, headers=headers) == (400, "LIMIT_VIOLATED")


async def test_a_solution_is_asked_for_approved_and_denied(matrix: Matrix) -> None:
    every = await matrix.data("solution.listAllSolutionsForProperty", pid="scnoop")
    assert [one["SolutionId"] for one in every] == list(SOLUTIONS)
    assert {one["Status"] for one in every} == {"NOT_ADDED"}
    body = {"solutionId": "bin"}
    assert await matrix.refused("solution.approveSolutionForProperty", body) == (400, "WRONG_PARAMETERS")
    added = await matrix.data("solution.addSolutionToProperty", body)
    assert (added["Status"], added["Name"], added["DecidedOn"]) == ("PENDING", "Bin", 0)
    assert added["RequestedBy"]
    assert added["RequestedOn"] > 0
    assert await matrix.data("solution.addSolutionToProperty", {"SolutionId": "bin"}) == added
    for operation, status in (("approve", "APPROVED"), ("deny", "DENIED"), ("approve", "APPROVED"), ("deny", "DENIED")):
        decided = await matrix.data(f"solution.{operation}SolutionForProperty", body)
        assert (decided["Status"], decided["DecidedOn"] > 0) == (status, True)
        assert await matrix.data("solution.getSolutionForProperty", body) == decided
    again = await matrix.data("solution.addSolutionToProperty", body)
    assert (again["Status"], again["DecidedBy"]) == ("PENDING", "")
    statuses = {one["SolutionId"]: one["Status"] for one in await matrix.data("solution.listAllSolutionsForProperty")}
    assert [name for name, status in statuses.items() if status != "NOT_ADDED"] == ["bin"]


async def test_over_rest_a_solution_goes_the_same_way(matrix: Matrix) -> None:
    client = matrix.client
    assert (await client.post("/solutions/air/deny")).code == "MH-R022"
    assert (await client.post("/solutions/air/add")).json()["status"] == "PENDING"
    approved = (await client.post("/solutions/air/approve")).json()
    assert (approved["status"], approved["decided_by"] != "") == ("APPROVED", True)
    assert (await client.get("/solutions/air")).json() == approved
    assert (await client.post("/solutions/air/deny")).json()["status"] == "DENIED"
    listed = {one["id"]: one["status"] for one in (await client.get("/solutions")).json()["items"]}
    assert listed == dict.fromkeys(SOLUTIONS, "NOT_ADDED") | {"air": "DENIED"}
    assert (await client.get("/solutions/magic")).code == "MH-R008"


async def test_a_solution_that_there_is_not_is_refused(matrix: Matrix) -> None:
    for operation in ("getSolutionForProperty", "addSolutionToProperty", "denySolutionForProperty"):
        reply = await matrix.send(f"solution.{operation}", {"solutionId": "magic"})
        assert (reply.status, reply.json()["reason"]) == (400, "MH-R008")
        assert "usage" in reply.json()["message"]
    assert await matrix.refused("solution.addSolutionToProperty") == (400, "MISSING_PARAMETERS")


async def test_integrations_are_the_subscriptions_without_their_secrets(matrix: Matrix) -> None:
    hidden = "s3cret-that-nobody-sees"
    destination = Destination(
        url="https://example.org/in",
        auth=BasicAuth(user=f"user-{hidden}", password=Secret(hidden)),
        headers=(Header(name="X-Api-Key", value=Secret(hidden)),),
    )
    await matrix.rig.subscribe(
        matrix.property_id, destination=destination, wanted=Filter(buildings=frozenset({matrix.building_id}))
    )
    await matrix.rig.subscribe(matrix.property_id, wanted=Filter(source="events", patterns=frozenset({"matrix.#"})))
    reply = await matrix.send("scthirdpartyintegrations.listIntegrations")
    assert hidden.encode() not in reply.content
    sensors, events = reply.json()["data"]
    assert (sensors["Type"], sensors["PIDs"], sensors["NS"]) == (
        "HTTP",
        [matrix.building_id],
        "THIRD_PARTY_INTEGRATIONS",
    )
    assert sensors["SCEntity"] == {"Entity": "Data", "Actions": ["data.aggregations.raw"]}
    assert sensors["Details"]["URI"] == "https://example.org/in"
    assert sensors["Details"]["Headers"] == [{"Key": "X-Api-Key", "Value": ""}]
    assert sensors["Details"]["Authorization"]["Type"] == "basic"
    assert events["SCEntity"] == {"Entity": "Event", "Actions": ["matrix.#"]}
    elsewhere = await matrix.data("scthirdpartyintegrations.listIntegrations", pid="another-building")
    assert [one["ID"] for one in elsewhere] == [events["ID"]]


async def test_what_has_no_published_fields_is_said_to_be_unknown(matrix: Matrix) -> None:
    assert await matrix.refused("scdatetimeutils.getDateTimeForFrequency") == (404, "UNKNOWN_OPERATION")


async def found(matrix: Matrix, **headers: str) -> tuple[int, object]:
    client = Client(matrix.root, matrix.client.session, "")
    reply = await client.ask("GET", "/matrix/utils/modules/moduleversions.json", headers=headers)
    return reply.status, json.loads(reply.content)


async def test_modules_are_found_without_credentials_at_the_host_that_was_asked(matrix: Matrix) -> None:
    status, document = await found(matrix)
    host = matrix.root.removeprefix("http://")
    assert (status, document) == (
        200,
        {"base": f"{host}/prod/v2", "modules": {name: {"version": "v1"} for name in MODULES}},
    )
    _, document = await found(matrix, Host="matrix.orchard.example")
    assert isinstance(document, dict)
    assert document["base"] == "matrix.orchard.example/prod/v2"
    assert (await found(matrix, Host='evil.example/"path'))[0] in (400, 422)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "user@a", 'a"b', "a:b", "a:123456", "-", "a" * 300, "[::1", "a\nb"])
async def test_a_host_that_can_be_none_is_not_told_on(host: str) -> None:
    with pytest.raises(InvalidValue):
        base_of("", host)


async def test_the_setting_goes_before_the_host(matrix: Matrix) -> None:
    assert base_of("https://orchard.example:8443/m/", matrix.root) == "orchard.example:8443/m/prod/v2"
    assert base_of("", "[::1]:8080") == "[::1]:8080/prod/v2"
