"""PostgreSQL and NATS for the tests of a process: started once, with a database of its own for each module."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import asyncpg
import nats

from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.observe import ignore
from matrixhub.store import open_database
from matrixhub.store.pool import migrate

_WITHOUT_CARE = ("fsync = off", "full_page_writes = off", "synchronous_commit = off")
"""What costs time, and would matter only to a test about losing power."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dsns:
    """The two addresses of a database."""

    socket: str
    tcp: str

    def of(self, database: str) -> Dsns:
        """The same for another database of the server."""
        return Dsns(socket=_of(self.socket, database), tcp=_of(self.tcp, database))


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedEngines:
    """Both engines, which no test may stop or harm. Streams are shared: a test removes them before it begins."""

    postgres: Dsns
    """A database that is migrated and empty, and to which nobody is connected: the model of the others."""

    nats_url: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def new_database(self, *, migrated: bool = True) -> Dsns:
        """The addresses of a new database without rows, or without a schema."""
        name = f"tests_{next(self._numbers)}"
        model = urlsplit(self.postgres.socket).path[1:] if migrated else "template1"
        connection = await asyncpg.connect(self.postgres.of(model).socket)
        try:
            await connection.execute(f"create database {name} template {model}")
        finally:
            await connection.close()
        return self.postgres.of(name)

    async def remove_streams(self) -> None:
        """Remove what tests before have published, and their streams."""
        client = await nats.connect(self.nats_url)
        try:
            for stream in await client.jetstream().streams_info():
                await client.jetstream().delete_stream(cast("str", stream.config.name))
        finally:
            await client.close()


@asynccontextmanager
async def open_shared_engines() -> AsyncIterator[SharedEngines]:
    """Engines in a directory of their own."""
    with data_directory() as data, DataDirectory.open(data) as directory:
        async with open_engines(directory, load_settings(None, {}).engines, ignore) as engines:
            found = engines.endpoints
            async with open_database(found.postgres_dsn, connections_max=1) as database:
                async with database.connection() as connection:
                    for setting in _WITHOUT_CARE:
                        await connection.execute(f"alter system set {setting}")
                    await connection.execute("select pg_reload_conf()")
                await migrate(database, ignore)
            yield SharedEngines(
                postgres=Dsns(socket=found.postgres_dsn, tcp=found.postgres_tcp_dsn), nats_url=found.nats_url
            )


@contextmanager
def data_directory() -> Iterator[Path]:
    """A data directory that the engines' user can reach, which pytest's own is not."""
    top = Path(tempfile.mkdtemp(prefix="mh-tests-"))
    top.chmod(0o755)
    try:
        yield top / "data"
    finally:
        shutil.rmtree(top)


def _of(dsn: str, database: str) -> str:
    return urlsplit(dsn)._replace(path=f"/{database}").geturl()
