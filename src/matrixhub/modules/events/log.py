"""The event log of a property, all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import msgspec

from matrixhub.model.event_log import LoggedEvent
from matrixhub.model.ids import PropertyId
from matrixhub.model.routing import check_pattern, matches
from matrixhub.modules.work import Platform
from matrixhub.store.events import list_events

EXPORT_PAGE = 1_000


async def export_events(
    platform: Platform,
    property_id: PropertyId,
    *,
    principal: str = "",
    module: str = "",
    patterns: Sequence[str] = (),
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    page_size: int = EXPORT_PAGE,
) -> AsyncIterator[Sequence[bytes]]:
    """All events of a time, oldest first, as lines, page by page; a page is all that is held of them.

    Shape:  patterns are of routing keys, alternatives; none means all.
    Raises: InvalidValue if one is no pattern, StoreError.
    """
    for pattern in patterns:
        check_pattern(pattern)
    after = ""
    while True:
        async with platform.database.connection() as connection:
            page = await list_events(
                connection,
                property_id,
                principal=principal,
                module=module,
                start_at=start_at,
                end_at=end_at,
                after=after,
                limit=page_size,
            )
        lines = [msgspec.json.encode(event.envelope) for event in page.events if _is_wanted(event, patterns)]
        if lines:
            yield lines
        if not page.last_key:
            return
        after = page.last_key


def _is_wanted(event: LoggedEvent, patterns: Sequence[str]) -> bool:
    return not patterns or any(matches(pattern, str(event.envelope["RoutingKey"])) for pattern in patterns)
