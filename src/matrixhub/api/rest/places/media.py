"""`/hub/v1/media`: pictures and videos that go with incidents and audits."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, post
from litestar.params import PathParameter, QueryParameter

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import ApiRequest, read_body
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.rest import place_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.places.asking import ID, file_answer
from matrixhub.api.rest.places.views import media_view
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import MediaId
from matrixhub.model.media import MEDIA_BYTES_MAX, MEDIA_TYPES, MediaDraft, MediaEntity, MediaKind, media_type_of
from matrixhub.modules import media
from matrixhub.modules.work import Platform
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer

BYTES_TYPES = ("application/octet-stream",)
"""What a file is sent as: of what type it is is told by its first bytes."""

UPLOAD_BYTES_MAX = MEDIA_BYTES_MAX + 1_024
"""A little more than is taken, so that what is too large is told as such."""

MediaPath = Annotated[str, PathParameter(pattern=ID, description="Id of the attachment, med_….")]
EntityQuery = Annotated[MediaEntity, QueryParameter(description="What it goes with.")]


@get(
    "/media",
    operation_id="listMedia",
    summary="List attachments",
    tags=["media"],
    opt={"permission": "scgrids.getMediaAttachment"},
)
async def list_(
    hub: Hub, property_id: PropertyScope, cursor: CursorQuery = None, limit: LimitQuery = LIMIT
) -> doc.MediaPage:
    """Those of the property, oldest first, without their bytes."""
    after = read_cursor("media", cursor, MediaId)
    found = await media.list_media(hub.platform, property_id, after=after, limit=limit + 1)
    page, following = cut_page(found, limit, lambda one: make_cursor("media", one.created_at, one.id))
    return doc.MediaPage(items=[media_view(one) for one in page], next=following)


@post(
    "/media",
    operation_id="keepMedia",
    summary="Keep a picture or video",
    tags=["media"],
    request_max_body_size=UPLOAD_BYTES_MAX,
    opt={
        "permission": "scgrids.uploadMediaAttachment",
        "takes_bytes": BYTES_TYPES,
        "answers": {201: doc.MediaView},
        "headers": ("Location",),
    },
)
async def keep(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    entity: EntityQuery = "incident",
    idempotency_key: IdempotencyKey = None,
) -> Response[bytes]:
    """A PNG, JPEG, WebP or MP4 of at most 2 MB; a picture gets a thumbnail."""
    body = await read_body(request, BYTES_TYPES, size_max=UPLOAD_BYTES_MAX)
    kind: MediaKind = "video" if media_type_of(body) == "video/mp4" else "image"
    draft = MediaDraft(kind=kind, entity=entity, content=body)

    async def prepare() -> Make:
        prepared = await media.prepare_media(draft)

        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            made = await media.keep_media(
                platform, property_id, prepared, quota_bytes=hub.media_bytes_max, actor=caller(request).actor
            )
            return answer(201, media_view(made), {"Location": f"/hub/v1/media/{made.id}"})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/media/{media_id:str}",
    operation_id="showMedia",
    summary="Show an attachment",
    tags=["media"],
    opt={"permission": "scgrids.getMediaAttachment"},
)
async def show(hub: Hub, property_id: PropertyScope, media_id: MediaPath) -> doc.MediaView:
    """What it is, without its bytes."""
    return media_view(await media.read_media(hub.platform, property_id, MediaId(media_id)))


@get(
    "/media/{media_id:str}/content",
    operation_id="showMediaContent",
    summary="Show a picture or video",
    tags=["media"],
    opt={"permission": "scgrids.getMediaAttachment", "gives_bytes": MEDIA_TYPES},
)
async def content(hub: Hub, property_id: PropertyScope, media_id: MediaPath) -> Response[bytes]:
    """The bytes themselves."""
    found = await media.read_content(hub.platform, property_id, MediaId(media_id))
    return file_answer(found.content, found.media_type)


@get(
    "/media/{media_id:str}/thumbnail",
    operation_id="showThumbnail",
    summary="Show a thumbnail",
    tags=["media"],
    opt={"permission": "scgrids.getThumbnails", "gives_bytes": ("image/jpeg",)},
)
async def thumbnail(hub: Hub, property_id: PropertyScope, media_id: MediaPath) -> Response[bytes]:
    """A JPEG of at most 320 by 320 pixels; a video has none."""
    found = await media.find_thumbnails(hub.platform, property_id, [MediaId(media_id)])
    small = found.get(MediaId(media_id))
    if small is None:
        raise NotFound(f"property {property_id} has no thumbnail of {media_id}")
    return file_answer(small, "image/jpeg")


@delete("/media/{media_id:str}", operation_id="deleteMedia", summary="Delete an attachment", tags=["media"])
async def remove(hub: Hub, property_id: PropertyScope, media_id: MediaPath) -> None:
    """What names it shows nothing any more."""
    await media.remove_media(hub.platform, property_id, MediaId(media_id))


handlers = [list_, keep, show, content, thumbnail, remove]
