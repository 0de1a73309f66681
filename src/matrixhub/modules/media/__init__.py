"""Media attachments are kept, shown and removed; they are a property's own.

Source: docs/contract/grids.md §8
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from matrixhub.model.ids import MediaId, PropertyId, new_id
from matrixhub.model.media import Media, MediaContent, MediaDraft, check_quota, check_thumbnails
from matrixhub.model.paging import check_page
from matrixhub.modules.media.thumbnails import make_thumbnail
from matrixhub.modules.work import Platform
from matrixhub.store import media as store
from matrixhub.store.grids import read_property


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedMedia:
    """An attachment with its thumbnail, which can be kept without more ado."""

    draft: MediaDraft
    thumbnail: bytes | None


async def prepare_media(draft: MediaDraft) -> PreparedMedia:
    """The attachment with a thumbnail where it is a picture; this takes time, so no transaction is open meanwhile.

    Raises: WrongParameters if it is a picture that cannot be read.
    """
    thumbnail = await asyncio.to_thread(make_thumbnail, draft.content) if draft.kind == "image" else None
    return PreparedMedia(draft=draft, thumbnail=thumbnail)


async def keep_media(
    platform: Platform, property_id: PropertyId, prepared: PreparedMedia, *, quota_bytes: int, actor: str
) -> Media:
    """An attachment that is kept from now on. Raises: NotFound, LimitViolated, StoreError."""
    draft, thumbnail = prepared.draft, prepared.thumbnail
    async with platform.work(property_id, actor) as work:
        await read_property(work.connection, property_id)
        kept = await store.lock_kept_bytes(work.connection, property_id)
        check_quota(kept, len(draft.content), quota_bytes)
        made = Media(
            id=MediaId(new_id("med")),
            property_id=property_id,
            kind=draft.kind,
            entity=draft.entity,
            media_type=draft.media_type,
            size_bytes=len(draft.content),
            has_thumbnail=thumbnail is not None,
            created_by=actor,
            created_at=work.now,
        )
        await store.insert_media(work.connection, made, draft.content, thumbnail)
    return made


async def read_media(platform: Platform, property_id: PropertyId, media_id: MediaId) -> Media:
    """An attachment without its bytes. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        return await store.read_media(connection, property_id, media_id)


async def list_media(
    platform: Platform, property_id: PropertyId, *, after: tuple[datetime, MediaId] | None = None, limit: int
) -> Sequence[Media]:
    """At most so many attachments, oldest first, behind the place `after`. Raises: QueryTooLong, StoreError."""
    check_page(limit)
    async with platform.database.connection() as connection:
        return await store.page_media(connection, property_id, after=after, limit=limit)


async def read_content(platform: Platform, property_id: PropertyId, media_id: MediaId) -> MediaContent:
    """The bytes of an attachment. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        return await store.read_content(connection, property_id, media_id)


async def find_thumbnails(
    platform: Platform, property_id: PropertyId, media_ids: Sequence[MediaId]
) -> Mapping[MediaId, bytes | None]:
    """The thumbnails, JPEG, of at most five attachments, None of a video; those that there are not are left out.

    Raises: QueryTooLong, StoreError.
    """
    check_thumbnails(len(media_ids))
    async with platform.database.connection() as connection:
        return await store.find_thumbnails(connection, property_id, media_ids)


async def remove_media(platform: Platform, property_id: PropertyId, media_id: MediaId) -> None:
    """Remove an attachment; what names it shows nothing any more. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        await store.delete_media(connection, property_id, media_id)
