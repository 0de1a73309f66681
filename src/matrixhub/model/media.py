"""Media attachments: pictures and videos that go with incidents and audits.

Source: docs/contract/grids.md §8
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from matrixhub.model.errors import LimitViolated, QueryTooLong, WrongParameters
from matrixhub.model.ids import MediaId, PropertyId, is_id

MEDIA_BYTES_MAX = 2 * 1024 * 1024
"""Most bytes of an attachment: of pictures published, of videos ours."""

THUMBNAILS_MAX = 5
"""Most thumbnails one query gives (published)."""

MediaKind = Literal["image", "video"]
MediaEntity = Literal["incident", "audits"]
MediaType = Literal["image/png", "image/jpeg", "image/webp", "video/mp4"]

MEDIA_TYPES: tuple[MediaType, ...] = get_args(MediaType)

_URI = "media/"


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaDraft:
    """An attachment to be kept.

    Raises: LimitViolated if it is too large, WrongParameters if it is not of a type that is taken, or not of its kind.
    """

    kind: MediaKind
    entity: MediaEntity
    content: bytes

    def __post_init__(self) -> None:
        if not self.media_type.startswith(self.kind):
            raise WrongParameters(f"the file is {self.media_type}, not one of kind {self.kind}")

    @property
    def media_type(self) -> MediaType:
        """What it is by its first bytes."""
        return media_type_of(self.content)


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """An attachment that is kept; its bytes are apart."""

    id: MediaId
    property_id: PropertyId
    kind: MediaKind
    entity: MediaEntity
    media_type: MediaType
    size_bytes: int
    has_thumbnail: bool
    created_by: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaContent:
    """The bytes of an attachment, or of its thumbnail."""

    media_type: MediaType
    content: bytes


def media_type_of(content: bytes) -> MediaType:
    """The type of a picture or video, told by its first bytes, whatever its sender called it.

    SVG is not taken: it may hold scripts, and attachments are shown in browsers.
    Raises: LimitViolated if it is too large, WrongParameters if it is none of those that are taken.

    >>> media_type_of(b"RIFF....WEBPVP8 ")
    'image/webp'
    """
    if len(content) > MEDIA_BYTES_MAX:
        raise LimitViolated(f"an attachment has at most {MEDIA_BYTES_MAX:,} bytes, not {len(content):,}")
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    if content[4:8] == b"ftyp":
        return "video/mp4"
    raise WrongParameters("an attachment is a PNG, JPEG or WebP picture, or an MP4 video")


def read_kind(text: str) -> MediaKind:
    """The kind a text names, in any case. Raises WrongParameters."""
    for kind in get_args(MediaKind):
        if text.lower() == kind:
            found: MediaKind = kind
            return found
    raise WrongParameters("Type is image or video")


def read_entity(text: str) -> MediaEntity:
    """What an attachment is for, in any case. Raises WrongParameters."""
    for entity in get_args(MediaEntity):
        if text.lower() == entity:
            found: MediaEntity = entity
            return found
    raise WrongParameters("Entity is incident or audits")


def media_uri(media_id: MediaId) -> str:
    """By what clients name an attachment.

    >>> media_uri(MediaId("med_1"))
    'media/med_1'
    """
    return f"{_URI}{media_id}"


def read_uri(uri: str) -> MediaId:
    """The attachment that a URI names; its id alone will do. Raises WrongParameters.

    >>> read_uri("media/med_1"), read_uri("med_1")
    ('med_1', 'med_1')
    """
    found = uri.removeprefix(_URI)
    if not is_id(found):
        raise WrongParameters("a URI is media/ and an id")
    return MediaId(found)


def check_thumbnails(count: int) -> None:
    """Refuse to give too many thumbnails at once. Raises QueryTooLong."""
    if count > THUMBNAILS_MAX:
        raise QueryTooLong(f"at most {THUMBNAILS_MAX} thumbnails can be asked for at once")


def check_quota(kept_bytes: int, more_bytes: int, quota_bytes: int) -> None:
    """Refuse what is too much for a property. Raises LimitViolated."""
    if kept_bytes + more_bytes > quota_bytes:
        raise LimitViolated(f"the attachments of a property take at most {quota_bytes:,} bytes; remove some")
