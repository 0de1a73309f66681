"""The REST face: one module for each resource, each a list of handlers."""

from litestar.handlers import HTTPRouteHandler

from matrixhub.api.rest import (
    applications,
    attempts,
    balance,
    events,
    incidents,
    keys,
    parked,
    replays,
    signing,
    subscriptions,
    tasks,
    work_rules,
)

__all__ = ["rest_handlers"]


def rest_handlers() -> list[HTTPRouteHandler]:
    """The handlers of all resources."""
    modules = (
        *(subscriptions, signing, attempts, parked, replays, balance, events, applications, keys),
        *(incidents, tasks, work_rules),
    )
    return [handler for module in modules for handler in module.handlers]
