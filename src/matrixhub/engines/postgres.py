"""The embedded PostgreSQL: its cluster, its configuration, and whether it takes connections."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import shutil
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals
from typing import Any
from urllib.parse import quote

import asyncpg

from matrixhub.engines.account import Account
from matrixhub.engines.binaries import PostgresPrograms
from matrixhub.engines.certificates import can_be_named, issue, kept_authority, renewal_due
from matrixhub.engines.files import make_directory, sync_directory, write_atomically
from matrixhub.engines.leftovers import end_leftovers, may_work_in
from matrixhub.engines.ports import LOOPBACK
from matrixhub.engines.process import run_to_end
from matrixhub.model.database import CUSTOMERS
from matrixhub.model.errors import ConfigurationError, EngineError

USER = DATABASE = "matrixhub"
SOCKET_PATH_BYTES_MAX = 107
"""What an address of a Unix socket holds on Linux, without its final zero; 103 on macOS."""
INITDB_LIMIT_S = 120.0
CONNECT_LIMIT_S = 30.0

CONFIGURATION = """\
# Written by Matrix Hub at every start. What you change in postgresql.conf counts unless it is set here;
# ALTER SYSTEM counts above both.
include_if_exists = 'postgresql.conf'
listen_addresses = '{listen}'
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 128MB
# What was committed is on disk.
fsync = on
full_page_writes = on
synchronous_commit = on
wal_compression = off
password_encryption = 'scram-sha-256'
{tls}# The same everywhere, whatever the machine is set to.
timezone = 'UTC'
log_timezone = 'UTC'
# Short statements only: compiling them costs more than it saves.
jit = off
# To standard error, which the hub appends to logs/postgres.log.
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] '
log_checkpoints = off
"""

ACCESS = """\
# Written by Matrix Hub at every start: a password on every way in.
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""

TLS_CONFIGURATION = """\
# Certificate and key are in one file, so that they are never of two issues.
ssl = on
ssl_cert_file = 'matrixhub.pem'
ssl_key_file = 'matrixhub.pem'
ssl_min_protocol_version = 'TLSv1.2'
"""

ACCESS_FROM_ELSEWHERE = """\
# From elsewhere with TLS only, and only readers of customers' databases: the hub's own role never.
hostssl all +{customers} 0.0.0.0/0 scram-sha-256
hostssl all +{customers} ::/0 scram-sha-256
"""

NO_TLS = (
    "databases.listen: {program} is built without TLS, and beyond this machine passwords and readings would go in "
    "clear. Name the programs of a PostgreSQL with TLS in engines.postgres.bin_dir (a distribution's is one, e.g. "
    "/usr/lib/postgresql/15/bin), or use a server of your own (engines.postgres.dsn); or leave databases.listen empty "
    "and let customers in through a tunnel"
)

