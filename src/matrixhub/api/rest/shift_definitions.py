"""`/hub/v1/shift-definitions`: the shifts a property usually has, by day of the week."""

from __future__ import annotations

from litestar import delete, get, put

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.rest import shift_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.shift_views import DayPath, actor_of, definitions_view
from matrixhub.model.shift_definition import ShiftDefinition
from matrixhub.modules.workforce import definitions


@get(
    "/shift-definitions",
    operation_id="listShiftDefinitions",
    summary="List usual shifts",
    tags=["workforce"],
    opt={"permission": "scteams.getShiftDefinitionForProperty"},
)
async def list_(hub: Hub, property_id: PropertyScope) -> doc.DefinitionList:
    """For planners; no shift is made from them."""
    return definitions_view(await definitions.read_definitions(hub.platform, property_id))


@put(
    "/shift-definitions/{day:int}",
    operation_id="setShiftDefinitions",
    summary="Say which shifts are usual on a day",
    tags=["workforce"],
    opt={"permission": "scteams.updateShiftDefinitionForProperty", "takes": doc.NewDefinitions},
)
async def set_(hub: Hub, property_id: PropertyScope, day: DayPath, request: ApiRequest) -> doc.DefinitionList:
    """In the place of those before; those of all days are answered."""
    asked = parse_as(doc.NewDefinitions, await read_body(request))
    shifts = [
        ShiftDefinition(
            name=one.name,
            start_s=one.start_s,
            end_s=one.end_s,
            colour=one.colour,
            expected=one.expected,
            expected_by_team=one.expected_by_team,
        )
        for one in asked.shifts
    ]
    found = await definitions.set_definitions(hub.platform, property_id, day, shifts, actor=actor_of(request))
    return definitions_view(found)


@delete(
    "/shift-definitions/{day:int}",
    operation_id="deleteShiftDefinitions",
    summary="Forget the usual shifts of a day",
    tags=["workforce"],
    opt={"permission": "scteams.deleteShiftDefinitionForProperty"},
)
async def remove(hub: Hub, property_id: PropertyScope, day: DayPath, request: ApiRequest) -> None:
    """Those of all other days stay."""
    await definitions.delete_definitions(hub.platform, property_id, [day], actor=actor_of(request))


handlers = [list_, set_, remove]
