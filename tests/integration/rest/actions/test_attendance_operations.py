"""Integrations that tell who comes and goes; people; tasks of a property. Source: docs/contract/workforce.md §6"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.integration.rest.actions.checks import check_answer
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.actions.team import HOUR, Team

from matrixhub.api.actions.registry import BY_NAME
from matrixhub.model.attendance import AttendanceIntegration
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import SeatId
from matrixhub.modules.workforce import integrations
from matrixhub.modules.workforce.seats import create_seat, deactivate_seat, update_seat

pytestmark = pytest.mark.asyncio(loop_scope="session")

READ, EVENT = "scattendance.readIntegration", "scattendance.attendanceEvent"


@pytest.fixture
def team(matrix: Matrix) -> Team:
    return Team(matrix=matrix)


async def integrate(matrix: Matrix, **fields: Any) -> AttendanceIntegration:
    given = {"name": "Gate 1", "users": {"badge 17": matrix.seat_id}, "building_id": matrix.building_id, **fields}
    return await integrations.create_integration(matrix.platform, matrix.property_id, actor="ann", **given)


async def test_an_integration_is_read_with_the_seat_of_each_of_its_people(matrix: Matrix) -> None:
    made = await integrate(matrix)
    answer = await matrix.call(READ, {"IntegrationId": made.id})
    check_answer(BY_NAME[READ], answer)
    assert {name: answer[name] for name in ("IntegrationId", "DefaultPID", "UserMap", "Description", "Org")} == {
        "IntegrationId": made.id,
        "DefaultPID": matrix.building_id,
        "UserMap": {"badge 17": matrix.seat_id},
        "Description": "Gate 1",
        "Org": matrix.site.property.organisation_id,
    }


async def test_who_comes_starts_a_shift_and_who_goes_ends_it(team: Team) -> None:
    made, shift = await integrate(team.matrix), await team.plan()
    came: dict[str, Any] = {"IntegrationId": made.id, "Event": "CLOCK_IN", "Time": team.at(-600), "ID": "badge 17"}
    answer = await team.matrix.call(EVENT, came)
    check_answer(BY_NAME[EVENT], answer)
    assert answer == {
        "input": came,
        "output": {
            "ID": "badge 17",
            "Event": "CLOCK_IN",
            "Time": came["Time"],
            "IntegrationId": made.id,
            "PropId": team.matrix.property_id,
            "Org": team.matrix.site.property.organisation_id,
            "PID": team.matrix.building_id,
            "SourceSeatId": "badge 17",
            "MatrixSeatId": team.matrix.seat_id,
        },
        "status": "OK",
    }
    started = (await team.data("getShiftDetailsByID", team.named(shift)))["shift"]
    assert (started["Status"], started["AStart"], started["ModifiedBy"]) == ("STARTED", came["Time"], made.id)
    assert await team.matrix.refused(EVENT, came) == (400, "WRONG_PARAMETERS")
    before_it_began = {**came, "Event": "CLOCK_OUT", "Time": came["Time"] - 1}
    assert await team.matrix.refused(EVENT, before_it_began) == (400, "WRONG_PARAMETERS")
    await team.matrix.call(EVENT, {**came, "Event": "CLOCK_OUT", "Time": None})
    assert (await team.data("shiftStatus", team.named(shift)))["Status"] == "COMPLETED"
    assert await team.matrix.refused(EVENT, {**came, "Event": "CLOCK_OUT"}) == (400, "WRONG_PARAMETERS")


async def test_who_comes_early_or_after_being_missed_is_welcome_but_not_hours_before(team: Team) -> None:
    made = await integrate(team.matrix)
    came = {"IntegrationId": made.id, "Event": "CLOCK_IN", "ID": "badge 17"}
    missed = await team.plan("absent")
    await team.matrix.call(EVENT, came)
    assert (await team.data("shiftStatus", team.named(missed)))["Status"] == "STARTED"
    await team.matrix.call(EVENT, {**came, "Event": "CLOCK_OUT"})
    soon = await team.plan(in_s=3.9 * HOUR)
    assert await team.matrix.refused(EVENT, came) == (400, "WRONG_PARAMETERS")
    await team.data("updateShift", {"Shift": {**team.named(soon)["Shift"], "Start": team.at(0.9 * HOUR)}})
    await team.matrix.call(EVENT, came)
    assert (await team.data("shiftStatus", team.named(soon)))["Status"] == "STARTED"


async def test_what_cannot_be_told_changes_nothing(team: Team) -> None:
    made = await integrate(team.matrix)
    await team.plan()
    before = await team.rows()
    good = {"IntegrationId": made.id, "Event": "CLOCK_IN", "ID": "badge 17"}
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"Event": "CLOCK"}, "WRONG_PARAMETERS"),
        ({"Event": None}, "MISSING_PARAMETERS"),
        ({"ID": "badge 18"}, "WRONG_PARAMETERS"),
        ({"IntegrationId": "no such integration"}, "failure"),
        ({"Time": team.at(-25 * HOUR)}, "WRONG_PARAMETERS"),
        ({"Time": team.at(600)}, "WRONG_PARAMETERS"),
        ({"Time": "soon"}, "WRONG_PARAMETERS"),
        ({"Event": "CLOCK_OUT"}, "WRONG_PARAMETERS"),
    )
    for changes, code in cases:
        assert await team.matrix.refused(EVENT, {**good, **changes}) == (400, code), changes
    stranger = await team.matrix.rig.property()
    client = await team.matrix.rig.client(stranger)
    theirs = replace(team.matrix, client=client)
    for name in (READ, EVENT):
        assert await theirs.refused(name, good, propid=stranger) == (400, "failure")
        assert await theirs.refused(name, good) == (403, "IMPLICIT_DENY")
    assert await team.rows() == before


async def test_the_people_of_a_property_are_told_by_team(matrix: Matrix) -> None:
    platform, property_id = matrix.platform, matrix.property_id
    night = await create_seat(
        platform, property_id, name="Bob Tan", team="Night", email="bob@example.test", actor="ann"
    )
    gone = await create_seat(platform, property_id, name="Cid Lim", team="Night", actor="ann")
    await deactivate_seat(platform, property_id, gone.id, actor="ann")
    for name in ("scpropteams.getMemberGroup", "scteamsprop.getMemberGroup"):
        answer = await matrix.call(name)
        check_answer(BY_NAME[name], answer)
        assert answer["data"] == [
            {"Group": "", "Members": [{"SeatId": matrix.seat_id, "Name": "Ann Lee"}]},
            {"Group": "Night", "Members": [{"SeatId": night.id, "Name": "Bob Tan"}]},
        ]


async def test_who_fills_a_seat_is_told_with_a_profile_where_it_is_asked_for(matrix: Matrix) -> None:
    await update_seat(matrix.platform, matrix.property_id, matrix.seat_id, email="ann@example.test", actor="ann")
    for name in ("scpropteams.getUserDetailsForSeatId", "scteamsprop.getUserDetailsForSeatId"):
        answer = await matrix.call(name, matrix.example(name))
        check_answer(BY_NAME[name], answer)
        assert answer["data"]["Profile"]["Email"] == "ann@example.test"
        plain = await matrix.data(name, {"SeatID": matrix.seat_id, "WithProfile": "false"})
        assert (plain["Name"], "Profile" in plain, "ann@example.test" in str(plain)) == ("Ann Lee", False, False)
        assert await matrix.refused(name, {"SeatId": "nobody"}) == (400, "failure")
        assert await matrix.refused(name) == (400, "MISSING_PARAMETERS")
    foreign = await create_seat(matrix.platform, await matrix.rig.property(), name="Eve", actor="eve")
    assert await matrix.refused("scpropteams.getUserDetailsForSeatId", {"SeatId": foreign.id}) == (400, "failure")


async def test_custom_tasks_are_listed_by_category_and_are_a_hundred_at_most(matrix: Matrix) -> None:
    add, categories = "sctasks.addCustomTaskBuilding", "sctasks.listTaskCategories"
    answer = await matrix.call(add, matrix.example(add))
    check_answer(BY_NAME[add], answer)
    assert {**answer["data"], "id": None} == {**matrix.example(add), "id": None}
    assert await matrix.refused(add, matrix.example(add)) == (400, "WRONG_PARAMETERS")  # the name is taken
    assert await matrix.refused(add, {"task": "t", "timeInMinutes": 1441}) == (400, "WRONG_PARAMETERS")
    assert await matrix.refused(add, {"asset": "Handle"}) == (400, "MISSING_PARAMETERS")
    statement = (
        "insert into custom_tasks (id, property_id, name, document) select 'made-' || $1::text || n, $1, n::text,"
        " jsonb_build_object('name', n::text) from generate_series(1, 99) n"
    )
    async with matrix.rig.database.connection() as connection:
        await connection.execute(statement, matrix.property_id)
    assert await matrix.refused(add, {"task": "One too many"}) == (400, "LIMIT_VIOLATED")
    answer = await matrix.call(categories)
    check_answer(BY_NAME[categories], answer)
    assert [(one["category"], len(one["tasks"])) for one in answer["data"]] == [("", 99), ("Lobby", 1)]


async def test_what_has_no_published_fields_is_no_operation(matrix: Matrix) -> None:
    for name in ("taskOperationsStarted", "taskOperationsSuccess", "taskOperationsFailure"):
        assert await matrix.refused(f"sctasks.{name}", {}) == (404, "UNKNOWN_OPERATION")


async def test_integrations_are_of_seats_that_there_are(matrix: Matrix) -> None:
    with pytest.raises(NotFound):
        await integrate(matrix, users={"badge 1": SeatId("nobody")})
