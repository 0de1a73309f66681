"""`/hub/v1/readings/retention`: for how long the readings of a property are kept as past data."""

from __future__ import annotations

from litestar import delete, get, put

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.rest import telemetry_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.model.ids import PropertyId
from matrixhub.store.reading_retention import DAY_S, clear_retention, set_retention, show_retention

PATH = "/readings/retention"


@get(PATH, operation_id="showReadingRetention", summary="Show for how long readings are kept", tags=["readings"])
async def show(hub: Hub, property_id: PropertyScope) -> doc.ReadingRetention:
    """By a setting of the property's own, or that of the hub."""
    return await _shown(hub, property_id)


@put(
    PATH,
    operation_id="setReadingRetention",
    summary="Say for how long readings are kept",
    tags=["readings"],
    opt={"takes": doc.NewReadingRetention},
)
async def change(hub: Hub, property_id: PropertyScope, request: ApiRequest) -> doc.ReadingRetention:
    """What is older is deleted within hours, and does not come back; readings that come later than that are delivered,
    and not stored. Databases of customers are not touched.
    """
    asked = parse_as(doc.NewReadingRetention, await read_body(request))
    await set_retention(hub.database, property_id, asked.days)
    return await _shown(hub, property_id)


@delete(PATH, operation_id="clearReadingRetention", summary="Keep readings as long as the hub does", tags=["readings"])
async def clear(hub: Hub, property_id: PropertyScope) -> None:
    """By the setting of the hub, `store.readings_retention_s`."""
    await clear_retention(hub.database, property_id)


async def _shown(hub: Hub, property_id: PropertyId) -> doc.ReadingRetention:
    own = await show_retention(hub.database, property_id)
    return doc.ReadingRetention(days=hub.readings_retention_s / DAY_S if own is None else own, own=own is not None)


handlers = [show, change, clear]