_PROTOCOL_3 = 196_608
_STARTING_UP = b"C57P03\0"
"""The SQLSTATE field of "the database system is starting up" and its relatives."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """The engine `postgres`. `sockets` is a directory whose path is short enough for a socket in it.

    It takes connections of customers at the addresses `listen`, to whom it is `host`. With `wants_tls` it speaks TLS if
    its programs can; beyond loopback it does, or does not start.
    """

    data: Path
    sockets: Path
    port: int
    programs: PostgresPrograms
    account: Account | None
    password: str = field(repr=False)
    listen: Sequence[str] = ()
    host: str = ""
    wants_tls: bool = False
    name = "postgres"
    stop_signal = Signals.SIGINT
    """Fast shutdown: breaks off what runs, then a checkpoint."""

    @property
    def program(self) -> Path:
        """The server."""
        return self.programs.postgres

    @property
    def folder(self) -> Path:
        """The cluster."""
        return self.data / "postgres"

    @property
    def socket_dsn(self) -> str:
        """The hub's way in."""
        return f"postgresql://{USER}:{self.password}@/{DATABASE}?host={quote(str(self.sockets))}&port={self.port}"

    @property
    def tcp_dsn(self) -> str:
        """The way in for other programs on this machine."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{DATABASE}"

    async def prepare(self) -> Sequence[str]:
        """Make the cluster if there is none, and write its configuration; the command. Raises EngineError."""
        if not self.folder.exists():
            await self._make_cluster()
        await self._check_version()
        self._remove_stale_pid_files()
        if self.account is not None:
            make_directory(self.folder, 0o700, self.account)
        check_addresses(self.listen, self.port)
        speaks_tls = await self._prepare_tls()
        configuration = self.folder / "matrixhub.conf"
        settings = CONFIGURATION.format(
            listen=listen_addresses(self.listen),
            port=self.port,
            sockets=_quoted(self.sockets),
            tls=TLS_CONFIGURATION if speaks_tls else "",
        )
        write_atomically(configuration, settings, account=self.account)
        elsewhere = ACCESS_FROM_ELSEWHERE.format(customers=CUSTOMERS) if self.is_reached_from_elsewhere else ""
        write_atomically(self.folder / "pg_hba.conf", ACCESS + elsewhere, account=self.account)
        return [str(self.program), "-D", str(self.folder), "-c", f"config_file={configuration}"]

    @property
    def is_reached_from_elsewhere(self) -> bool:
        """Whether it listens beyond loopback."""
        return any(not ipaddress.ip_address(address).is_loopback for address in self.listen)

    async def _prepare_tls(self) -> bool:
        """Issue a certificate if TLS is to be spoken; whether it is. Raises EngineError, ConfigurationError."""
        if not self.wants_tls and not self.is_reached_from_elsewhere:
            return False
        library = await run_to_end(
            [str(self.program), "-D", str(self.folder), "-C", "ssl_library"],
            cwd=self.data,
            account=self.account,
            limit_s=CONNECT_LIMIT_S,
        )
        if not library.strip():
            if self.is_reached_from_elsewhere:
                raise ConfigurationError(NO_TLS.format(program=self.program))
            return False
        self._issue_certificate(datetime.now(UTC))
        return True

    def _issue_certificate(self, now: datetime) -> None:
        names = [name for name in (self.host, *self.listen, socket.gethostname()) if can_be_named(name)]
        issued = issue(kept_authority(self.data, now), [*names, "localhost", LOOPBACK, "::1"], now)
        write_atomically(self._certificate, issued, account=self.account)

    @property
    def _certificate(self) -> Path:
        return self.folder / "matrixhub.pem"

    async def renew(self, now: datetime) -> bool:
        """Put another certificate in the place of one that soon ends, for connections from then on; whether it was due.

        Raises: EngineError.
        """
        try:
            if not self._certificate.exists() or not renewal_due(self._certificate.read_text(encoding="ascii"), now):
                return False
            self._issue_certificate(now)
        except OSError as error:
            raise EngineError(f"the certificate of PostgreSQL cannot be renewed: {error}") from error
        async with self._connected() as connection:
            await connection.execute("select pg_reload_conf()")
        return True

    async def answers(self) -> bool:
        """Whether a connection would be taken: it is begun and left when the server asks for the password."""
        reader, writer = await asyncio.open_unix_connection(str(self.sockets / f".s.PGSQL.{self.port}"))
        with closing(writer):
            start = struct.pack("!i", _PROTOCOL_3) + f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
            writer.write(struct.pack("!i", len(start) + 4) + start)
            kind, length = struct.unpack("!ci", await reader.readexactly(5))
            # An error that is not about starting (too many connections, for one) comes from a server that works.
            return bool(kind == b"R" or _STARTING_UP not in await reader.readexactly(length - 4))

    def stuck(self, log: str, pid: int) -> str:
        """Never: after a full disk it recovers, or ends."""
        return ""

    async def settle(self) -> None:
        """Make the hub's database if it is not there. Raises EngineError."""
        async with self._connected() as connection:
            if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE):
                await connection.execute(f"create database {DATABASE}")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """A connection as the hub's role. Raises EngineError."""
        try:
            connection = await asyncpg.connect(
                host=str(self.sockets),
                port=self.port,
                user=USER,
                password=self.password,
                database="postgres",
                timeout=CONNECT_LIMIT_S,
            )
            try:
                yield connection
            finally:
                await connection.close()
        except asyncpg.InvalidPasswordError as error:
            raise EngineError(
                f"PostgreSQL does not take the password in {self.data / 'secrets.json'}: the file belongs to another "
                f"cluster than {self.folder}. Restore the two from the same backup"
            ) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise EngineError(f"PostgreSQL cannot be prepared: {error!r}") from error

    def clean(self) -> None:
        """Remove a socket directory that is not in the data directory."""
        if self.sockets != self.data / "run":
            shutil.rmtree(self.sockets, ignore_errors=True)

    async def _make_cluster(self) -> None:
        """Run initdb beside the cluster's place and move the result there, so that a cluster that is there is whole."""
        made = self.folder.with_name("postgres.new")
        if made.exists():  # an earlier start was interrupted
            await end_leftovers(self.program.name, made, Signals.SIGINT)
            await asyncio.to_thread(shutil.rmtree, made)
        make_directory(made, 0o700, self.account)
        password = self.data / "run" / "initdb-password"
        write_atomically(password, self.password + "\n", account=self.account)
        try:
            # Its result is synced to disk, which was seen to cost 30 to 400 ms of 0.3 to 0.85 s.
            await run_to_end(
                [
                    *(str(self.programs.initdb), "-D", str(made), "--no-instructions", "--data-checksums"),
                    *("--encoding=UTF8", "--locale=C", *locale_options(await self._programs_version())),
                    *("--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}"),
                ],
                cwd=self.data,
                account=self.account,
                limit_s=INITDB_LIMIT_S,
            )
        finally:
            password.unlink(missing_ok=True)
        made.rename(self.folder)
        sync_directory(self.data)

    def _remove_stale_pid_files(self) -> None:
        """Remove what a killed server leaves in the cluster and beside its socket.

        PostgreSQL would refuse to start if the process id in one of them now belongs to any other process of the same
        user, or to one that has ended but that nobody has asked how, as in a container without an init.
        """
        for file in (self.folder / "postmaster.pid", *self.sockets.glob(".s.PGSQL.*.lock")):
            with suppress(FileNotFoundError, ValueError):
                pid = int(file.read_text(encoding="utf-8").partition("\n")[0])
                if not may_work_in(pid, self.folder):
                    file.unlink()

    async def _check_version(self) -> None:
        """Raises EngineError if the cluster was made by another major version than the programs'."""
        try:
            cluster = (self.folder / "PG_VERSION").read_text(encoding="ascii").strip()
        except FileNotFoundError as error:
            raise EngineError(
                f"{self.folder} is not a PostgreSQL cluster: it has no PG_VERSION. Move it away, or restore it"
            ) from error
        version = await self._programs_version()
        if str(version) != cluster:
            raise EngineError(
                f"The cluster {self.folder} was made by PostgreSQL {cluster}, but {self.program} is version {version}. "
                f"Name the programs of PostgreSQL {cluster} in engines.postgres.bin_dir, "
                "or upgrade the cluster with pg_upgrade"
            )

    async def _programs_version(self) -> int:
        """The major version of the programs. Raises EngineError."""
        printed = await run_to_end(
            [str(self.program), "--version"], cwd=self.data, account=self.account, limit_s=CONNECT_LIMIT_S
        )
        found = re.search(r"\d+", printed)
        if found is None:
            raise EngineError(f"{self.program} does not say its version: {printed.strip()!r}")
        return int(found.group())


