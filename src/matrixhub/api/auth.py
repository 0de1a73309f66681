"""Who asks over REST, for which property, and whether it may."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter, SkipValidation

from matrixhub.api.access import Credentials, Gate
from matrixhub.model import access
from matrixhub.model.access import PUBLISHERS, SENDERS, Identity
from matrixhub.model.errors import AccessDenied, Forbidden, InvalidValue
from matrixhub.model.ids import ApplicationId, BuildingId, PropertyId

OWN = "hub"
"""What stands before the id of an operation of this face that corresponds to none of Matrix Web Services."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks; `property_id` None is the hub's own key, which is for all properties.

    `application_id` is that of a key which publishes the events of an application, and does nothing else; `actor` is
    who records say did it, and `id` tells one caller from another.
    """

    property_id: PropertyId | None
    application_id: ApplicationId | None = None
    actor: str = ""
    id: str = ""

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


def permission_of(handler: BaseRouteHandler) -> str:
    """What a role must allow for a route: what it says itself, else `hub.` and the id of its operation."""
    return str(handler.opt.get("permission") or f"{OWN}.{getattr(handler, 'operation_id', None)}")


async def require_permission(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: nothing of a request is looked at before it came past the gate; then no parameter may be one that is
    not known, for a misspelt filter would otherwise mean everything.
    """
    gate: Gate = connection.app.state.gate
    permission, asked = permission_of(handler), connection.query_params.get("property") or None
    identity = await gate.identify(_credentials(connection))
    asking = Caller(
        property_id=identity.property_id,
        application_id=identity.application_id,
        actor=identity.name,
        id=identity.id,
    )
    connection.scope["caller"] = asking  # type: ignore[typeddict-unknown-key]
    if identity.property_id is not None and asked:
        asking.property_for(asked)
    request = access.Request(
        operation=permission,
        property_id=identity.property_id or (PropertyId(asked) if asked else None),
        building_id=_building(connection),
        address=_address(connection),
    )
    connection.scope["asking"] = identity, request  # type: ignore[typeddict-unknown-key]
    await _authorise(connection, identity, request)
    known = {"property", *handler.parsed_fn_signature.parameters}
    unknown = [name for name in connection.query_params if name not in known]
    if unknown:
        wrong = [(name[:100], "is not known here") for name in unknown]
        raise InvalidValue("there are parameters that are not known here", fields=wrong)


async def require_also(request: Request[Any, Any, Any], permission: str) -> None:
    """A body may ask for more than the operation of its route does: then it needs the one that does that, too.

    Raises: AccessDenied, Forbidden, StoreError.
    """
    identity, asked = request.scope["asking"]  # type: ignore[typeddict-item]
    await _authorise(request, identity, replace(asked, operation=permission))


async def _authorise(
    connection: ASGIConnection[Any, Any, Any, Any], identity: Identity, request: access.Request
) -> None:
    gate: Gate = connection.app.state.gate
    try:
        await gate.authorise(identity, request)
    except AccessDenied as error:
        raise _told(identity, error) from error


def _credentials(connection: ASGIConnection[Any, Any, Any, Any]) -> Credentials:
    """What the request says of who sends it. Signatures are not for this face: they cover neither path nor body."""
    return Credentials(
        authorization=connection.headers.get("authorization", ""),
        application=connection.headers.get("x-sc-auth", ""),
        address=_address(connection),
    )


def _address(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    return connection.client.host if connection.client is not None else ""


def _building(connection: ASGIConnection[Any, Any, Any, Any]) -> BuildingId | None:
    """The building that the path names; of others it is not known whether they are what the request is about."""
    found = connection.path_params.get("building_id")
    return None if found is None else BuildingId(str(found))


def _told(identity: Identity, error: AccessDenied) -> Forbidden:
    """The denial; to those whose keys are for one thing alone it says how to come by another one."""
    if identity.role_id == PUBLISHERS and identity.application_id is not None:
        return Forbidden(f"the key publishes events of {identity.application_id}, and does nothing else")
    if identity.role_id == SENDERS:
        return Forbidden("the key may send readings and nothing else; one that may: matrixhub key create --manage")
    return error


def caller(request: Request[Any, Any, Any]) -> Caller:
    """Who asks."""
    found: Caller = request.scope["caller"]  # type: ignore[typeddict-item]
    return found


async def provide_property(request: Request[Any, Any, Any], property_: PropertyQuery = None) -> PropertyId:
    """The property the request is about. Raises: Forbidden, InvalidValue."""
    return caller(request).property_for(property_)
