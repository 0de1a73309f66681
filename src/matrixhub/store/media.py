"""Media attachments of a property, with their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from matrixhub.model.errors import NotFound
from matrixhub.model.ids import MediaId, PropertyId
from matrixhub.model.media import Media, MediaContent
from matrixhub.store.sql import load_statements

_SQL = load_statements("media.sql")


async def lock_kept_bytes(connection: Any, property_id: PropertyId) -> int:
    """How many bytes the attachments of a property take; nobody adds any until the end of the transaction."""
    await connection.execute(_SQL["lock_quota"], property_id)
    return int(await connection.fetchval(_SQL["kept_bytes"], property_id))


async def insert_media(connection: Any, made: Media, content: bytes, thumbnail: bytes | None) -> None:
    """Keep an attachment."""
    await connection.execute(
        _SQL["insert"],
        made.id,
        made.property_id,
        made.kind,
        made.entity,
        made.media_type,
        made.size_bytes,
        content,
        thumbnail,
        made.created_by,
        made.created_at,
    )


async def read_media(connection: Any, property_id: PropertyId, media_id: MediaId) -> Media:
    """An attachment without its bytes. Raises NotFound."""
    row = await connection.fetchrow(_SQL["show"], property_id, media_id)
    if row is None:
        raise _no_media(property_id, media_id)
    return Media(**dict(row))


async def page_media(
    connection: Any, property_id: PropertyId, *, after: tuple[datetime, MediaId] | None, limit: int
) -> Sequence[Media]:
    """At most so many attachments, oldest first, behind the place `after`."""
    rows = await connection.fetch(_SQL["page"], property_id, *(after or (None, None)), limit)
    return [Media(**dict(row)) for row in rows]


async def read_content(connection: Any, property_id: PropertyId, media_id: MediaId) -> MediaContent:
    """The bytes of an attachment. Raises NotFound."""
    row = await connection.fetchrow(_SQL["content"], property_id, media_id)
    if row is None:
        raise _no_media(property_id, media_id)
    return MediaContent(**dict(row))


async def find_thumbnails(
    connection: Any, property_id: PropertyId, media_ids: Sequence[MediaId]
) -> Mapping[MediaId, bytes | None]:
    """The thumbnails of those of the attachments that there are, None of a video."""
    rows = await connection.fetch(_SQL["thumbnails"], property_id, list(media_ids))
    return {row["id"]: row["thumbnail"] for row in rows}


async def delete_media(connection: Any, property_id: PropertyId, media_id: MediaId) -> None:
    """Remove an attachment. Raises NotFound."""
    if await connection.fetchval(_SQL["delete"], property_id, media_id) is None:
        raise _no_media(property_id, media_id)


def _no_media(property_id: PropertyId, media_id: MediaId) -> NotFound:
    return NotFound(f"property {property_id} has no attachment {media_id}")
