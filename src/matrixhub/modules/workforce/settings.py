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

_FIELDS = ("BooleanValue", "LongValue", "Value")
_FIELD_OF = {"Boolean": "BooleanValue", "Long": "LongValue", "String": "Value"}

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


async def change_workforce_settings(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, changes: Mapping[str, object], *, actor: str
) -> WorkforceSettings:
    """The settings of a building with some of both groups changed, all or none; None is the default.

    Raises: NotFound, WrongParameters, StoreError.
    """
    given = {ALIASES.get(key, key): value for key, value in changes.items()}
    if unknown := given.keys() - SETTINGS.keys():
        raise WrongParameters(f"there is no setting {min(unknown)[:80]!r}")
    checked = dict(
        checked_setting(SETTINGS[key].group, key, SETTINGS[key].default if value is None else value)
        for key, value in given.items()
    )
    async with platform.work(property_id, actor) as work:
        return await store.update_settings(work.connection, property_id, building_id, **_by_group(checked))


def groups_of(keys: Collection[str]) -> frozenset[SettingGroup]:
    """The groups that settings are in; what is no setting is in none.

    >>> groups_of(["AUTO_CLOCKOUT", "no such setting"])
    frozenset({'schedule'})
    """
    named = (ALIASES.get(key, key) for key in keys)
    return frozenset(SETTINGS[key].group for key in named if key in SETTINGS)


async def new_system_settings(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, keys: Collection[str] = ()
) -> Mapping[str, SettingValue]:
    """The settings of the system that a building has no value of its own for, all or of these.

    Raises: NotFound, WrongParameters for a setting that there is not.
    """
    return _not_set(await read_workforce_settings(platform, property_id, building_id), keys)


async def add_new_system_settings(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, keys: Collection[str] = (), *, actor: str
) -> Mapping[str, SettingValue]:
    """Make the defaults of settings that a building has no value for its own, so that they stay; which that were.

    Raises: NotFound, WrongParameters for a setting that there is not.
    """
    async with platform.work(property_id, actor) as work:
        added = _not_set(await store.lock_settings(work.connection, property_id, building_id), keys)
        await store.update_settings(work.connection, property_id, building_id, **_by_group(added))
    return added


def given_value(key: str, given: object) -> object:
    """The value of a setting that is given as it is, or in a field of a document: that of its `Type`, else the first.

    Raises: WrongParameters.

    >>> given_value("INCIDENT_LOW_TIMEOUT", {"Type": "Long", "BooleanValue": False, "LongValue": 900})
    900
    """
    if not isinstance(given, Mapping):
        return given
    fields = sorted(_FIELDS, key=lambda field: field != _FIELD_OF.get(str(given.get("Type"))))
    for field in fields:
        if given.get(field) is not None:
            return given[field]
    raise WrongParameters(f"{key[:80]} has none of BooleanValue, LongValue and Value")


def both_settings_record(settings: WorkforceSettings, building_id: BuildingId) -> dict[str, Json]:
    """The settings of both groups, as `getSettings` shows them."""
    return {GROUP_NAMES["schedule"]: _records("schedule", settings, None)} | settings_record(
        "incident", settings, building_id
    )


def values_record(values: Mapping[str, SettingValue]) -> dict[str, Json]:
    """Some settings of both groups, as Matrix Web Services show them."""
    settings = WorkforceSettings(values)
    return {
        name: _records(group, settings, [key for key in values if SETTINGS[key].group == group])
        for group, name in GROUP_NAMES.items()
    }


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


def _by_group(values: Mapping[str, SettingValue]) -> dict[SettingGroup, dict[str, SettingValue]]:
    return {
        group: {key: value for key, value in values.items() if SETTINGS[key].group == group} for group in GROUP_NAMES
    }


def _not_set(settings: WorkforceSettings, keys: Collection[str]) -> dict[str, SettingValue]:
    wanted = {ALIASES.get(key, key) for key in keys} or SETTINGS.keys()
    if unknown := set(wanted) - SETTINGS.keys():
        raise WrongParameters(f"there is no setting {min(unknown)[:80]!r}")
    return {key: kind.default for key, kind in SETTINGS.items() if key in wanted and key not in settings.own}


def _records(group: SettingGroup, settings: WorkforceSettings, keys: Collection[str] | None) -> dict[str, Json]:
    kinds = {kind.key: kind for kind in SETTINGS.values() if kind.group == group}
    wanted = kinds if keys is None else {ALIASES.get(key, key) for key in keys}
    unknown = set(wanted) - kinds.keys()
    if unknown:
        raise WrongParameters(f"there is no {group} setting {min(unknown)[:80]!r}")
    return {
        key: setting_record(kind, settings.own.get(key, kind.default)) for key, kind in kinds.items() if key in wanted
    }
