"""What exports have in common: which format, compressed or not, whose turn it is, and the answer itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, cast

from litestar.params import QueryParameter
from litestar.response import Stream

from matrixhub.api.accept import preferred, takes_gzip
from matrixhub.api.bodies import ApiRequest
from matrixhub.api.rest.hub import Hub
from matrixhub.model.export import FORMATS, Format, FormatName
from matrixhub.model.ids import PropertyId
from matrixhub.modules.exports.formats import Writer, written

ReadingFormatQuery = Annotated[
    FormatName | None, QueryParameter(description="The format; without one, that of the header Accept.")
]
SpreadsheetQuery = Annotated[
    bool, QueryParameter(description="Of CSV: put `'` before texts that a spreadsheet would take for formulas.")
]
HeaderQuery = Annotated[bool, QueryParameter(description="Of CSV: begin with the names of the columns.")]


def format_of(request: ApiRequest, asked: str | None, names: Sequence[FormatName]) -> Format:
    """The format that is asked for, by name or by the header Accept. Raises: NotAcceptable."""
    if asked is not None:
        return FORMATS[cast("FormatName", asked)]
    types = [FORMATS[name].media_type for name in names]
    found = preferred(", ".join(request.headers.getall("accept", [])), types)
    return FORMATS[names[types.index(found)]]


async def export_answer(
    hub: Hub,
    request: ApiRequest,
    property_id: PropertyId,
    pages: AsyncIterator[Sequence[bytes]],
    chosen: Format,
    writer: Writer,
) -> Stream:
    """The answer: it is sent as fast as it is read, and nothing of the store is held meanwhile.

    Raises: TooManyExports, and what the first page raises; later it is too late to say so, and the connection ends.
    """
    gzip = chosen.compressible and takes_gzip(", ".join(request.headers.getall("accept-encoding", [])))
    parts = _in_turn(hub, property_id, written(pages, writer, gzip=gzip))
    first = await anext(parts, b"")  # a fault shows before the answer begins
    headers = {"Vary": "Accept, Accept-Encoding"}
    if gzip:
        headers["Content-Encoding"] = "gzip"
    return Stream(_followed_by(first, parts), media_type=chosen.media_type, headers=headers)


async def _in_turn(hub: Hub, property_id: PropertyId, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    with hub.exports.taken(property_id):
        async with aclosing(cast("Any", parts)):
            async for part in parts:
                yield part


async def _followed_by(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(cast("Any", rest)):
        yield first
        async for part in rest:
            yield part
