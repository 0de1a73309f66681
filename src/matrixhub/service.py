"""The composition root: the one place that names real adapters and starts tasks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from matrixhub import __version__
from matrixhub.beside import Beside
from matrixhub.bus import NatsBus, StreamSettings, open_buses
from matrixhub.bus.relay import Relay
from matrixhub.config import (
    Settings,
    data_directory,
    listen_address,
    policy_defaults,
    quota_defaults,
    rate_defaults,
    tls_listen_address,
)
from matrixhub.databases.sheet import Place
from matrixhub.databases.upkeep import Upkeep
from matrixhub.databases.warden import Warden
from matrixhub.deliveries import Worker, WorkerSettings
from matrixhub.deliveries.auditor import Auditor
from matrixhub.deliveries.destinations.dispatcher import Dispatcher
from matrixhub.deliveries.destinations.https import open_https_sender
from matrixhub.deliveries.destinations.postgres import open_postgres_sender
from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.deliveries.key_sets import KeySets, open_key_sets
from matrixhub.deliveries.notices import Notices
from matrixhub.deliveries.recent import HeardBus, Recent
from matrixhub.deliveries.retention import Retention, RetentionSettings
from matrixhub.engines import (
    DataDirectory,
    EmbeddedEngines,
    authority_path,
    open_engines,
    read_running,
    read_secrets,
)
from matrixhub.ingest import Acceptor, IngestApp, Registry
from matrixhub.ingest.normalise import TimeRules
from matrixhub.ingest.sightings import Sightings
from matrixhub.ingest.window import Window
from matrixhub.ingest.writer import Writer
from matrixhub.lifecycle import SystemClock, closed_within, end_within, until_stopped, where
from matrixhub.model.database import CustomerDatabase
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import ConfigurationError, StoreError
from matrixhub.model.ids import WorkerId, new_id, stable_hex_id
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Source
from matrixhub.modules.access import make_access
from matrixhub.modules.access.senders import sending_keys
from matrixhub.modules.scheduler import Fire, Scheduler
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce import attendance, overdue, planning
from matrixhub.observe import (
    CloseCutShort,
    Fact,
    HubStarted,
    Metrics,
    Observe,
    StageStopped,
    StopCutShort,
    StoreComesHome,
    StoreGoesOn,
    StoreWaits,
    UnsignedAllowed,
)
from matrixhub.ports import Bus, Buses, Sender
from matrixhub.store import Database, open_database
from matrixhub.store.books import PostgresBooks
from matrixhub.store.databases import Databases
from matrixhub.store.devices import save_sightings
from matrixhub.store.duty import (
    AUDIT_DUTIES,
    RELAY_DUTY,
    RETENTION_DUTIES,
    ROLLUP_DUTY,
    SCHEDULER_DUTY,
    STORE_DUTY,
    UPKEEP_DUTY,
    PostgresDuty,
)
from matrixhub.store.events import EVENT_CHANNEL, PostgresOutbox
from matrixhub.store.keys import digest, keep_local_key
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.notices import NoticeStore
from matrixhub.store.partitions import PostgresPartitions
from matrixhub.store.pool import listen, migrate
from matrixhub.store.readings import PostgresReadingPartitions, PostgresReadings
from matrixhub.store.rollups import PostgresRollups
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import SITE_CHANNEL, all_slots
from matrixhub.store.subscriptions import SUBSCRIPTION_CHANNEL, Codec
from matrixhub.store.timers import TIMER_CHANNEL
from matrixhub.store.tokens import PostgresTokens
from matrixhub.store.versions import Versions
from matrixhub.telemetry import Backfiller, Keeper, KeeperSettings, Roller, RollerSettings
from matrixhub.telemetry.backfiller import TURNS_MAX

if TYPE_CHECKING:
    from matrixhub.api import HttpServer, Parts
    from matrixhub.api.patience import Patience

Role = Literal["ingest", "deliveries", "relay", "scheduler", "store", "api"]
ROLES: tuple[Role, ...] = ("ingest", "deliveries", "relay", "scheduler", "store", "api")

TIMER_HANDLERS: Mapping[str, Fire] = {**planning.HANDLERS, **attendance.HANDLERS, **overdue.HANDLERS}
"""What timers do, by kind: every module that sets timers adds its own."""

Stage = tuple[str, Callable[[asyncio.Event], Awaitable[None]]]

BESIDE_CONNECTIONS = 4 + TURNS_MAX
"""To PostgreSQL, from the process beside: of what keeps readings and rolls them up, and of each backfill's turn, which
must not make those wait.
"""

PARTITIONS_WITH: Source = "sensors"
"""The stream whose retention also keeps the partitions, which are of all subscriptions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """Where the engines of this process are, and what opens the secrets in them."""

    postgres_dsn: str
    nats_url: str
    master_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HubInfo:
    """What a started hub says of itself."""

    url: str
    tls_url: str
    roles: Sequence[Role]
    seconds: float


