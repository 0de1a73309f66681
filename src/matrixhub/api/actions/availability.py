"""Operations on availability: when, and in which zones, seats can be called on without a shift.

Source: docs/contract/workforce.md §4.1
"""

from __future__ import annotations

from collections.abc import Mapping

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, FLAG, NOTHING, TEXT, Shape, list_of, map_of, may, needs, of
from matrixhub.api.actions.workforce_shapes import DAY, DAYS, SEAT_ID, SECOND_OF_DAY, team_row
from matrixhub.model.availability import availability_record, zones_record
from matrixhub.model.errors import MissingParameters
from matrixhub.model.ids import BuildingId, SeatId, ZoneId
from matrixhub.modules.workforce import availability
from matrixhub.modules.workforce import shift_inputs as inputs


async def _create(call: Call) -> Reply:
    wanted = inputs.section(call.body, "Availability")
    made = await availability.create_availability(
        call.platform,
        call.property_id,
        inputs.seat_of(wanted),
        inputs.days_of_week(wanted),
        inputs.day_slots(wanted),
        actor=call.actor,
    )
    return Reply(message="Availability created", data=[availability_record(one) for one in made])


async def _update(call: Call) -> Reply:
    found = await availability.update_availability(
        call.platform,
        call.property_id,
        inputs.seat_of(call.body),
        inputs.availabilities(call.body),
        actor=call.actor,
    )
    return Reply(message="Availability updated", data=[availability_record(one) for one in found])


async def _delete(call: Call) -> Reply:
    seat_id = inputs.seat_of(call.body)
    await availability.delete_availability(call.platform, call.property_id, seat_id, actor=call.actor)
    return Reply(message="Availability deleted", data={"SeatId": seat_id})


async def _of_seat(call: Call) -> Reply:
    seat_id = inputs.seat_of(call.body)
    found = await availability.list_availabilities(call.platform, call.property_id, seat_id=seat_id)
    return Reply(data=[availability_record(one) for one in found])


async def _of_property(call: Call) -> Reply:
    found = await availability.list_availabilities(call.platform, call.property_id)
    return Reply(data=[availability_record(one) for one in found])


async def _of_day(call: Call) -> Reply:
    days = inputs.days_of_week(call.body)
    if len(days) != 1:
        raise MissingParameters("DayOfWeek is one day of the week")
    found = await availability.list_availabilities(call.platform, call.property_id, day_of_week=days[0])
    return Reply(data=[availability_record(one) for one in found])


async def _set_zones(call: Call) -> Reply:
    wanted = inputs.section(call.body, "SeatAvailabilityZones")
    seat_id, zones = inputs.seat_of(wanted), inputs.seat_zones(wanted)
    found = await availability.set_availability_zones(
        call.platform, call.property_id, seat_id, zones, buildings=zones, actor=call.actor
    )
    return _zones(seat_id, found, "Availability zones set")


async def _get_zones(call: Call) -> Reply:
    seat_id = inputs.seat_of(call.body)
    return _zones(seat_id, await availability.read_availability_zones(call.platform, call.property_id, seat_id))


async def _delete_zones(call: Call) -> Reply:
    seat_id = inputs.seat_of(call.body)
    await availability.delete_availability_zones(call.platform, call.property_id, seat_id, actor=call.actor)
    return _zones(seat_id, {}, "Availability zones deleted")


def _zones(seat_id: SeatId, zones: Mapping[BuildingId, Mapping[ZoneId, str]], message: str = "") -> Reply:
    return Reply(message=message, data=zones_record(seat_id, zones))


_SLOTS = needs(
    "TimeSlots",
    list_of(of(needs("StartTime", SECOND_OF_DAY), needs("EndTime", SECOND_OF_DAY), may("Name"))),
    "at most two; one that ends before it starts ends on the next day",
)
_DAY_RECORD = of(
    needs("SeatId"),
    needs("DayOfWeek", DAY),
    needs(
        "TimeSlots",
        list_of(
            of(
                needs("StartTime", SECOND_OF_DAY),
                needs("EndTime", SECOND_OF_DAY),
                needs("Name"),
                needs("NextDay", FLAG),
            )
        ),
    ),
)
_ALL: Shape = list_of(_DAY_RECORD)
_ONE_SEAT = of(SEAT_ID)
_WHERE = of(SEAT_ID, needs("Zones", map_of(map_of(ANY)), "building: zone: its name, which is looked up"))
_ZONES_RECORD = of(needs("SeatId"), needs("Zones", map_of(map_of(TEXT))))

_SEAT = {"SeatId": "{seat}"}
_DAY_SLOT = {"StartTime": 28800, "EndTime": 61200, "Name": "Day"}
_ZONES_EXAMPLE = {"SeatAvailabilityZones": {**_SEAT, "Zones": {"{building}": {"{zone}": "Washroom L2 Male"}}}}

OPERATIONS: tuple[Operation, ...] = (
    team_row(
        "createSeatAvailability",
        "Say when a seat is available on days of the week on which it was not; all its days.",
        _create,
        of(needs("Availability", of(SEAT_ID, needs("DaysOfWeek", DAYS), _SLOTS))),
        _ALL,
        {"Availability": {**_SEAT, "DaysOfWeek": [1, 2], "TimeSlots": [_DAY_SLOT]}},
    ),
    team_row(
        "updateSeatAvailability",
        "Say anew when a seat is available on days of the week; all its days.",
        _update,
        of(
            SEAT_ID,
            needs(
                "Availabilities",
                list_of(of(needs("DayOfWeek", ANY, "a day, or a list of them", also=("DaysOfWeek",)), _SLOTS)),
            ),
        ),
        _ALL,
        {**_SEAT, "Availabilities": [{"DayOfWeek": 1, "TimeSlots": [_DAY_SLOT]}]},
    ),
    team_row(
        "deleteSeatAvailability",
        "Let a seat be available at no time.",
        _delete,
        _ONE_SEAT,
        of(needs("SeatId")),
        _SEAT,
        certainty="name published",
    ),
    team_row("getAvailabilityBySeatId", "When a seat is available.", _of_seat, _ONE_SEAT, _ALL, _SEAT),
    team_row(
        "getAvailabilityByProperty",
        "When the active seats of a property are available.",
        _of_property,
        NOTHING,
        _ALL,
        None,
    ),
    team_row(
        "getAvailabilityInPropertyForDow",
        "When the active seats of a property are available on a day of the week.",
        _of_day,
        of(needs("DayOfWeek", DAY)),
        _ALL,
        {"DayOfWeek": 1},
    ),
    team_row(
        "createAvailabilityZones",
        "Let a seat work in these zones only, of any building of the property.",
        _set_zones,
        of(needs("SeatAvailabilityZones", _WHERE)),
        _ZONES_RECORD,
        _ZONES_EXAMPLE,
    ),
    team_row(
        "updateAvailabilityZones",
        "Let a seat work in these zones only, in the place of those before.",
        _set_zones,
        of(needs("SeatAvailabilityZones", _WHERE)),
        _ZONES_RECORD,
        _ZONES_EXAMPLE,
    ),
    team_row("getAvailabilityZones", "The zones a seat is confined to.", _get_zones, _ONE_SEAT, _ZONES_RECORD, _SEAT),
    team_row("deleteAvailabilityZones", "Let a seat work everywhere.", _delete_zones, _ONE_SEAT, _ZONES_RECORD, _SEAT),
)
