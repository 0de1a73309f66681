"""Figures of places, figures day by day, the event log. Source: docs/contract/metrics.md"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.rest.actions.matrix import Matrix

from matrixhub.model.event import Event
from matrixhub.model.ids import BuildingId
from matrixhub.sources.sites import make_site
from matrixhub.store.sites import apply_site

pytestmark = pytest.mark.asyncio(loop_scope="session")

TS = "scmetrics.getModuleTSMetrics"
TS_BATCH = "scmetrics.getModuleTSMetricsBatch"
TS_PRINCIPALS = "scmetrics.getModuleTSMetricsBatchPrincipals"
PLACE = "scmetrics.getModuleMetrics"
PLACES = "scmetrics.getModuleMetricsBatchPrincipals"
LOGS = "scmetrics.getEventLogs"
LATEST = "scmetrics.getNLatestEventLogs"
BY_TYPE, BY_STATUS = "VCS_WO_DAILY_COUNT_BY_TYPE", "INCIDENT_DAILY_COUNT_BY_STATUS"

ALL = [PLACE, PLACES, TS, TS_PRINCIPALS, LOGS, LATEST]


async def zoned(matrix: Matrix, time_zone: str) -> None:
    """The building and its property in another time zone."""
    async with matrix.rig.database.connection() as connection:
        await connection.execute("update buildings set time_zone = $2 where id = $1", matrix.building_id, time_zone)
        await connection.execute("update properties set time_zone = $2 where id = $1", matrix.property_id, time_zone)


async def incident(matrix: Matrix, at: datetime, by: str = "WD", **fields: Any) -> str:
    """An incident as a sensor raises it, which starts at an instant."""
    body = matrix.example("scteams.createIncidentWithoutAssignee")
    start = int(at.timestamp())
    source = f"{matrix.property_id}#sensor"
    body["Incident"] |= {"Start": start, "End": start + 900, "By": by, "EventSource": source, **fields}
    made = await matrix.data("scteams.createIncidentWithoutAssignee", body)
    return str(made["TaskId"])


def asked(matrix: Matrix, namespace: str = BY_TYPE, start: object = "20240309", end: object = "20240311") -> Any:
    return {"Principal": matrix.building_id, "NS": namespace, "Start": start, "End": end}


async def days(matrix: Matrix, **given: Any) -> dict[str, dict[str, int]]:
    """What was counted, by day, where there was anything."""
    answer = await matrix.call(TS, asked(matrix, **given))
    assert (answer["type"], answer["queryType"]) == ("json", "moduleTSDB")
    return {entry["Bucket"]: entry["Data"] for entry in answer["series"]["values"] if entry["Data"]}


async def test_a_building_tells_how_much_there_is_in_it(matrix: Matrix) -> None:
    answer = await matrix.call(PLACE, {"Principal": matrix.building_id, "NS": "BUILDING_METRICS"}, org="")
    zones = len(matrix.site.zones)
    levels = len({zone.level_id for zone in matrix.site.zones})
    assert (answer["type"], answer["queryType"]) == ("json", "module")
    assert answer["metrics"]["principal"] == matrix.building_id
    figures = answer["metrics"]["data"]
    assert set(figures) == {"LevelsCount", "TotalArea", "ZonesCount"}
    assert (figures["LevelsCount"], figures["ZonesCount"]) == (levels, zones)


async def test_a_property_tells_how_many_buildings_it_has(matrix: Matrix) -> None:
    answer = await matrix.call(PLACE, {"Principal": matrix.property_id, "NS": "PROPERTY_METRICS"})
    assert answer["metrics"]["data"]["BuildingsCount"] == 1


@pytest.mark.parametrize("name", ["Principal", "Principals"])
async def test_several_buildings_are_told_in_the_order_they_were_asked_for(matrix: Matrix, name: str) -> None:
    answer = await matrix.call(PLACES, {name: [matrix.building_id] * 2, "NS": "BUILDING_METRICS"})
    assert [entry["principal"] for entry in answer["metrics"]] == [matrix.building_id] * 2
    assert set(answer["metrics"][0]["data"]) == {"LevelsCount", "TotalArea", "ZonesCount"}


async def test_incidents_of_sensors_are_counted_by_type_and_by_the_local_day_of_the_building(matrix: Matrix) -> None:
    await zoned(matrix, "Asia/Singapore")
    await incident(matrix, datetime(2024, 3, 9, 15, 59, 59, tzinfo=UTC))  # 23:59:59 on the 9th
    await incident(matrix, datetime(2024, 3, 9, 16, 0, tzinfo=UTC))  # midnight: the 10th
    await incident(matrix, datetime(2024, 3, 10, 15, 0, tzinfo=UTC), by="PT")
    await incident(matrix, datetime(2024, 3, 10, 15, 1, tzinfo=UTC), by="PT")
    await incident(matrix, datetime(2024, 3, 10, 15, 2, tzinfo=UTC), by="Some device!")
    await incident(matrix, datetime(2024, 3, 10, 3, 0, tzinfo=UTC), EventSource="HK", By="Guard desk")  # of a person
    await incident(matrix, datetime(2024, 3, 8, 15, 59, 59, tzinfo=UTC))  # the 8th
    await incident(matrix, datetime(2024, 3, 11, 16, 0, tzinfo=UTC))  # the 12th
    wanted = {
        "20240309": {"WorkOrderCount:WD": 1},
        "20240310": {"WorkOrderCount:OTHER": 1, "WorkOrderCount:PT": 2, "WorkOrderCount:WD": 1},
    }
    assert await days(matrix) == wanted
    start, end = (int(datetime(2024, 3, day, 12, tzinfo=UTC).timestamp()) for day in (9, 11))
    assert await days(matrix, start=start, end=str(end)) == wanted
    assert await days(matrix, start="20240310", end="20240310") == {"20240310": wanted["20240310"]}
    answer = await matrix.call(TS, {**asked(matrix), "Principal": matrix.property_id})
    assert {entry["Bucket"]: entry["Data"] for entry in answer["series"]["values"] if entry["Data"]} == wanted


async def test_a_day_of_the_change_to_summer_time_is_one_day(matrix: Matrix) -> None:
    await zoned(matrix, "America/New_York")
    for hour in (5, 27):  # midnight in winter, 23:00 in summer time of the same day
        await incident(matrix, datetime.fromtimestamp(1_710_028_800 + hour * 3_600, UTC))
    assert await days(matrix) == {"20240310": {"WorkOrderCount:WD": 2}}


async def test_days_without_anything_are_empty_or_left_out(matrix: Matrix) -> None:
    await incident(matrix, datetime(2024, 3, 10, 12, tzinfo=UTC))
    every = (await matrix.call(TS, asked(matrix)))["series"]
    assert [entry["Bucket"] for entry in every["values"]] == ["20240309", "20240310", "20240311"]
    assert every["values"][0]["Data"] == {}
    assert (every["start"], every["end"]) == ("20240309", "20240311")
    for name in ("HideEmptyBuckets", "HideEmptyBucket"):
        for hidden in (True, 1, "true"):
            answer = await matrix.call(TS, {**asked(matrix), name: hidden})
            assert [entry["Bucket"] for entry in answer["series"]["values"]] == ["20240310"]
    assert len((await matrix.call(TS, {**asked(matrix), "HideEmptyBuckets": False}))["series"]["values"]) == 3


async def test_incidents_are_counted_by_status_and_by_priority_whoever_raised_them(matrix: Matrix) -> None:
    at = datetime(2024, 3, 10, 12, tzinfo=UTC)
    await incident(matrix, at, EventSource="HK", Priority="H")
    task = await incident(matrix, at, Priority="L")
    ending = {"IncidentId": task, "zoneId": matrix.zone_id}
    async with matrix.rig.database.connection() as connection:
        await connection.execute("update work_orders set status = 'COMPLETED' where id = $1", ending["IncidentId"])
    by_status = await days(matrix, namespace=BY_STATUS)
    assert by_status == {"20240310": {"IncidentCount:COMPLETED": 1, "IncidentCount:NOT_ASSIGNED": 1}}
    by_priority = await days(matrix, namespace="INCIDENT_DAILY_COUNT_BY_PRIORITY")
    assert by_priority == {"20240310": {"IncidentCount:H": 1, "IncidentCount:L": 1}}


async def test_tasks_count_on_the_day_they_were_completed(matrix: Matrix) -> None:
    made = await incident(matrix, datetime(2024, 3, 9, 12, tzinfo=UTC))
    open_ = await incident(matrix, datetime(2024, 3, 9, 12, tzinfo=UTC))
    async with matrix.rig.database.connection() as connection:
        await connection.execute("update work_orders set type = 'TASK' where id = any($1)", [made, open_])
        await connection.execute(
            "update work_orders set status = 'COMPLETED', closed_at = '2024-03-10T12:00:00Z' where id = $1", made
        )
    assert await days(matrix, namespace="TASK_DAILY_COUNT_COMPLETED") == {"20240310": {"TaskCount:COMPLETED": 1}}


async def test_several_queries_and_several_principals_are_answered_in_their_order(matrix: Matrix) -> None:
    await incident(matrix, datetime(2024, 3, 10, 12, tzinfo=UTC))
    one, two = asked(matrix), asked(matrix, namespace=BY_STATUS, start="20240310", end="20240310")
    answer = await matrix.call(TS_BATCH, [one, two])
    assert [len(series) for series in answer["series"]] == [3, 1]
    assert answer["series"][1] == [{"Bucket": "20240310", "Data": {"IncidentCount:NOT_ASSIGNED": 1}}]
    for name in ("Principal", "Principals"):
        principals = [matrix.property_id, matrix.building_id]
        answer = await matrix.call(TS_PRINCIPALS, {**one, name: principals, "HideEmptyBuckets": True})
        assert [entry["principal"] for entry in answer["series"]] == principals
        assert [entry["data"][0]["Bucket"] for entry in answer["series"]] == ["20240310"] * 2


@pytest.mark.parametrize(
    "operation, body",
    [
        (PLACE, {"NS": "NO_SUCH"}),
        (PLACE, {"NS": BY_TYPE}),
        (TS, {"NS": "BUILDING_METRICS"}),
        (TS, {"Start": "20240230"}),
        (TS, {"Start": "yesterday"}),
        (TS, {"Start": "20240310", "End": "20240309"}),
        (TS, {"Start": -1}),
        (TS, {"End": 10**400}),
        (TS, {"HideEmptyBuckets": "perhaps"}),
        (TS_PRINCIPALS, {"Principals": []}),
        (TS_PRINCIPALS, {"Principals": [7]}),
        (LOGS, {"Start": "soon"}),
        (LOGS, {"LastKey": "nonsense"}),
        (LATEST, {"N": 0}),
        (LATEST, {"N": 1.5}),
        (LATEST, {"N": "many"}),
    ],
)
async def test_a_value_outside_the_set_is_refused(matrix: Matrix, operation: str, body: dict[str, Any]) -> None:
    whole = matrix.example(operation) | body
    assert await matrix.refused(operation, whole) == (400, "WRONG_PARAMETERS")


async def test_a_wrong_namespace_is_told_which_there_are(matrix: Matrix) -> None:
    reply = await matrix.send(TS, {**asked(matrix), "NS": "NO_SUCH"})
    assert BY_TYPE in reply.json()["message"]
    reply = await matrix.send(PLACE, {"Principal": matrix.building_id, "NS": "NO_SUCH"})
    assert "BUILDING_METRICS" in reply.json()["message"]


@pytest.mark.parametrize(
    "operation, body",
    [
        (TS, {"Start": "20230101", "End": "20240102"}),
        (TS_PRINCIPALS, {"Principals": ["p"] * 101}),
        (PLACES, {"Principal": ["p"] * 101}),
        (LATEST, {"N": 1_001}),
    ],
)
async def test_more_than_one_query_may_return_is_refused(matrix: Matrix, operation: str, body: dict[str, Any]) -> None:
    whole = matrix.example(operation) | body
    assert await matrix.refused(operation, whole) == (400, "QUERY_LENGTH_EXCEEDED")


async def test_days_of_all_principals_and_queries_together_are_bounded(matrix: Matrix) -> None:
    year = {"Start": "20230101", "End": "20240101"}
    many = {**asked(matrix), **year, "Principals": [matrix.building_id] * 28}
    assert await matrix.refused(TS_PRINCIPALS, many) == (400, "QUERY_LENGTH_EXCEEDED")
    assert await matrix.refused(TS_BATCH, [asked(matrix)] * 21) == (400, "QUERY_LENGTH_EXCEEDED")
    assert len((await matrix.call(TS, {**asked(matrix), **year}))["series"]["values"]) == 366


async def test_batches_take_a_list_and_no_object(matrix: Matrix) -> None:
    assert await matrix.refused(TS_BATCH, asked(matrix)) == (400, "WRONG_PARAMETERS")
    assert await matrix.refused(TS_BATCH, [{"Principal": "p"}]) == (400, "MISSING_PARAMETERS")
    assert (await matrix.call(TS_BATCH, []))["series"] == []


async def test_a_principal_of_another_property_is_out_of_reach(matrix: Matrix) -> None:
    other = make_site(1, seed=int(matrix.property_id[:6], 16))
    await apply_site(matrix.rig.database, other, remove=False)
    for principal in (other.property.id, other.buildings[0].id, "nobody"):
        for operation, namespace in ((PLACE, "BUILDING_METRICS"), (PLACE, "PROPERTY_METRICS"), (TS, BY_TYPE)):
            body = {**asked(matrix), "Principal": principal, "NS": namespace}
            assert await matrix.refused(operation, body) == (400, "failure")
        assert await events(matrix, Principal=principal) == []


async def told(matrix: Matrix, number: int, at: int) -> None:
    """Some events of the building at one second."""
    async with matrix.platform.work(matrix.property_id) as work:
        for index in range(number):
            work.publish(
                Event(
                    property_id=matrix.property_id,
                    building_id=BuildingId(matrix.building_id),
                    event="TASK_COMPLETED",
                    module="sctasks",
                    priority="NORMAL",
                    description=f"number {index}",
                    happened_at=at,
                    meta={},
                    principal=matrix.building_id,
                    principal_type="building",
                )
            )


async def events(matrix: Matrix, **changes: Any) -> list[dict[str, str]]:
    """The events of a query, page by page."""
    body = {"Principal": matrix.building_id, "Module": "sctasks", "Start": "0", "End": "9999999999", **changes}
    found: list[dict[str, str]] = []
    while True:
        answer = await matrix.call(LOGS, body)
        assert (answer["type"], answer["queryType"]) == ("json", "eventsTSDB")
        found += answer["series"]["values"]
        body = {**body, "LastKey": answer["series"]["LastKey"]}
        if not body["LastKey"]:
            return found


async def test_the_event_log_gives_records_as_published_oldest_first(matrix: Matrix) -> None:
    await told(matrix, 1, 1_710_029_000)
    await told(matrix, 1, 1_710_028_000)
    newer, older = 1_710_029_000, 1_710_028_000
    found = await events(matrix)
    assert [event["Time"] for event in found] == [str(older), str(newer)]
    first = found[0]
    assert set(first) == {"ATTR", "Description", "Event", "ID", "Principal", "Status", "Time"}
    assert (first["ID"], first["Event"], first["Status"]) == ("sctasks", "TASK_COMPLETED", "NORMAL")
    assert first["Principal"] == matrix.building_id
    assert first["ATTR"].startswith(f"TASK_COMPLETED#{matrix.property_id}#{matrix.building_id}#")
    assert [event["Time"] for event in await events(matrix, Start=str(newer))] == [str(newer)]
    assert [event["Time"] for event in await events(matrix, End=newer)] == [str(older)]
    assert await events(matrix, Module="nobody") == []
    answer = await matrix.call(LOGS, {**matrix.example(LOGS), "Start": "1710029000"})
    assert (answer["series"]["start"], answer["series"]["end"]) == ("1710029000", "1710039000")


async def test_a_long_log_comes_in_pages_that_leave_nothing_out(matrix: Matrix) -> None:
    await told(matrix, 750, 1_710_029_000)
    first = await matrix.call(LOGS, matrix.example(LOGS))
    assert len(first["series"]["values"]) == 500
    assert first["series"]["LastKey"]
    counts = Counter(event["Description"] for event in await events(matrix))
    assert counts == Counter(f"number {index}" for index in range(750))


async def test_the_latest_events_come_newest_first(matrix: Matrix) -> None:
    for at in (3, 1, 2):
        await told(matrix, 1, 1_710_029_000 + at)
    answer = await matrix.call(LATEST, {**matrix.example(LATEST), "N": "2"})
    assert answer["series"]["n"] == 2
    assert [event["Time"] for event in answer["series"]["values"]] == ["1710029003", "1710029002"]


@pytest.mark.parametrize("operation", ALL)
async def test_what_is_missing_is_named(matrix: Matrix, operation: str) -> None:
    assert await matrix.refused(operation, {}) == (400, "MISSING_PARAMETERS")


async def test_over_rest_the_same_figures_are_told(matrix: Matrix) -> None:
    await zoned(matrix, "Asia/Singapore")
    await incident(matrix, datetime(2024, 3, 9, 16, 0, tzinfo=UTC))
    days_ = "/metrics/VCS_WO_DAILY_COUNT_BY_TYPE/days?first=20240309&last=20240311"
    told = (await matrix.client.get(days_)).json()
    assert told["principal"] == matrix.property_id
    assert told["items"] == [
        {"day": "20240309", "counts": {}},
        {"day": "20240310", "counts": {"WorkOrderCount:WD": 1}},
        {"day": "20240311", "counts": {}},
    ]
    of_building = (await matrix.client.get(f"{days_}&principal={matrix.building_id}&hide_empty=true")).json()
    assert [item["day"] for item in of_building["items"]] == ["20240310"]
    figures = (await matrix.client.get(f"/metrics/BUILDING_METRICS?principal={matrix.building_id}")).json()["figures"]
    assert figures["ZonesCount"] == len(matrix.site.zones)
    assert (await matrix.client.get("/metrics/BUILDING_METRICS?principal=nobody")).code == "MH-R008"
    assert (await matrix.client.get("/metrics/NO_SUCH")).code == "MH-R020"
    assert (await matrix.client.get("/metrics/NO_SUCH/days?first=20240309&last=20240311")).code == "MH-R020"
    assert (await matrix.client.get(days_.replace("20240309", "20240399"))).code == "MH-R020"
    assert (await matrix.client.get(days_.replace("20240309", "20220309"))).code == "MH-R021"
