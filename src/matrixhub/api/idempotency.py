"""Requests that make something, answered the same when they are repeated under the same Idempotency-Key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.params import HeaderParameter

from matrixhub.api.auth import caller
from matrixhub.api.bodies import ApiRequest
from matrixhub.model.ids import PropertyId
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer, Once, answer_once, answered
from matrixhub.store.sealing import Sealer

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description=(
            "A text of your own for this request. Sent again within a day with the same body, it makes nothing anew "
            "but gets the same answer, with `Idempotency-Replayed: true`."
        ),
    ),
]

Make = Callable[[Database], Awaitable[Answer]]
"""Makes the thing, all in the database that it is given."""


async def make_once(
    database: Database,
    sealer: Sealer,
    request: ApiRequest,
    property_id: PropertyId,
    key: str | None,
    body: bytes,
    prepare: Callable[[], Awaitable[Make]],
) -> Response[bytes]:
    """Prepare and make something, or say again what was answered before.

    A key is one of whoever asks: the answer may hold a secret, and the same words may mean another thing from another.
    What takes time, such as asking the stream, is done in `prepare`: no transaction is open then.
    """
    if key is None:
        return _rendered(await (await prepare())(database))
    asked = b"\n".join([request.method.encode(), request.url.path.encode(), body])
    once = Once(property_id=property_id, key=f"{caller(request).id} {key}", request=asked)
    before = await answered(database, sealer, once)
    if before is None:
        before = await answer_once(database, sealer, once, await prepare())
    return _rendered(before)


def answer(status: int, document: msgspec.Struct, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a document."""
    return Answer(status=status, headers=dict(headers or {}), body=msgspec.json.encode(document).decode())


def _rendered(made: Answer) -> Response[Any]:
    headers = {**made.headers, "Idempotency-Replayed": "true"} if made.replayed else made.headers
    return Response(made.body.encode(), status_code=made.status, headers=headers, media_type="application/json")
