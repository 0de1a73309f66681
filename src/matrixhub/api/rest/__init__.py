"""The REST face: one module for each resource, each a list of handlers."""

from litestar.handlers import HTTPRouteHandler

from matrixhub.api.rest import applications, attempts, balance, events, keys, parked, replays, signing, subscriptions

__all__ = ["rest_handlers"]


def rest_handlers() -> list[HTTPRouteHandler]:
    """The handlers of all resources."""
    modules = (subscriptions, signing, attempts, parked, replays, balance, events, applications, keys)
    return [handler for module in modules for handler in module.handlers]