Started = Callable[[HubInfo], None]


async def run_embedded(
    settings: Settings,
    path: Path,
    stop: asyncio.Event,
    metrics: Metrics,
    observe: Observe,
    started: Started,
    *,
    beside: Beside | None = None,
) -> None:
    """Every role on the embedded engines of a data directory, until stop; `store` in the process beside, if there is
    one.

    Raises MatrixHubError.
    """
    with DataDirectory.open(path) as directory:
        async with AsyncExitStack() as resources:
            databases = settings.databases
            engines = await resources.enter_async_context(
                open_engines(directory, settings.engines, observe, listen=databases.listen, host=databases.host)
            )
            endpoints = Endpoints(
                postgres_dsn=engines.endpoints.postgres_dsn,
                nats_url=engines.endpoints.nats_url,
                master_key=settings.secrets.master_key or directory.secrets.master_key,
            )

            def tell(info: HubInfo) -> None:
                directory.write_running(
                    {
                        "url": info.url,
                        "postgres_dsn": endpoints.postgres_dsn,
                        "postgres_tcp_dsn": engines.endpoints.postgres_tcp_dsn,
                        "nats_url": endpoints.nats_url,
                        "version": __version__,
                    }
                )
                started(info)

            engines_stop = asyncio.Event()
            async with asyncio.TaskGroup() as watch:
                watch.create_task(engines.run(engines_stop), name="engines")
                try:
                    await _run_roles(
                        settings,
                        ROLES,
                        endpoints,
                        stop,
                        metrics,
                        observe,
                        tell,
                        worker_id=WorkerId(f"wrk_{stable_hex_id(directory.secrets.master_key)[:20]}"),
                        local_key=directory.secrets.local_key,
                        engines=engines,
                        beside=beside,
                    )
                finally:
                    engines_stop.set()


async def run_roles(
    settings: Settings,
    path: Path,
    roles: Sequence[Role],
    stop: asyncio.Event,
    metrics: Metrics,
    observe: Observe,
    started: Started,
) -> None:
    """Some roles on engines that run elsewhere, until stop. Raises MatrixHubError."""
    await _run_roles(
        settings,
        roles,
        find_endpoints(settings, path),
        stop,
        metrics,
        observe,
        started,
        worker_id=WorkerId(new_id("wrk")),
        local_key="",
        engines=None,
    )


def find_endpoints(settings: Settings, path: Path) -> Endpoints:
    """The engines named in the settings, or else those of the hub that runs on the data directory.

    Raises: HubNotRunning if there is none, ConfigurationError if external engines come without a master key.
    """
    engines = settings.engines
    if engines.postgres.dsn:
        if not settings.secrets.master_key:
            raise ConfigurationError(
                "secrets.master_key is needed with engines of your own, the same for every process: 64 hexadecimal "
                "digits, for example from `openssl rand -hex 32`"
            )
        return Endpoints(
            postgres_dsn=engines.postgres.dsn, nats_url=engines.nats.url, master_key=settings.secrets.master_key
        )
    running = read_running(path)
    return Endpoints(
        postgres_dsn=running["postgres_dsn"],
        nats_url=running["nats_url"],
        master_key=settings.secrets.master_key or read_secrets(path).master_key,
    )


