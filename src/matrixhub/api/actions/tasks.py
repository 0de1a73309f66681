"""Operations on task groups, and on incidents and tasks alike.

Source: docs/contract/incidents.md §3, §4
"""

from __future__ import annotations

from datetime import datetime

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import NUMBER, SECONDS, TEXT, list_of, may, needs, of
from matrixhub.api.actions.work_shapes import (
    DELETED,
    MAY_RANGE,
    PAGE_KEY,
    RANGE,
    TASK,
    TASK_DRAFT,
    WORK,
    Fields,
    incident_id,
    maybe,
    named,
    row,
)
from matrixhub.model.errors import MissingParameters
from matrixhub.model.ids import SeatId, ShiftId, ZoneId
from matrixhub.model.work_order import STATUSES_OF, WorkOrder
from matrixhub.modules.workforce import tasks, work_orders, work_queries
from matrixhub.modules.workforce.drafts import parse_instant, parse_task_group, parse_tasks
from matrixhub.modules.workforce.records import metrics_record, record, task_record
from matrixhub.modules.workforce.work_inputs import (
    parse_last_tasks,
    parse_range,
    parse_said,
    parse_status,
    parse_task_id,
    parse_wanted,
)


async def _add(call: Call, asked: Fields) -> Reply:
    draft = parse_task_group(asked["Taskgroup"])
    (made,) = await tasks.add_tasks(
        call.platform,
        call.property_id,
        SeatId(asked["SeatId"]),
        ShiftId(asked["ShiftID"]),
        [draft],
        actor=call.actor,
        building_id=call.building_id,
    )
    return Reply(message=f"Task group added to shift {asked['ShiftID']}", data=task_record(made))


async def _remove(call: Call, asked: Fields) -> Reply:
    task_id = parse_task_id(asked["Taskgroup"])
    said = parse_said(asked["Taskgroup"], call.building_id)
    await tasks.remove_task(call.platform, call.property_id, task_id, actor=call.actor, said=said)
    return Reply(message="Task group removed from its shift", data={"TaskId": task_id})


async def _start(call: Call, asked: Fields) -> Reply:
    fields = asked["Taskgroup"]
    done = await work_orders.start_work(
        call.platform,
        call.property_id,
        parse_task_id(fields),
        actor=call.actor,
        said=parse_said(fields, call.building_id),
    )
    return Reply(message="Task started", data=record(done))


async def _pause(call: Call, asked: Fields) -> Reply:
    fields = asked["Taskgroup"]
    done = await work_orders.pause_work(
        call.platform,
        call.property_id,
        parse_task_id(fields),
        actor=call.actor,
        said=parse_said(fields, call.building_id),
    )
    return Reply(message="Task paused", data=record(done))


async def _end(call: Call, asked: Fields) -> Reply:
    return await _ended(call, asked["Taskgroup"])


async def _end_ad_hoc(call: Call, asked: Fields) -> Reply:
    return await _ended(call, asked)


async def _ended(call: Call, fields: Fields) -> Reply:
    given = fields.get("Tasks")
    done = await work_orders.complete_work(
        call.platform,
        call.property_id,
        parse_task_id(fields),
        actor=call.actor,
        said=parse_said(fields, call.building_id),
        tasks=parse_tasks(given) if given else None,
    )
    return Reply(message="Task ended", data=record(done))


async def _read(call: Call, asked: Fields) -> Reply:
    fields = asked["Taskgroup"]
    said = parse_said(fields, call.building_id)
    found = await work_orders.read_work(call.platform, call.property_id, parse_task_id(fields), said)
    return Reply(message="Task fetched", data=record(found))


async def _start_ad_hoc(call: Call, asked: Fields) -> Reply:
    made = await tasks.start_adhoc_task(
        call.platform,
        call.property_id,
        ShiftId(asked["ShiftID"]),
        ZoneId(asked["zoneId"]),
        _needed_instant(asked, "EndTime"),
        actor=call.actor,
        by=asked.get("By", ""),
        building_id=call.building_id,
    )
    return Reply(message="Task started", data=task_record(made))


def _needed_instant(asked: Fields, name: str) -> datetime:
    found = parse_instant(asked, name)
    if found is None:
        raise MissingParameters(f"{name}: missing")
    return found


async def _attach(call: Call, asked: Fields) -> Reply:
    done = await work_orders.update_attachments(
        call.platform,
        call.property_id,
        parse_task_id(asked),
        asked["Attachments"],
        actor=call.actor,
        said=parse_said(asked, call.building_id),
    )
    return Reply(message="Attachments updated", data=record(done))


async def _last(call: Call, asked: Fields) -> Reply:
    wanted = parse_last_tasks(asked, call.building_id)
    found = await work_queries.last_tasks(
        call.platform,
        call.property_id,
        building_id=wanted.building_id,
        zone_id=wanted.zone_id,
        seat_id=wanted.seat_id,
        since=wanted.since,
        until=wanted.until,
        limit=wanted.limit,
    )
    return Reply(message="Tasks fetched", data=[task_record(order) for order in found])


