"""The body of a request, read with a limit."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from litestar import Request

from matrixhub.model.errors import BodyTooLarge, InvalidValue, MalformedBody, UnsupportedEncoding, UnsupportedType

BODY_BYTES_MAX = 1024 * 1024
JSON_TYPES = ("application/json",)
MERGE_PATCH_TYPES = ("application/merge-patch+json", "application/json")

ApiRequest = Request[Any, Any, Any]

T = TypeVar("T")

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>.*)`$")


async def read_body(
    request: ApiRequest, types: tuple[str, ...] = JSON_TYPES, *, size_max: int = BODY_BYTES_MAX
) -> bytes:
    """The bytes of the body. Raises: UnsupportedType, UnsupportedEncoding, BodyTooLarge."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in types:
        raise UnsupportedType(f"the body is sent as {' or '.join(types)}, not {content_type[:100]!r}")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedEncoding("the body is sent without Content-Encoding")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > size_max:
        raise BodyTooLarge(f"the body is larger than {size_max:,} bytes")
    return await request.body()


def parse_json(body: bytes) -> Any:
    """The document of a body. Raises: MalformedBody, which does not quote it."""
    try:
        return msgspec.json.decode(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("the body is not JSON in UTF-8") from None


def parse_as(kind: type[T], body: bytes) -> T:
    """The document of a body as a value of the type.

    Raises: MalformedBody, InvalidValue naming the field; neither quotes a value.
    """
    try:
        return msgspec.json.decode(body.decode(), type=kind)
    except msgspec.ValidationError as error:
        path, what = _explained(str(error))
        raise InvalidValue(f"{path or 'the document'}: {what}", fields=((path, what),)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("the body is not JSON in UTF-8") from None


def _explained(message: str) -> tuple[str, str]:
    """The way to the field, and what is wrong with it.

    >>> _explained("Expected `int`, got `str` - at `$.position.seq`")
    ('position.seq', 'expected `int`, got `str`')
    >>> _explained("Object contains unknown field `typo`")
    ('typo', 'is not a field here')
    """
    place = _PLACE.match(message)
    assert place is not None, "it matches any text"
    what, path = place["what"], place["path"] or ""
    for pattern, said in ((_UNKNOWN, "is not a field here"), (_MISSING, "is missing")):
        if found := pattern.search(what):
            name = found["name"][:100]
            return f"{path}.{name}".strip("."), said
    # An enumeration's message quotes what was sent.
    return path, "is not one of those allowed" if what.startswith("Invalid enum") else what[:1].lower() + what[1:]
