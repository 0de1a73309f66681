"""An engine as a process that is started, asked whether it answers, started again when it dies, and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from pathlib import Path
from signal import Signals
from time import monotonic
from typing import Protocol

from matrixhub.engines.account import Account
from matrixhub.engines.leftovers import end_leftovers
from matrixhub.engines.process import Child, EngineLog
from matrixhub.model.errors import EngineError
from matrixhub.observe import EngineDied, EngineStarted, EngineStartFailed, EngineStopped, EngineStuck, Observe

START_LIMIT_S = 600.0
"""Recovery after a crash reads the log since the last checkpoint, or the whole stream store: minutes on a slow disk."""
STOP_GRACE_S = 15.0
ANSWER_LIMIT_S = 5.0
START_ANSWER_LIMIT_S = 0.5
"""Short, because it may be a stranger on the port that does not answer, and is asked again."""
POLL_FIRST_S, POLL_MAX_S = 0.005, 0.1
WATCH_INTERVAL_S = 1.0
RESTART_FIRST_S, RESTART_MAX_S = 0.2, 5.0
STEADY_S = 10.0
"""An engine that lived this long starts its waits anew when it dies."""


class Engine(Protocol):
    """What differs between the engines."""

    @property
    def name(self) -> str:
        """Its name in facts and settings."""
        ...

    @property
    def port(self) -> int:
        """Its TCP port on loopback."""
        ...

    @property
    def program(self) -> Path:
        """What is run."""
        ...

    @property
    def folder(self) -> Path:
        """The directory it works in, by which its processes are known."""
        ...

    @property
    def stop_signal(self) -> Signals:
        """What makes it end quickly and cleanly."""
        ...

    async def prepare(self) -> Sequence[str]:
        """Make everything ready for a start; the command. Raises EngineError."""
        ...

    async def answers(self) -> bool:
        """Whether it serves requests now."""
        ...

    def stuck(self, log: str, pid: int) -> str:
        """Why it has stopped working until it is started anew, as the end of its log says; '' where it has not."""
        ...

    async def settle(self) -> None:
        """What is left to do once it answers. Raises EngineError."""
        ...

    def clean(self) -> None:
        """Remove what a stopped engine has no use for."""
        ...


def restart_wait_s(previous_s: float | None, *, lived_s: float) -> float:
    """How long to wait before an engine is started again.

    Shape:  previous_s is the wait before the last attempt, None at the first; lived_s is below 0 if that one failed.
    Units:  seconds.

    >>> restart_wait_s(None, lived_s=1.0), restart_wait_s(0.2, lived_s=1.0), restart_wait_s(3.2, lived_s=-1.0)
    (0.2, 0.4, 5.0)
    >>> restart_wait_s(5.0, lived_s=3600.0)
    0.2
    """
    if previous_s is None or lived_s > STEADY_S:
        return RESTART_FIRST_S
    return min(previous_s * 2, RESTART_MAX_S)


class Server:
    """One engine, over all the processes it needs."""

    def __init__(self, engine: Engine, log: EngineLog, account: Account | None, observe: Observe) -> None:
        self.engine = engine
        self.healthy = False
        self._log, self._account, self._observe = log, account, observe
        self._child: Child | None = None
        self._started_at = inf

    async def start(self) -> None:
        """Start it and wait until it really answers. Raises EngineError."""
        began = monotonic()
        command = await self.engine.prepare()
        child = self._child = await Child.spawn(
            command,
            cwd=self.engine.folder,
            log=self._log,
            account=self._account,
            death_signal=self.engine.stop_signal,
        )
        await self._wait_answer(child)
        await self.engine.settle()
        self.healthy, self._started_at = True, monotonic()
        seconds = self._started_at - began
        self._observe(EngineStarted(engine=self.engine.name, port=self.engine.port, pid=child.pid, seconds=seconds))

    async def watch(self) -> None:
        """Start the engine again whenever it ends; returns never."""
        wait_s: float | None = None
        while True:
            exit_code = await self._wait_end()
            wait_s = restart_wait_s(wait_s, lived_s=monotonic() - self._started_at)
            self._started_at = inf
            self._observe(EngineDied(engine=self.engine.name, exit_code=exit_code, restart_in_s=wait_s))
            await asyncio.sleep(wait_s)
            try:
                # Helpers of a killed PostgreSQL hold its shared memory until they have noticed.
                await end_leftovers(self.engine.program.name, self.engine.folder, self.engine.stop_signal)
                await self.start()
            except (EngineError, OSError) as error:
                # What is left of the attempt is ended; the next round waits longer and tries again.
                self._observe(EngineStartFailed(engine=self.engine.name, error=str(error)))
                await self._end()

    async def stop(self) -> None:
        """Stop it cleanly if it runs."""
        began = monotonic()
        self.healthy = False
        if self._child is not None and self._child.exit_code is None:
            await self._end()
            self._observe(EngineStopped(engine=self.engine.name, seconds=monotonic() - began))
        self.engine.clean()

    async def _end(self) -> None:
        if self._child is not None:
            await self._child.stop(self.engine.stop_signal, STOP_GRACE_S)

    async def _wait_answer(self, child: Child) -> None:
        deadline, pause_s = monotonic() + START_LIMIT_S, POLL_FIRST_S
        while not await self._answers(START_ANSWER_LIMIT_S):
            if child.exit_code is not None:
                raise EngineError(
                    f"The {self.engine.name} engine ended at its start with exit code {child.exit_code}. "
                    f"The end of {self._log.path}:\n{self._log.tail()}"
                )
            if monotonic() > deadline:
                raise EngineError(
                    f"The {self.engine.name} engine does not answer {START_LIMIT_S:.0f} s after its start. "
                    f"The end of {self._log.path}:\n{self._log.tail()}"
                )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, POLL_MAX_S)

    async def _answers(self, limit_s: float) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                return await self.engine.answers()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    def _stuck(self, pid: int) -> str:
        return self.engine.stuck(self._log.tail(), pid)

    async def _wait_end(self) -> int:
        """Wait until the process ends, and meanwhile know whether it answers."""
        child = self._child
        if child is None:
            return 0  # the start failed before there was a process
        while True:
            try:
                async with asyncio.timeout(WATCH_INTERVAL_S):
                    exit_code = await child.wait()
            except TimeoutError:
                self.healthy = await self._answers(ANSWER_LIMIT_S) and child.exit_code is None
                if reason := await asyncio.to_thread(self._stuck, child.pid):
                    self._observe(EngineStuck(engine=self.engine.name, reason=reason))
                    self.healthy = False
                    await self._end()
                if self._log.is_long():
                    await asyncio.to_thread(self._log.trim)
            else:
                self.healthy = False
                return exit_code
