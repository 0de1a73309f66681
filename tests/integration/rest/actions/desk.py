"""A property with work in every state, and who calls the operations on it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.rest.actions.checks import check_answer
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import SEEDS, Rig

from matrixhub.api.actions.registry import BY_NAME
from matrixhub.lifecycle import SystemClock
from matrixhub.model.ids import BuildingId, PropertyId, ShiftId, TaskId
from matrixhub.model.work_order import Assignee, IncidentDraft, TaskItem
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.assignment import to_seat
from matrixhub.modules.workforce.attendance import create_ad_hoc_shift
from matrixhub.modules.workforce.comments import add_comment
from matrixhub.modules.workforce.escalation import create_policy
from matrixhub.modules.workforce.incidents import create_incident
from matrixhub.modules.workforce.seats import create_seat
from matrixhub.modules.workforce.tasks import TaskDraft, add_tasks
from matrixhub.modules.workforce.work_orders import start_work
from matrixhub.sources.sites import make_site
from matrixhub.store.sites import apply_site

KEPT = (
    "work_orders",
    "work_order_history",
    "escalation_policies",
    "escalation_notices",
    "workforce_settings",
    "custom_tasks",
    "task_groups",
    "timers",
    "events",
)
"""The tables that acts on incidents, tasks, settings and policies change; all have the property."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """A property with two buildings; in the first a shift under way, an incident, a task, a comment and a policy."""

    matrix: Matrix
    shift_id: ShiftId
    incident: TaskId
    task: TaskId
    comment: str

    @property
    def platform(self) -> Platform:
        return self.matrix.platform

    @property
    def property_id(self) -> PropertyId:
        return self.matrix.property_id

    @property
    def building_id(self) -> BuildingId:
        return self.matrix.building_id

    @property
    def other_building(self) -> BuildingId:
        return self.matrix.site.buildings[1].id

    @property
    def names(self) -> list[bytes]:
        """What must not be seen by another property."""
        return [one.encode() for one in (self.property_id, self.building_id, *self.ids.values())]

    @property
    def ids(self) -> dict[str, str]:
        """What the names in examples stand for."""
        return {
            "zone": self.matrix.zone_id,
            "seat": self.matrix.seat_id,
            "shift": self.shift_id,
            "incident": self.incident,
            "task": self.task,
            "comment": self.comment,
        }

    def filled(self, document: Any, **ids: str) -> Any:
        """A document with ids of this property."""
        text = json.dumps(document)
        for name, found in {**self.ids, **ids}.items():
            text = text.replace(f"{{{name}}}", found)
        return json.loads(text)

    def example(self, name: str, **ids: str) -> Any:
        """The example of an operation, given without its prefix."""
        return self.filled(BY_NAME[f"scteams.{name}"].example, **ids)

    async def call(self, name: str, body: object = None, **query: str) -> Any:
        """Call an operation that works; its whole answer, which has the shape of its row."""
        answer = await self.matrix.call(f"scteams.{name}", body, **query)
        assert answer["data"] is not None
        check_answer(BY_NAME[f"scteams.{name}"], answer)
        return answer

    async def data(self, name: str, body: object = None, **query: str) -> Any:
        """Call an operation that works; its data."""
        return (await self.call(name, body, **query))["data"]

    async def refused(self, name: str, body: object = None, **query: Any) -> str:
        """Call an operation that is refused with 400; the code."""
        return (await self.refusal(name, body, **query))[0]

    async def refusal(self, name: str, body: object = None, **query: Any) -> tuple[str, str]:
        """Call an operation that is refused with 400; the code, and what it says."""
        reply = await self.matrix.send(f"scteams.{name}", body, **query)
        assert reply.status == 400, reply.content
        return reply.json()["code"], reply.json()["message"]

    async def report(self, assignee: Assignee | None = None, **fields: Any) -> TaskId:
        """An incident, open or somebody's."""
        draft = IncidentDraft(
            **{
                "zone_id": self.matrix.zone_id,
                "name": "Tap drips",
                "raised_by": "Guard desk",
                "tasks": (TaskItem(name="Close valve"),),
                "assignee": assignee,
                **fields,
            }
        )
        made = await create_incident(self.platform, self.property_id, self.building_id, draft, actor="desk")
        return made.id

    async def report_to_seat(self) -> TaskId:
        """An incident of the seat itself."""
        return await self.report(to_seat(self.matrix.seat_id))

    async def plan(self, *, started: bool = False, **fields: Any) -> TaskId:
        """A task of the shift."""
        now = datetime.fromtimestamp(int(time.time()), UTC)
        draft = TaskDraft(
            **{
                "zone_id": self.matrix.zone_id,
                "name": "Morning clean",
                "starts_at": now,
                "ends_at": now + timedelta(hours=1),
                "tasks": (TaskItem(name="Mopping"),),
                **fields,
            }
        )
        (made,) = await add_tasks(
            self.platform, self.property_id, self.matrix.seat_id, self.shift_id, [draft], actor="desk"
        )
        if started:
            await start_work(self.platform, self.property_id, made.id, actor="desk")
        return made.id

    async def rows(self) -> list[Any]:
        """All that is kept of the property's work."""
        tables = (f"select '{table}', t::text from {table} t where property_id = $1" for table in KEPT)
        async with self.platform.database.connection() as connection:
            return list(await connection.fetch(f"{' union all '.join(tables)} order by 1, 2", self.property_id))


async def furnish(rig: Rig) -> Desk:
    """A property with everything that examples name."""
    site = make_site(32, 2, seed=next(SEEDS))
    await apply_site(rig.database, site, remove=False)
    platform = Platform(database=rig.database, clock=SystemClock())
    seat = await create_seat(platform, site.property.id, name="Ann Lee", actor="ann")
    client = await rig.client(site.property.id)
    matrix = Matrix(rig=rig, client=client, site=site, platform=platform, seat_id=seat.id)
    building = matrix.building_id
    shift = await create_ad_hoc_shift(
        platform, site.property.id, building, seat.id, time_zone="Asia/Singapore", actor="ann"
    )
    await create_policy(platform, site.property.id, building, {"Name": "Standard"}, actor="ann")
    desk = Desk(matrix=matrix, shift_id=shift.id, incident=TaskId(""), task=TaskId(""), comment="")
    incident = await desk.report()
    comment = await add_comment(platform, site.property.id, incident, "Valve is stuck", "Ann Lee", actor="ann")
    return Desk(matrix=matrix, shift_id=shift.id, incident=incident, task=await desk.plan(), comment=comment.id)
