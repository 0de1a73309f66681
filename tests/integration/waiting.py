"""Waits for what another connection does."""

from __future__ import annotations

import asyncio
from typing import Any

LIMIT_S = 30.0


async def wait_someone_waits(connection: Any) -> None:
    """Return when another connection waits for what this one holds."""
    # Not pg_stat_activity: within a transaction that stays as it was when it was first looked at.
    mine = "select exists (select from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid)))"
    async with asyncio.timeout(LIMIT_S):
        while True:
            if await connection.fetchval(mine):
                return
            await asyncio.sleep(0.01)
