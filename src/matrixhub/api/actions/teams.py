"""Operations on the people of a property, and on the tasks it has of its own.

Source: docs/contract/workforce.md §3.1, docs/contract/incidents.md §3.3
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import FLAG, NOTHING, NUMBER, SECONDS, TEXT, list_of, may, needs, of
from matrixhub.api.actions.workforce_shapes import SEAT_ID, texts_of_record
from matrixhub.model.task_catalogue import CustomTask
from matrixhub.modules.workforce import seats, task_catalogue, team
from matrixhub.modules.workforce import shift_inputs as inputs
from matrixhub.modules.workforce.drafts import parse_flag

TEAMS, TASKS = "scteamsprop", "sctasks"


async def _get_member_group(call: Call) -> Reply:
    return Reply(data=team.member_groups(await seats.list_seats(call.platform, call.property_id)))


async def _get_user_details(call: Call) -> Reply:
    seat = await seats.read_seat(call.platform, call.property_id, inputs.seat_of(call.body))
    with_profile = parse_flag(call.body.get("WithProfile"), "WithProfile")
    return Reply(data=team.user_details(seat, with_profile=with_profile))


async def _list_task_categories(call: Call) -> Reply:
    return Reply(
        data=task_catalogue.categories(await task_catalogue.list_custom_tasks(call.platform, call.property_id))
    )


async def _add_custom_task(call: Call) -> Reply:
    made = await task_catalogue.add_custom_task(
        call.platform, call.property_id, _custom_task(call.body), actor=call.actor
    )
    return Reply(message="Custom task added", data=task_catalogue.custom_task_record(made))


def _custom_task(body: Mapping[str, Any]) -> CustomTask:
    return CustomTask(
        name=inputs.text(body, "task"),
        asset=inputs.text(body, "asset", default=""),
        category=inputs.text(body, "category", default=""),
        measure=inputs.text(body, "measure", default=""),
        measure_name=inputs.text(body, "measureName", default=""),
        skills=tuple(inputs.texts(body, "skills")),
        minutes=0 if body.get("timeInMinutes") is None else inputs.whole(body, "timeInMinutes"),
    )


_CUSTOM_TASK = of(
    *texts_of_record("id", "task", "asset", "category", "measure", "measureName"),
    needs("skills", list_of(TEXT)),
    needs("timeInMinutes", NUMBER),
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="scpropteams.getMemberGroup",
        also=("scteamsprop.getMemberGroup",),
        service=TEAMS,
        summary="The active seats of a property by team.",
        call=_get_member_group,
        request=NOTHING,
        response=list_of(of(needs("Group"), needs("Members", list_of(of(needs("SeatId"), needs("Name")))))),
        envelope="workforce",
        certainty="name published",
    ),
    Operation(
        name="scpropteams.getUserDetailsForSeatId",
        also=("scteamsprop.getUserDetailsForSeatId",),
        service=TEAMS,
        summary="Who fills a seat, with how to reach them where that is asked for.",
        call=_get_user_details,
        request=of(SEAT_ID, may("WithProfile", FLAG)),
        response=of(
            *texts_of_record("SeatId", "PropId", "Name", "Team", "Status"),
            may("Profile", of(needs("Name"), needs("Email"), needs("CreatedOn", SECONDS))),
        ),
        envelope="workforce",
        certainty="name published",
        example={"SeatId": "{seat}", "WithProfile": True},
    ),
    Operation(
        name="sctasks.listTaskCategories",
        service=TASKS,
        summary="The custom tasks of a property by category.",
        call=_list_task_categories,
        request=NOTHING,
        response=list_of(of(needs("category"), needs("tasks", list_of(_CUSTOM_TASK)))),
        envelope="workforce",
        certainty="name published",
    ),
    Operation(
        name="sctasks.addCustomTaskBuilding",
        service=TASKS,
        summary="Add a task to the catalogue of a property, which holds a hundred.",
        call=_add_custom_task,
        request=of(
            needs("task"),
            may("asset"),
            may("category"),
            may("measure"),
            may("measureName"),
            may("skills", list_of(TEXT)),
            may("timeInMinutes", NUMBER),
        ),
        response=_CUSTOM_TASK,
        envelope="workforce",
        example={
            "task": "Polish brass",
            "asset": "Door handle",
            "category": "Lobby",
            "measure": "count",
            "measureName": "Handles",
            "skills": ["polishing"],
            "timeInMinutes": 15,
        },
    ),
)
