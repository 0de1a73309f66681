"""Who asks, and for which property."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter, SkipValidation

from matrixhub.api.access import Credentials, Gate
from matrixhub.model.access import OPERATOR, PROPERTY_ADMINS, Identity
from matrixhub.model.errors import Forbidden, InvalidValue
from matrixhub.model.ids import ApplicationId, PropertyId


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who holds a key that may manage; `property_id` None is the hub's own key, which is for all properties.

    `application_id` is that of a key which publishes the events of an application, and does nothing else; `actor` is
    who records say did it.
    """

    property_id: PropertyId | None
    application_id: ApplicationId | None = None
    actor: str = ""

    def property_for(self, asked: str | None) -> PropertyId:
        """The property the request is about. Raises: Forbidden if it is another one's, InvalidValue if none is named.

        >>> Caller(property_id=PropertyId("p")).property_for(None)
        'p'
        """
        if self.property_id is None:
            if not asked:
                raise InvalidValue(
                    "this key is for all properties; name one: ?property=…", fields=(("property", "missing"),)
                )
            return PropertyId(asked)
        if asked is not None and asked != self.property_id:
            raise Forbidden("the key is for another property")
        return self.property_id


PropertyScope = NamedDependency[SkipValidation[PropertyId]]
"""The property of the request; every read and write is scoped by it."""

PropertyQuery = Annotated[
    str | None,
    QueryParameter(
        name="property",
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]+$",
        description="The property; may be left out with a key of a property, and must not be with the hub's own key.",
    ),
]


def caller_of(identity: Identity, *, publishes: bool) -> Caller:
    """Who asks; with `publishes`, the key of an application does, too. Raises: Forbidden with a key that may not."""
    if identity.application_id is not None:
        if not publishes:
            raise Forbidden(f"the key publishes events of {identity.application_id}, and does nothing else")
    elif identity.role_id not in (OPERATOR, PROPERTY_ADMINS):
        raise Forbidden("the key may send readings and nothing else; one that may: matrixhub key create --manage")
    return Caller(property_id=identity.property_id, application_id=identity.application_id, actor=identity.name)


async def require_manager(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: nothing of a request is looked at before its key; then no parameter may be one that is not known.

    A misspelt filter would otherwise mean everything.
    """
    hub = connection.app.state.hub
    publishes = bool(handler.opt.get("publishes"))
    credentials = Credentials(
        authorization=connection.headers.get("authorization", ""),
        address=connection.client.host if connection.client is not None else "",
    )
    found = caller_of(await Gate(hub).identify(credentials), publishes=publishes)
    connection.scope["caller"] = found  # type: ignore[typeddict-unknown-key]
    known = {"property", *handler.parsed_fn_signature.parameters}
    unknown = [name for name in connection.query_params if name not in known]
    if unknown:
        wrong = [(name[:100], "is not known here") for name in unknown]
        raise InvalidValue("there are parameters that are not known here", fields=wrong)


def caller(request: Request[Any, Any, Any]) -> Caller:
    """Who asks."""
    found: Caller = request.scope["caller"]  # type: ignore[typeddict-item]
    return found


async def provide_property(request: Request[Any, Any, Any], property_: PropertyQuery = None) -> PropertyId:
    """The property the request is about. Raises: Forbidden, InvalidValue."""
    return caller(request).property_for(property_)