def hosting_place(settings: Settings, path: Path) -> Place:
    """Where the databases are that the hub hosts, as far as settings and data directory say."""
    ours = not settings.engines.postgres.dsn
    ca_file = Path(settings.databases.ca_file) if settings.databases.ca_file else None
    return Place(
        ours=ours,
        listen=settings.databases.listen,
        host=settings.databases.host,
        port_kept=settings.engines.postgres.port != 0,
        ca_path=ca_file or (authority_path(path) if ours else None),
    )


def make_codec(settings: Settings, endpoints: Endpoints) -> Codec:
    """What subscriptions are read and written with."""
    return Codec(
        sealer=Sealer(endpoints.master_key),
        policy=policy_defaults(settings),
        plain_http=settings.deliveries.dangerously_allow_plain_http,
    )


def allowed_to_all(settings: Settings) -> Allowance:
    """Where pushes of every property may go besides the public internet."""
    deliveries = settings.deliveries
    return Allowance.of(deliveries.egress_allow, plain_http=deliveries.dangerously_allow_plain_http)


def stream_settings(settings: Settings) -> StreamSettings:
    """How each of the streams is kept."""
    return StreamSettings(
        replicas=settings.streams.replicas,
        size_bytes_max=settings.streams.size_bytes_max,
        duplicate_window_s=settings.ingest.dedup_window_s,
    )


@asynccontextmanager
async def open_sender(settings: Settings, database: Database, codec: Codec) -> AsyncIterator[Sender]:
    """What carries pushes: for a worker, and for a face that sends a test."""
    tokens, clock, allowance = PostgresTokens(database.dsn, codec.sealer), SystemClock(), allowed_to_all(settings)
    reaching = Reaching(database.dsn, allowance)
    try:
        async with (
            open_https_sender(allowance, tokens, clock) as https,
            open_postgres_sender(Databases(database, codec.sealer), reaching, clock) as postgres,
        ):
            yield Dispatcher(https, {"postgres": postgres})
    finally:
        await tokens.close()


async def _run_roles(
    settings: Settings,
    roles: Sequence[Role],
    endpoints: Endpoints,
    stop: asyncio.Event,
    metrics: Metrics,
    observe: Observe,
    started: Started,
    *,
    worker_id: WorkerId,
    local_key: str,
    engines: EmbeddedEngines | None,
    beside: Beside | None = None,
) -> None:
    began = time.perf_counter()
    async with AsyncExitStack() as resources:  # opened in order, closed in reverse
        from matrixhub.api import HttpServer, make_app  # takes as long as all else a command imports

        http = HttpServer(
            *listen_address(settings),
            settings.stop.grace_s,
            _patience(settings),
            trusted_proxies=settings.http.trusted_proxies,
        )
        resources.callback(http.close)
        https = _https_server(settings)
        if https is not None:
            resources.callback(https.close)

        def gave_up(resource: str) -> Callable[[str], None]:
            return lambda where: observe(CloseCutShort(resource=resource, where=where))

        database = await resources.enter_async_context(
            open_database(endpoints.postgres_dsn, connections_max=settings.engines.postgres.connections_max)
        )
        await migrate(database, observe)
        if local_key:
            await keep_local_key(database, local_key)
        buses = await resources.enter_async_context(
            closed_within(open_buses(endpoints.nats_url, stream_settings(settings), observe), gave_up("bus"))
        )
        bus = buses["sensors"]
        checks: dict[str, Callable[[], Awaitable[bool]]] = {
            "postgres": partial(_answers, database),
            "nats": partial(_connected, bus, engines),
        }
        stages: list[Stage] = []
        http_done = asyncio.Event()
        ingest = None
        if "ingest" in roles:
            ingest = await _add_ingest(settings, database, bus, observe, stages, http_done, alone=engines is not None)
        codec = make_codec(settings, endpoints)
        sender = await resources.enter_async_context(
            closed_within(open_sender(settings, database, codec), gave_up("sender"))
        )
        if "deliveries" in roles:
            leases = PostgresLeases(database, codec, observe)
            resources.push_async_callback(end_within, leases.close, gave_up("leases"))
            worker = await _add_deliveries(settings, worker_id, database, leases, buses, sender, observe, stages)
            checks["deliveries"] = _as_check(worker.healthy)
            _add_notices(settings, database, codec, buses, sender, observe, stages)
            _add_care_of_databases(database, codec, observe, stages)
        if "relay" in roles:
            checks["relay"] = _as_check(_add_relay(database, buses["events"], observe, stages).healthy)
        if "scheduler" in roles:
            checks["scheduler"] = _as_check(_add_scheduler(database, observe, stages).healthy)
        if "store" in roles:
            checks["store"] = _as_check(_add_store(settings, endpoints, database, bus, beside, observe, stages))
        parts = None
        if "api" in roles:
            versions = Versions(database)
            resources.push_async_callback(end_within, versions.close, gave_up("versions"))
            key_sets = await resources.enter_async_context(
                closed_within(open_key_sets(allowed_to_all(settings), observe), gave_up("key sets"))
            )
            parts = _parts(settings, database, versions, codec, buses, sender, key_sets, observe)
        app = make_app(checks, metrics, ingest, parts, observe)
        servers = [http] if https is None else [http, https]
        stages.append(("http", partial(_serve_http, servers, app, http_done)))
        info = HubInfo(
            url=http.url,
            tls_url=https.url if https is not None else "",
            roles=roles,
            seconds=time.perf_counter() - began,
        )
        observe(HubStarted(version=__version__, roles=" ".join(roles), url=info.url, seconds=round(info.seconds, 3)))
        if parts is not None and parts.access.unsigned:
            observe(UnsignedAllowed())
        started(info)
        await _run_stages(stages, stop, settings.stop.grace_s, observe)


