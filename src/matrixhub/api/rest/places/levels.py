"""`/hub/v1/buildings/{building_id}/levels`: levels, their floor plans, and what is where on these."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Response, delete, get, patch, post, put

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch
from matrixhub.api.idempotency import IdempotencyKey
from matrixhub.api.rest import place_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.places.asking import (
    MADE_PROBLEMS,
    BuildingPath,
    LevelPath,
    file_answer,
    made_once,
    matched,
    shown,
)
from matrixhub.api.rest.places.media import BYTES_TYPES, UPLOAD_BYTES_MAX
from matrixhub.api.rest.places.views import level_view
from matrixhub.model.errors import NotFound
from matrixhub.model.floor_plan import PlanPosition
from matrixhub.model.ids import BuildingId, LevelId
from matrixhub.model.place_draft import LevelChange, LevelDraft
from matrixhub.modules.grids import levels
from matrixhub.modules.work import Platform

LEVEL = "/buildings/{building_id:str}/levels/{level_id:str}"


@get(
    "/buildings/{building_id:str}/levels",
    operation_id="listLevels",
    summary="List the levels of a building",
    tags=["places"],
    opt={"permission": "scgrids.listLevelsByBuilding"},
)
async def list_(hub: Hub, property_id: PropertyScope, building_id: BuildingPath) -> doc.LevelList:
    """From the lowest up."""
    found = await levels.list_levels(hub.platform, property_id, BuildingId(building_id))
    return doc.LevelList(items=[level_view(one) for one in found])


@post(
    "/buildings/{building_id:str}/levels",
    operation_id="createLevel",
    summary="Create a level",
    tags=["places"],
    opt={
        "permission": "scgrids.createLevel",
        "takes": doc.NewLevel,
        "answers": {201: doc.LevelView},
        "headers": ("ETag", "Location"),
        "problems": MADE_PROBLEMS,
    },
)
async def create(
    hub: Hub,
    property_id: PropertyScope,
    building_id: BuildingPath,
    request: ApiRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response[bytes]:
    """Its floor plan is given apart."""
    body = await read_body(request)
    asked = parse_as(doc.NewLevel, body)
    draft = LevelDraft(name=asked.name, level=asked.level, area=asked.area)

    async def make(platform: Platform) -> tuple[doc.LevelView, str, int]:
        building = BuildingId(building_id)
        made = await levels.create_level(platform, property_id, building, draft, actor=caller(request).actor)
        return level_view(made), f"/buildings/{building_id}/levels/{made.id}", made.version

    return await made_once(hub, request, property_id, idempotency_key, body, make)


@get(
    LEVEL,
    operation_id="showLevel",
    summary="Show a level",
    tags=["places"],
    opt={"permission": "scgrids.readLevel", "headers": ("ETag",)},
)
async def show(
    hub: Hub, property_id: PropertyScope, building_id: BuildingPath, level_id: LevelPath
) -> Response[doc.LevelView]:
    """One level, without its floor plan."""
    found = await levels.read_level(hub.platform, property_id, BuildingId(building_id), LevelId(level_id))
    return shown(level_view(found), found.version)


@patch(
    LEVEL,
    operation_id="changeLevel",
    summary="Change a level",
    tags=["places"],
    opt={
        "permission": "scgrids.updateLevel",
        "takes": doc.LevelChange,
        "types": MERGE_PATCH_TYPES,
        "headers": ("ETag",),
        "problems": (409,),
    },
)
async def change(
    hub: Hub,
    property_id: PropertyScope,
    building_id: BuildingPath,
    level_id: LevelPath,
    request: ApiRequest,
    if_match: IfMatch = None,
) -> Response[doc.LevelView]:
    """Its name, word or area."""
    asked = parse_as(doc.LevelChange, await read_body(request, MERGE_PATCH_TYPES))
    building, level = BuildingId(building_id), LevelId(level_id)

    async def version() -> int:
        return (await levels.read_level(hub.platform, property_id, building, level)).version

    changed = await levels.update_level(
        hub.platform,
        property_id,
        building,
        level,
        LevelChange(name=asked.name, level=asked.level, area=asked.area),
        actor=caller(request).actor,
        version=await matched(if_match, version),
    )
    return shown(level_view(changed), changed.version)


@delete(
    LEVEL,
    operation_id="deleteLevel",
    summary="Delete a level",
    tags=["places"],
    opt={"permission": "scgrids.deleteLevel"},
)
async def remove(
    hub: Hub, property_id: PropertyScope, building_id: BuildingPath, level_id: LevelPath, request: ApiRequest
) -> None:
    """With its zones and their slots."""
    await levels.delete_level(
        hub.platform, property_id, BuildingId(building_id), LevelId(level_id), actor=caller(request).actor
    )


@get(
    f"{LEVEL}/floor-plan",
    operation_id="showFloorPlan",
    summary="Show a floor plan",
    tags=["places"],
    opt={"permission": "scgrids.readFloorPlan", "gives_bytes": ("image/png", "image/jpeg")},
)
async def show_plan(
    hub: Hub, property_id: PropertyScope, building_id: BuildingPath, level_id: LevelPath
) -> Response[bytes]:
    """The image itself."""
    plan = await levels.read_floor_plan(hub.platform, property_id, BuildingId(building_id), LevelId(level_id))
    if plan is None:
        raise NotFound(f"level {level_id} has no floor plan")
    return file_answer(plan.image, plan.media_type)


@put(
    f"{LEVEL}/floor-plan",
    operation_id="giveFloorPlan",
    summary="Give a level a floor plan",
    tags=["places"],
    request_max_body_size=UPLOAD_BYTES_MAX,
    opt={
        "permission": "scgrids.updateLevelFloorPlan",
        "takes_bytes": BYTES_TYPES,
        "headers": ("ETag",),
    },
)
async def give_plan(
    hub: Hub, property_id: PropertyScope, building_id: BuildingPath, level_id: LevelPath, request: ApiRequest
) -> Response[doc.LevelView]:
    """A PNG or JPEG of at most 2 MB, in the place of the one that there is."""
    image = await read_body(request, BYTES_TYPES, size_max=UPLOAD_BYTES_MAX)
    changed = await levels.update_floor_plan(
        hub.platform, property_id, BuildingId(building_id), LevelId(level_id), image, actor=caller(request).actor
    )
    return shown(level_view(changed), changed.version)


@get(
    f"{LEVEL}/positions",
    operation_id="listPlanPositions",
    summary="List what is where on a floor plan",
    tags=["places"],
    opt={"permission": "scgrids.readFloorPlan"},
)
async def positions(
    hub: Hub, property_id: PropertyScope, building_id: BuildingPath, level_id: LevelPath
) -> doc.PlanPositions:
    """Zones first."""
    at = (property_id, BuildingId(building_id), LevelId(level_id))
    return _positions_view(await levels.list_plan_positions(hub.platform, *at))


@put(
    f"{LEVEL}/positions",
    operation_id="placeOnPlan",
    summary="Say what is where on a floor plan",
    tags=["places"],
    opt={"permission": "scgrids.updateLevelFloorPlan", "takes": doc.PlanPositions},
)
async def place(
    hub: Hub, property_id: PropertyScope, building_id: BuildingPath, level_id: LevelPath, request: ApiRequest
) -> doc.PlanPositions:
    """All of it: what is not named is nowhere on it. Zones and slots are on the plan of their own level only."""
    asked = parse_as(doc.PlanPositions, await read_body(request))
    wanted = [PlanPosition(kind=one.kind, id=one.id, x=one.x, y=one.y) for one in asked.items]
    at = (property_id, BuildingId(building_id), LevelId(level_id))
    return _positions_view(await levels.place_on_plan(hub.platform, *at, wanted, actor=caller(request).actor))


def _positions_view(found: Sequence[PlanPosition]) -> doc.PlanPositions:
    return doc.PlanPositions(items=[doc.PlanPosition(kind=p.kind, id=p.id, x=p.x, y=p.y) for p in found])


handlers = [list_, create, show, change, remove, show_plan, give_plan, positions, place]
