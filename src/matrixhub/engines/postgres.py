"""The embedded PostgreSQL: its cluster, its configuration, and whether it takes connections."""

from __future__ import annotations

import asyncio
import re
import shutil
import struct
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from urllib.parse import quote

import asyncpg

from matrixhub.engines.account import Account
from matrixhub.engines.binaries import PostgresPrograms
from matrixhub.engines.files import make_directory, sync_directory, write_atomically
from matrixhub.engines.leftovers import end_leftovers, may_work_in
from matrixhub.engines.ports import LOOPBACK
from matrixhub.engines.process import run_to_end
from matrixhub.model.errors import EngineError

USER = DATABASE = "matrixhub"
SOCKET_PATH_BYTES_MAX = 107
"""What an address of a Unix socket holds on Linux, without its final zero; 103 on macOS."""
INITDB_LIMIT_S = 120.0
CONNECT_LIMIT_S = 30.0

CONFIGURATION = """\
# Written by Matrix Hub at every start. What you change in postgresql.conf counts unless it is set here;
# ALTER SYSTEM counts above both.
include_if_exists = 'postgresql.conf'
listen_addresses = '{loopback}'
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
# The same everywhere, whatever the machine is set to.
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

_PROTOCOL_3 = 196_608
_STARTING_UP = b"C57P03\0"
"""The SQLSTATE field of "the database system is starting up" and its relatives."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """The engine `postgres`. `sockets` is a directory whose path is short enough for a socket in it."""

    data: Path
    sockets: Path
    port: int
    programs: PostgresPrograms
    account: Account | None
    password: str = field(repr=False)
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
        configuration = self.folder / "matrixhub.conf"
        settings = CONFIGURATION.format(loopback=LOOPBACK, port=self.port, sockets=_quoted(self.sockets))
        write_atomically(configuration, settings, account=self.account)
        write_atomically(self.folder / "pg_hba.conf", ACCESS, account=self.account)
        return [str(self.program), "-D", str(self.folder), "-c", f"config_file={configuration}"]

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
                if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE):
                    await connection.execute(f"create database {DATABASE}")
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
