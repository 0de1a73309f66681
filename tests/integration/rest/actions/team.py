"""A team at work in the property of a client: shifts in whatever state a test needs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.integration.rest.actions.matrix import Matrix

HOUR = 3600

State = Literal["planned", "published", "started", "on break", "completed", "absent", "claimed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """A client of operations on shifts. Times are seconds from now."""

    matrix: Matrix

    @property
    def seat(self) -> Mapping[str, str]:
        return {"SeatId": self.matrix.seat_id}

    def at(self, in_s: float) -> int:
        return int(time.time() + in_s)

    def draft(self, in_s: float = -HOUR, length_s: float = 4 * HOUR, **fields: Any) -> dict[str, Any]:
        start = self.at(in_s)
        return {"Start": start, "End": start + int(length_s), "TimeZone": "Asia/Singapore", **fields}

    def task(self, name: str = "Mopping", in_s: float = 0.0, **fields: Any) -> dict[str, Any]:
        start = self.at(in_s)
        given = {"Name": name, "Zone": self.matrix.zone_id, "Start": start, "End": start + 600}
        return {**given, "Tasks": [{"Name": "Mop floor"}], **fields}

    async def plan(self, state: State = "published", *, in_s: float = -HOUR, tasks: Any = (), **fields: Any) -> Any:
        """A shift of the seat that has begun an hour ago and ends in three, in a state."""
        body = {
            **self.seat,
            "Schedule": [{"shift": self.draft(in_s, **fields), "taskGroup": list(tasks)}],
            "Publish": state != "planned",
        }
        [shift] = await self.data("createShift", body)
        named = self.named(shift)
        steps = {
            "planned": [],
            "published": [],
            "absent": ["markShiftAbsent"],
            "started": ["shiftStart"],
            "on break": ["shiftStart", "startBreak"],
            "completed": ["shiftStart", "shiftEnd"],
            "claimed": ["shiftStart", "shiftEnd", "requestTimeSheet"],
        }[state]
        for step in steps:
            sheet = {"TimeSheet": {**named["Shift"], **self.worked()}}
            await self.data(step, sheet if step == "requestTimeSheet" else {**named, "Breaks": [{"ID": "tea"}]})
        return shift

    def worked(self) -> dict[str, int]:
        return {"Start": self.at(-HOUR), "End": self.at(0)}

    @staticmethod
    def named(shift: Mapping[str, Any]) -> dict[str, Any]:
        """How a body names a shift."""
        return {"Shift": {"SeatId": shift["SeatId"], "ShiftId": shift["ShiftId"]}}

    def example(self, operation: str, shift: Mapping[str, Any] | None = None) -> Any:
        """The example of an operation, with ids of the property."""
        text = json.dumps(self.matrix.example(operation))
        return json.loads(text.replace("{shift}", shift["ShiftId"] if shift else "no such shift"))

    async def data(self, name: str, body: object = None, **given: Any) -> Any:
        return await self.matrix.data(f"scteams.{name}", body, **given)

    async def refused(self, name: str, body: object = None, **given: Any) -> str:
        """The code an operation is refused with, which is with status 400."""
        status, code = await self.matrix.refused(f"scteams.{name}", body, **given)
        assert status == 400
        return code

    async def rows(self) -> list[Any]:
        """All that is kept of the workforce of the property."""
        tables = ("seats", "shifts", "work_orders", "availabilities", "timesheets", "shift_definitions", "shift_hours")
        statements = [f"select * from {table} where property_id = $1 order by 1, 2" for table in tables]
        zones = "select z.* from seat_zones z join seats s on s.id = z.seat_id where s.property_id = $1 order by 1, 2"
        events = "select line from events where property_id = $1 order by number"
        async with self.matrix.rig.database.connection() as connection:
            return [await connection.fetch(one, self.matrix.property_id) for one in (*statements, zones, events)]
