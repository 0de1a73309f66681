"""Operations on the shifts and hours that a property usually has.

Source: docs/contract/workforce.md §3.5
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, NOTHING, NUMBER, Shape, list_of, map_of, may, needs, of
from matrixhub.api.actions.workforce_shapes import DAY, DAYS, SECOND_OF_DAY, team_row
from matrixhub.model.shift_definition import ShiftDefinition, definition_record, hours_record
from matrixhub.modules.workforce import definitions
from matrixhub.modules.workforce import shift_inputs as inputs


async def _create(call: Call) -> Reply:
    setting = inputs.section(call.body, "PropertyShiftSetting")
    found = await definitions.create_definitions(
        call.platform,
        call.property_id,
        inputs.days_of_week(setting),
        inputs.definitions(setting),
        actor=call.actor,
    )
    return Reply(message="Shift definitions created", data=_shown(found))


async def _update(call: Call) -> Reply:
    setting = inputs.section(call.body, "PropertyShiftSetting")
    found = await definitions.update_definitions(
        call.platform,
        call.property_id,
        inputs.days_of_week(setting),
        inputs.definitions(setting),
        actor=call.actor,
    )
    return Reply(message="Shift definitions updated", data=_shown(found))


async def _read(call: Call) -> Reply:
    return Reply(data=_shown(await definitions.read_definitions(call.platform, call.property_id)))


async def _delete(call: Call) -> Reply:
    days = inputs.days_of_week(call.body)
    found = await definitions.delete_definitions(call.platform, call.property_id, days, actor=call.actor)
    return Reply(message="Shift definitions deleted", data=_shown(found))


async def _update_hours(call: Call) -> Reply:
    hours = inputs.shift_hours(call.body)
    found = await definitions.update_hours(call.platform, call.property_id, hours, actor=call.actor)
    return Reply(message="Shift hours updated", data=_shown_hours(found))


async def _read_hours(call: Call) -> Reply:
    return Reply(data=_shown_hours(await definitions.read_hours(call.platform, call.property_id)))


async def _delete_hours(call: Call) -> Reply:
    await definitions.delete_hours(call.platform, call.property_id, actor=call.actor)
    return Reply(message="Shift hours deleted", data=_shown_hours([]))


def _shown(found: definitions.Definitions) -> list[dict[str, Any]]:
    return [
        {"DayOfWeek": day, "ShiftSettings": [definition_record(one) for one in found[day]]} for day in sorted(found)
    ]


def _shown_hours(hours: Sequence[ShiftDefinition]) -> dict[str, Any]:
    return {"ShiftHours": [hours_record(one) for one in hours]}


_SETTING = of(
    needs("Name"),
    needs("Start", SECOND_OF_DAY),
    needs("End", SECOND_OF_DAY),
    may("ColorCode"),
    may("ExpectedPresent", NUMBER),
    may("ExpectedPresentByTeam", map_of(NUMBER)),
)
_SETTING_RECORD = of(
    needs("Name"),
    needs("ColorCode"),
    needs("Start", SECOND_OF_DAY),
    needs("End", SECOND_OF_DAY),
    may("ExpectedPresent", NUMBER),
    may("ExpectedPresentByTeam", map_of(NUMBER)),
)
_GIVEN = of(
    needs(
        "PropertyShiftSetting",
        of(
            needs("DaysOfWeek", ANY, "days of the week, 0 is Sunday", also=("DayOfWeek",)),
            needs("ShiftSettings", list_of(_SETTING)),
        ),
    )
)
_BY_DAY = list_of(of(needs("DayOfWeek", DAY), needs("ShiftSettings", list_of(_SETTING_RECORD))))
_HOURS = of(needs("ShiftName"), needs("ColorCode"), needs("Start", SECOND_OF_DAY), needs("End", SECOND_OF_DAY))
_HOURS_GIVEN: Shape = of(
    needs(
        "ShiftHours",
        list_of(of(needs("ShiftName"), may("ColorCode"), needs("Start", SECOND_OF_DAY), needs("End", SECOND_OF_DAY))),
    )
)
_ALL_HOURS = of(needs("ShiftHours", list_of(_HOURS)))

_MORNING = {"Name": "Morning", "Start": 25200, "End": 54000, "ColorCode": "#1F7A4D", "ExpectedPresent": 4}
_EXAMPLE = {"PropertyShiftSetting": {"ShiftSettings": [_MORNING], "DaysOfWeek": [1, 2]}}

OPERATIONS: tuple[Operation, ...] = (
    team_row(
        "createShiftDefinitionForProperty",
        "Say which shifts a property usually has on days of the week that had none; those of all days.",
        _create,
        _GIVEN,
        _BY_DAY,
        _EXAMPLE,
    ),
    team_row(
        "updateShiftDefinitionForProperty",
        "Say anew which shifts a property usually has on days of the week; those of all days.",
        _update,
        _GIVEN,
        _BY_DAY,
        _EXAMPLE,
    ),
    team_row(
        "getShiftDefinitionForProperty",
        "The shifts that a property usually has, by day of the week.",
        _read,
        NOTHING,
        _BY_DAY,
        None,
    ),
    team_row(
        "deleteShiftDefinitionForProperty",
        "Forget the shifts of days of the week; those of all other days.",
        _delete,
        of(needs("DaysOfWeek", DAYS)),
        _BY_DAY,
        {"DaysOfWeek": [1]},
    ),
    team_row(
        "updateShiftHoursForProperty",
        "Set the hours of the shifts of a property, by name, in the place of those before.",
        _update_hours,
        _HOURS_GIVEN,
        _ALL_HOURS,
        {"ShiftHours": [{"ShiftName": "Night", "ColorCode": "#1F2A4D", "Start": 79200, "End": 21600}]},
    ),
    team_row(
        "getShiftHoursForProperty",
        "The hours of the shifts of a property.",
        _read_hours,
        NOTHING,
        _ALL_HOURS,
        None,
    ),
    team_row(
        "deleteShiftHoursForProperty",
        "Forget the hours of the shifts of a property.",
        _delete_hours,
        NOTHING,
        _ALL_HOURS,
        None,
    ),
)
