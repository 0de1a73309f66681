"""The embedded NATS: its configuration, and whether JetStream answers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from matrixhub.engines.account import Account
from matrixhub.engines.files import make_directory, write_atomically
from matrixhub.engines.ports import LOOPBACK

CONFIGURATION = """\
# Written by Matrix Hub at every start.
server_name: "matrixhub"
listen: "{loopback}:{port}"
authorization {{ token: "{token}" }}
jetstream {{
  store_dir: {store}
  # An acknowledged message is on disk.
  sync_interval: always
  max_file_store: {store_bytes_max}
}}
max_payload: 8MB
# What may wait for one slow connection before it is cut.
max_pending: 256MB
"""

FREE_BYTES_MIN = 64 * 1024 * 1024
"""With less free, a NATS that was stopped by a full disk is not started anew."""

_FULL_DISK = ("no space left on device", "resources, will be DISABLED")
_INBOX = "_INBOX.matrixhub.health"


@dataclass(frozen=True, kw_only=True)
class Nats:
    """The engine `nats`."""

    data: Path
    port: int
    program: Path
    account: Account | None
    token: str = field(repr=False)
    name = "nats"
    stop_signal = Signals.SIGTERM

    @property
    def folder(self) -> Path:
        """Its configuration, and its store below."""
        return self.data / "nats"

    @property
    def url(self) -> str:
        """The way in."""
        return f"nats://{self.token}@{LOOPBACK}:{self.port}"

    async def prepare(self) -> Sequence[str]:
        """Write the configuration; the command."""
        store, file = self.folder / "store", self.folder / "nats.conf"
        make_directory(self.folder, 0o700, self.account)
        make_directory(store, 0o700, self.account)
        configuration = CONFIGURATION.format(
            loopback=LOOPBACK,
            port=self.port,
            token=self.token,
            store=json.dumps(str(store), ensure_ascii=False),
            store_bytes_max=await asyncio.to_thread(store_bytes_max, store),
        )
        write_atomically(file, configuration, account=self.account)
        return [str(self.program), "--config", str(file)]

    async def answers(self) -> bool:
        """Whether JetStream answers: NATS itself goes on when its JetStream has stopped for want of disk."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        with closing(writer):
            options = {"auth_token": self.token, "verbose": False, "headers": True, "no_responders": True}
            question = f"SUB {_INBOX} 1\r\nPUB $JS.API.INFO {_INBOX} 0\r\n\r\n"
            writer.write(f"CONNECT {json.dumps(options)}\r\n{question}".encode())
            while line := await reader.readline():
                match line.split(maxsplit=1)[0]:
                    case b"MSG":
                        return True
                    case b"HMSG" | b"-ERR":  # nobody responds, or the token is wrong
                        return False
            return False

    def stuck(self, log: str, pid: int) -> str:
        """The line that says that the disk was full, once it no longer is.

        A stream that could not write once takes nothing more, and JetStream may have stopped as a whole, until NATS is
        started anew.
        """
        line = full_disk_line(log, pid)
        return line if line and shutil.disk_usage(self.folder).free >= FREE_BYTES_MIN else ""

    async def settle(self) -> None:
        """Nothing: the streams are the bus's."""

    def clean(self) -> None:
        """Nothing."""


def full_disk_line(log: str, pid: int) -> str:
    """The last line of a log in which the process says that its disk is full; '' where it does not.

    >>> full_disk_line("[7] 2024/03/10 00:05:09 [ERR] write 1.blk: no space left on device", 7)
    '[7] 2024/03/10 00:05:09 [ERR] write 1.blk: no space left on device'
    >>> full_disk_line("[7] 2024/03/10 00:05:09 [ERR] write 1.blk: no space left on device", 8)
    ''
    """
    said = [line for line in log.splitlines() if line.startswith(f"[{pid}] ") and any(t in line for t in _FULL_DISK)]
    return said[-1] if said else ""


def store_bytes_max(store: Path) -> int:
    """How much JetStream may store: what it has, and three quarters of what is free.

    NATS itself takes three quarters of what is free at its start and forgets what it has already, so that a store
    that fills more than 3/7 of a disk would take nothing after a restart. The last quarter is for PostgreSQL, which
    stops when its disk is full; so on a small disk the limit is small too.
    """
    return _size_bytes(store) + shutil.disk_usage(store).free * 3 // 4


def _size_bytes(path: Path) -> int:
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)
