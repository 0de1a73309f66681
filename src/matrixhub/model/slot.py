"""A device slot as people manage it: its device, its parameters, whether it is in service, and how its device fares.

What ingest needs of a slot is `model.site.Slot`, which is a part of it.
Source: docs/contract/devices.md
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from matrixhub.model.devices import DeviceType, Json, device_type, provider_of
from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.ids import LevelId, SlotId, ZoneId, is_id
from matrixhub.model.site import Slot

Commissioning = Literal["new", "commissioned", "decommissioned"]

SlotHealth = Literal["healthy", "unhealthy", "never seen", "not checked", "out of service"]

NAME_LENGTH_MAX = 200
PARAMETERS_BYTES_MAX = 16_384
SILENCE_S_MAX = 31_536_000

_PROVIDER = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,31}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceSlot:
    """A slot with all that is known of it.

    `unhealthy_after_s` is a silence of its own: None for that of the settings, 0 for never. `battery` is in the unit of
    the device type, None where nothing told it since the device was put in. `version` counts the changes of the
    slot, not what is heard of it.
    """

    slot: Slot
    organisation_id: str
    level_id: LevelId
    firmware: str = ""
    connection: str = ""
    commissioning: Commissioning = "new"
    commissioned_at: datetime | None = None
    unhealthy_after_s: int | None = None
    last_seen_at: datetime | None = None
    battery: float | None = None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    version: int = 1

    @property
    def id(self) -> SlotId:
        """Its id, which stays when the device is swapped."""
        return self.slot.id

    @property
    def kind(self) -> DeviceType | None:
        """Its predefined type, or None for one that only a site file names."""
        return device_type(self.slot.devtype)

    @property
    def provider(self) -> str:
        """Who supplies its devices."""
        return provider_of(self.slot.devtype)

    @property
    def associated(self) -> bool:
        """Whether a device is in it."""
        return bool(self.slot.hardware_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Association:
    """A device in a slot, from when to when; `ended_at` is None while it is there."""

    slot_id: SlotId
    hardware_id: str
    began_at: datetime
    began_by: str
    ended_at: datetime | None
    ended_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """The newest that was heard of a slot in a while; `battery` is None where its reading told none."""

    slot_id: SlotId
    seen_at: datetime
    battery: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotFilter:
    """Which slots are wanted: those for which all that is named holds; None names nothing."""

    ids: Collection[SlotId] | None = None
    devtypes: Collection[str] | None = None
    provider: str | None = None
    zone_ids: Collection[ZoneId] | None = None


@dataclass(frozen=True, slots=True)
class SlotPage:
    """Slots in the order of their ids, and the id behind which the next page goes on; '' if there is none."""

    slots: tuple[DeviceSlot, ...]
    next_after: str


def provider_type_filter(text: str) -> SlotFilter:
    """What a slot type, or a provider alone, selects.

    >>> provider_type_filter("SMARTCLEAN#UM").devtypes, provider_type_filter("SMARTCLEAN").provider
    (('SMARTCLEAN#UM',), 'SMARTCLEAN')
    """
    if "#" in text or device_type(text) is not None:
        return SlotFilter(devtypes=(text,))
    return SlotFilter(provider=text)


def silence_allowed_s(slot: DeviceSlot, unhealthy_after_s: float) -> float:
    """How long the slot may be silent before its device counts as unhealthy; 0: as long as it likes.

    `unhealthy_after_s` is the setting. A type that speaks only when it is touched has no such limit, unless the slot
    was given one of its own.
    """
    if slot.unhealthy_after_s is not None:
        return slot.unhealthy_after_s
    kind = slot.kind
    return unhealthy_after_s if kind is None or kind.regular else 0


def slot_health(slot: DeviceSlot, *, unhealthy_after_s: float, now: datetime) -> SlotHealth:
    """How the device of a slot fares at an instant.

    A slot that was never heard of is unhealthy once it has been in service for the time it may be silent.
    """
    if slot.commissioning == "decommissioned":
        return "out of service"
    allowed_s = silence_allowed_s(slot, unhealthy_after_s)
    if not allowed_s:
        return "not checked"
    since = slot.last_seen_at or (slot.commissioned_at if slot.commissioning == "commissioned" else None)
    if since is not None and (now - since).total_seconds() > allowed_s:
        return "unhealthy"
    return "healthy" if slot.last_seen_at is not None else "never seen"


def missing_parameters(slot: Slot) -> tuple[str, ...]:
    """The parameters that the type of the slot asks for and that it has not."""
    kind = device_type(slot.devtype)
    return tuple(name for name in kind.required_parameters if name not in slot.parameters) if kind else ()


def slot_record(slot: DeviceSlot, *, unhealthy_after_s: float, now: datetime) -> dict[str, Json]:
    """The slot as Matrix Web Services give it, with `DeviceId` beside `Devid`.

    Source: docs/contract/devices.md §7
    """
    place, kind = slot.slot, slot.kind
    health = slot_health(slot, unhealthy_after_s=unhealthy_after_s, now=now)
    return {
        "Alias": place.id,
        "Type": place.devtype,
        "Display": place.name,
        "Devid": place.hardware_id,
        "DeviceId": place.hardware_id,
        "FirmwareVersion": slot.firmware,
        "Conn": slot.connection,
        "Org": slot.organisation_id,
        "PropId": place.property_id,
        "PID": place.building_id,
        "LID": slot.level_id,
        "ZoneId": place.zone_id,
        "ProviderOrg": slot.provider,
        "PartnerId": slot.provider,
        "TZ": place.time_zone,
        "Params": {"DeviceParams": dict(place.parameters)},
        "Commissioned": int(slot.commissioning == "commissioned"),
        "DeviceNotAssociated": int(not slot.associated),
        "ParamsNotConfigured": int(bool(missing_parameters(place))),
        "ParamsOnDeviceNotConfigured": 0,
        "RequiresHealthCheck": int(silence_allowed_s(slot, unhealthy_after_s) > 0),
        "RequiresOnDeviceConfiguration": 0,
        "RequiresParamsConfiguration": int(kind is not None and bool(kind.required_parameters)),
        "Unhealthy": int(health == "unhealthy"),
        "CreatedBy": slot.created_by,
        "CreatedOn": _epoch_s(slot.created_at),
        "UpdatedBy": slot.updated_by,
        "UpdatedOn": _epoch_s(slot.updated_at),
        "ID": f"SCDevices#{place.id}",
        "ATTR": f"attr#devices#info#{place.id}",
        "NS": "DEVICE_INFO_GENERAL",
        "SRN": "null",
    }


def device_record(slot: DeviceSlot) -> dict[str, Json]:
    """The fewer fields by which the Java SDK knows a device.

    Source: docs/contract/devices.md §7
    """
    place = slot.slot
    return {
        "Alias": place.id,
        "ATTR": f"attr#devices#info#{place.id}",
        "Commissioned": int(slot.commissioning == "commissioned"),
        "CreatedOn": _epoch_s(slot.created_at),
        "DeviceId": place.hardware_id,
        "Display": place.name,
        "ID": f"SCDevices#{place.id}",
        "Lid": slot.level_id,
        "PID": place.building_id,
        "Type": place.devtype,
        "ZoneId": place.zone_id,
    }


def _epoch_s(instant: datetime) -> int:
    return int(instant.timestamp())


def checked_provider(name: str) -> str:
    """The name of a provider, as it may stand before the `#` of a slot type. Raises WrongParameters.

    >>> checked_provider("ACME")
    'ACME'
    """
    if not _PROVIDER.fullmatch(name):
        raise WrongParameters(
            "the name of a provider has 1 to 32 capital letters, digits, `_` and `-`, and begins with a letter or digit"
        )
    return name


def checked_slot_id(text: str) -> SlotId:
    """An id that was given for a slot. Raises WrongParameters."""
    if not is_id(text):
        raise WrongParameters("the id of a slot is 1 to 128 printable characters without outer blanks")
    return SlotId(text)


def checked_name(text: str) -> str:
    """A display name without outer blanks. Raises MissingParameters, WrongParameters."""
    name = text.strip()
    if not name:
        raise MissingParameters("a slot has a name")
    if len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise WrongParameters(f"the name of a slot has at most {NAME_LENGTH_MAX} printable characters")
    return name


def checked_hardware(text: str) -> str:
    """The number of a device. Raises MissingParameters, WrongParameters."""
    if not text:
        raise MissingParameters("a device has a number")
    if not is_id(text):
        raise WrongParameters("the number of a device is 1 to 128 printable characters without outer blanks")
    return text


def checked_silence(seconds: int | None) -> int | None:
    """How long a slot may be silent, None for the setting. Raises WrongParameters."""
    if seconds is not None and not 0 <= seconds <= SILENCE_S_MAX:
        raise WrongParameters(f"the silence of a slot is 0 (any) to {SILENCE_S_MAX} s")
    return seconds


def device_parameters(params: Mapping[str, Json]) -> Mapping[str, Json]:
    """What is inside `{"DeviceParams": {…}}`. Raises MissingParameters, WrongParameters.

    >>> device_parameters({"DeviceParams": {"MAX": 110, "OFFSET": 5}})
    {'MAX': 110, 'OFFSET': 5}
    """
    if "DeviceParams" not in params:
        raise MissingParameters("`Params` has no `DeviceParams`")
    if len(params) > 1:
        raise WrongParameters("`Params` has nothing but `DeviceParams`")
    found = params["DeviceParams"]
    if not isinstance(found, dict):
        raise WrongParameters("`DeviceParams` is not an object")
    return found


def patched_parameters(before: Mapping[str, Json], changes: Mapping[str, Json]) -> Mapping[str, Json]:
    """Parameters after a change: those given are set, null takes one away, the others stay. Raises WrongParameters.

    >>> patched_parameters({"MAX": 110, "OFFSET": 5}, {"OFFSET": 7, "MAX": None, "LOW": 1})
    {'OFFSET': 7, 'LOW': 1}
    """
    after = {key: value for key, value in {**before, **changes}.items() if value is not None}
    if len(msgspec.json.encode(after)) > PARAMETERS_BYTES_MAX:
        raise WrongParameters(f"the parameters of a slot take at most {PARAMETERS_BYTES_MAX:,} bytes")
    return after
