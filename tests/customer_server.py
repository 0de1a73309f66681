"""A customer's own PostgreSQL for the tests of a process: the distribution's 15, a cluster of its own, with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import Signals
from typing import Any

import asyncpg
import pytest
import trustme

from matrixhub.engines.account import Account, engine_account
from matrixhub.engines.files import make_directory, write_atomically
from matrixhub.engines.ports import LOOPBACK, engine_port
from matrixhub.engines.process import Child, EngineLog, run_to_end
from matrixhub.model.database import Server
from matrixhub.model.secret import Secret

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
ADMIN = "admin"
PASSWORD = "Pa55 w/ord'%"
START_S = 60.0

_SETTINGS = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
password_encryption = 'scram-sha-256'
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 32MB
log_min_messages = fatal
"""
_ACCESS = "hostssl all all all scram-sha-256\n"
_ACCESS_ALSO_PLAIN = "host all all all scram-sha-256\n"


@dataclass(frozen=True, kw_only=True)
class CustomerServer:
    """A running server of a customer, which no test may stop. It takes connections with TLS only.

    `host` is in its certificate, and so is the address 127.0.0.1.
    """

    folder: Path
    port: int
    authority: trustme.CA
    account: Account | None
    host: str = "localhost"
    address: str = LOOPBACK
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def ca_pem(self) -> str:
        """The certificate to trust."""
        return self.authority.cert_pem.bytes().decode("ascii")

    def server(self, **changed: Any) -> Server:
        """The server as its administrator reaches it, or otherwise."""
        known = {"host": self.host, "port": self.port, "database": "postgres", "user": ADMIN}
        return Server(**{**known, "password": Secret(PASSWORD), "ca_pem": self.ca_pem, **changed})

    async def new_database(self, *, may_create: bool = True) -> Server:
        """A new empty database, as its user reaches it: its owner, or one who may only connect."""
        name = f"customer_{next(self._numbers)}"
        async with self.connection() as admin:
            await admin.execute(f"create role {name} login password '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
            await admin.execute(f"create database {name} owner {name if may_create else ADMIN}")
        return self.server(database=name, user=name)

    @contextlib.asynccontextmanager
    async def connection(self, database: str = "postgres", user: str = ADMIN) -> AsyncIterator[Any]:
        """A connection, the administrator's unless another user is named."""
        connection = await asyncpg.connect(
            host=self.address,
            port=self.port,
            user=user,
            password=PASSWORD,
            database=database,
            ssl="require",
            timeout=START_S,
        )
        try:
            yield connection
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def certified(
        self, *names: str, expired: bool = False, authority: trustme.CA | None = None
    ) -> AsyncIterator[None]:
        """Within the block new connections are shown another certificate."""
        self.write_certificate(*names, expired=expired, authority=authority)
        try:
            await self._reload()
            yield
        finally:
            self.write_certificate()
            await self._reload()

    @contextlib.asynccontextmanager
    async def set_to(self, **settings: str) -> AsyncIterator[None]:
        """Within the block the server has these settings, such as `ssl="off"`."""
        async with self.connection() as admin:
            for name, value in settings.items():
                await admin.execute(f"alter system set {name} = '{value}'")
        # Whoever takes TLS away must be able to bring it back.
        write_atomically(self.folder / "pg_hba.conf", _ACCESS_ALSO_PLAIN, account=self.account)
        try:
            await self._reload()
            yield
        finally:
            (self.folder / "postgresql.auto.conf").write_text("", encoding="ascii")
            write_atomically(self.folder / "pg_hba.conf", _ACCESS, account=self.account)
            await self._reload()

    def write_certificate(self, *names: str, expired: bool = False, authority: trustme.CA | None = None) -> None:
        """The certificate to show from the next reload on, good for these names, or for its own."""
        not_after = datetime.now(UTC) - timedelta(days=1) if expired else None
        made = (authority or self.authority).issue_cert(*(names or (self.host, self.address)), not_after=not_after)
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems).decode("ascii")
        write_atomically(self.folder / "server.crt", chain, account=self.account)
        write_atomically(self.folder / "server.key", made.private_key_pem.bytes().decode("ascii"), account=self.account)

    async def _reload(self) -> None:
        """Have the configuration read, and wait until it is: the postmaster says so in its log by a new stamp."""
        pid = int((self.folder / "postmaster.pid").read_text(encoding="ascii").partition("\n")[0])
        before = await self._loaded_at()
        async with asyncio.timeout(START_S):
            while await self._loaded_at() == before:
                os.kill(pid, Signals.SIGHUP)
                await asyncio.sleep(0.02)

    async def _loaded_at(self) -> Any:
        connection = await asyncpg.connect(
            host=self.address,
            port=self.port,
            user=ADMIN,
            password=PASSWORD,
            database="postgres",
            ssl="prefer",
            timeout=START_S,
        )
        try:
            return await connection.fetchval("select pg_conf_load_time()")
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def open_customer_server(*, standby: bool = False) -> AsyncIterator[CustomerServer]:
    """A server in a directory of its own, ended after the block. As a standby it is read-only, and waits for a primary.

    Skips the test where the distribution's PostgreSQL 15 is not there.
    """
    if not (PROGRAMS / "postgres").exists():
        pytest.skip(f"there is no PostgreSQL 15 of the distribution in {PROGRAMS} (package postgresql-15)")
    account = engine_account("")
    top = _directory(account)
    try:
        password = top / "run" / "password"
        write_atomically(password, PASSWORD + "\n", account=account)
        folder = top / "run" / "cluster"
        await run_to_end(
            [
                *(str(PROGRAMS / "initdb"), "-D", str(folder), "--no-sync", "--no-instructions", "--encoding=UTF8"),
                *("--locale=C", "--auth=scram-sha-256", f"--username={ADMIN}", f"--pwfile={password}"),
            ],
            cwd=top,
            account=account,
            limit_s=START_S,
        )
        made = CustomerServer(
            folder=folder,
            port=engine_port("postgres", configured=0, remembered=None, taken=()),
            authority=trustme.CA(organization_name="A customer"),
            account=account,
        )
        made.write_certificate()
        settings = folder / "postgresql.conf"
        write_atomically(settings, _SETTINGS.format(host=made.address, port=made.port), account=account)
        write_atomically(folder / "pg_hba.conf", _ACCESS, account=account)
        if standby:
            write_atomically(folder / "standby.signal", "", account=account)
        log = EngineLog(top / "server.log")
        child = await Child.spawn(
            [str(PROGRAMS / "postgres"), "-D", str(folder)],
            cwd=top,
            log=log,
            account=account,
            death_signal=Signals.SIGQUIT,
        )
        try:
            await _wait_up(made, child, log)
            yield made
        finally:
            await child.stop(Signals.SIGQUIT, 10)
    finally:
        shutil.rmtree(top)


def _directory(account: Account | None) -> Path:
    """A directory in which the server's user, who is not the tests' own, has a folder `run`."""
    top = Path(tempfile.mkdtemp(prefix="mh-theirs-"))
    top.chmod(0o755)
    make_directory(top / "run", 0o700, account)
    return top


async def _wait_up(server: CustomerServer, child: Child, log: EngineLog) -> None:
    async with asyncio.timeout(START_S):
        while child.exit_code is None:
            with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
                async with server.connection():
                    return
            await asyncio.sleep(0.02)
    raise AssertionError(f"the customer's server did not start:\n{log.tail()}")