async def _list(call: Call, asked: Fields) -> Reply:
    found = await work_queries.list_work(call.platform, call.property_id, parse_wanted(asked, call.building_id))
    return Reply(message="Tasks fetched", data=_records(found))


async def _page(call: Call, asked: Fields) -> Reply:
    wanted = parse_wanted(asked, call.building_id)
    page = await work_queries.page_work(call.platform, call.property_id, wanted, key=asked.get("LastEvaluatedKey", ""))
    return Reply(message="Tasks fetched", data=_records(page.items), beside={"LastEvaluatedKey": page.last_key})


async def _by_status(call: Call, asked: Fields) -> Reply:
    wanted = parse_wanted(asked, None, parse_status(asked["Status"]))
    page = await work_queries.page_work(call.platform, call.property_id, wanted, key=asked.get("LastEvaluatedKey", ""))
    return Reply(message="Tasks fetched", data=_records(page.items), beside={"LastEvaluatedKey": page.last_key})


async def _of_shift(call: Call, asked: Fields) -> Reply:
    found = await work_queries.work_of_shift(
        call.platform, call.property_id, call.building_id, ShiftId(asked["ShiftID"])
    )
    return Reply(message="Tasks fetched", data=_records(found))


async def _metrics(call: Call, asked: Fields) -> Reply:
    since, until = parse_range(asked)
    counts = await work_queries.count_work(
        call.platform,
        call.property_id,
        building_id=call.building_id,
        seat_id=SeatId(asked["SeatId"]) if "SeatId" in asked else None,
        since=since,
        until=until,
    )
    return Reply(message="Metrics fetched", data=metrics_record(counts))


def _records(orders: list[WorkOrder]) -> list[Fields]:
    return [record(order) for order in orders]


_GROUP_DRAFT = of(
    needs("Start", SECONDS),
    needs("End", SECONDS),
    needs("Name"),
    needs("Zone", also=("zoneId", "ZoneId")),
    may("ZoneName"),
    may("ZoneCatId"),
    may("Priority", note="H, M, N (without one) or L"),
    needs("Tasks", list_of(TASK_DRAFT)),
)
_MEANT = (named("SeatId"), named("ShiftId"), incident_id("TaskId"))
_GROUP = of(named("Taskgroup", of(*_MEANT)))
_GROUP_DONE = of(
    named("Taskgroup", of(*_MEANT, may("Tasks", list_of(TASK_DRAFT), "as they were left; without it all are done")))
)
_MEANT_EXAMPLE = {"Taskgroup": {"SeatId": "{seat}", "ShiftId": "{shift}", "TaskId": "{task}"}}
_DAY = {"StartTime": 1710028800, "EndTime": 1710115200}
_TYPE = may("Type", note="TASK or INCIDENT; without it both")
_METRICS = of(
    needs("Total", NUMBER),
    *(
        needs(kind, of(*(needs(status, NUMBER) for status in statuses)), "how many are in each state")
        for kind, statuses in STATUSES_OF.items()
    ),
)

