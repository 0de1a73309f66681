"""The REST face: one module for each resource, each a list of handlers."""

from litestar.handlers import HTTPRouteHandler

from matrixhub.api.rest import (
    access,
    applications,
    attempts,
    attendance_integrations,
    availabilities,
    backfills,
    balance,
    customer_databases,
    databases,
    events,
    identity_applications,
    incidents,
    keys,
    metrics,
    parked,
    places,
    reading_buckets,
    reading_retention,
    readings,
    replays,
    seats,
    shift_definitions,
    shifts,
    signing,
    subscriptions,
    tasks,
    timesheets,
    work_rules,
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
    incidents,
    tasks,
    work_rules,
    seats,
    shifts,
    availabilities,
    timesheets,
    shift_definitions,
    attendance_integrations,
    reading_buckets,
    readings,
    customer_databases,
    databases,
    backfills,
    reading_retention,
)


def rest_handlers() -> list[HTTPRouteHandler]:
    """The handlers of all resources."""
    return [handler for module in _MODULES for handler in module.handlers]
