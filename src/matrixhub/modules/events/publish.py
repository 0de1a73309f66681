"""Events of applications: checked one by one, taken as one as far as the quota goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matrixhub.model.application import REQUEST_EVENTS_MAX, Rejected, application_event, used
from matrixhub.model.errors import Forbidden, LimitViolated, RequestError
from matrixhub.model.event import Event
from matrixhub.model.ids import ApplicationId, PropertyId
from matrixhub.modules.work import Platform
from matrixhub.store.applications import building_ids, lock_application, save_usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What became of a request: the events that were taken, and those that were not."""

    accepted: Sequence[Event]
    rejected: Sequence[Rejected]


async def publish_events(
    platform: Platform, property_id: PropertyId, application_id: ApplicationId, items: Sequence[object]
) -> Published:
    """Publish what can be taken of the items; only that counts for the quota.

    Shape:  an item is an object with the fields of `model.application.FIELDS`.
    Raises: RateExceeded or LimitViolated, and then none is taken; NotFound, Forbidden if it was revoked, StoreError.
    """
    if len(items) > REQUEST_EVENTS_MAX:
        raise LimitViolated(f"a request has at most {REQUEST_EVENTS_MAX} events, not {len(items)}")
    accepted: list[Event] = []
    rejected: list[Rejected] = []
    async with platform.work(property_id, actor=application_id) as work:
        application = await lock_application(work.connection, property_id, application_id)
        if application.revoked_at is not None:
            raise Forbidden(f"the application {application_id} was revoked")
        buildings = await building_ids(work.connection, property_id)
        for index, item in enumerate(items):
            try:
                accepted.append(application_event(application, item, buildings, work.now_s))
            except RequestError as error:
                rejected.append(Rejected(index=index, error=error))
        if accepted:
            usage = used(application.quota, application.usage, len(accepted), work.now)
            await save_usage(work.connection, property_id, application_id, usage)
            work.publish(*accepted)
    return Published(accepted=accepted, rejected=rejected)