OPERATIONS: tuple[Operation, ...] = (
    row(
        "addTaskgroupToShift",
        "Plan a task group in a shift.",
        _add,
        request=of(named("SeatId"), named("ShiftID"), named("Taskgroup", _GROUP_DRAFT)),
        response=TASK,
        example={
            "SeatId": "{seat}",
            "ShiftID": "{shift}",
            "Taskgroup": {
                "Start": 1710029100,
                "End": 1710032700,
                "Name": "Morning clean",
                "Zone": "{zone}",
                "Priority": "N",
                "Tasks": [{"Name": "Mopping"}],
            },
        },
    ),
    row(
        "removeTaskgroupFromShift",
        "Take a task group that nobody has begun out of its shift.",
        _remove,
        request=_GROUP,
        response=DELETED,
        example=_MEANT_EXAMPLE,
    ),
    row(
        "taskStart",
        "Begin a task or an assigned incident, or go on where it was paused.",
        _start,
        request=_GROUP,
        response=WORK,
        example=_MEANT_EXAMPLE,
    ),
    row(
        "taskEnd",
        "End a task that was begun, or an assigned incident.",
        _end,
        request=_GROUP_DONE,
        response=WORK,
        example=_MEANT_EXAMPLE,
    ),
    row(
        "pauseTaskGroup",
        "Interrupt work; taskStart goes on.",
        _pause,
        request=_GROUP,
        response=WORK,
        example=_MEANT_EXAMPLE,
    ),
    row(
        "getTaskDetailsById",
        "One task or assigned incident.",
        _read,
        request=_GROUP,
        response=WORK,
        example=_MEANT_EXAMPLE,
    ),
    row(
        "startAdhocTask",
        "Begin, in a shift that has started, what nobody had planned.",
        _start_ad_hoc,
        request=of(
            needs("EndTime", SECONDS),
            may("ZoneName"),
            may("By"),
            named("ShiftID"),
            named("zoneId"),
            may("ZoneCategoryId"),
        ),
        response=TASK,
        example={"EndTime": 1710032700, "By": "Ann Lee", "ShiftID": "{shift}", "zoneId": "{zone}"},
    ),
    row(
        "endAdhocTask",
        "End an ad-hoc task, with what was done.",
        _end_ad_hoc,
        request=of(
            named("ShiftID"),
            named("SeatId"),
            incident_id("TaskId"),
            may("Tasks", list_of(TASK_DRAFT), "as they were left; without it all are done"),
        ),
        response=WORK,
        example={
            "ShiftID": "{shift}",
            "SeatId": "{seat}",
            "TaskId": "{task}",
            "Tasks": [{"Comments": "", "Name": "Ad-hoc task", "Done": 1, "T": 0}],
        },
    ),
    row(
        "updateAttachments",
        "Set the attachments of a task or an assigned incident; they are shown with its first task.",
        _attach,
        request=of(
            named("ShiftID"),
            named("SeatId"),
            incident_id(),
            needs("Attachments", list_of(TEXT), "names or URIs"),
        ),
        response=WORK,
        example={"ShiftID": "{shift}", "SeatId": "{seat}", "IncidentId": "{task}", "Attachments": ["floor.jpg"]},
    ),
    row(
        "getLastNTasks",
        "The last tasks of a building, the property, a zone or a seat, newest first: one, of the last 24 hours.",
        _last,
        request=of(
            *MAY_RANGE,
            may("Limit", NUMBER, "at most 100; its sign counts for nothing"),
            may("TasksFor", note="ID, PROP, ZONE or SEAT; without it what is named"),
            maybe("SeatId"),
            maybe("zoneId"),
        ),
        response=list_of(TASK),
        example={"StartTime": 1710028800, "EndTime": 1710115200, "Limit": 10, "TasksFor": "ZONE", "zoneId": "{zone}"},
    ),
    row(
        "getTaskGroupInTRangeForID",
        "The tasks and incidents of a building that start in a time.",
        _list,
        request=of(*RANGE, _TYPE),
        response=list_of(WORK),
        example={**_DAY, "Type": "TASK"},
    ),
    row(
        "getTaskGroupInTRangeForSeatID",
        "The tasks and incidents of a seat that start in a time.",
        _list,
        request=of(*RANGE, _TYPE, named("SeatId")),
        response=list_of(WORK),
        example={**_DAY, "SeatId": "{seat}"},
    ),
    row(
        "tasksInTRangeByZoneId",
        "The tasks and incidents of a seat in a zone that start in a time.",
        _list,
        request=of(*RANGE, _TYPE, maybe("SeatId"), named("zoneId")),
        response=list_of(WORK),
        example={**_DAY, "SeatId": "{seat}", "zoneId": "{zone}"},
    ),
    row(
        "getTasksForIDPaginated",
        "The tasks and incidents of a building that start in a time, in pages; LastEvaluatedKey is '' on the last.",
        _page,
        request=of(needs("StartTime", SECONDS), needs("EndTime", SECONDS), _TYPE, PAGE_KEY),
        response=list_of(WORK),
        example={**_DAY, "Type": "INCIDENT"},
    ),
    row(
        "getTasksForPropertyByStatus",
        "The tasks and incidents of a property in a state, in pages; LastEvaluatedKey is '' on the last.",
        _by_status,
        request=of(needs("Status", note="ASSIGNED means PUBLISHED"), _TYPE, PAGE_KEY),
        response=list_of(WORK),
        example={"Status": "STARTED"},
        needs_building=False,
    ),
    row(
        "getTasksForShiftById",
        "All tasks and incidents of a shift.",
        _of_shift,
        request=of(named("ShiftID")),
        response=list_of(WORK),
        example={"ShiftID": "{shift}"},
    ),
    row(
        "getTaskGroupMetricsForID",
        "How many tasks and incidents of a building are in each state, of those from a time on.",
        _metrics,
        request=of(needs("StartTime", SECONDS), may("EndTime", SECONDS)),
        response=_METRICS,
        example={"StartTime": 1710028800},
        certainty="name published",
    ),
    row(
        "getTaskGrouptMetricsForSeatID",
        "How many tasks and incidents of a seat are in each state, of those before a time.",
        _metrics,
        request=of(may("StartTime", SECONDS), needs("EndTime", SECONDS), named("SeatId")),
        response=_METRICS,
        example={"EndTime": 1710115200, "SeatId": "{seat}"},
        certainty="name published",
    ),
)
