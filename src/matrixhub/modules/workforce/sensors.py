"""The incidents sensors raise: what each kind of slot calls them.

Source: docs/contract/incidents.md §2.5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from matrixhub.model.errors import WrongParameters
from matrixhub.model.site import Slot, Zone
from matrixhub.model.work_order import IncidentDraft, TaskItem


@dataclass(frozen=True, slots=True)
class SensorIncident:
    """What an incident of a sensor is called, and how it is described; `{zone}` is the name of the zone."""

    name: str
    description: str


_USAGE = SensorIncident("High usage", "High usage of {zone}")
_AIR = SensorIncident("Bad air quality", "Bad air quality in {zone}")

SENSOR_INCIDENTS: Mapping[str, SensorIncident] = {
    "PPLCTR": _USAGE,
    "UM": _USAGE,
    "ODRDTR": _AIR,
    "ODRDTR_BATT_V1": _AIR,
    "WD": SensorIncident("Water spill", "Spill detected in {zone}"),
    "FD": SensorIncident("User Feedback", "Bad feedback for {zone}"),
    "TR": SensorIncident("Toilet roll low", "Toilet roll is low in {zone}"),
    "PT": SensorIncident("Paper towel low", "Paper towel is low in {zone}"),
    "SS": SensorIncident("Soap low", "Soap is low in {zone}"),
    "BIN": SensorIncident("Bin full", "Bin is full in {zone}"),
}
"""By the short type of the slot, the part of its type behind `#`."""


def draft_for_sensor(devtype: str, slot: Slot, zone: Zone, at: datetime, *, comments: str = "") -> IncidentDraft:
    """The incident a reading of that slot raises: of high priority, for whoever the hub finds.

    Raises: WrongParameters for a type that raises none.

    >>> from datetime import UTC
    >>> slot = Slot(
    ...     id="s", property_id="p", building_id="b", zone_id="z", devtype="SMARTCLEAN#WD", name="", time_zone="UTC"
    ... )
    >>> zone = Zone(id="z", building_id="b", level_id="l", name="Lobby")
    >>> draft_for_sensor(slot.devtype, slot, zone, datetime(2024, 3, 10, tzinfo=UTC)).description
    'Spill detected in Lobby'
    """
    short = devtype.rpartition("#")[2]
    kind = SENSOR_INCIDENTS.get(short)
    if kind is None:
        raise WrongParameters(f"slots of type {devtype} raise no incidents")
    return IncidentDraft(
        zone_id=zone.id,
        name=kind.name,
        raised_by=short,
        tasks=(TaskItem(name=kind.name, comments=comments),),
        priority="H",
        starts_at=at,
        event_source=f"{slot.property_id}#sensor",
        subject="Information",
        description=kind.description.format(zone=zone.name),
        auto_assigned=True,
        source_slots=(slot.id,),
    )
