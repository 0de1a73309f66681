"""The connection pool and the migrations."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import asyncpg
import msgspec

from matrixhub.model.errors import EngineError, NotFound, QueryTooLong, StoreBusy, StoreError, WrongParameters
from matrixhub.observe import MigrationsApplied, Observe, StoreFailed

Connection = Any
Pool = Any
"""asyncpg has no type stubs; values leave this package typed."""

MIGRATION_LOCK = 0x6D78_6875_62
"""Key of the advisory lock that lets one process migrate at a time."""

COMMAND_TIMEOUT_S = 10.0
PING_TIMEOUT_S = 2.0
LONG_QUERIES_MAX = 2
"""So many queries over much data a process lets run at a time: the other connections of the pool stay for all else."""

LONG_QUERY_S = 8.0
LONG_QUERY_WAIT_S = 10.0
LISTEN_RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Database:
    """An open pool. `connection` turns driver faults into StoreError, and a reference to what is gone into NotFound."""

    pool: Pool
    dsn: str
    long_queries: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(LONG_QUERIES_MAX), compare=False, repr=False
    )

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for one step. Raises StoreError."""
        with store_errors():
            async with self.pool.acquire(timeout=COMMAND_TIMEOUT_S) as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection in a transaction, committed at the end of the block. Raises StoreError."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def long_query(self) -> AsyncIterator[Any]:
        """A connection that only reads, for a query over much data, few of which run at a time.

        All of its statements see the data of one moment.

        Raises: QueryTooLong if a statement takes longer than it may, StoreBusy if no turn comes, StoreError.
        """
        try:
            async with asyncio.timeout(LONG_QUERY_WAIT_S):
                await self.long_queries.acquire()
        except TimeoutError:
            raise StoreBusy("other queries over much data are under way") from None
        try:
            async with (
                self.connection() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(f"set local statement_timeout = {LONG_QUERY_S * 1000:.0f}")
                try:
                    yield connection
                except asyncpg.QueryCanceledError as error:
                    raise QueryTooLong(
                        f"it takes longer than {LONG_QUERY_S:g} s; ask about less time, fewer slots or fewer metrics"
                    ) from error
        finally:
            self.long_queries.release()

    @contextlib.asynccontextmanager
    async def joined(self) -> AsyncIterator[Database]:
        """A database whose every step is part of one transaction, committed at the end of the block.

        It has one connection, so its steps follow each other. Raises StoreError.
        """
        async with self.transaction() as connection:
            yield Database(_OneConnection(connection), self.dsn)

    async def ping(self) -> None:
        """Ask something trivial, for at most two seconds. Raises StoreError."""
        with store_errors():
            async with asyncio.timeout(PING_TIMEOUT_S), self.connection() as connection:
                await connection.execute("select 1")


@dataclass(frozen=True, slots=True)
class _OneConnection:
    """A pool that lends the same connection, in whose transaction it is, again and again."""

    held: Connection

    @contextlib.asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[Connection]:
        yield self.held


_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was cut off in the middle of an answer
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shut down, crashed, not ready yet
    asyncpg.exceptions.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.exceptions.PostgresSystemError,  # input or output failed
    asyncpg.exceptions.TransactionRollbackError,  # two waited for each other, and this one gave way
    asyncpg.exceptions.LockNotAvailableError,  # not within the time set for it
)
"""What says that PostgreSQL is away or in trouble, as opposed to a mistake in our SQL."""


@contextlib.contextmanager
def store_errors() -> Any:
    """Turn faults of the driver into ours; mistakes in SQL stay what they are, defects."""
    try:
        yield
    except asyncpg.ForeignKeyViolationError as error:
        # Statements look for what they refer to before, so it was there until a moment ago.
        raise NotFound(f"what was named is being removed: {error.detail}") from error
    except (asyncpg.DataError, UnicodeEncodeError) as error:
        if not _is_about_text(error):
            raise
        raise WrongParameters("a text has a character that cannot be kept: NUL, or half of one") from error
    except _UNREACHABLE as error:
        raise StoreError(f"PostgreSQL: {str(error) or type(error).__name__}") from error


def _is_about_text(error: Exception) -> bool:
    """Whether PostgreSQL, or the way to it, knows no such text; other faults of data are defects."""
    about = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError, UnicodeEncodeError)
    return isinstance(error, about) or isinstance(error.__cause__, UnicodeEncodeError)


async def _prepare_connection(connection: Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: msgspec.json.encode(value).decode(),
        decoder=msgspec.json.decode,
    )


async def _leave_session(_: Connection) -> None:
    """What is done before a connection goes back to the pool: nothing, so that it costs no round trip.

    No statement here leaves anything behind in a session: settings are those of a transaction, as are advisory locks;
    what listens, or holds a lock for longer, has a connection of its own. A transaction that was left open is rolled
    back by the driver all the same.
    """


@contextlib.asynccontextmanager
async def open_database(dsn: str, *, connections_max: int) -> AsyncIterator[Database]:
    """An open pool.

    Raises: EngineError if PostgreSQL cannot be reached or refuses the login.
    """
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=connections_max,
            init=_prepare_connection,
            reset=_leave_session,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={
                "application_name": "matrixhub",
                "timezone": "UTC",
                # A process that hangs in a transaction must not keep its row locks from the others.
                "idle_in_transaction_session_timeout": "5s",
            },
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise EngineError(f"PostgreSQL cannot be reached: {str(error) or type(error).__name__}") from error
    try:
        yield Database(pool, dsn)
    finally:
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def migrate(database: Database, observe: Observe) -> list[str]:
    """Bring the schema up to date, under a lock, and say which migrations were applied now.

    Safe to repeat and to run in several processes at once. Raises StoreError.
    """
    applied: list[str] = []
    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        await connection.execute(
            "create table if not exists schema_migrations"
            " (name text primary key, applied_at timestamptz not null default now())"
        )
        done = {row["name"] for row in await connection.fetch("select name from schema_migrations")}
        for name, statements in migration_files():
            if name not in done:
                await connection.execute(statements)
                await connection.execute("insert into schema_migrations (name) values ($1)", name)
                applied.append(name)
    if applied:
        observe(MigrationsApplied(names=", ".join(applied)))
    return applied


def migration_files() -> list[tuple[str, str]]:
    """Name and text of every migration, in order."""
    folder = files("matrixhub.store") / "migrations"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [(entry.name, entry.read_text(encoding="utf-8")) for entry in sorted(found, key=lambda e: e.name)]


async def listen(
    database: Database, channel: str, heard: Callable[[str], None], stop: asyncio.Event, observe: Observe
) -> None:
    """Call `heard` with the text of every notification, and with '' at every (re)connection, as some may be missed."""
    while not stop.is_set():
        try:
            with store_errors():
                connection = await asyncpg.connect(database.dsn, timeout=COMMAND_TIMEOUT_S)
                try:
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda _c, lost=lost: lost.set())
                    await connection.add_listener(channel, lambda *heard_of: heard(str(heard_of[3])))
                    heard("")
                    await _first(stop, lost)
                finally:
                    await connection.close(timeout=2)
        except StoreError as error:
            observe(StoreFailed(step=f"listen {channel}", error=error.message))
        if not stop.is_set():
            await asyncio.sleep(LISTEN_RETRY_S)


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
