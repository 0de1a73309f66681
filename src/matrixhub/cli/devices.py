"""`matrixhub devices`: the slots, the devices in them, and how these fare."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from matrixhub.cli.local import DataOption, JsonOption, Operator, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.lifecycle import SystemClock
from matrixhub.model.devices import battery_unit
from matrixhub.model.ids import PropertyId
from matrixhub.model.slot import DeviceSlot, SlotHealth, slot_health
from matrixhub.modules.devices import find_slots
from matrixhub.modules.work import Platform
from matrixhub.store.sites import list_properties, require_property

_STYLE: dict[SlotHealth, str] = {"healthy": "green", "unhealthy": "bold red", "never seen": "yellow"}


def devices(
    property_id: Annotated[
        str | None, typer.Option("--property", metavar="PROPERTY", help="Only those of this property.")
    ] = None,
    unhealthy: Annotated[bool, typer.Option("--unhealthy", help="Only those that are unhealthy.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the device slots, the devices in them, and how these fare.

    A device is unhealthy when nothing was heard of it for longer than devices.unhealthy_after_s, or for the time that
    its slot was given; `last seen` is the time of its newest reading and may lag ten seconds behind.

    \b
    matrixhub devices
    matrixhub devices --unhealthy --json
    """
    now = datetime.now(UTC)

    async def work() -> list[tuple[DeviceSlot, SlotHealth]]:
        async with open_operator(data) as operator:
            silence_s = operator.settings.devices.unhealthy_after_s
            found = [
                (slot, slot_health(slot, unhealthy_after_s=silence_s, now=now))
                async for slot in _slots(operator, property_id)
            ]
        return [(slot, health) for slot, health in found if health == "unhealthy" or not unhealthy]

    found = run_command(work)
    if as_json:
        print_json([_document(slot, health) for slot, health in found])
    elif not found:
        typer.echo("No device is unhealthy." if unhealthy else "No device slot yet: matrixhub site apply FILE")
    else:
        _print(found)


async def _slots(operator: Operator, property_id: str | None) -> AsyncIterator[DeviceSlot]:
    platform = Platform(database=operator.database, clock=SystemClock())
    if property_id is not None:
        await require_property(operator.database, PropertyId(property_id))
        properties = [property_id]
    else:
        properties = [row["id"] for row in await list_properties(operator.database)]
    for owner in properties:
        after = ""
        while True:
            page = await find_slots(platform, PropertyId(owner), after=after)
            for slot in page.slots:
                yield slot
            after = page.next_after
            if not after:
                break


def _document(slot: DeviceSlot, health: SlotHealth) -> dict[str, Any]:
    place = slot.slot
    return {
        "slot": place.id,
        "property": place.property_id,
        "building": place.building_id,
        "zone": place.zone_id,
        "type": place.devtype,
        "name": place.name,
        "hardware": place.hardware_id,
        "commissioning": slot.commissioning,
        "last_seen_at": None if slot.last_seen_at is None else slot.last_seen_at.isoformat(),
        "battery": slot.battery,
        "battery_unit": battery_unit(slot.kind) if slot.kind else "",
        "health": health,
    }


def _print(found: list[tuple[DeviceSlot, SlotHealth]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("slot", no_wrap=True)  # to be copied
    for name in ("name", "type", "hardware", "last seen", "battery", "health"):
        table.add_column(name, overflow="fold")
    for slot, health in found:
        place = slot.slot
        table.add_row(
            place.id,
            place.name,
            place.devtype,
            place.hardware_id,
            "" if slot.last_seen_at is None else f"{slot.last_seen_at.astimezone():%Y-%m-%d %H:%M:%S}",
            "" if slot.battery is None else f"{slot.battery:g} {battery_unit(slot.kind) if slot.kind else ''}",
            Text(health, style=_STYLE.get(health, "")),
        )
    Console(highlight=False).print(table)