def _parts(
    settings: Settings,
    database: Database,
    versions: Versions,
    codec: Codec,
    buses: Buses,
    sender: Sender,
    key_sets: KeySets,
    observe: Observe,
) -> Parts:
    """What the faces of the role `api` reach."""
    from matrixhub.api import Parts  # with the faces, see `_run_roles`

    return Parts(
        database=database,
        versions=versions,
        access=make_access(
            database,
            versions,
            codec.sealer,
            rate=rate_defaults(settings),
            wrong_max=settings.http.wrong_credentials_max,
            unsigned=settings.http.dangerously_allow_unsigned,
            observe=observe,
        ),
        codec=codec,
        buses=buses,
        sender=sender,
        key_sets=key_sets,
        clock=SystemClock(),
        limits=batch_limits(settings),
        allowed_to_all=tuple(settings.deliveries.egress_allow),
        quota=quota_defaults(settings),
        unhealthy_after_s=settings.devices.unhealthy_after_s,
        public_url=settings.http.public_url,
        media_bytes_max=settings.media.property_bytes_max,
        hosting=hosting_place(settings, data_directory(settings)),
        readings_retention_s=settings.store.readings_retention_s,
    )


async def _run_stages(stages: Sequence[Stage], stop: asyncio.Event, grace_s: float, observe: Observe) -> None:
    """Run all stages; on stop first ask, then cancel. A failing stage stops the rest."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            tasks = [group.create_task(_guarded(name, run, stop, observe), name=name) for name, run in stages]
            tightening = asyncio.create_task(_tighten(limit, tasks, stop, grace_s, observe), name="stop-limit")
            try:
                await asyncio.wait(tasks)
            finally:
                tightening.cancel()


async def _guarded(
    name: str, run: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event, observe: Observe
) -> None:
    try:
        await run(stop)
    except Exception as error:
        observe(StageStopped(stage=name, error=f"{type(error).__name__}: {error}"))
        raise


async def _tighten(
    limit: asyncio.Timeout,
    tasks: Sequence[asyncio.Task[None]],
    stop: asyncio.Event,
    grace_s: float,
    observe: Observe,
) -> None:
    await stop.wait()
    await asyncio.sleep(grace_s)
    under_way = (f"{task.get_name()}: {where(task)}" for task in tasks if not task.done())
    observe(StopCutShort(grace_s=grace_s, stages="; ".join(under_way)))
    limit.reschedule(asyncio.get_running_loop().time())


async def _add_ingest(
    settings: Settings,
    database: Database,
    bus: NatsBus,
    observe: Observe,
    stages: list[Stage],
    http_done: asyncio.Event,
    *,
    alone: bool,
) -> IngestApp:
    """The role `ingest`: its stages, and its HTTP edge."""
    limits = settings.ingest
    origin = new_id("ing")
    registry = Registry(
        load_slots=partial(all_slots, database),
        load_keys=partial(sending_keys, Platform(database=database, clock=SystemClock())),
        digest=digest,
        observe=observe,
    )
    await registry.reload()
    window = Window(window_s=limits.dedup_window_s, keys_max=limits.dedup_readings_max)
    clock = SystemClock()
    sightings = Sightings(registry.slot_of_number, partial(save_sightings, database), clock, observe)
    writer = Writer(
        bus,
        window.forget,
        items_max=limits.message_items_max,
        bytes_max=limits.message_bytes_max,
        origin=origin,
        note=sightings.note,
    )
    acceptor = Acceptor(
        registry,
        window,
        writer,
        clock,
        TimeRules(oldest_ms=_instant_ms(limits.time_oldest), ahead_max_ms=int(limits.time_ahead_max_s * 1000)),
        observe,
        wait_s=limits.write_wait_s,
        origin=origin,
    )
    bounds = await bus.bounds()
    since_ms = clock.now_ms() - int(limits.dedup_window_s * 1000)
    await acceptor.rebuild_window(bus, since_ms=since_ms, keys_max=limits.dedup_readings_max)
    # Requests under way at a stop still wait for the writer, so it ends after the last of them.
    written = asyncio.Event()

    async def write(_stop: asyncio.Event) -> None:
        try:
            await writer.run(http_done)
        finally:
            written.set()

    stages.append(("ingest writer", write))
    stages.append(("ingest sightings", lambda _stop: sightings.run(written)))
    stages.append(("ingest registry", registry.run))
    stages.append(("hear sites", _listener(database, SITE_CHANNEL, lambda _: registry.changed(), observe)))
    if not alone:
        follow = partial(acceptor.follow_others, bus, bounds.last_seq + 1)
        stages.append(("follow other ingests", partial(until_stopped, follow)))
    return IngestApp(acceptor, registry, limits, observe)


async def _add_deliveries(
    settings: Settings,
    worker_id: WorkerId,
    database: Database,
    leases: PostgresLeases,
    buses: Buses,
    sender: Sender,
    observe: Observe,
    stages: list[Stage],
) -> Worker:
    """The role `deliveries`: a worker, and those who keep the books of what it does."""
    recent = {source: Recent() for source in buses}
    worker = Worker(worker_id, _worker_settings(settings), buses, leases, sender, SystemClock(), observe, recent)
    stages.append(("deliveries", worker.run))
    stages.append(("hear subscriptions", _listener(database, SUBSCRIPTION_CHANNEL, worker.changed, observe)))
    await _add_bookkeeping(settings, database, buses, recent, observe, stages)
    return worker


def _add_care_of_databases(database: Database, codec: Codec, observe: Observe, stages: list[Stage]) -> None:
    """What looks after the databases that the hub hosts, and after who reads in them."""
    records, clock = Databases(database, codec.sealer), SystemClock()

    async def hosted() -> Sequence[CustomerDatabase]:
        return [one for one in await records.list() if one.hosting == "hub" and one.state == "ready"]

    upkeep = Upkeep(database.dsn, hosted, PostgresDuty(database.dsn, UPKEEP_DUTY), clock, observe)
    warden = Warden(database.connection, hosted, clock, observe)
    stages.append((upkeep.name, upkeep.run))
    stages.append((warden.name, warden.run))


def _add_scheduler(database: Database, observe: Observe, stages: list[Stage]) -> Scheduler:
    """The role `scheduler`: what is to happen at a time."""
    platform = Platform(database=database, clock=SystemClock())
    scheduler = Scheduler(platform, TIMER_HANDLERS, PostgresDuty(database.dsn, SCHEDULER_DUTY), observe)
    stages.append((scheduler.name, scheduler.run))
    stages.append(("hear timers", _listener(database, TIMER_CHANNEL, scheduler.changed, observe)))
    return scheduler


def _add_store(
    settings: Settings,
    endpoints: Endpoints,
    database: Database,
    bus: NatsBus,
    beside: Beside | None,
    observe: Observe,
    stages: list[Stage],
) -> Callable[[], bool]:
    """The role `store`: what keeps readings for past data, in the process beside while that lives.

    The answer says whether all is well with it.
    """
    keeper, roller = _keeper(settings, database, bus, observe), _roller(settings, database, bus, observe)
    backfill = partial(_backfill, settings, endpoints, database, bus, observe)
    if beside is None:
        stages.append((keeper.name, keeper.run))
        stages.append((roller.name, roller.run))
        stages.append((Backfiller.name, backfill))
        return keeper.healthy
    troubled = False

    def heard(fact: Fact) -> None:
        nonlocal troubled
        troubled = isinstance(fact, StoreWaits) or (troubled and not isinstance(fact, StoreGoesOn))
        observe(fact)

    async def run(stop: asyncio.Event) -> None:
        nonlocal troubled
        await beside.run(msgspec.json.encode(asdict(endpoints)), stop, heard, settings.stop.grace_s)
        if not stop.is_set():
            troubled = False
            observe(StoreComesHome())
            await _run_together(stop, keeper.run, roller.run, backfill)

    stages.append((keeper.name, run))
    return lambda: not troubled and keeper.healthy()


def _keeper(settings: Settings, database: Database, bus: NatsBus, observe: Observe) -> Keeper:
    kept = KeeperSettings(
        batch_items=settings.store.batch_readings,
        batch_bytes=settings.store.batch_bytes,
        retention_s=settings.store.readings_retention_s,
    )
    readings, partitions = PostgresReadings(database), PostgresReadingPartitions(database)
    duty = PostgresDuty(database.dsn, STORE_DUTY)
    return Keeper(bus, readings, partitions, duty, SystemClock(), observe, kept)


def _roller(settings: Settings, database: Database, bus: NatsBus, observe: Observe) -> Roller:
    kept = RollerSettings(retention_s=max(settings.store.rollups_retention_s, settings.store.readings_retention_s))
    duty = PostgresDuty(database.dsn, ROLLUP_DUTY)
    return Roller(bus, PostgresRollups(database), duty, SystemClock(), observe, kept)


async def keep_beside(settings: Settings, order: bytes, stop: asyncio.Event, observe: Observe) -> None:
    """The role `store` in the process beside; `order` says where the engines are. Raises MatrixHubError."""
    endpoints = msgspec.json.decode(order, type=Endpoints)
    async with (
        open_database(endpoints.postgres_dsn, connections_max=BESIDE_CONNECTIONS) as database,
        open_buses(endpoints.nats_url, stream_settings(settings), observe, create=False) as buses,
    ):
        bus = buses["sensors"]
        await _run_together(
            stop,
            _keeper(settings, database, bus, observe).run,
            _roller(settings, database, bus, observe).run,
            partial(_backfill, settings, endpoints, database, bus, observe),
        )


async def _backfill(
    settings: Settings, endpoints: Endpoints, database: Database, bus: Bus, observe: Observe, stop: asyncio.Event
) -> None:
    """Copy past data into customers' databases until stop."""
    databases = Databases(database, Sealer(endpoints.master_key))
    reaching = Reaching(endpoints.postgres_dsn, allowed_to_all(settings))
    try:
        await Backfiller(database, databases, bus, reaching.connected, SystemClock(), observe).run(stop)
    finally:
        await reaching.close()


