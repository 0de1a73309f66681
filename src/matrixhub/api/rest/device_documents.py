"""What the REST face takes and gives about device slots, the devices in them, and who supplies these."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from matrixhub.api.rest.documents import Given, Instant, Next, Taken
from matrixhub.api.rest.place_documents import PlaceId, Version
from matrixhub.model.slot import NAME_LENGTH_MAX, SILENCE_S_MAX, Commissioning, SlotHealth
from matrixhub.model.text import TEXT_MAX

DeviceType = Annotated[
    str,
    Meta(min_length=1, max_length=80, description="A provider, `#` and a predefined type, such as `SMARTCLEAN#UM`."),
]
SlotName = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Parameters = Annotated[dict[str, Any], Meta(description="What the device is told, such as `MAX` and `OFFSET`.")]
Silence = Annotated[
    Annotated[int, Meta(ge=0, le=SILENCE_S_MAX)] | None,
    Meta(description="Seconds after which it is unhealthy; 0: never, null: that of the settings."),
]


class SlotView(Given, frozen=True, kw_only=True):
    """A slot: a place for one device of a type. `device` is the number of the one in it, or ''."""

    id: str
    devtype: str
    provider: str
    name: str
    building: str
    level: str
    zone: str
    time_zone: str
    device: str
    sub_type: str
    parameters: Parameters
    firmware: str
    connection: str
    commissioning: Commissioning
    commissioned_at: Instant | None
    unhealthy_after_s: Silence
    health: SlotHealth
    last_seen_at: Instant | None
    battery: Annotated[float | None, Meta(description="In the unit of the type; null where nothing told it.")]
    created_by: str
    created_at: Instant
    updated_by: str
    updated_at: Instant
    version: Version


class SlotPage(Given, frozen=True, kw_only=True):
    """Slots in the order of their ids."""

    items: list[SlotView]
    next: Next


class NewSlot(Taken, frozen=True, kw_only=True):
    """A slot in a zone; without an id one is made."""

    zone: PlaceId
    devtype: DeviceType
    name: SlotName
    id: PlaceId | None = None
    parameters: Parameters = msgspec.field(default_factory=dict)


class SlotChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays. Of the parameters, null takes one away and the others stay."""

    name: SlotName | None = None
    zone: PlaceId | None = None
    parameters: Parameters | None = None
    firmware: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    connection: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None


class SlotSilence(Taken, frozen=True, kw_only=True):
    """How long a slot may be silent."""

    unhealthy_after_s: Silence


class DeviceNumber(Taken, frozen=True, kw_only=True):
    """A device, by its number."""

    device: PlaceId


class AssociationView(Given, frozen=True, kw_only=True):
    """A device in a slot, from when to when; `ended_at` is null while it is there."""

    slot: str
    device: str
    began_at: Instant
    began_by: str
    ended_at: Instant | None
    ended_by: str


class AssociationList(Given, frozen=True, kw_only=True):
    """Which devices stood in a slot, newest first, at most 1,000."""

    items: list[AssociationView]


class ProviderList(Given, frozen=True, kw_only=True):
    """The providers whose types slots may have, by name."""

    items: list[str]
