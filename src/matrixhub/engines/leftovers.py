"""Engines that a killed hub has left behind.

Whoever asks holds the lock of the data directory, so any engine that still works in it has lost its hub. It is known by
its program and by the directory it works in, not by a pid file, whose number may belong to someone else by now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals
from time import monotonic, sleep

import psutil

from matrixhub.model.errors import EngineError

LEFTOVER_GRACE_S = 10.0
POLL_S = 0.02


async def end_leftovers(program: str, folder: Path, signal: Signals) -> Sequence[int]:
    """End every process of this program that works in the folder; the ids of those that had to be asked.

    First asks with the signal, then kills. Helpers of a PostgreSQL whose first process is gone end with it.
    Raises: EngineError if one does not end.
    """
    return await asyncio.to_thread(_end_leftovers, program, folder, signal)


def may_work_in(pid: int, folder: Path) -> bool:
    """Whether this process may be one that works in the folder: yes if we are not allowed to know."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder.resolve())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _end_leftovers(program: str, folder: Path, signal: Signals) -> Sequence[int]:
    found = _find(program, folder.resolve())
    ids = {process.pid for process in found}
    first = [process for process in found if _parent(process) not in ids]
    for process in first:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal)
    for process in _still_alive(found):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    if alive := _still_alive(found):
        raise EngineError(f"Process {alive[0].pid} ({program}) works in {folder} and does not end, even when killed")
    return [process.pid for process in first]


def _find(program: str, folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _works_in(process, program, folder)]


def _works_in(process: psutil.Process, program: str, folder: Path) -> bool:
    try:
        return process.name() == program and process.cwd() == str(folder)
    except psutil.Error:
        return False  # gone meanwhile, or another user's: not ours


def _still_alive(processes: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
    """Those that have not ended within the grace. One that has, but that nobody asks how, counts as ended."""
    deadline = monotonic() + LEFTOVER_GRACE_S
    while alive := [process for process in processes if _is_alive(process)]:
        if monotonic() > deadline:
            break
        sleep(POLL_S)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0
