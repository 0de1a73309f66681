"""What clients of the published operations on shifts rely on. Source: docs/contract/workforce.md §3, §4"""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.actions.team import HOUR, Team

from matrixhub.modules.workforce.seats import create_seat, deactivate_seat

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY = 86_400


@pytest.fixture
def team(matrix: Matrix) -> Team:
    return Team(matrix=matrix)


def week(team: Team) -> dict[str, int]:
    return {"StartTime": team.at(-3 * DAY), "EndTime": team.at(4 * DAY)}


async def details(team: Team, shift: Any) -> Any:
    return await team.data("getShiftDetailsByID", team.named(shift))


# --- planned ---


async def test_the_example_makes_shifts_with_their_task_groups_on_both_dates(team: Team) -> None:
    first, second = await team.data("createShift", team.example("scteams.createShift"))
    assert (first["Start"], first["End"], second["Start"]) == (1710028800, 1710057600, 1710028800 + DAY)
    assert (first["Status"], first["Duration"], first["LocalTime"]) == ("PUBLISHED", "PT8H", "20240310080000")
    assert first["Cost"] == {"U": "SGD", "V": 12.5}
    assert list(first["Zones"]) == [team.matrix.zone_id]
    assert [(one["Type"], one["DurationInSeconds"], one["IsPlannedBreak"]) for one in first["Breaks"]] == [
        ("MEAL", 1800, True)
    ]
    assert (first["TaskGroupsCount"], first["jobId"], first["NS"]) == (1, "tbp", "SHIFT_TS")
    assert first["SRN"].startswith(f"srn:scteams:{team.matrix.site.property.organisation_id}:::")
    [task] = (await details(team, second))["taskgroup"]
    assert second["TaskGroups"] == [task["TaskId"]]
    assert (task["Name"], task["Status"], task["Type"]) == ("Mopping", "PUBLISHED", "TASK")
    assert (task["Start"], task["LocalTime"]) == (1710032400 + DAY, "20240311090000")


async def test_numbers_may_be_texts_and_ids_have_both_spellings(team: Team) -> None:
    draft = {name: str(value) if isinstance(value, int) else value for name, value in team.draft().items()}
    body = {"SeatID": team.matrix.seat_id, "Schedule": [{"Shift": draft}], "Publish": "true"}
    [made] = await team.data("createShift", body)
    named = {"Shift": {"SeatID": made["SeatId"], "ShiftID": made["ShiftId"]}}
    assert (await team.data("shiftStatus", named))["Status"] == "PUBLISHED"
    found = await team.data("getShiftsForSeatInTRange", {**team.seat, **{k: str(v) for k, v in week(team).items()}})
    assert [one["ShiftId"] for one in found] == [made["ShiftId"]]


