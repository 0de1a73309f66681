"""Providers whose devices may stand in slots; approved for the whole hub."""

from __future__ import annotations

from collections.abc import Sequence

from matrixhub.model.errors import Conflict
from matrixhub.model.slot import checked_provider
from matrixhub.modules.work import Platform
from matrixhub.store import devices as store

PLATFORM_PROVIDER = "SMARTCLEAN"
"""The one that names the predefined types; it stays approved."""


async def approved_providers(platform: Platform) -> Sequence[str]:
    """The providers, by name. Raises StoreError."""
    async with platform.database.connection() as connection:
        return await store.list_providers(connection)


async def approve_provider(platform: Platform, name: str, *, actor: str) -> str:
    """The name of a provider whose types may be used from now on; repeating it changes nothing.

    Raises: WrongParameters, StoreError.
    """
    provider = checked_provider(name)
    async with platform.database.transaction() as connection:
        await store.approve_provider(connection, provider, approved_at=platform.now(), approved_by=actor)
    return provider


async def withdraw_provider(platform: Platform, name: str) -> None:
    """Take the approval back.

    Raises: NotFound if it was not approved, Conflict while there are slots of its types or if it is the platform's own,
            StoreError.
    """
    if name == PLATFORM_PROVIDER:
        raise Conflict(f"provider {name} names the predefined types and stays")
    async with platform.database.transaction() as connection:
        await store.withdraw_provider(connection, name)
