"""Every operation on shifts, availability and timesheets: its example, what it lacks, and whose it is."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from tests.integration.rest.actions.checks import check_answer
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.actions.team import State, Team
from tests.integration.rest.rig import SEEDS, Rig

from matrixhub.api.actions import availability, shift_definitions, shifts, timesheets
from matrixhub.api.actions.operation import Operation
from matrixhub.lifecycle import SystemClock
from matrixhub.model.ids import SeatId
from matrixhub.modules.work import Platform
from matrixhub.sources.sites import make_site
from matrixhub.store.sites import apply_site

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = (*shifts.OPERATIONS, *shift_definitions.OPERATIONS, *availability.OPERATIONS, *timesheets.OPERATIONS)

STATES: dict[str, State] = {
    "publishShifts": "planned",
    "publishShiftsForProjectInTRange": "planned",
    "shiftEnd": "started",
    "shiftEndAdmin": "started",
    "startBreak": "started",
    "endBreak": "on break",
    "requestTimeSheet": "completed",
    "requestRegularization": "absent",
    "editTimeSheet": "claimed",
    "approveRequest": "claimed",
    "rejectTimesheet": "claimed",
    "approveMultipleTimesheetRequests": "claimed",
    "approveMultipleTimeSheetsForProperty": "claimed",
}
"""In which state the shift of an example has to be, where it is not a published one."""

BEFORE: dict[str, str] = {
    "updateShiftDefinitionForProperty": "createShiftDefinitionForProperty",
    "deleteShiftDefinitionForProperty": "createShiftDefinitionForProperty",
    "updateSeatAvailability": "createSeatAvailability",
    "getAvailabilityZones": "createAvailabilityZones",
}
"""What has to be there before."""

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.removeprefix("scteams."))


@pytest.fixture
def team(matrix: Matrix) -> Team:
    return Team(matrix=matrix)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stranger(rig: Rig) -> Matrix:
    """A client of another property, with a building and a seat id that is not there."""
    site = make_site(3, seed=next(SEEDS))
    await apply_site(rig.database, site, remove=False)
    platform = Platform(database=rig.database, clock=SystemClock())
    client = await rig.client(site.property.id)
    return Matrix(rig=rig, client=client, site=site, platform=platform, seat_id=SeatId("nobody"))


async def prepared(team: Team, row: Operation) -> tuple[str, Any]:
    """The name of an operation without prefix, and its example, which can be done now."""
    name = row.name.removeprefix("scteams.")
    if before := BEFORE.get(name):
        await team.data(before, team.example(f"scteams.{before}"))
    shift = await team.plan(STATES.get(name, "published")) if "{shift}" in str(row.example) else None
    return name, None if row.example is None else team.example(row.name, shift)


@every_row
async def test_an_operation_serves_its_owner_with_the_fields_of_the_table_and_nobody_else(
    team: Team, stranger: Matrix, row: Operation
) -> None:
    _, body = await prepared(team, row)
    before = await team.rows()
    reply = await stranger.send(row.name, body)
    if any(name in str(row.example) for name in ("{seat}", "{shift}", "{zone}", "{building}")):
        assert reply.status == 400, reply.content
    ours = [one for one in (team.matrix.property_id, team.matrix.building_id) if one not in str(body)]
    assert not [one for one in ours if one in reply.content.decode()]
    assert await stranger.refused(row.name, body, propid=team.matrix.property_id) == (403, "IMPLICIT_DENY")
    if row.needs_building:
        assert await team.matrix.refused(row.name, body, pid=stranger.building_id) == (400, "failure")
    assert await team.rows() == before
    check_answer(row, await team.matrix.call(row.name, body))


async def test_a_shift_that_there_is_not_is_refused_by_all(team: Team) -> None:
    for row in ROWS:
        if "{shift}" in str(row.example):
            assert await team.refused(row.name.removeprefix("scteams."), team.example(row.name)) == "failure", row.name
