"""Acts on the settings of a building, and how they show on the wire. Source: docs/contract/workforce.md §5"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from matrixhub.model.devices import Json
from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.workforce_settings import (
    ALIASES,
    SETTINGS,
    SettingGroup,
    SettingKind,
    SettingValue,
    WorkforceSettings,
    checked_setting,
)
from matrixhub.modules.work import Platform
from matrixhub.store import workforce_settings as store

GROUP_NAMES: Mapping[SettingGroup, str] = {"incident": "IncidentSettings", "schedule": "ScheduleSettings"}
ATTR_WORDS: Mapping[SettingGroup, str] = {"incident": "incidents", "schedule": "schedules"}

DEFAULTS = WorkforceSettings({})
"""The settings of the system: those of a building that has none of its own."""


async def read_workforce_settings(
    platform: Platform, property_id: PropertyId, building_id: BuildingId
) -> WorkforceSettings:
    """The settings of a building. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        return await store.read_settings(connection, property_id, building_id)


async def update_workforce_settings(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    group: SettingGroup,
    changes: Mapping[str, object],
    *,
    actor: str,
) -> WorkforceSettings:
    """The settings of a building with some of a group changed: all of them, or none.

    Shape:  changes is key → value, or key → a setting as `setting_record` shows it.
    Raises: NotFound, MissingParameters, WrongParameters, StoreError
    """
    if not changes:
        raise MissingParameters(f"{GROUP_NAMES[group]} is needed")
    checked = dict(checked_setting(group, key, given_value(key, value)) for key, value in changes.items())
    async with platform.work(property_id, actor) as work:
        return await store.update_settings(
            work.connection,
            property_id,
            building_id,
            incident=checked if group == "incident" else {},
            schedule=checked if group == "schedule" else {},
        )


def given_value(key: str, given: object) -> object:
    """The value of a setting that is given as it is, or in its field of a document. Raises WrongParameters."""
    if not isinstance(given, Mapping):
        return given
    for field in ("BooleanValue", "LongValue", "Value"):
        if given.get(field) is not None:
            return given[field]
    raise WrongParameters(f"{key[:80]} has none of BooleanValue, LongValue and Value")


def settings_record(group: SettingGroup, settings: WorkforceSettings, building_id: BuildingId) -> dict[str, Json]:
    """The settings of a group as Matrix Web Services show them."""
    return {
        GROUP_NAMES[group]: _records(group, settings, None),
        "ATTR": f"attr#{ATTR_WORDS[group]}#{building_id}",
        "ID": building_id,
    }


def system_settings_record(group: SettingGroup, keys: Collection[str] = ()) -> dict[str, Json]:
    """The defaults of a group, or of these settings in it, as Matrix Web Services show them. Raises WrongParameters."""
    return {GROUP_NAMES[group]: _records(group, DEFAULTS, keys or None)}


def setting_record(kind: SettingKind, value: SettingValue) -> dict[str, Json]:
    """A setting as Matrix Web Services show it."""
    if isinstance(kind.default, bool):
        record: dict[str, Json] = {"Type": "Boolean", "BooleanValue": bool(value)}
    elif isinstance(kind.default, int):
        record = {"Type": "Long", "LongValue": int(value)}
    else:
        record = {"Type": "String", "Value": str(value)}
    record["Description"] = kind.description
    if kind.unit:
        record["Unit"] = kind.unit
    return record


def _records(group: SettingGroup, settings: WorkforceSettings, keys: Collection[str] | None) -> dict[str, Json]:
    kinds = {kind.key: kind for kind in SETTINGS.values() if kind.group == group}
    wanted = kinds if keys is None else {ALIASES.get(key, key) for key in keys}
    unknown = set(wanted) - kinds.keys()
    if unknown:
        raise WrongParameters(f"there is no {group} setting {min(unknown)[:80]!r}")
    return {
        key: setting_record(kind, settings.own.get(key, kind.default)) for key, kind in kinds.items() if key in wanted
    }
