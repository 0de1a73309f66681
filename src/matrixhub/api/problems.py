"""Errors as problem documents. Source: RFC 9457

What is the client's to mend is said in full; what is ours is said in general, and in full to the operator as a fact.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException
from litestar.routes import HTTPRoute
from litestar.types import ExceptionHandlersMap
from msgspec import Meta

from matrixhub.model.errors import (
    AccessDenied,
    BodyTooLarge,
    InvalidValue,
    MalformedBody,
    MatrixHubError,
    NotFound,
    RateExceeded,
    RequestError,
    Unauthorised,
    WrongMethod,
)
from matrixhub.observe import Observe, RequestFailed

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 1


class FieldProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one field."""

    path: Annotated[str, Meta(description="The field, such as `auth.password`; empty for the document itself.")]
    message: Annotated[str, Meta(description="What is wrong with it.")]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 has it, with the code of the hub."""

    type: Annotated[str, Meta(description="Always about:blank; `code` tells the kind.")]
    title: Annotated[str, Meta(description="The kind of error, the same for every error of the code.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    code: Annotated[str, Meta(description="The stable code of the error.", pattern=r"^MH-[A-Z0-9]\d{3}$")]
    detail: Annotated[str, Meta(description="What happened here, for people.")]
    request_id: Annotated[str, Meta(description="The X-Request-Id of the answer.")] = ""
    errors: Annotated[tuple[FieldProblem, ...], Meta(description="The fields that are wrong.")] = ()
    reason: Annotated[str, Meta(description="Of a denial, its code in Matrix Web Services, as `IMPLICIT_DENY`.")] = ""


def problem_of(error: MatrixHubError, request_id: str) -> Problem:
    """The error as a client may see it."""
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    return Problem(
        type="about:blank",
        title=title,
        status=error.status,
        code=error.code,
        detail=error.message if error.status < 500 else title,
        request_id=request_id,
        errors=tuple(FieldProblem(path=path, message=message) for path, message in wrong_fields(error)),
        reason=error.reason if isinstance(error, AccessDenied) else "",
    )


def wrong_fields(error: MatrixHubError) -> Sequence[tuple[str, str]]:
    """The fields that an error names, with what is wrong with each."""
    return getattr(error, "fields", ()) if isinstance(error, InvalidValue) else ()


def problem_headers(error: MatrixHubError, allow: str = "") -> dict[str, str]:
    """The headers that go with the error."""
    headers = {}
    if isinstance(error, Unauthorised):
        headers["WWW-Authenticate"] = 'Bearer realm="matrixhub"'
    if isinstance(error, WrongMethod) and allow:
        headers["Allow"] = allow
    if error.retry_helps:
        wait_s = error.retry_after_s if isinstance(error, RateExceeded) else RETRY_AFTER_S
        headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    return headers


def translated(error: Exception) -> MatrixHubError:
    """What the framework found wrong as an error of ours; what is none of a client's doing as a defect."""
    match error:
        case MatrixHubError():
            return error
        case NotFoundException():
            return NotFound("there is no such path")
        case MethodNotAllowedException():
            return WrongMethod("the path does not take this method")
        case ValidationException():
            return InvalidValue("a parameter is not allowed here", fields=tuple(_wrong_parameters(error.extra)))
        case HTTPException(status_code=413):
            return BodyTooLarge("the body is larger than the limit")
        case HTTPException(status_code=400):
            return MalformedBody("the request cannot be read")
        case HTTPException(status_code=status) if status < 500:
            return RequestError(error.detail)
    return MatrixHubError("something went wrong in the hub")


def exception_handlers(observe: Observe) -> ExceptionHandlersMap:
    """What turns every exception into a problem."""

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        told, request_id = translated(error), str(request.scope.get("request_id", ""))
        if told.status >= 500:
            observe(failure_of(error, route=str(request.scope.get("path_template", "")), request_id=request_id))
        allow = allowed_methods(request) if isinstance(told, WrongMethod) else ""
        return Response(
            msgspec.json.encode(problem_of(told, request_id)),
            status_code=told.status,
            media_type=PROBLEM_TYPE,
            headers=problem_headers(told, allow),
        )

    return {MatrixHubError: handle, HTTPException: handle, Exception: handle}


def allowed_methods(request: Request[Any, Any, Any]) -> str:
    """What the path takes, for the header Allow."""
    path, methods = request.url.path.rstrip("/") or "/", {"OPTIONS"}
    for route in request.app.routes:
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(route.path_format))
        if isinstance(route, HTTPRoute) and re.fullmatch(pattern, path):
            methods.update(map(str, route.methods))
    return ", ".join(sorted(methods))


def _wrong_parameters(extra: Any) -> list[tuple[str, str]]:
    entries = extra if isinstance(extra, list) else []
    return [(_parameter_name(entry), str(entry.get("message", ""))) for entry in entries]


def _parameter_name(entry: dict[str, Any]) -> str:
    """The name as the request has it; the framework tells that of the variable."""
    name = str(entry.get("key", "")).rstrip("_")
    return name.replace("_", "-").title() if entry.get("source") == "header" else name


def failure_of(error: Exception, *, route: str, request_id: str) -> RequestFailed:
    """A fault of ours, as the operator is told of it."""
    return RequestFailed(
        route=route,
        request_id=request_id,
        error=f"{error.code} {error.message}" if isinstance(error, MatrixHubError) else type(error).__name__,
        at=_raised_at(error),
    )


def _raised_at(error: Exception) -> str:
    """Where in the code; the text of a defect is not told, for it may quote what was sent."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
