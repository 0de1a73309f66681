"""The OpenAPI document of all HTTP faces, made from the handlers and the types of their documents.

The framework finds paths and parameters; what it does not know is added here: the schemas in full, the bodies that
handlers read themselves, the answers to what goes wrong, and the route of readings, which it does not serve.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from matrixhub.api.app import READINGS_PATH, REST_PATH, Health, make_pages
from matrixhub.api.bodies import JSON_TYPES
from matrixhub.api.problems import PROBLEM_TYPE, FieldProblem, Problem
from matrixhub.api.rest import (
    access_documents,
    backfill_documents,
    customer_database_documents,
    database_documents,
    device_documents,
    documents,
    identity_documents,
    key_documents,
    metric_documents,
    place_documents,
    shift_documents,
    telemetry_documents,
    work_documents,
)
from matrixhub.ingest.accept import Receipt
from matrixhub.observe import Metrics, ignore

Json = dict[str, Any]

DESCRIPTION = """\
Everything of a hub as resources. Readings in, and their delivery to customers: subscriptions, attempts, parked
readings, replays and the balance; events of the platform and of applications. Places, devices and what they told
before; incidents, tasks, shifts and people; keys, roles, and users of other identity providers.

Every error is a problem document (RFC 9457) with a stable `code`. Lists are paged: `next` is the `cursor` of the next
page. A secret goes in and never comes out."""

PROBLEMS: Mapping[int, str] = {
    400: "The body or the request cannot be read.",
    401: "There is no valid key.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    405: "The path does not take this method.",
    406: "It cannot be had as any of the types in Accept.",
    409: "It cannot be done as things are now.",
    410: "What it is about is no longer kept.",
    412: "The version is not the one in If-Match.",
    413: "The body is too large.",
    415: "The body is not of a type that is taken.",
    422: "A value is not allowed; `errors` names the fields.",
    429: "More than the limit of the key or the quota allows; `Retry-After` says for how long.",
    500: "A defect of the hub.",
    502: "A server of the customer's cannot be reached, or does not do its part.",
    503: "The hub cannot reach its engines now; try again.",
}

_TAKE_A_BODY = (400, 413, 415)

_REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}

_STANDING = {
    "RateLimit-Limit": "Requests that the key may make at once.",
    "RateLimit-Remaining": "Of those, how many are left.",
    "RateLimit-Reset": "Seconds until all are left again.",
}
"""How the key stands. Source: draft-ietf-httpapi-ratelimit-headers-06"""


@cache
def openapi_text() -> str:
    """The document as it is committed and served."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def openapi_document() -> Json:
    """The document. It is the same whatever roles a process has."""
    pages = make_pages({}, Metrics(), None, ignore, described=True)
    found: Json = json.loads(json.dumps(pages.openapi_schema.to_schema()))
    handlers = dict(_handlers(pages))
    paths = {
        path: {method: _operation(path, operation, handlers) for method, operation in operations.items()}
        for path, operations in found["paths"].items()
    }
    paths[READINGS_PATH] |= {"post": _readings_operation()}
    paths["/health/ready"]["get"]["responses"]["503"] = {
        **paths["/health/ready"]["get"]["responses"]["200"],
        "description": "A part of the hub is not fit.",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Matrix Hub", "version": found["info"]["version"], "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": _schemas(),
            "responses": {f"Problem{status}": _problem_response(status) for status in PROBLEMS},
            "headers": {
                "X-Request-Id": {
                    "description": "What tells this request from every other, also in the hub's log.",
                    "required": True,
                    "schema": {"type": "string"},
                },
                **{name: {"description": text, "schema": {"type": "string"}} for name, text in _STANDING.items()},
                "ETag": {"description": "The version, for If-Match.", "schema": {"type": "string"}},
                "Location": {"description": "Where the new thing is.", "schema": {"type": "string"}},
                "Idempotency-Replayed": {
                    "description": "`true` where the answer is that of an earlier request under the same key.",
                    "schema": {"type": "string"},
                },
                "X-Body-Whole": {
                    "description": "`false` where some readings were not to be found any more.",
                    "schema": {"type": "string"},
                },
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": (
                        "A key made by `matrixhub key create`, mhk_…; with `--manage` for all but readings, with "
                        "`--application` for publishing events only."
                    ),
                },
                "pair": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "An access key and its secret, made by `matrixhub key create --access`.",
                },
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of another identity provider; the QUID of the application is beside it.",
                },
                "quid": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-sc-auth",
                    "description": "The QUID of the identity application that a token is for.",
                },
            },
        },
    }


