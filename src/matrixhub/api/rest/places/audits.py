"""`/hub/v1/audits`: inspections of zones."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.idempotency import IdempotencyKey
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, make_cursor, read_cursor
from matrixhub.api.rest import place_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.places.asking import ID, MADE_PROBLEMS, BuildingQuery, ZoneQuery, made_once
from matrixhub.api.rest.places.views import audit_view
from matrixhub.model.audit import Audit
from matrixhub.model.ids import AuditId, BuildingId, ZoneId
from matrixhub.model.place import Page
from matrixhub.modules import audits
from matrixhub.modules.grids.zones import building_of_zone
from matrixhub.modules.work import Platform

AuditPath = Annotated[str, PathParameter(pattern=ID, description="Id of the audit, aud_….")]


@get("/audits", operation_id="listAudits", summary="List audits", tags=["places"])
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    building: BuildingQuery = None,
    zone: ZoneQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.AuditPage:
    """Those of the property, the latest first."""
    after = read_cursor("audit", cursor, AuditId)
    page = await audits.list_audits(
        hub.platform,
        property_id,
        building_id=BuildingId(building) if building is not None else None,
        zone_id=ZoneId(zone) if zone is not None else None,
        after=after[1] if after else None,
        limit=limit,
    )
    return doc.AuditPage(items=[audit_view(one) for one in page.items], next=_cursor(page))


@post(
    "/audits",
    operation_id="startAudit",
    summary="Start an audit",
    tags=["places"],
    opt={
        "takes": doc.NewAudit,
        "answers": {201: doc.AuditView},
        "headers": ("Location",),
        "problems": MADE_PROBLEMS,
    },
)
async def start(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """Of a zone; several may go on at once."""
    body = await read_body(request)
    asked = parse_as(doc.NewAudit, body)

    async def make(platform: Platform) -> tuple[doc.AuditView, str, int]:
        zone = ZoneId(asked.zone)
        building = await building_of_zone(platform, property_id, zone)
        made = await audits.start_audit(
            platform, property_id, building, zone, name=asked.name, by=asked.by, actor=caller(request).actor
        )
        return audit_view(made), f"/audits/{made.id}", 0

    return await made_once(hub, request, property_id, idempotency_key, body, make)


@get("/audits/{audit_id:str}", operation_id="showAudit", summary="Show an audit", tags=["places"])
async def show(hub: Hub, property_id: PropertyScope, audit_id: AuditPath) -> doc.AuditView:
    """One audit; it outlives its zone."""
    return audit_view(await audits.read_audit(hub.platform, property_id, AuditId(audit_id)))


@post(
    "/audits/{audit_id:str}/complete",
    operation_id="completeAudit",
    summary="Complete an audit",
    tags=["places"],
    status_code=200,
    opt={"takes": doc.AuditResult, "problems": (409,)},
)
async def complete(hub: Hub, property_id: PropertyScope, audit_id: AuditPath, request: ApiRequest) -> doc.AuditView:
    """With its score, once."""
    asked = parse_as(doc.AuditResult, await read_body(request))
    done = await audits.complete_audit(
        hub.platform,
        property_id,
        AuditId(audit_id),
        score=asked.score,
        comment=asked.comment,
        actor=caller(request).actor,
    )
    return audit_view(done)


def _cursor(page: Page[Audit]) -> str | None:
    last = page.items[-1] if page.next_after is not None else None
    return make_cursor("audit", last.started_at, last.id) if last is not None else None


handlers = [list_, start, show, complete]
