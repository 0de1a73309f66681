"""A client of Matrix Web Services as tests need it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.integration.rest.rig import Client, Reply, Rig

from matrixhub.api.actions.registry import BY_NAME
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, SeatId, SlotId, ZoneId
from matrixhub.model.site import Site
from matrixhub.modules.work import Platform


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """A property, and who calls operations on it."""

    rig: Rig
    client: Client
    site: Site
    platform: Platform
    seat_id: SeatId

    @property
    def property_id(self) -> PropertyId:
        return self.site.property.id

    @property
    def building_id(self) -> BuildingId:
        return self.site.buildings[0].id

    @property
    def level_id(self) -> LevelId:
        return self.site.zones[0].level_id

    @property
    def zone_id(self) -> ZoneId:
        return self.site.zones[0].id

    @property
    def slot_id(self) -> SlotId:
        return self.site.slots[0].id

    @property
    def root(self) -> str:
        """Where the hub is."""
        return self.client.url.removesuffix("/hub/v1")

    def query(self, operation: str, **fields: str) -> dict[str, str]:
        """The query of an operation on the building; what is given as '' is left out."""
        given = {"op": operation, "org": "ORCHARD", "pid": self.building_id, "propid": self.property_id, **fields}
        return {name: value for name, value in given.items() if value}

    async def send(
        self,
        operation: str,
        body: object = None,
        *,
        prefix: str = "/prod/v2",
        service: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Reply:
        """Call an operation, and give back whatever comes."""
        path = service if service is not None else getattr(BY_NAME.get(operation), "service", "scgrids")
        client = Client(self.root, self.client.session, self.client.key, self.client.seen)
        text = urlencode(self.query(operation, **query))
        where = f"{prefix}/{path}/v1/actions" if path else f"{prefix}/v1/actions"
        return await client.ask("POST", f"{where}?{text}", body, headers=headers)

    async def call(self, operation: str, body: object = None, **given: Any) -> Any:
        """Call an operation that works, and give back its whole answer."""
        reply = await self.send(operation, body, **given)
        row = BY_NAME[operation]
        assert reply.status == row.status, reply.content
        assert reply.headers["Content-Type"] == "application/json"
        answer = reply.json()
        match row.envelope:
            case "grids":
                assert (answer["status"], answer["message"]) == (row.status, "Success")
            case "workforce":
                assert answer["code"] == "SUCCESS"
                assert answer["message"]
        return answer

    async def data(self, operation: str, body: object = None, **given: Any) -> Any:
        """Call an operation that works, and give back its data."""
        return (await self.call(operation, body, **given))["data"]

    async def refused(self, operation: str, body: object = None, **given: Any) -> tuple[int, str]:
        """Call an operation that is refused, and give back status and code."""
        reply = await self.send(operation, body, **given)
        assert reply.status >= 400, reply.content
        assert reply.headers["Content-Type"] == "application/json"
        answer = reply.json()
        assert answer["message"]
        return reply.status, answer["code"]

    def example(self, operation: str) -> Any:
        """The example of an operation with ids of this property."""
        text = json.dumps(BY_NAME[operation].example)
        ids = {"zone": self.zone_id, "level": self.level_id, "slot": self.slot_id, "seat": self.seat_id}
        for name, found in {**ids, "building": self.building_id, "property": self.property_id}.items():
            text = text.replace(f"{{{name}}}", found)
        return json.loads(text)
