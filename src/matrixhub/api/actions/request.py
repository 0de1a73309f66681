"""What a request of Matrix Web Services says, read leniently where existing clients differ.

Source: docs/contract/web-services.md §1, §2
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from matrixhub.api.access import Credentials
from matrixhub.api.access.credentials import is_indirect
from matrixhub.ingest.http import Scope
from matrixhub.model.errors import MalformedBody, MissingParameters

NO_PLACE = "scnoop"
"""What stands for a building or an organisation that an operation does not need."""

BODY_BYTES_MAX = 4 * 1024 * 1024
QUERY_FIELDS_MAX = 100

_PATH = re.compile(r"(?:/prod/v2|/api)?(?:/(?P<service>[A-Za-z][A-Za-z0-9_-]*))?/(?P<version>v\d{1,3})/actions/?")

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Path, query and headers of a request. Ids are '' where they are missing, or stand for none."""

    service: str
    version: str
    operation: str
    organisation: str
    building: str
    property_id: str
    given: frozenset[str]
    headers: Mapping[str, str]
    address: str

    def credentials(self, service: str) -> Credentials:
        """What says who sends it; the service is that of the operation where the path names none."""
        return Credentials(
            authorization=self.headers.get("authorization", ""),
            service=self.service or service,
            operation=self.operation,
            property_id=self.property_id,
            time=self.headers.get("x-sc-time", ""),
            application=self.headers.get("x-sc-auth", ""),
            address=self.address,
            indirect=is_indirect(self.headers),
        )

    def require(self, *names: str) -> None:
        """Whether the query has these. Raises MissingParameters naming all that it has not."""
        if missing := [name for name in names if name not in self.given]:
            raise MissingParameters(f"{', '.join(missing)}: missing in the query")


def is_actions_path(path: str) -> bool:
    """Whether a path is one of this face's.

    >>> is_actions_path("/prod/v2/scgrids/v1/actions"), is_actions_path("/v1/actions"), is_actions_path("/hub/v1/x")
    (True, True, False)
    """
    return _PATH.fullmatch(path) is not None


def read_asked(scope: Scope) -> Asked:
    """Path, query and headers of a request; of a parameter that is given twice the first counts."""
    found = _PATH.fullmatch(scope["path"])
    query: dict[str, str] = {}
    text = scope.get("query_string", b"").decode("latin-1")
    for name, value in parse_qsl(text, keep_blank_values=False, max_num_fields=None)[:QUERY_FIELDS_MAX]:
        query.setdefault(name, value)
    client = scope.get("client")
    return Asked(
        service=(found["service"] or "") if found else "",
        version=found["version"] if found else "",
        operation=query.get("op", ""),
        organisation=_place(query.get("org", "")),
        building=_place(query.get("pid", "")),
        property_id=_place(query.get("propid", "")),
        given=frozenset(query),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        address=client[0] if client else "",
    )


def _place(text: str) -> str:
    return "" if text == NO_PLACE else text


def read_document(body: bytes) -> Any:
    """The JSON of a body, {} for nothing, null and "".

    A JSON text that holds JSON is read once more: one client does so.

    Raises: MalformedBody.

    >>> read_document(b'null'), read_document(b'"{\\\\"ESK\\\\":\\\\"\\\\"}"')
    ({}, {'ESK': ''})
    """
    if not body.strip():
        return {}
    found = _json(body)
    if isinstance(found, str):
        found = _json(found.encode()) if found.strip() else {}
    return {} if found is None else found


def _json(body: bytes) -> Any:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error