async def _run_together(stop: asyncio.Event, *runs: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(run(stop))


def _add_notices(
    settings: Settings,
    database: Database,
    codec: Codec,
    buses: Buses,
    sender: Sender,
    observe: Observe,
    stages: list[Stage],
) -> None:
    """What tells a second channel how subscriptions fare."""
    notices = Notices(
        NoticeStore(database, codec),
        buses,
        sender,
        SystemClock(),
        observe,
        retention_pending_s=settings.streams.retention_pending_s,
    )
    stages.append(("notices", notices.run))


async def _add_bookkeeping(
    settings: Settings,
    database: Database,
    buses: Buses,
    recent: Mapping[Source, Recent],
    observe: Observe,
    stages: list[Stage],
) -> None:
    """The balance and retention, stream by stream."""
    clock = SystemClock()
    books = PostgresBooks(database)
    kept = RetentionSettings(
        # What repeats are recognised by is read back from the stream.
        stream_s=max(settings.streams.retention_s, settings.ingest.dedup_window_s),
        pending_s=settings.streams.retention_pending_s,
        attempts_s=settings.deliveries.attempts_retention_s,
        parked_s=settings.deliveries.parked_retention_s,
        events_s=settings.events.log_retention_s,
    )
    for source, bus in buses.items():
        audits = PostgresDuty(database.dsn, AUDIT_DUTIES[source])
        auditor = Auditor(HeardBus(bus, recent[source], clock), books, audits, clock, observe, source)
        partitions = PostgresPartitions(database) if source == PARTITIONS_WITH else None
        retains = PostgresDuty(database.dsn, RETENTION_DUTIES[source])
        stored = PostgresReadings(database).position if source == "sensors" else None
        retention = Retention(kept, bus, books, partitions, retains, clock, observe, source, stored=stored)
        await retention.make_partitions()  # before the first attempt is recorded
        stages.append((auditor.name, auditor.run))
        stages.append((retention.name, retention.run))


def _add_relay(database: Database, bus: NatsBus, observe: Observe, stages: list[Stage]) -> Relay:
    """The role `relay`: what passes events on."""
    duty = PostgresDuty(database.dsn, RELAY_DUTY)
    relay = Relay(PostgresOutbox(database), bus, duty, SystemClock(), observe)
    stages.append((relay.name, relay.run))
    stages.append(("hear events", _listener(database, EVENT_CHANNEL, relay.changed, observe)))
    return relay


def _listener(
    database: Database, channel: str, heard: Callable[[str], None], observe: Observe
) -> Callable[[asyncio.Event], Awaitable[None]]:
    async def run(stop: asyncio.Event) -> None:
        await listen(database, channel, heard, stop, observe)

    return run


async def _serve_http(
    servers: Sequence[HttpServer],
    app: Any,
    done: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.run(app, stop), name=server.url)
    finally:
        done.set()


def batch_limits(settings: Settings) -> BatchLimits:
    """The limits of a subscription that names none."""
    return BatchLimits(items=settings.deliveries.batch_items, size_bytes=settings.deliveries.batch_bytes)


def _worker_settings(settings: Settings) -> WorkerSettings:
    deliveries = settings.deliveries
    return WorkerSettings(
        lease_s=deliveries.lease_s,
        buffer_bytes=deliveries.buffer_bytes_max,
        read_bytes=deliveries.read_bytes_max,
        memory_bytes=deliveries.memory_bytes_max,
    )


async def _answers(database: Database) -> bool:
    try:
        await database.ping()
    except StoreError:
        return False
    return True


async def _connected(bus: NatsBus, engines: EmbeddedEngines | None) -> bool:
    return bus.connected and (engines is None or engines.healthy["nats"])


def _as_check(healthy: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return healthy()

    return check


def _https_server(settings: Settings) -> HttpServer | None:
    """The listener behind TLS, where there is to be one. Raises: ConfigurationError, PortInUse."""
    from matrixhub.api import HttpServer
    from matrixhub.api.tls import Certificate

    address = tls_listen_address(settings)
    if address is None:
        return None
    certificate = Certificate(Path(settings.http.tls_certificate), Path(settings.http.tls_key))
    return HttpServer(*address, settings.stop.grace_s, _patience(settings), certificate, settings.http.trusted_proxies)


def _patience(settings: Settings) -> Patience:
    from matrixhub.api.patience import Patience  # with the faces, see `_run_roles`

    http = settings.http
    return Patience(
        head_s=http.head_wait_s,
        silence_s=http.body_silence_s,
        request_s=http.body_wait_s,
        write_s=http.read_wait_s,
        head_bytes_max=http.head_bytes_max,
        connections_max=http.connections_max,
    )


def _instant_ms(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError as error:
        raise ConfigurationError(f"ingest.time_oldest is an ISO 8601 instant, not {text!r}") from error