def _handlers(pages: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    for route in pages.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler.operation_id, str):
                yield handler.operation_id, handler


def _operation(path: str, found: Json, handlers: Mapping[str, HTTPRouteHandler]) -> Json:
    handler = handlers[found["operationId"]]
    made: Json = {
        "tags": found["tags"],
        "summary": found["summary"],
        "description": " ".join(inspect.cleandoc(found.get("description") or "").split()),
        "operationId": found["operationId"],
    }
    parameters = [_parameter(parameter) for parameter in found.get("parameters", ())]
    if parameters:
        made["parameters"] = parameters
    takes = handler.opt.get("takes")
    if takes is not None:
        schema = {"$ref": f"#/components/schemas/{takes.__name__}"}
        types = handler.opt.get("types", JSON_TYPES)
        made["requestBody"] = {"required": True, "content": {kind: {"schema": schema} for kind in types}}
    elif "takes_bytes" in handler.opt:
        content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in handler.opt["takes_bytes"]}
        made["requestBody"] = {"required": True, "content": content}
    made["responses"] = _answers(path, found, handler)
    if path.startswith(REST_PATH):
        for status in _problems(path, found, handler):
            made["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
        made["security"] = [{"key": []}, {"pair": []}, {"token": [], "quid": []}]
    made["responses"] = dict(sorted(made["responses"].items()))
    return made


def _parameter(found: Json) -> Json:
    """A parameter that may be left out is not one that may be null: there is no null in a URL or a header."""
    schema = {name: value for name, value in found["schema"].items() if name != "description"}
    kinds = [kind for kind in schema.pop("oneOf", ()) if kind != {"type": "null"}]
    for kind in kinds:
        schema = {**kind, **schema}
    if isinstance(schema.get("type"), list):
        [schema["type"]] = [kind for kind in schema["type"] if kind != "null"]
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    if schema.get("type") == "integer":
        schema |= {bound: int(schema[bound]) for bound in ("minimum", "maximum") if bound in schema}
    return {
        "name": found["name"],
        "in": found["in"],
        "required": found["required"],
        "description": found.get("description", ""),
        "schema": schema,
    }


def _answers(path: str, found: Json, handler: HTTPRouteHandler) -> Json:
    given = handler.opt.get("answers")
    if given is not None:
        content = {
            status: {"application/json": {"schema": msgspec.json.schema_components([kind], ref_template=REF)[0][0]}}
            for status, kind in given.items()
        }
    elif "gives_bytes" in handler.opt:
        content = {200: {kind: {} for kind in handler.opt["gives_bytes"]}}
    elif "answer" in handler.opt:
        content = {200: {handler.opt["answer"][0]: {"schema": {"type": "string"}}}}
    else:
        content = {int(s): answer.get("content") for s, answer in found["responses"].items() if s.startswith("2")}
    answers: Json = {}
    for status, body in content.items():
        headers: Json = dict(_REQUEST_ID)
        names = [name for name in handler.opt.get("headers", ()) if name != "Location" or status == 201]
        if any(parameter["name"] == "Idempotency-Key" for parameter in found.get("parameters", ())):
            names.append("Idempotency-Replayed")
        if path.startswith(REST_PATH):
            names += _STANDING
        headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        answers[str(status)] = {"description": _SAID.get(status, "It is done."), "headers": headers}
        if body:
            answers[str(status)]["content"] = body
    return answers


_SAID = {200: "It is as the document says.", 201: "It was made.", 204: "It is done."}

REF = "#/components/schemas/{name}"

DOCUMENT_MODULES = (
    documents,
    key_documents,
    access_documents,
    identity_documents,
    metric_documents,
    place_documents,
    device_documents,
    telemetry_documents,
    database_documents,
    shift_documents,
    work_documents,
    customer_database_documents,
    backfill_documents,
)
"""Where the documents of the REST face are."""


def _problems(path: str, found: Json, handler: HTTPRouteHandler) -> list[int]:
    names = {parameter["name"] for parameter in found.get("parameters", ())}
    statuses = [401, 403, 422, 429, 500, 503]
    if "takes" in handler.opt or "takes_bytes" in handler.opt:
        statuses += [*_TAKE_A_BODY, 404]
    statuses += handler.opt.get("problems", ())
    if "{" in path or "Parked" in found["operationId"]:
        statuses.append(404)
    if "If-Match" in names or found["operationId"] == "changeSubscription":
        statuses.append(412)
    if "replay" in path:
        statuses += [409, 410]
    if "Idempotency-Key" in names or "signing-keys" in path:
        statuses += [409, 412]
    if found["tags"] == ["access"] and found["operationId"] not in ("listRoles", "listUserGroups"):
        statuses.append(409)
    if path.endswith("/body"):
        statuses.append(410)
    statuses += handler.opt.get("problems", ())
    return sorted(set(statuses))


def _problem_response(status: int) -> Json:
    headers: Json = dict(_REQUEST_ID)
    if status == 401:
        headers["WWW-Authenticate"] = {"required": True, "schema": {"type": "string"}}
    if status == 429:
        headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in _STANDING}
    if status in (429, 503):
        headers["Retry-After"] = {"description": "Seconds.", "schema": {"type": "string"}}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": PROBLEMS[status], "headers": headers, "content": {PROBLEM_TYPE: {"schema": schema}}}


