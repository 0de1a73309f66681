"""The other side of `processes.Child`: a program that does what the lines of its standard input say."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Handler = Callable[..., Awaitable[Mapping[str, Any]]]


async def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer each line of standard input until it ends, as it does when the benchmark dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        command = json.loads(line)
        try:
            answer = await handlers[command.pop("do")](**command)
        except Exception as error:  # noqa: BLE001 - whatever it is, the benchmark wants to know
            answer = {"error": f"{type(error).__name__}: {error}"}
        reply = json.dumps(answer).encode() + b"\n"
        await loop.run_in_executor(None, _write, reply)


def _write(reply: bytes) -> None:
    while reply:
        reply = reply[os.write(sys.stdout.fileno(), reply) :]
