"""The actions face as a small ASGI application: read, admit, call, answer.

It is ASGI and not a framework's handler because one path serves every operation, and clients ask it often.
"""

from __future__ import annotations

import hashlib
import time
from functools import partial

import msgspec

from matrixhub.api.access import Gate
from matrixhub.api.access.gate import property_of
from matrixhub.api.actions.answers import json_headers, refusal_of
from matrixhub.api.actions.cache import AnswerCache
from matrixhub.api.actions.form import is_form, read_form
from matrixhub.api.actions.operation import Call, Operation, envelope
from matrixhub.api.actions.registry import BY_NAME
from matrixhub.api.actions.request import BODY_BYTES_MAX, Asked, is_actions_path, read_asked, read_document
from matrixhub.api.actions.shape import check
from matrixhub.api.parts import Parts
from matrixhub.api.problems import failure_of
from matrixhub.ingest.http import ClientGone, Receive, Scope, Send, read_body
from matrixhub.model.access import Identity, Request
from matrixhub.model.errors import MatrixHubError, MissingParameters, UnknownOperation, WrongMethod, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.observe import ActionServed, Observe
from matrixhub.store.versions import building_scope, property_scope

__all__ = ["ActionsApp", "is_actions_path"]

_encode = msgspec.json.Encoder().encode


class ActionsApp:
    """Serves every operation of the registry."""

    def __init__(self, parts: Parts, gate: Gate, observe: Observe) -> None:
        self._parts = parts
        self._gate = gate
        self._observe = observe
        self._cache = AnswerCache()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever goes wrong is answered in JSON."""
        began = time.perf_counter()
        asked = read_asked(scope)
        operation = BY_NAME.get(asked.operation)
        try:
            status, body = await self._serve(scope, asked, operation, receive)
            refusal = None
        except ClientGone:
            return
        except MatrixHubError as error:
            refusal = refusal_of(error, operation)
            if refusal.status >= 500:
                self._failed(scope, operation, error)
        except Exception as error:  # noqa: BLE001 - a defect is answered, and told to the operator
            refusal = refusal_of(error, operation)
            self._failed(scope, operation, error)
        if refusal is not None:
            status, body = refusal.status, _encode(refusal.document)
        headers = json_headers(body, refusal)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        name = operation.name if operation is not None else ""
        self._observe(ActionServed(operation=name, status=status, seconds=time.perf_counter() - began))

    async def _serve(
        self, scope: Scope, asked: Asked, operation: Operation | None, receive: Receive
    ) -> tuple[int, bytes]:
        if scope["method"] != "POST":
            raise WrongMethod("operations are called with POST")
        asked.require("op")
        if operation is not None:
            asked.require(*_query_of(operation))
        credentials = asked.credentials(operation.service if operation is not None else "")
        identity = await self._gate.identify(credentials)
        if operation is None:
            raise UnknownOperation(f"there is no operation {asked.operation[:200]!r}")
        property_id = await self._admit(asked, operation, identity)
        body = await read_body(receive, asked.headers.get("content-length", "").encode("latin-1"), BODY_BYTES_MAX)
        await self._gate.accept_once(identity, credentials, asked.building.encode(), body)
        call = _call(self._parts, asked, operation, identity, property_id, body)
        if operation.keeps_s:
            return operation.status, await self._kept(operation, call, body)
        return operation.status, await _answered(operation, call)

    async def _admit(self, asked: Asked, operation: Operation, identity: Identity) -> PropertyId:
        property_id = property_of(identity, asked.property_id)
        if property_id is None:
            raise MissingParameters("propid: the credentials are for all properties, so the query has to name one")
        request = Request(
            operation=operation.needed,
            property_id=property_id,
            building_id=BuildingId(asked.building) if asked.building and operation.about_building else None,
            address=asked.address,
        )
        await self._gate.authorise(identity, request)
        return property_id

    async def _kept(self, operation: Operation, call: Call, body: bytes) -> bytes:
        """The answer of before where nothing that it shows has changed, else a new one."""
        scopes = building_scope(call.building_id), property_scope(call.property_id)
        versions = await self._parts.versions.current(*scopes)
        # The digest of a body, for a body may be large, and it is what is kept that is counted.
        key = (operation.name, call.property_id, call.building, hashlib.sha256(body).hexdigest())
        now_s = time.monotonic()
        found = self._cache.find(key, versions, now_s=now_s, age_max_s=operation.keeps_s)
        if found is None:
            found = await self._cache.make(key, versions, partial(_answered, operation, call), now_s=now_s)
        return found

    def _failed(self, scope: Scope, operation: Operation | None, error: Exception) -> None:
        name = operation.name if operation is not None else ""
        self._observe(failure_of(error, route=name, request_id=str(scope.get("request_id", ""))))


async def _answered(operation: Operation, call: Call) -> bytes:
    answer = await operation.call(call)
    return answer if isinstance(answer, bytes) else _encode(envelope(operation, answer))


def _query_of(operation: Operation) -> tuple[str, ...]:
    """What the query must have besides `op`."""
    names = ["org"] if operation.needs_organisation else []
    return (*names, "pid", *(["propid"] if operation.needs_property else []))


def _call(
    parts: Parts, asked: Asked, operation: Operation, identity: Identity, property_id: PropertyId, body: bytes
) -> Call:
    """The operation with what it was asked.

    Raises: MalformedBody, MalformedForm, BodyTooLarge, MissingParameters, WrongParameters.
    """
    content_type = asked.headers.get("content-type", "")
    form = operation.takes_form and is_form(content_type)
    document, files = read_form(body, content_type) if form else (read_document(body), {})
    if operation.takes_list:
        if not isinstance(document, list):
            raise WrongParameters("the body is a list")
        items, document = document, {}
        check(operation.request, items)
    else:
        if not isinstance(document, dict):
            raise WrongParameters("the body is an object")
        items = []
        check(operation.request, document)
    call = Call(
        parts=parts,
        identity=identity,
        organisation=asked.organisation,
        property_id=property_id,
        building=asked.building,
        body=document,
        items=items,
        files=files,
    )
    if operation.needs_building:
        _ = call.building_id
    return call
