"""Who asks, and for which property."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter, SkipValidation

from matrixhub.model.errors import Forbidden, InvalidValue, Unauthorised
from matrixhub.model.ids import ApplicationId, PropertyId
from matrixhub.store import Database
from matrixhub.store.keys import KEY_PREFIX, find_key


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who holds a key that may manage; `property_id` None is the hub's own key, which is for all properties.

    `application_id` is that of a key which publishes the events of an application, and does nothing else.
    """

    property_id: PropertyId | None
    application_id: ApplicationId | None = None

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


async def authenticate(database: Database, authorization: str, *, publishes: bool = False) -> Caller:
    """Who asks; with `publishes`, the key of an application does, too.

    Raises: Unauthorised without a valid key, Forbidden with one that may not do this, StoreError.
    """
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token.startswith(KEY_PREFIX):
        raise Unauthorised
    key = await find_key(database, token)
    if key is None:
        raise Unauthorised
    if key.application_id is not None:
        if not publishes:
            raise Forbidden(f"the key publishes events of {key.application_id}, and does nothing else")
    elif not key.manages:
        raise Forbidden("the key may send readings and nothing else; one that may: matrixhub key create --manage")
    return Caller(property_id=key.property_id, application_id=key.application_id)


async def require_manager(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: nothing of a request is looked at before its key; then no parameter may be one that is not known.

    A misspelt filter would otherwise mean everything.
    """
    hub = connection.app.state.hub
    publishes = bool(handler.opt.get("publishes"))
    caller = await authenticate(hub.database, connection.headers.get("authorization", ""), publishes=publishes)
    connection.scope["caller"] = caller  # type: ignore[typeddict-unknown-key]
    known = {"property", *handler.parsed_fn_signature.parameters}
    unknown = [name for name in connection.query_params if name not in known]
    if unknown:
        wrong = [(name[:100], "is not known here") for name in unknown]
        raise InvalidValue("there are parameters that are not known here", fields=wrong)


async def provide_property(request: Request[Any, Any, Any], property_: PropertyQuery = None) -> PropertyId:
    """The property the request is about. Raises: Forbidden, InvalidValue."""
    caller: Caller = request.scope["caller"]  # type: ignore[typeddict-item]
    return caller.property_for(property_)
