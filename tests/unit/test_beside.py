"""A process beside the hub begins when it is told, tells what happens, and ends with the hub or before it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import psutil

PROGRAM = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from matrixhub.beside import Beside
    from matrixhub.observe import StoreGoesOn

    async def work(order, stop, observe):
        how = order.strip().decode()
        observe(StoreGoesOn(seq=os.nice(0)))
        if how == "fail":
            raise ValueError("no")
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hang":
            await asyncio.sleep(3600)
        await stop.wait()
        observe(StoreGoesOn(seq=99))

    how = sys.argv[1]
    beside = Beside.forked(work, niceness=7)
    print(beside.pid, flush=True)
    if how == "never":
        beside.close()
    elif how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        async def main():
            stop, facts = asyncio.Event(), []
            def hear(fact):
                facts.append(fact)
                if how in ("end", "hang"):
                    stop.set()
            await beside.run(how.encode(), stop, hear, 0.5)
            for fact in facts:
                print(fact, flush=True)
        asyncio.run(main())
    """
)


def lived(how: str) -> list[str]:
    """What a hub whose process beside does this prints after the pid; by its end that process is gone."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=60, check=False)
    pid, *told = done.stdout.splitlines()
    assert done.returncode == (-signal.SIGKILL if how == "killed" else 0), done.stderr
    with contextlib.suppress(psutil.NoSuchProcess):  # it is the child of nobody, where the hub was killed
        psutil.Process(int(pid)).wait(10)
    return told


def test_it_tells_facts_until_it_is_asked_to_end() -> None:
    nice = os.nice(0) + 7
    assert lived("end") == [f"StoreGoesOn(seq={nice})", "StoreGoesOn(seq=99)"]


def test_what_goes_wrong_in_it_is_told() -> None:
    assert lived("fail")[1:] == ["StageStopped(stage='beside', error='ValueError: no')"]


def test_the_hub_goes_on_where_it_dies() -> None:
    assert len(lived("die")) == 1


def test_one_that_does_not_end_is_killed() -> None:
    assert len(lived("hang")) == 1


def test_it_is_gone_where_it_never_began_or_the_hub_was_killed() -> None:
    assert lived("never") == []
    assert lived("killed") == []