def _schemas() -> Json:
    kinds = [
        kind
        for module in DOCUMENT_MODULES
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind not in (documents.Given, documents.Taken)
    ]
    _, schemas = msgspec.json.schema_components([*kinds, Problem, FieldProblem, Health, Receipt], ref_template=REF)
    return dict(sorted(json.loads(msgspec.json.encode(schemas)).items()))


def _readings_operation() -> Json:
    """By hand: this route carries every reading and is no framework's."""
    reading = {
        "type": "object",
        "required": ["DEVID", "v"],
        "properties": {
            "DEVID": {"type": "string", "description": "Id of the slot."},
            "unixT": {"type": "integer", "description": "The instant, epoch milliseconds."},
            "v": {"type": "object", "description": "The attributes of the device type."},
        },
        "additionalProperties": True,
    }
    receipt = {"application/json": {"schema": {"$ref": "#/components/schemas/Receipt"}}}
    problem = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    statuses = (400, 401, 403, 405, 413, 415, 503)
    return {
        "tags": ["readings"],
        "summary": "Send readings",
        "description": (
            "202 means that they are on disk. Readings that were sent before are stored once; those that cannot be "
            "taken are named, and the others are taken nevertheless."
        ),
        "operationId": "sendReadings",
        "parameters": [
            {
                "name": "Content-Encoding",
                "in": "header",
                "required": False,
                "description": "How the body is compressed.",
                "schema": {"type": "string", "enum": ["identity", "gzip", "zstd"]},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "array", "items": reading}},
                "application/x-ndjson": {"schema": {"type": "string", "description": "One reading a line."}},
            },
        },
        "responses": {
            "202": {"description": "At least one reading was taken, or was there already.", "content": receipt},
            "422": {"description": "None was taken.", "content": {**receipt, **problem}},
            **{str(status): {"description": PROBLEMS[status], "content": problem} for status in statuses},
        },
        "security": [{"key": []}],
    }
