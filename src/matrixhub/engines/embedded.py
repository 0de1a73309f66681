"""Both engines together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals

from matrixhub.config import Engines
from matrixhub.engines.account import Account, check_enterable, engine_account
from matrixhub.engines.binaries import nats_program, postgres_programs
from matrixhub.engines.directory import DataDirectory
from matrixhub.engines.files import make_directory
from matrixhub.engines.leftovers import end_leftovers
from matrixhub.engines.nats import Nats
from matrixhub.engines.ports import engine_port
from matrixhub.engines.postgres import Postgres, socket_directory
from matrixhub.engines.process import EngineLog
from matrixhub.engines.server import Server
from matrixhub.model.errors import EngineError
from matrixhub.observe import CertificateNotRenewed, CertificateRenewed, EngineLeftover, Observe

RENEWAL_INTERVAL_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """Where the engines are, credentials included."""

    postgres_dsn: str = field(repr=False)
    postgres_tcp_dsn: str = field(repr=False)
    nats_url: str = field(repr=False)


class EmbeddedEngines:
    """The running engines."""

    def __init__(self, endpoints: Endpoints, servers: Sequence[Server], postgres: Postgres, observe: Observe) -> None:
        self.endpoints = endpoints
        self._servers = servers
        self._postgres, self._observe = postgres, observe

    @property
    def healthy(self) -> Mapping[str, bool]:
        """Whether each engine answered when last asked; asked about once a second while `run` runs."""
        return {server.engine.name: server.healthy for server in self._servers}

    async def run(self, stop: asyncio.Event) -> None:
        """Start an engine again, on the same port, whenever it dies; until `stop`."""
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(server.watch(), name=server.engine.name) for server in self._servers]
            watches.append(group.create_task(self._keep_certificate(), name="certificate of postgres"))
            await stop.wait()
            for watch in watches:
                watch.cancel()

    async def renew(self, now: datetime) -> bool:
        """Renew the certificate of PostgreSQL if it ends soon; whether it did. Raises EngineError."""
        due = await self._postgres.renew(now)
        if due:
            self._observe(CertificateRenewed(engine=Postgres.name))
        return due

    async def _keep_certificate(self) -> None:
        """Renew the certificate of PostgreSQL before it ends; returns never."""
        while True:
            try:
                await self.renew(datetime.now(UTC))
            except EngineError as error:
                # There are weeks left, in which it is tried again.
                self._observe(CertificateNotRenewed(engine=Postgres.name, error=error.message))
            await asyncio.sleep(RENEWAL_INTERVAL_S)


@asynccontextmanager
async def open_engines(
    directory: DataDirectory, settings: Engines, observe: Observe, *, listen: Sequence[str] = (), host: str = ""
) -> AsyncIterator[EmbeddedEngines]:
    """PostgreSQL and NATS in this data directory, both answering; stopped cleanly at the end.

    At the addresses `listen` PostgreSQL is there for customers, too, who know it as `host`.

    Call it from the main thread: on Linux the engines are told to stop when the thread that started them ends, so
    that a killed hub leaves none behind.
    Raises: EngineError, PortInUse, ConfigurationError.
    """
    account = engine_account(settings.postgres.run_as)
    data = directory.path
    check_enterable(data, account)
    servers: list[Server] = []
    try:
        with _explained(data):
            make_directory(data / "logs", 0o700)
            make_directory(data / "run", 0o700, account)
            chosen, nats = await _choose(directory, settings, account, observe)
            postgres = replace(chosen, listen=tuple(listen), host=host, wants_tls=bool(settings.postgres.bin_dir))
            servers.append(Server(postgres, EngineLog(data / "logs" / "postgres.log"), account, observe))
            servers.append(Server(nats, EngineLog(data / "logs" / "nats.log"), account, observe))
            await _all(server.start() for server in servers)
        endpoints = Endpoints(postgres_dsn=postgres.socket_dsn, postgres_tcp_dsn=postgres.tcp_dsn, nats_url=nats.url)
        yield EmbeddedEngines(endpoints, servers, postgres, observe)
    finally:
        await _all(server.stop() for server in servers)


@contextmanager
def _explained(data: Path) -> Iterator[None]:
    """Let a full disk or a folder that is not ours be an error of the engines."""
    try:
        yield
    except OSError as error:
        raise EngineError(f"The engines cannot be set up in {data}: {error}") from error


async def _choose(
    directory: DataDirectory, settings: Engines, account: Account | None, observe: Observe
) -> tuple[Postgres, Nats]:
    """Find the programs, end what a killed hub left (it holds the ports), and settle on the ports."""
    data, copies = directory.path, directory.path / "engines"
    programs = await asyncio.to_thread(postgres_programs, settings.postgres.bin_dir, copies, account)
    nats = await asyncio.to_thread(nats_program, settings.nats.bin, copies, account)
    await _end_leftovers(Postgres.name, programs.postgres, data / "postgres", Postgres.stop_signal, observe)
    await _end_leftovers(Nats.name, nats, data / "nats", Nats.stop_signal, observe)
    ports = _choose_ports(directory, settings)
    return (
        Postgres(
            data=data,
            sockets=socket_directory(data, account),
            port=ports[Postgres.name],
            programs=programs,
            account=account,
            password=directory.secrets.postgres_password,
        ),
        Nats(data=data, port=ports[Nats.name], program=nats, account=account, token=directory.secrets.nats_token),
    )


async def _end_leftovers(engine: str, program: Path, folder: Path, signal: Signals, observe: Observe) -> None:
    for pid in await end_leftovers(program.name, folder, signal):
        observe(EngineLeftover(engine=engine, pid=pid))


def _choose_ports(directory: DataDirectory, settings: Engines) -> Mapping[str, int]:
    """The configured ports first, so that no other engine is given one of them."""
    configured = {Postgres.name: settings.postgres.port, Nats.name: settings.nats.port}
    remembered, chosen = directory.ports, dict[str, int]()
    for engine in sorted(configured, key=lambda name: configured[name] == 0):
        chosen[engine] = engine_port(
            engine, configured=configured[engine], remembered=remembered.get(engine), taken=chosen.values()
        )
    directory.remember_ports(remembered | chosen)
    return chosen


async def _all(steps: Iterable[Coroutine[None, None, None]]) -> None:
    """Do the steps at the same time; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
