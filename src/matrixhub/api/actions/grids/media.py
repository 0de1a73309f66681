"""Operations on media attachments.

Source: docs/contract/grids.md §8
"""

from __future__ import annotations

import base64

from matrixhub.api.actions.grids.shapes import IDS, file_of, operation
from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, NUMBER, Shape, list_of, may, needs, of
from matrixhub.model.media import MediaDraft, check_thumbnails, media_uri, read_entity, read_kind, read_uri
from matrixhub.modules import media

_KEPT = of(needs("URI"), needs("Type"), needs("Entity"), needs("ContentType"), needs("Size", NUMBER, "bytes"))
_THUMBNAIL = of(needs("URI"), needs("Thumbnail", note="JPEG in base64, '' of a video"))


async def _upload(call: Call) -> Reply:
    draft = MediaDraft(
        kind=read_kind(call.body["Type"]), entity=read_entity(call.body["Entity"]), content=file_of(call, "File")
    )
    prepared = await media.prepare_media(draft)
    made = await media.keep_media(
        call.platform, call.property_id, prepared, quota_bytes=call.parts.media_bytes_max, actor=call.actor
    )
    return Reply(
        data={
            "URI": media_uri(made.id),
            "Type": made.kind,
            "Entity": made.entity,
            "ContentType": made.media_type,
            "Size": made.size_bytes,
        }
    )


async def _read(call: Call) -> Reply:
    found = await media.read_content(call.platform, call.property_id, read_uri(call.body["URI"]))
    return Reply(data=base64.b64encode(found.content).decode())


async def _thumbnails(call: Call) -> Reply:
    uris: list[str] = call.body["URIs"]
    check_thumbnails(len(uris))
    wanted = [read_uri(uri) for uri in uris]
    found = await media.find_thumbnails(call.platform, call.property_id, wanted)
    return Reply(
        data=[
            {"URI": media_uri(one), "Thumbnail": base64.b64encode(found[one] or b"").decode()}
            for one in wanted
            if one in found
        ]
    )


OPERATIONS: tuple[Operation, ...] = (
    operation(
        "uploadMediaAttachment",
        "Keep a picture or video that goes with an incident or audit, by a form.",
        _upload,
        _KEPT,
        request=of(
            needs("Type", note="image or video"),
            needs("Entity", note="incident or audits"),
            may("File", ANY, "PNG, JPEG, WebP or MP4 of at most 2 MB, a file of the form"),
        ),
        takes_form=True,
    ),
    operation(
        "getMediaAttachment",
        "A picture or video in base64.",
        _read,
        Shape("text", "base64"),
        request=of(needs("URI")),
        example={"URI": "media/med_8f14e45fceea167a5a36"},
    ),
    operation(
        "getThumbnails",
        "Small pictures of at most five attachments; those that there are not are left out.",
        _thumbnails,
        list_of(_THUMBNAIL),
        request=of(needs("URIs", IDS, "at most 5")),
        example={"URIs": ["media/med_8f14e45fceea167a5a36"]},
    ),
)
