"""The warden: what customers' readers take of a server that they share with the hub.

PostgreSQL lets every user set `statement_timeout` and `work_mem` for himself, and knows no priorities. So the hub looks
after the sessions of readers: those that run too long are ended, and, where the server runs on this machine, also those
that hold too much memory, and their processes get what processor time others leave.
Source: docs/decisions/0029-schema.md
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from matrixhub.model.database import CustomerDatabase, Limits
from matrixhub.model.errors import StoreError
from matrixhub.observe import Observe, ReaderStopped, ReadersUnrestrained, StoreFailed
from matrixhub.ports import Clock
from matrixhub.store.sql import load_statements

ROUND_S = 1.0
LOOK_S = 10.0
"""So often it is asked which databases there are."""

GRACE_S = 2.0
"""A statement that PostgreSQL itself ends has ended by then."""

HARD_S = 15.0
"""What does not end when it is cancelled is ended with its session."""

IDLE_IN_TRANSACTION_S = 60.0
TRANSACTION_MAX_S = 3600.0
"""Of statements one after the other: an old transaction keeps PostgreSQL from clearing up, in all databases."""

NICE = 19
HASH_MEM = 2
"""`hash_mem_multiplier` as it is delivered: a hash table may be so much greater than `work_mem`."""

STEPS = 4
"""So many steps of one statement may take all their memory at the same time."""

OWN_MIB = 64
"""What a backend takes for itself, its catalogues and plans."""

_ELSEWHERE = "the server of customers' databases runs on another machine, or in another container"
_SQL = load_statements("warden.sql", "matrixhub.databases")

Verdict = Literal["cancel", "terminate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A process of the server that works for a reader.

    Units:  seconds: `running_s` since the statement began, `since_s` since the state changed.
    """

    pid: int
    role: str
    database: str
    backend_start: datetime
    backend_type: str
    leader_pid: int | None
    state: str
    query_start: datetime | None
    running_s: float
    since_s: float
    transaction_s: float


def verdict(session: Session, limits: Limits, memory_mib: float = 0) -> Verdict | None:
    """What is to be done about a session whose process holds so much memory of its own, None for nothing."""
    if session.backend_type != "client backend":  # those that help a statement end with it
        return None
    if session.transaction_s > TRANSACTION_MAX_S:
        return "terminate"
    if session.state.startswith("idle in transaction"):
        return "terminate" if session.since_s > IDLE_IN_TRANSACTION_S else None
    if session.state not in ("active", "fastpath function call"):
        return None
    if session.running_s > limits.statement_timeout_s + HARD_S:
        return "terminate"
    too_long = session.running_s > limits.statement_timeout_s + GRACE_S
    return "cancel" if too_long or memory_mib > memory_max_mib(limits) else None


def memory_max_mib(limits: Limits) -> int:
    """So much memory of its own a process of a reader may hold, whatever it sets `work_mem` to.

    >>> memory_max_mib(Limits(work_mem_mib=32))
    320
    """
    return OWN_MIB + limits.work_mem_mib * HASH_MEM * STEPS


class Warden:
    """The stage that looks after readers' sessions."""

    name = "warden"

    def __init__(
        self,
        connection: Callable[[], AbstractAsyncContextManager[Any]],
        databases: Callable[[], Awaitable[Sequence[CustomerDatabase]]],
        clock: Clock,
        observe: Observe,
    ) -> None:
        """`connection` lends one to the server of the hub; `databases` tells which ones it hosts there."""
        self._connection = connection
        self._databases = databases
        self._clock = clock
        self._observe = observe
        self._hosted: Mapping[str, CustomerDatabase] = {}
        self._restrained: set[tuple[int, datetime]] = set()
        self._free: set[tuple[int, datetime]] = set()
        self._told = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Look after them every second until stop."""
        looked_s = float("-inf")
        while not stop.is_set():
            try:
                if self._clock.monotonic() - looked_s >= LOOK_S:
                    looked_s = self._clock.monotonic()
                    await self.learn()
                await self.round()
            except StoreError as error:
                self._observe(StoreFailed(step="warden", error=error.message))
            await self._clock.wait(stop, ROUND_S if self._hosted else LOOK_S)

    async def learn(self) -> None:
        """Learn which databases there are, and their limits. Raises: StoreError."""
        self._hosted = {one.reader: one for one in await self._databases()}

    async def round(self) -> None:
        """Look at each session once. Raises: StoreError."""
        if not self._hosted:
            return
        async with self._connection() as connection:
            rows = await connection.fetch(_SQL["sessions"], list(self._hosted))
            sessions = [Session(**dict(row)) for row in rows]
            self._restrain(sessions)
            for session in sessions:
                record = self._hosted[session.role]
                memory_mib = self._memory_mib(session)
                if (found := verdict(session, record.limits, memory_mib)) is None:
                    continue
                if await connection.fetchval(
                    _SQL[found], session.pid, session.backend_start, session.query_start, session.state
                ):
                    self._observe(
                        ReaderStopped(
                            database=record.id,
                            how="cancelled" if found == "cancel" else "terminated",
                            state=session.state,
                            seconds=round(max(session.running_s, session.since_s), 1),
                            memory_mib=round(memory_mib),
                        )
                    )

    def _memory_mib(self, session: Session) -> float:
        """What the process of a session holds, 0 if that cannot be known."""
        if (session.pid, session.backend_start) not in self._restrained:  # it may be no process of this machine
            return 0.0
        try:
            return memory_mib_of((Path("/proc") / str(session.pid) / "status").read_text(encoding="ascii"))
        except OSError:  # it has ended
            return 0.0

    def _restrain(self, sessions: Sequence[Session]) -> None:
        there = {(session.pid, session.backend_start) for session in sessions}
        self._restrained &= there
        before, self._free = self._free, set()
        for session in sessions:
            key = (session.pid, session.backend_start)
            if key in self._restrained:
                continue
            why_not = restrain(session)
            if not why_not:
                self._restrained.add(key)
                continue
            self._free.add(key)
            if key in before and why_not != self._told:  # else its process may just have ended
                self._told = why_not
                self._observe(ReadersUnrestrained(reason=why_not))


def memory_mib_of(status: str) -> float:
    """The memory that a process shares with nobody, from what Linux says of it (`/proc/<pid>/status`).

    >>> memory_mib_of("VmRSS: 9000 kB\\nRssAnon:\\t    2048 kB\\n")
    2.0
    """
    found = re.search(r"^RssAnon:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def restrain(session: Session) -> str:
    """Let the process of a session have only what time others leave; '' or why that was not done.

    It is done on Linux, to a process that says of itself that it is that session: what listens at an address of this
    machine may run on another one, or in a container with processes of its own.
    """
    if sys.platform != "linux":
        return f"the hub cannot hold processes back on {sys.platform}"
    process = Path("/proc") / str(session.pid)
    try:
        title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        if not _is_of(title, session):
            return _ELSEWHERE
        os.setpriority(os.PRIO_PROCESS, session.pid, NICE)
        # Each backend begins a session of its own, and Linux may share time out among sessions first.
        group = process / "autogroup"
        if group.exists():
            group.write_text(str(NICE))
    except (FileNotFoundError, ProcessLookupError):
        return _ELSEWHERE
    except OSError as error:
        return f"the processes of the server of customers' databases cannot be held back: {error}"
    return ""


def _is_of(title: str, session: Session) -> bool:
    if not title.startswith("postgres:"):
        return False
    if session.leader_pid is not None:
        return f"parallel worker for PID {session.leader_pid} " in f"{title} "
    return f" {session.role} {session.database} " in title