def locale_options(version: int) -> tuple[str, ...]:
    """Options of initdb for texts that sort by code point, whatever locales the system has.

    >>> locale_options(15)
    ()
    """
    if version < 17:  # the builtin provider came with 17; before, the locale C does it but for upper and lower case
        return ()
    return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")


def listen_addresses(listen: Sequence[str]) -> str:
    """Where PostgreSQL listens: on loopback, and at these addresses; one that is all of them has loopback in it.

    >>> listen_addresses(()), listen_addresses(["10.1.2.3", "127.0.0.1"]), listen_addresses(["0.0.0.0", "10.1.2.3"])
    ('127.0.0.1', '127.0.0.1,10.1.2.3', '0.0.0.0')
    >>> listen_addresses(["::"])
    '127.0.0.1,::'
    """
    wanted = [*dict.fromkeys((LOOPBACK, *listen))]
    for every, version in (("0.0.0.0", 4), ("::", 6)):
        if every in wanted:
            wanted = [one for one in wanted if one == every or ipaddress.ip_address(one).version != version]
    return ",".join(wanted)


def check_addresses(listen: Sequence[str], port: int) -> None:
    """Refuse addresses that cannot be listened at: PostgreSQL would go on without them. Raises: EngineError.

    >>> check_addresses(["192.0.2.250"], 0)
    Traceback (most recent call last):
    matrixhub.model.errors.EngineError: databases.listen: 192.0.2.250 port 0: Cannot assign requested address
    """
    for address in listen:
        family = socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((address, port))
            except OSError as error:
                raise EngineError(f"databases.listen: {address} port {port}: {error.strerror}") from error


def socket_directory(data: Path, account: Account | None) -> Path:
    """A directory for the Unix socket: `run` in the data directory, or a private one if that path will not do.

    A path may be too long, or hold a comma, which separates directories in the setting and hosts in a DSN.

    The private one is noted, so that a start after a crash can remove it.
    """
    usual, note = data / "run", data / "run" / "sockets"
    _remove_noted(note)
    if len(str(usual / ".s.PGSQL.65535").encode()) <= SOCKET_PATH_BYTES_MAX and "," not in str(usual):
        return usual
    # Not the directory for temporary files of this session, which may be as long or closed to the engines' user.
    private = Path(tempfile.mkdtemp(prefix="matrixhub-", dir="/tmp"))
    if account is not None:
        make_directory(private, 0o700, account)
    write_atomically(note, str(private))
    return private


def _remove_noted(note: Path) -> None:
    """Remove the private directory of an earlier start, if its name is one that we would have made."""
    if note.exists():
        noted = Path(note.read_text(encoding="utf-8"))
        if noted.parent == Path("/tmp") and noted.name.startswith("matrixhub-"):
            shutil.rmtree(noted, ignore_errors=True)
        note.unlink()


def _quoted(path: Path) -> str:
    """The path between the quotes of a setting."""
    return str(path).replace("\\", "\\\\").replace("'", "''")
