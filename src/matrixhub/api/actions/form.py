"""A body of `multipart/form-data`: its texts as a document, and its files.

Source: docs/contract/web-services.md §2; RFC 7578
"""

from __future__ import annotations

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from matrixhub.api.actions.operation import File
from matrixhub.model.errors import BodyTooLarge, MalformedForm

PARTS_MAX = 20
TEXT_BYTES_MAX = 64 * 1024

Form = tuple[dict[str, str], dict[str, File]]
"""Texts and files by their names."""


def is_form(content_type: str) -> bool:
    """Whether a body of that type is a form.

    >>> is_form("multipart/form-data; boundary=x"), is_form("application/json")
    (True, False)
    """
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def read_form(body: bytes, content_type: str) -> Form:
    """The texts and the files of a form; of two parts with the same name the first counts.

    A part is a file where it has a file name, or is said to be of another type than text.
    Raises: MalformedForm, BodyTooLarge for a text that is too long for one.
    """
    _, options = parse_options_header(content_type)
    texts: dict[str, str] = {}
    files: dict[str, File] = {}
    try:
        for part, content in _parts(body, options.get("boundary", "")):
            if part.filename is not None or not (part.content_type or "text/plain").startswith("text/"):
                found = File(name=part.filename or "", content_type=part.content_type or "", content=content)
                files.setdefault(part.name, found)
            elif len(content) > TEXT_BYTES_MAX:
                raise BodyTooLarge(f"{part.name[:100]!r} is a text of more than {TEXT_BYTES_MAX:,} bytes")
            else:
                texts.setdefault(part.name, content.decode())
    except (MultipartError, UnicodeError) as error:
        raise MalformedForm(f"the form cannot be read: {error}") from error
    return texts, files


def _parts(body: bytes, boundary: str) -> list[tuple[MultipartSegment, bytes]]:
    found: list[tuple[MultipartSegment, bytearray]] = []
    with PushMultipartParser(boundary, max_segment_count=PARTS_MAX) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                found.append((event, bytearray()))
            elif event is not None:
                found[-1][1].extend(event)
    return [(part, bytes(content)) for part, content in found]
