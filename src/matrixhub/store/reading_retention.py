"""For how many days a property keeps its readings. The store reads it within half a minute; docs/store.md."""

from __future__ import annotations

from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import PropertyId
from matrixhub.store.pool import Database
from matrixhub.store.sites import require_property
from matrixhub.store.sql import load_statements

DAYS_MAX = 3650
DAY_S = 86_400

_SQL = load_statements("reading_retention.sql")


async def set_retention(database: Database, property_id: PropertyId, days: int) -> None:
    """Keep the readings of a property for so many days.

    Raises: InvalidValue if it is less than a day or more than ten years, NotFound if there is no such property,
            StoreError.
    """
    if not 1 <= days <= DAYS_MAX:
        wrong = (("days", f"1 to {DAYS_MAX}"),)
        raise InvalidValue(f"readings are kept for 1 to {DAYS_MAX} days, not {days}", fields=wrong)
    await require_property(database, property_id)
    async with database.connection() as connection:
        await connection.execute(_SQL["set"], property_id, days * DAY_S)


async def show_retention(database: Database, property_id: PropertyId) -> int | None:
    """For how many days, None where the property does not say. Raises NotFound, StoreError."""
    await require_property(database, property_id)
    async with database.connection() as connection:
        found: int | None = await connection.fetchval(_SQL["show"], property_id)
    return None if found is None else found // DAY_S


async def clear_retention(database: Database, property_id: PropertyId) -> None:
    """Keep the readings of a property as long as the hub's setting says. Raises NotFound, StoreError."""
    await require_property(database, property_id)
    async with database.connection() as connection:
        await connection.execute(_SQL["clear"], property_id)
