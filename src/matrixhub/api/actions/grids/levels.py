"""Operations on levels and their floor plans."""

from __future__ import annotations

from dataclasses import replace

from matrixhub.api.actions.grids.shapes import KEEPS_S, any_file_of, file_of, operation
from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, FLAG, NUMBER, Shape, list_of, may, needs, of
from matrixhub.modules.grids import inputs, levels, records

_ENTRY = of(needs("Name"), needs("Level"), needs("LID"), needs("Area", NUMBER), needs("FloorPlanExists", FLAG))
_LEVEL = of(
    needs("Name"), needs("Level"), needs("Area", NUMBER), needs("FloorPlan", note="base64, or ''"), needs("LID")
)
_NEW = of(needs("Name"), needs("FloorPlan", note="base64, or ''"), needs("LID"))
_LID = of(needs("LID"))
_PLAN = may("FloorPlan", note="PNG or JPEG in base64")
_FILE = may("file", ANY, "PNG or JPEG, a file of a form")


async def _list_levels(call: Call) -> Reply:
    found = await levels.list_levels(call.platform, call.property_id, call.building_id)
    return Reply(data=[records.level_entry(one) for one in found])


async def _read_level(call: Call) -> Reply:
    at = (call.platform, call.property_id, call.building_id, inputs.level_id(call.body))
    found, plan = await levels.read_level(*at), await levels.read_floor_plan(*at)
    return Reply(data=records.level_record(found, plan))


async def _create_level(call: Call) -> Reply:
    draft = inputs.level_draft(call.body)
    made = await levels.create_level(call.platform, call.property_id, call.building_id, draft, actor=call.actor)
    plan = await levels.read_floor_plan(call.platform, call.property_id, call.building_id, made.id)
    return Reply(data=records.new_level_record(made, plan))


async def _update_level(call: Call) -> Reply:
    change = inputs.level_change(call.body)
    image = any_file_of(call, "file")
    if image is not None:
        change = replace(change, floor_plan=image)
    changed = await levels.update_level(
        call.platform, call.property_id, call.building_id, inputs.level_id(call.body), change, actor=call.actor
    )
    return Reply(data=records.level_entry(changed))


async def _update_floor_plan(call: Call) -> Reply:
    changed = await levels.update_floor_plan(
        call.platform,
        call.property_id,
        call.building_id,
        inputs.level_id(call.body),
        file_of(call, "file"),
        actor=call.actor,
    )
    return Reply(data=records.level_entry(changed))


async def _read_floor_plan(call: Call) -> Reply:
    plan = await levels.read_floor_plan(call.platform, call.property_id, call.building_id, inputs.level_id(call.body))
    return Reply(data=records.floor_plan_text(plan))


async def _delete_level(call: Call) -> Reply:
    gone = await levels.delete_level(
        call.platform, call.property_id, call.building_id, inputs.level_id(call.body), actor=call.actor
    )
    return Reply(data=records.level_entry(gone))


OPERATIONS: tuple[Operation, ...] = (
    operation(
        "listLevelsByBuilding",
        "The levels of a building, from the lowest up.",
        _list_levels,
        list_of(_ENTRY),
        needs_building=True,
        keeps_s=KEEPS_S,
    ),
    operation(
        "createLevel",
        "Make a level, with a floor plan or without.",
        _create_level,
        _NEW,
        request=of(needs("Name"), needs("Level", note="such as L2"), _PLAN, may("Area", NUMBER)),
        status=201,
        needs_building=True,
        example={"Name": "Roof", "Level": "L44"},
    ),
    operation(
        "readLevel",
        "A level with its floor plan.",
        _read_level,
        _LEVEL,
        request=_LID,
        needs_building=True,
        example={"LID": "{level}"},
    ),
    operation(
        "updateLevel",
        "Change a level or its floor plan, in JSON or by a form.",
        _update_level,
        _ENTRY,
        request=of(needs("LID"), may("Name"), may("Level"), may("Area", NUMBER), _PLAN, _FILE),
        takes_form=True,
        needs_building=True,
        needs_property=True,
        example={"LID": "{level}", "Area": 120.5},
    ),
    operation(
        "updateLevelFloorPlan",
        "Give a level a floor plan by a form.",
        _update_floor_plan,
        _ENTRY,
        request=of(needs("LID"), _FILE),
        takes_form=True,
        needs_building=True,
    ),
    operation(
        "readFloorPlan",
        "The floor plan of a level in base64, '' where it has none.",
        _read_floor_plan,
        Shape("text", "base64"),
        request=_LID,
        needs_building=True,
        needs_property=True,
        example={"LID": "{level}"},
    ),
    operation(
        "deleteLevel",
        "Remove a level with its zones and their slots; what it was.",
        _delete_level,
        _ENTRY,
        request=of(needs("lid", also=("LID",))),
        needs_building=True,
        example={"lid": "{level}"},
    ),
)