async def test_a_plan_with_one_thing_wrong_makes_nothing(team: Team) -> None:
    before = await team.rows()
    good = team.draft()
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"Schedule": []}, "MISSING_PARAMETERS"),
        ({"Schedule": [{"shift": good}, {"shift": good}]}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": {**good, "End": good["Start"]}}]}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": {**good, "TimeZone": "Asia/Atlantis"}}]}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": {**good, "Start": 1e300}}]}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": {**good, "Zones": {"no such zone": ""}}}]}, "failure"),
        ({"Schedule": [{"shift": {**good, "Description": "a\x00b"}}]}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": {**good, "Cost": {"V": "inf"}}}]}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": good, "taskGroup": [team.task(Zone="no such zone")]}]}, "failure"),
        ({"Schedule": [{"shift": good, "taskGroup": [team.task(Priority="X")]}]}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": good, "taskGroup": [team.task(Tasks=[{"Name": "t"}] * 21)]}]}, "LIMIT_VIOLATED"),
        ({"Schedule": [{"shift": good}], "Repeat": {"RepeatDates": ["2024-03-10"]}}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": good}], "Repeat": {"RepeatDates": ["20240230"]}}, "WRONG_PARAMETERS"),
        ({"Schedule": [{"shift": good}] * 501}, "LIMIT_VIOLATED"),
        ({"SeatId": "nobody", "Schedule": [{"shift": good}]}, "failure"),
    )
    for changes, code in cases:
        assert await team.refused("createShift", {**team.seat, **changes}) == code, changes
    assert await team.rows() == before


async def test_a_shift_is_changed_together_with_its_task_groups(team: Team) -> None:
    shift = await team.plan("planned", tasks=[team.task(), team.task("Dusting", HOUR)])
    mopping, dusting = shift["TaskGroups"]
    body = {
        "Shift": {**team.named(shift)["Shift"], "TimeZone": "UTC", "End": shift["End"] + HOUR, "Cost": {"U": "EUR"}},
        "TaskGroups": [{"TaskId": mopping, "Name": "Wet mopping", "Priority": "H"}],
        "DeleteTaskGroupIds": [dusting],
        "AddTaskGroups": [team.task("Waste", 2 * HOUR)],
    }
    changed = await team.data("updateShift", body)
    assert (changed["TimeZone"], changed["End"], changed["Start"]) == ("UTC", shift["End"] + HOUR, shift["Start"])
    assert changed["Cost"]["U"] == "EUR"
    tasks = (await details(team, shift))["taskgroup"]
    assert [(one["Name"], one["Priority"], one["Status"]) for one in tasks] == [
        ("Wet mopping", "H", "UNPUBLISHED"),
        ("Waste", "N", "UNPUBLISHED"),
    ]
    before = await team.rows()
    for wrong in ({"DeleteTaskGroupIds": [dusting]}, {"TaskGroups": [{"TaskId": "no such task", "Name": "x"}]}):
        assert await team.refused("updateShift", {**body, **wrong}) == "failure"
    assert await team.refused("updateShift", {**team.named(shift), "TaskGroups": [{"Name": "x"}]}) == (
        "MISSING_PARAMETERS"
    )
    assert await team.rows() == before


async def test_a_copy_brings_what_it_is_asked_to(team: Team) -> None:
    zones = {team.matrix.zone_id: ""}
    shift = await team.plan(zones=zones, Zones=zones, Breaks=[{"Type": "MEAL"}], tasks=[team.task()])
    other = await create_seat(team.matrix.platform, team.matrix.property_id, name="Bob Tan", actor="ann")
    on = shift["LocalTime"][:8]
    body = {**team.named(shift), "SeatId": other.id, "Repeat": {"RepeatDates": [on]}}
    [plain] = await team.data("copyShift", body)
    assert (plain["SeatId"], plain["Start"], plain["Status"]) == (other.id, shift["Start"], "UNPUBLISHED")
    assert (plain["Zones"], len(plain["Breaks"]), plain["TaskGroups"]) == (shift["Zones"], 1, [])
    await team.data("deleteShift", team.named(plain))
    bare = {**body, "IncludeZones": False, "IncludeBreaks": 0, "IncludeTaskGroups": True}
    [copied] = await team.data("copyShift", bare)
    assert (copied["Zones"], copied["Breaks"], copied["TaskGroupsCount"]) == ({}, [], 1)
    assert await team.refused("copyShift", bare) == "WRONG_PARAMETERS"  # the seat has a shift then
    assert await team.refused("copyShift", {**body, "Repeat": {"RepeatDates": []}}) == "MISSING_PARAMETERS"
    wrong = {"SeatId": other.id, "ShiftId": shift["ShiftId"]}
    assert await team.refused("copyShift", {**body, "Shift": wrong}) == "failure"


async def test_shifts_are_published_all_or_none(team: Team) -> None:
    drafts = [await team.plan("planned", in_s=n * 10 * HOUR) for n in (1, 2)]
    schedule = [{"shift": team.named(one)["Shift"]} for one in drafts]
    before = await team.rows()
    wrong = {"SeatId": "nobody", "ShiftId": drafts[1]["ShiftId"]}
    assert await team.refused("publishShifts", {"Schedule": [schedule[0], {"shift": wrong}]}) == "failure"
    assert await team.refused("publishShifts", {"Schedule": []}) == "MISSING_PARAMETERS"
    assert await team.rows() == before
    published = await team.data("publishShifts", {"Schedule": schedule})
    assert [one["Status"] for one in published] == ["PUBLISHED"] * 2
    assert await team.refused("publishShifts", {"Schedule": schedule}) == "WRONG_PARAMETERS"
    later = await team.plan("planned", in_s=40 * HOUR)
    found = await team.data("publishShiftsForProjectInTRange", week(team))
    assert [one["ShiftId"] for one in found] == [later["ShiftId"]]
    assert await team.data("publishShiftsForProjectInTRange", week(team)) == []


async def test_shifts_are_deleted_all_or_none(team: Team) -> None:
    started = await team.plan("started")
    draft = await team.plan("planned", in_s=10 * HOUR)
    pairs = [team.named(one)["Shift"] for one in (draft, started)]
    before = await team.rows()
    assert await team.refused("bulkDeleteShift", {"ShiftBulkDelete": {"SeatShiftPairs": pairs}}) == "WRONG_PARAMETERS"
    assert await team.refused("deleteShift", team.named(started)) == "WRONG_PARAMETERS"
    many = {"ShiftBulkDelete": {"SeatShiftPairs": pairs[:1] * 501}}
    assert await team.refused("bulkDeleteShift", many) == "LIMIT_VIOLATED"
    assert await team.rows() == before
    assert await team.data("bulkDeleteShift", {"ShiftBulkDelete": {"SeatShiftPairs": pairs[:1]}}) == pairs[:1]
    assert await team.refused("shiftStatus", team.named(draft)) == "failure"


# --- worked ---


async def test_a_shift_is_worked_with_a_break_and_tells_where(team: Team) -> None:
    shift = await team.plan()
    here = {"Latitude": "1.5", "Longitude": 103.7}
    started = await team.data("shiftStart", {"Shift": {**team.named(shift)["Shift"], "Coordinates": {"ClockIn": here}}})
    assert started["Coordinates"] == {
        "ClockIn": {"Latitude": 1.5, "Longitude": 103.7},
        "ClockOut": {"Latitude": -1, "Longitude": -1},
    }
    assert (started["Status"], started["AEnd"], started["AStart"] > 0) == ("STARTED", 0, True)
    assert await team.refused("shiftStart", team.named(shift)) == "WRONG_PARAMETERS"
    tea = {"ID": "tea", "Notes": "With Bob", "Type": "TEA"}
    [on_break] = (await team.data("startBreak", {**team.named(shift), "Breaks": [tea]}))["Breaks"]
    assert (on_break["ID"], on_break["Notes"], on_break["Type"], on_break["End"]) == ("tea", "With Bob", "TEA", 0)
    assert await team.refused("startBreak", {**team.named(shift), "Breaks": [tea]}) == "WRONG_PARAMETERS"
    assert await team.refused("endBreak", {**team.named(shift), "Breaks": [{"ID": "lunch"}]}) == "WRONG_PARAMETERS"
    assert await team.refused("endBreak", {**team.named(shift), "Breaks": [tea, tea]}) == "WRONG_PARAMETERS"
    assert (await team.data("endBreak", team.named(shift)))["Breaks"][0]["End"] > 0
    out = {"Coordinates": {"ClockOut": {"Latitude": -1, "Longitude": -1}}}
    ended = await team.data("shiftEnd", {**team.named(shift), **out})
    assert (ended["Status"], ended["Coordinates"]["ClockOut"]) == ("COMPLETED", {"Latitude": -1, "Longitude": -1})
    assert ended["AEnd"] - ended["AStart"] == ended["ActualDurationInSeconds"]
    assert await team.refused("shiftEnd", team.named(shift)) == "WRONG_PARAMETERS"
    assert await team.refused("markShiftAbsent", team.named(shift)) == "WRONG_PARAMETERS"


async def test_where_the_building_says_where_it_is_a_seat_has_to_be_near(team: Team) -> None:
    shift = await team.plan()
    address = {"Coordinates": {"Latitude": 1.3, "Longitude": 103.8}}
    async with team.matrix.rig.database.connection() as connection:
        statement = "update buildings set is_property_address = false, address = $2 where id = $1"
        await connection.execute(statement, team.matrix.building_id, address)
    far = {"Coordinates": {"ClockIn": {"Latitude": 1.4, "Longitude": 103.8}}}
    assert await team.refused("shiftStart", team.named(shift)) == "MISSING_PARAMETERS"
    assert await team.refused("shiftStart", {**team.named(shift), **far}) == "WRONG_PARAMETERS"
    absurd = {"Coordinates": {"ClockIn": {"Latitude": 91, "Longitude": 0}}}
    assert await team.refused("shiftStartAdmin", {**team.named(shift), **absurd}) == "WRONG_PARAMETERS"
    assert (await team.data("shiftStartAdmin", {**team.named(shift), **far}))["Status"] == "STARTED"


async def test_a_shift_is_late_then_missed_then_leave_and_each_once(team: Team) -> None:
    shift = await team.plan()
    named = team.named(shift)
    assert (await team.data("markShiftDelayed", named))["Delayed"] == 1
    assert await team.refused("markShiftDelayed", named) == "WRONG_PARAMETERS"
    on_status = {"Shift": {"Start": team.at(-DAY), "End": team.at(DAY), "Status": "DELAYED"}}
    assert [one["Delayed"] for one in await team.data("getShiftsInTRangeForIDonStatus", on_status)] == [1]
    assert (await team.data("markShiftAbsent", named))["Status"] == "ABSENT"
    assert (await team.data("markOnLeave", named))["Status"] == "ON_LEAVE"
    assert await team.refused("markOnLeave", named) == "WRONG_PARAMETERS"
    assert await team.refused("shiftStart", named) == "WRONG_PARAMETERS"
    counts = await team.data("getShiftMetricsForID", week(team))
    assert {name: count for name, count in counts.items() if count} == {"ON_LEAVE": 1, "Delayed": 1}
    on_status["Shift"]["Status"] = "ASLEEP"
    assert await team.refused("getShiftsInTRangeForIDonStatus", on_status) == "WRONG_PARAMETERS"


async def test_an_ad_hoc_shift_begins_now_by_the_clocks_of_the_building(team: Team) -> None:
    started = await team.data("createAdhocShift", {**team.seat, "DaysOfWeek": [0, 6]})
    assert (started["Status"], started["ShiftDurationInSeconds"]) == ("STARTED", 28_800)
    assert started["TimeZone"] == team.matrix.site.buildings[0].time_zone
    assert await team.refused("createAdhocShift", team.seat) == "WRONG_PARAMETERS"
    assert await team.refused("createAdhocShift", {**team.seat, "DaysOfWeek": [7]}) == "WRONG_PARAMETERS"
    other = await create_seat(team.matrix.platform, team.matrix.property_id, name="Bob Tan", actor="ann")
    await deactivate_seat(team.matrix.platform, team.matrix.property_id, other.id, actor="ann")
    assert await team.refused("createAdhocShift", {"SeatId": other.id}) == "WRONG_PARAMETERS"


# --- asked about ---


async def test_the_details_of_a_shift_are_answered_with_202(team: Team) -> None:
    shift = await team.plan("claimed", tasks=[team.task()])
    reply = await team.matrix.send("scteams.getShiftDetailsByID", team.named(shift))
    assert reply.status == 202
    found = reply.json()["data"]
    assert list(found) == ["shift", "taskgroup", "timesheet", "startDate", "endDate"]
    assert (found["startDate"], found["endDate"]) == (shift["Start"], shift["End"])
    assert (found["timesheet"]["Status"], found["timesheet"]["ShiftId"]) == ("REQUESTED", shift["ShiftId"])
    assert [one["TaskId"] for one in found["taskgroup"]] == found["shift"]["TaskGroups"]


@pytest.mark.parametrize(
    "name",
    [
        "getShiftsForProjectInTRange",
        "getShiftForPropertyInTRange",
        "getShiftsForSeatInTRange",
        "getShiftMetricsForID",
        "getShiftMetricsForSeatID",
        "getShiftLatenessMetricsForBuilding",
        "findAvailabilityForLeave",
        "listTimesheets",
        "getTimeSheetForSeatIdInTRange",
        "getTimeSheetInTRangeByStartDate",
        "getTimeSheetForSeatIdInTRangeByStartDate",
    ],
)
async def test_too_long_a_time_is_not_looked_at(team: Team, name: str) -> None:
    long = {**team.seat, "StartTime": 1710028800, "EndTime": 1710028800 + 94 * DAY}
    assert await team.refused(name, long) == "QUERY_LENGTH_EXCEEDED"
    assert await team.refused(name, {**long, "EndTime": 1710028800}) == "WRONG_PARAMETERS"


async def test_shifts_are_found_by_building_seat_and_range(team: Team) -> None:
    shift = await team.plan()
    later = await team.plan(in_s=20 * HOUR)
    ids = [shift["ShiftId"], later["ShiftId"]]

    async def found(name: str, **body: Any) -> list[str]:
        return [one["ShiftId"] for one in await team.data(name, {**week(team), **body})]

    assert await found("getShiftsForProjectInTRange") == await found("getShiftForPropertyInTRange") == ids
    assert await found("getShiftForPropertyInTRange", EndTime=later["Start"]) == ids[:1]
    assert await found("getShiftsForSeatInTRange", **team.seat, ID=team.matrix.building_id) == ids
    elsewhere = {**team.seat, **week(team), "ID": "no such building"}
    assert await team.refused("getShiftsForSeatInTRange", elsewhere) == "failure"
    assert (await team.data("getShiftMetricsForSeatID", {**team.seat, **week(team)}))["PUBLISHED"] == 2


async def test_the_current_and_the_next_shifts_of_a_seat_are_told(team: Team) -> None:
    assert await team.data("getCurrentShiftForSeat", team.seat) is None
    shift = await team.plan()
    later = await team.plan(in_s=20 * HOUR)
    assert (await team.data("getCurrentShiftForSeat", team.seat))["ShiftId"] == shift["ShiftId"]
    then = {**team.seat, "StartTime": later["Start"] + 60}
    assert (await team.data("getCurrentShiftForSeat", then))["ShiftId"] == later["ShiftId"]
    assert [one["ShiftId"] for one in await team.data("getNextShifts", team.seat)] == [later["ShiftId"]]
    assert await team.data("getNextShifts", then) == []


async def test_who_could_stand_in_for_a_seat_on_leave_has_nothing_to_do_then(team: Team) -> None:
    await team.plan()
    other = await create_seat(team.matrix.platform, team.matrix.property_id, name="Bob Tan", actor="ann")
    asked = {**team.seat, "StartTime": team.at(0), "EndTime": team.at(HOUR)}
    assert [one["SeatId"] for one in await team.data("findAvailabilityForLeave", asked)] == [other.id]
    assert await team.data("findAvailabilityForLeave", {**asked, "SeatId": other.id}) == []


async def test_how_punctual_a_building_is_is_counted(team: Team) -> None:
    await team.plan("started")
    await team.plan("absent", in_s=-10 * HOUR)
    found = await team.data("getShiftLatenessMetricsForBuilding")
    assert (found["InTime"], found["Late"], found["Absent"]) == (0, 1, 1)
    assert found["MeanLatenessInSeconds"] == pytest.approx(HOUR, abs=120)


# --- definitions, availability, timesheets ---


async def test_usual_shifts_are_kept_by_day(team: Team) -> None:
    setting = team.example("scteams.createShiftDefinitionForProperty")
    made = await team.data("createShiftDefinitionForProperty", setting)
    assert [one["DayOfWeek"] for one in made] == [1, 2]
    assert made[0]["ShiftSettings"] == [
        {"Name": "Morning", "ColorCode": "#1F7A4D", "Start": 25200, "End": 54000, "ExpectedPresent": 4}
    ]
    assert await team.refused("createShiftDefinitionForProperty", setting) == "failure"
    one_day = {"PropertyShiftSetting": {**setting["PropertyShiftSetting"], "DaysOfWeek": None, "DayOfWeek": 3}}
    assert await team.refused("updateShiftDefinitionForProperty", one_day) == "failure"
    assert len(await team.data("createShiftDefinitionForProperty", one_day)) == 3
    assert [one["DayOfWeek"] for one in await team.data("deleteShiftDefinitionForProperty", {"DaysOfWeek": [1]})] == [
        2,
        3,
    ]
    assert await team.refused("deleteShiftDefinitionForProperty", {"DaysOfWeek": []}) == "MISSING_PARAMETERS"
    hours = team.example("scteams.updateShiftHoursForProperty")
    assert await team.data("updateShiftHoursForProperty", hours) == hours
    assert await team.data("getShiftHoursForProperty") == hours
    await team.data("deleteShiftHoursForProperty")
    assert await team.data("getShiftHoursForProperty") == {"ShiftHours": []}


async def test_availability_has_at_most_two_slots_a_day_and_says_which_end_on_the_next(team: Team) -> None:
    night = {"StartTime": 79200, "EndTime": 21600, "Name": "Night"}
    day = {"StartTime": 28800, "EndTime": 61200, "Name": "Day"}
    body = {"Availability": {**team.seat, "DaysOfWeek": [0], "TimeSlots": [night, day]}}
    [made] = await team.data("createSeatAvailability", body)
    assert made["TimeSlots"] == [{**day, "NextDay": False}, {**night, "NextDay": True}]
    assert await team.refused("createSeatAvailability", body) == "failure"
    three = {**team.seat, "Availabilities": [{"DayOfWeek": 1, "TimeSlots": [day] * 3}]}
    assert await team.refused("updateSeatAvailability", three) == "LIMIT_VIOLATED"
    twice = {**team.seat, "Availabilities": [{"DaysOfWeek": [1, 2], "TimeSlots": [day]}, three["Availabilities"][0]]}
    assert await team.refused("updateSeatAvailability", twice) == "WRONG_PARAMETERS"
    changed = {**team.seat, "Availabilities": [{"DaysOfWeek": [5, 6], "TimeSlots": [day]}]}
    assert [one["DayOfWeek"] for one in await team.data("updateSeatAvailability", changed)] == [0, 5, 6]
    assert len(await team.data("getAvailabilityByProperty")) == 3
    assert len(await team.data("getAvailabilityInPropertyForDow", {"DayOfWeek": "5"})) == 1
    assert await team.refused("getAvailabilityInPropertyForDow", {"DayOfWeek": 7}) == "WRONG_PARAMETERS"
    await team.data("deleteSeatAvailability", team.seat)
    assert await team.data("getAvailabilityBySeatId", team.seat) == []


async def test_the_zones_of_a_seat_are_where_they_are_said_to_be(team: Team) -> None:
    zone = team.matrix.site.zones[0]
    given = team.example("scteams.createAvailabilityZones")
    expected = {**team.seat, "Zones": {team.matrix.building_id: {zone.id: zone.name}}}
    assert await team.data("createAvailabilityZones", given) == expected
    before = await team.rows()
    elsewhere = {"SeatAvailabilityZones": {**team.seat, "Zones": {"another building": {zone.id: ""}}}}
    assert await team.refused("updateAvailabilityZones", elsewhere) == "failure"
    nowhere = {"SeatAvailabilityZones": {**team.seat, "Zones": {team.matrix.building_id: {}}}}
    assert await team.refused("updateAvailabilityZones", nowhere) == "MISSING_PARAMETERS"
    assert await team.rows() == before
    assert await team.data("getAvailabilityZones", team.seat) == expected
    assert await team.data("deleteAvailabilityZones", team.seat) == {**team.seat, "Zones": {}}
    assert await team.refused("getAvailabilityZones", team.seat) == "failure"


async def test_a_timesheet_is_claimed_changed_and_decided_on_once(team: Team) -> None:
    shift = await team.plan("claimed")
    sheet = {"TimeSheet": {**team.named(shift)["Shift"]}}
    assert await team.refused("requestTimeSheet", sheet) == "WRONG_PARAMETERS"
    changed = await team.data("editTimeSheet", {"TimeSheet": {**sheet["TimeSheet"], "Comment": "Half an hour less"}})
    assert (changed["Comment"], changed["Status"]) == ("Half an hour less", "REQUESTED")
    assert (await team.data("rejectTimesheet", sheet))["Status"] == "REJECTED"
    assert await team.refused("approveRequest", sheet) == "WRONG_PARAMETERS"
    again = {"TimeSheet": {**sheet["TimeSheet"], **team.worked()}}
    assert (await team.data("requestRegularization", again))["Type"] == "REGULARIZATION"
    many = {"TimeSheets": [sheet["TimeSheet"]]}
    [approved] = await team.data("approveMultipleTimesheetRequests", many)
    assert approved["Status"] == "APPROVED"
    assert await team.refused("approveMultipleTimeSheetsForProperty", {"TimeSheets": []}) == "MISSING_PARAMETERS"
    assert await team.refused("editTimeSheet", sheet) == "WRONG_PARAMETERS"
    missed = await team.plan("published", in_s=10 * HOUR)
    assert await team.refused("requestTimeSheet", {"TimeSheet": team.named(missed)["Shift"]}) == "WRONG_PARAMETERS"


async def test_timesheets_are_found_by_request_and_by_shift_of_one_building_or_all(team: Team) -> None:
    shift = await team.plan("claimed", in_s=-2 * HOUR)

    async def found(name: str, pid: str = "", **body: Any) -> list[str]:
        given = {"pid": pid} if pid else {}
        return [one["ShiftId"] for one in await team.data(name, {**week(team), **body}, **given)]

    assert await found("listTimesheets") == await found("listTimesheets", pid="scnoop") == [shift["ShiftId"]]
    assert await found("getTimeSheetForSeatIdInTRange", **team.seat) == [shift["ShiftId"]]
    after_its_begin: dict[str, Any] = {"StartTime": team.at(-HOUR), "EndTime": team.at(HOUR)}
    assert await found("listTimesheets", **after_its_begin) == [shift["ShiftId"]]
    assert await found("getTimeSheetInTRangeByStartDate", **after_its_begin) == []
    assert await found("getTimeSheetForSeatIdInTRangeByStartDate", **team.seat) == [shift["ShiftId"]]
    assert await team.refused("listTimesheets", week(team), pid="no such building") == "failure"
