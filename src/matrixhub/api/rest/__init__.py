"""The REST face: one module for each resource, each a list of handlers."""

from litestar.handlers import HTTPRouteHandler

from matrixhub.api.rest import (
    access,
    applications,
    attempts,
    balance,
    events,
    identity_applications,
    keys,
    metrics,
    parked,
    places,
    replays,
    signing,
    subscriptions,
)

__all__ = ["rest_handlers"]

_MODULES = (
    subscriptions,
    signing,
    attempts,
    parked,
    replays,
    balance,
    events,
    applications,
    keys,
    access,
    identity_applications,
    metrics,
    places,
)


def rest_handlers() -> list[HTTPRouteHandler]:
    """The handlers of all resources."""
    return [handler for module in _MODULES for handler in module.handlers]
