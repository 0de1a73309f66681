"""Operations on the settings of incidents and schedules. Source: docs/contract/workforce.md §5"""

from __future__ import annotations

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import FLAG, NUMBER, Shape, map_of, may, needs, of
from matrixhub.api.actions.work_shapes import Fields, row
from matrixhub.model.workforce_settings import SettingGroup
from matrixhub.modules.workforce import settings
from matrixhub.modules.workforce.work_inputs import parse_keys, parse_setting_changes

_INCIDENT, _SCHEDULE = settings.GROUP_NAMES["incident"], settings.GROUP_NAMES["schedule"]


async def _incident_settings(call: Call, asked: Fields) -> Reply:
    found = await settings.read_workforce_settings(call.platform, call.property_id, call.building_id)
    record = settings.settings_record("incident", found, call.building_id)
    return Reply(message="Settings fetched", data=record)


async def _settings(call: Call, asked: Fields) -> Reply:
    found = await settings.read_workforce_settings(call.platform, call.property_id, call.building_id)
    return Reply(message="Settings fetched", data=settings.both_settings_record(found, call.building_id))


async def _update_incident_settings(call: Call, asked: Fields) -> Reply:
    return await _updated(call, "incident", asked)


async def _update_settings(call: Call, asked: Fields) -> Reply:
    return await _updated(call, "schedule", asked)


async def _updated(call: Call, group: SettingGroup, asked: Fields) -> Reply:
    changes = parse_setting_changes(asked, settings.GROUP_NAMES[group])
    found = await settings.update_workforce_settings(
        call.platform, call.property_id, call.building_id, group, changes, actor=call.actor
    )
    record = settings.settings_record(group, found, call.building_id)
    return Reply(message="Settings updated", data=record)


async def _system_incident_settings(call: Call, asked: Fields) -> Reply:
    return Reply(
        message="Settings fetched", data=settings.system_settings_record("incident", parse_keys(asked, _INCIDENT))
    )


async def _system_schedule_settings(call: Call, asked: Fields) -> Reply:
    return Reply(
        message="Settings fetched", data=settings.system_settings_record("schedule", parse_keys(asked, _SCHEDULE))
    )


async def _new_settings(call: Call, asked: Fields) -> Reply:
    keys = parse_keys(asked, _INCIDENT, _SCHEDULE)
    found = await settings.new_system_settings(call.platform, call.property_id, call.building_id, keys)
    return Reply(message="Settings fetched", data=settings.values_record(found))


async def _add_new_settings(call: Call, asked: Fields) -> Reply:
    keys = parse_keys(asked, _INCIDENT, _SCHEDULE)
    added = await settings.add_new_system_settings(
        call.platform, call.property_id, call.building_id, keys, actor=call.actor
    )
    return Reply(message=f"{len(added)} settings added", data=settings.values_record(added))


_SETTING = of(
    needs("Type", note="Boolean, Long or String"),
    may("BooleanValue", FLAG),
    may("LongValue", NUMBER),
    may("Value"),
    needs("Description"),
    may("Unit"),
)
_GROUP = map_of(_SETTING, "by key")
_OF_BUILDING = (needs("ATTR"), needs("ID"))
_GIVEN = Shape("any", "key to a setting, or to its value; also in an object of the same name once more")
_SELECTED = Shape("any", "an object or a list of keys; without it all")
_INCIDENT_SPELLINGS = ("IncidentsSettings",)


OPERATIONS: tuple[Operation, ...] = (
    row(
        "getIncidentsSettings",
        "The settings of incidents of a building.",
        _incident_settings,
        response=of(needs(_INCIDENT, _GROUP), *_OF_BUILDING),
    ),
    row(
        "getSettings",
        "The settings of incidents and of schedules of a building.",
        _settings,
        response=of(needs(_INCIDENT, _GROUP), needs(_SCHEDULE, _GROUP), *_OF_BUILDING),
    ),
    row(
        "updateIncidentsSettings",
        "Change settings of incidents: all that are given, or none.",
        _update_incident_settings,
        request=of(needs(_INCIDENT, _GIVEN, also=_INCIDENT_SPELLINGS)),
        response=of(needs(_INCIDENT, _GROUP), *_OF_BUILDING),
        example={
            "IncidentSettings": {
                "IncidentSettings": {"INCIDENT_HIGH_TIMEOUT": {"Type": "Long", "LongValue": 600, "Unit": "s"}}
            }
        },
    ),
    row(
        "updateSettings",
        "Change settings of schedules: all that are given, or none.",
        _update_settings,
        request=of(needs(_SCHEDULE, _GIVEN)),
        response=of(needs(_SCHEDULE, _GROUP), *_OF_BUILDING),
        example={
            "ScheduleSettings": {"ScheduleSettings": {"AUTO_CLOCKOUT": {"Type": "Boolean", "BooleanValue": False}}}
        },
    ),
    row(
        "getSystemIncidentSettings",
        "The settings of incidents that hold where a building has none of its own.",
        _system_incident_settings,
        request=of(may(_INCIDENT, _SELECTED, also=_INCIDENT_SPELLINGS)),
        response=of(needs(_INCIDENT, _GROUP)),
        example={"IncidentSettings": {"IncidentSettings": ["INCIDENT_HIGH_TIMEOUT"]}},
        needs_building=False,
    ),
    row(
        "getSystemScheduleSettings",
        "The settings of schedules that hold where a building has none of its own.",
        _system_schedule_settings,
        request=of(may(_SCHEDULE, _SELECTED)),
        response=of(needs(_SCHEDULE, _GROUP)),
        example={"ScheduleSettings": {"ScheduleSettings": ["DELAYED_SHIFT_THRESHOLD"]}},
        needs_building=False,
    ),
    row(
        "getNewSystemSettings",
        "The settings of the system that a building has no value of its own for.",
        _new_settings,
        request=of(may(_INCIDENT, _SELECTED, also=_INCIDENT_SPELLINGS), may(_SCHEDULE, _SELECTED)),
        response=of(needs(_INCIDENT, _GROUP), needs(_SCHEDULE, _GROUP)),
        example={"IncidentSettings": {"IncidentSettings": ["INCIDENT_HIGH_TIMEOUT"]}},
        certainty="name published",
    ),
    row(
        "addNewSystemSettings",
        "Make the defaults of settings that a building has no value for its own; answers with those.",
        _add_new_settings,
        request=of(may(_INCIDENT, _SELECTED, also=_INCIDENT_SPELLINGS), may(_SCHEDULE, _SELECTED)),
        response=of(needs(_INCIDENT, _GROUP), needs(_SCHEDULE, _GROUP)),
        example={"ScheduleSettings": {"ScheduleSettings": ["AUTO_CLOCKOUT"]}},
        certainty="name published",
    ),
)
