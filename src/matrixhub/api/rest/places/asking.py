"""What the handlers of places have in common: paths, and making a thing once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import msgspec
from litestar import Response
from litestar.params import PathParameter, QueryParameter

from matrixhub.api.bodies import ApiRequest
from matrixhub.api.etags import check_match, etag
from matrixhub.api.idempotency import Make, answer, make_once
from matrixhub.api.parts import Parts
from matrixhub.model.ids import PropertyId
from matrixhub.modules.work import Platform
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer

ID = r"^[^\x00-\x1f\x7f\s](?:[^\x00-\x1f\x7f]{0,126}[^\x00-\x1f\x7f\s])?$"

BuildingPath = Annotated[str, PathParameter(pattern=ID, description="Id of the building.")]
LevelPath = Annotated[str, PathParameter(pattern=ID, description="Id of the level.")]
ZonePath = Annotated[str, PathParameter(pattern=ID, description="Id of the zone.")]
SlotPath = Annotated[str, PathParameter(pattern=ID, description="Id of the slot.")]
BuildingQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this building.")]
ZoneQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this zone.")]

MADE_PROBLEMS = (400, 409)
"""What making a thing may meet besides what every request may: a limit, a name that is taken."""

Document = TypeVar("Document", bound=msgspec.Struct)


async def made_once(
    hub: Parts,
    request: ApiRequest,
    property_id: PropertyId,
    key: str | None,
    body: bytes,
    make: Callable[[Platform], Awaitable[tuple[msgspec.Struct, str, int]]],
) -> Response[bytes]:
    """Answer 201 with what was made, where it is and its version, once for each Idempotency-Key.

    Shape:  make gives the document, its path behind `/hub/v1`, and its version, 0 for none.
    """

    async def prepare() -> Make:
        async def made(database: Database) -> Answer:
            document, path, version = await make(Platform(database=database, clock=hub.clock))
            headers = {"Location": f"/hub/v1{path}", **({"ETag": etag(version)} if version else {})}
            return answer(201, document, headers)

        return made

    return await make_once(hub.database, hub.codec.sealer, request, property_id, key, body, prepare)


async def matched(if_match: str | None, read: Callable[[], Awaitable[int]]) -> int | None:
    """The version that is to be changed, None for whatever there is. Raises: VersionMismatch, InvalidValue."""
    if if_match is None:
        return None
    version = await read()
    check_match(if_match, version)
    return version


def shown(document: Document, version: int) -> Response[Document]:
    """A document with its version as ETag."""
    return Response(document, headers={"ETag": etag(version)})


def file_answer(content: bytes, media_type: str) -> Response[bytes]:
    """A picture or video as it is; browsers take it for nothing else than it is said to be."""
    return Response(content, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})
