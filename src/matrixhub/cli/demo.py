"""`matrixhub demo`: the whole way of readings and events in one command, to a real HTTPS endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table
from rich.text import Text

from matrixhub.bus import NatsBus, open_buses
from matrixhub.cli.liveview import LiveState, RateMeter, live_screen, shortened_ms
from matrixhub.cli.local import EXIT_FAILED, fail, first_error, print_json, settings_for
from matrixhub.cli.sitefile import read_site
from matrixhub.config import Settings, data_directory
from matrixhub.deliveries.balance import Balance, subscription_balance
from matrixhub.engines import read_secrets
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import BasicAuth, Destination
from matrixhub.model.errors import EngineError, MatrixHubError
from matrixhub.model.ids import PropertyId
from matrixhub.model.past import Wanted
from matrixhub.model.policy import BatchLimits
from matrixhub.model.secret import Secret
from matrixhub.model.site import Site
from matrixhub.model.subscription import Filter, Position, Source, Subscription
from matrixhub.modules.telemetry.readings import export_readings
from matrixhub.modules.work import Platform
from matrixhub.observe import Metrics, Reporter, ignore, make_logger
from matrixhub.service import HubInfo, find_endpoints, make_codec, run_embedded, stream_settings
from matrixhub.sources.client import HubClient
from matrixhub.sources.playback import SimulatedTime, Tally, stream
from matrixhub.sources.simulator import Simulation
from matrixhub.sources.sites import demo_site_path
from matrixhub.sources.team import Team
from matrixhub.store import Database, open_database
from matrixhub.store.books import PostgresBooks
from matrixhub.store.events import count_events
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription, show_subscription
from matrixhub.testing.receiver import Accept, Answer, Behaviour, CloseMidResponse, HttpsReceiver, ResetBeforeAnswer

START_WAIT_S = 60.0
REFRESH_S = 0.25
FAULTS: tuple[Behaviour, ...] = (Answer(500), CloseMidResponse(), ResetBeforeAnswer(), Answer(503))
FAULT_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What the command was asked for."""

    seconds: float
    rate: float
    faults: bool
    team_per_s: float
    drain_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """All that takes part in a running demo."""

    site: Site
    info: HubInfo
    database: Database
    codec: Codec
    receiver: HttpsReceiver
    subscription: Subscription
    events: Subscription
    buses: Mapping[Source, NatsBus]
    team: Team
    key: str
    settings: Settings
    began: float


def demo(
    seconds: Annotated[float, typer.Option(min=1, help="Simulate for so long; then everything is delivered.")] = 20,
    rate: Annotated[float, typer.Option(min=0.1, max=20_000, help="Readings a second.")] = 100,
    faults: Annotated[
        bool, typer.Option("--faults", help="Let the receiver fail now and then: 500, 503, resets, broken answers.")
    ] = False,
    team: Annotated[
        float, typer.Option(min=0.1, max=1_000, help="How often a second the people of the building do something.")
    ] = 5,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the data here; else it is removed at the end.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, and nothing else.")] = False,
) -> None:
    """See readings of a simulated building, and events of the people who work in it, arrive at an HTTPS endpoint.

    Starts the engines and the hub in a directory of its own, declares the sample site, receives over real TLS with a
    certificate authority made here, and shows what happens: sensors send, people report incidents, work on them and on
    planned tasks. It ends by itself with a summary in which accepted = delivered + pending + parked + expired, for
    readings and for events. Exit code 1 if that does not hold, order was broken, or an event is missing.
    """
    people = Console(stderr=True, highlight=False)
    wish = Wish(seconds=seconds, rate=rate, faults=faults, team_per_s=team, drain_s=30.0)
    try:
        with _directory(data) as path:
            settings = settings_for(
                path,
                {
                    "http.listen": "127.0.0.1:0",
                    "deliveries.retry_schedule_s": (0.1, 0.3, 1.0),
                    "deliveries.egress_allow": ("127.0.0.0/8", "::1/128"),  # where its receiver is
                    "log.level": "error",
                },
            )
            summary = uvloop.run(_run(settings, wish, people))
    except* MatrixHubError as group:
        fail(first_error(group))
    if as_json:
        print_json(summary)
    else:
        Console(highlight=False).print(_summary_table(summary))
    if not summary["right"]:
        raise typer.Exit(EXIT_FAILED)


async def _run(settings: Settings, wish: Wish, people: Console) -> dict[str, Any]:
    """Start everything, simulate, wait until all is delivered, sum up, stop everything."""
    began = time.monotonic()
    metrics = Metrics()
    observe = Reporter(metrics, make_logger(settings.log.level, settings.log.format), level=settings.log.level)
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    hub = asyncio.create_task(
        run_embedded(settings, data_directory(settings), stop, metrics, observe, ready.set_result), name="hub"
    )
    try:
        people.print(Text(f"Starting PostgreSQL, NATS and the hub in {data_directory(settings)} …"), soft_wrap=True)
        await asyncio.wait({hub, ready}, timeout=START_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            if hub.done():
                await hub
            raise EngineError(f"the hub did not start within {START_WAIT_S:g} s")
        async with _stage(settings, ready.result(), began) as stage:
            return await _perform(stage, wish, people, stop)
    finally:
        stop.set()
        await asyncio.wait({hub})
        if not hub.cancelled() and (error := hub.exception()) is not None:
            raise error


@contextlib.asynccontextmanager
async def _stage(settings: Settings, info: HubInfo, began: float) -> AsyncIterator[Stage]:
    """The sample site declared, a receiver listening, a subscription between them."""
    path = data_directory(settings)
    endpoints = find_endpoints(settings, path)
    site = read_site(demo_site_path())
    codec = make_codec(settings, endpoints)
    async with contextlib.AsyncExitStack() as resources:
        database = await resources.enter_async_context(open_database(endpoints.postgres_dsn, connections_max=2))
        buses = await resources.enter_async_context(
            open_buses(endpoints.nats_url, stream_settings(settings), ignore, create=False)
        )
        receiver = await resources.enter_async_context(HttpsReceiver(basic=("demo", "d3mo pass")))
        starts = {source: Position(seq=(await bus.bounds()).last_seq + 1) for source, bus in buses.items()}
        await apply_site(database, site, remove=False)
        made = {
            source: await create_subscription(
                database,
                codec,
                site.property.id,
                name=f"demo, {source}",
                wanted=Filter(source=source),
                destination=Destination(
                    url=receiver.url,
                    auth=BasicAuth(user="demo", password=Secret("d3mo pass")),
                    ca_pem=receiver.ca_pem,
                ),
                limits=BatchLimits(items=settings.deliveries.batch_items, size_bytes=settings.deliveries.batch_bytes),
                position=start,
            )
            for source, start in starts.items()
        }
        yield Stage(
            site=site,
            info=info,
            database=database,
            codec=codec,
            receiver=receiver,
            subscription=made["sensors"],
            events=made["events"],
            buses=buses,
            team=Team(Platform(database=database, clock=SystemClock()), site, seed=1),
            key=read_secrets(path).local_key,
            settings=settings,
            began=began,
        )


async def _perform(stage: Stage, wish: Wish, people: Console, stop: asyncio.Event) -> dict[str, Any]:
    """Simulate while the screen is kept up to date, then let everything arrive."""
    tally = Tally()
    now_ms = time.time_ns() // 1_000_000
    simulation = Simulation(stage.site.slots, seed=1, start_ms=now_ms)
    clock = SimulatedTime(start_ms=now_ms, started_ms=now_ms)
    first = asyncio.create_task(_first_delivery_s(stage), name="first delivery")
    misbehaving = asyncio.create_task(_misbehave(stage.receiver), name="faults") if wish.faults else None
    async with HubClient(stage.info.url, stage.key) as hub:
        sending = asyncio.create_task(
            stream(
                lambda from_ms, to_ms: simulation.at_rate(wish.rate, from_ms, to_ms),
                hub,
                tally,
                clock=clock,
                batch=stage.settings.ingest.request_items_max,
                seconds=wish.seconds,
                now_ms=lambda: time.time_ns() // 1_000_000,
                tick_s=0.002,  # so that the latency shown is the hub's and not the simulator's
            ),
            name="simulate",
        )
        working = asyncio.create_task(_work(stage.team, wish), name="team")
        with live_screen(people) as show:
            await _watch(stage, wish, tally, show, lambda: (sending.done() and working.done()) or stop.is_set())
            for simulated in (sending, working):
                simulated.cancel() if stop.is_set() else await simulated
            await asyncio.wait({sending, working})
            await stage.team.end()
            recorded = await _recorded(stage)
            if misbehaving is not None:
                misbehaving.cancel()
                stage.receiver.behave(Accept())
            deadline = time.monotonic() + wish.drain_s
            await _watch(
                stage,
                wish,
                tally,
                show,
                lambda: (
                    (
                        stage.receiver.ledger.summary().distinct >= tally.accepted
                        and stage.receiver.events.summary().distinct >= recorded
                    )
                    or time.monotonic() > deadline
                ),
            )
    first_s = await first if first.done() else None
    first.cancel()
    stored = await _stored(stage, tally.accepted, datetime.fromtimestamp(now_ms / 1000, UTC))
    return await _summary(stage, tally, first_s, recorded, stored)


async def _work(team: Team, wish: Wish) -> None:
    await team.begin()
    await team.work(wish.team_per_s, wish.seconds)


async def _recorded(stage: Stage) -> int:
    """How many events the log holds of the property."""
    async with stage.database.connection() as connection:
        return await count_events(connection, stage.site.property.id)


async def _watch(
    stage: Stage, wish: Wish, tally: Tally, show: Callable[[LiveState], None], over: Callable[[], bool]
) -> None:
    rate = RateMeter()
    while not over():
        totals, events = stage.receiver.ledger.summary(), stage.receiver.events.summary()
        elapsed_s = time.monotonic() - stage.began
        show(
            LiveState(
                title="Matrix Hub · demo",
                accepted=tally.accepted,
                delivered=totals.distinct,
                pending=max(0, tally.accepted - totals.distinct),
                duplicates=totals.duplicates,
                out_of_order=totals.out_of_order,
                p50_ms=totals.p50_ms,
                p99_ms=totals.p99_ms,
                rate_per_s=rate.per_s(elapsed_s, totals.items),
                elapsed_s=elapsed_s,
                total_s=max(wish.seconds, elapsed_s),
                last_payloads=(
                    *list(stage.receiver.ledger.last_payloads)[-2:],
                    *list(stage.receiver.events.last_payloads)[-3:],
                ),
                note=f"{events.distinct:,} events · {stage.info.url}  →  {stage.receiver.url}",
            )
        )
        await asyncio.sleep(REFRESH_S)


async def _first_delivery_s(stage: Stage) -> float:
    """Seconds from the start of the command to the first reading at the receiver."""
    await stage.receiver.wait_until(lambda: stage.receiver.ledger.summary().items > 0, timeout_s=3600)
    return time.monotonic() - stage.began


async def _misbehave(receiver: HttpsReceiver) -> None:
    """One fault after the other, each for a few requests."""
    number = 0
    while True:
        await asyncio.sleep(FAULT_EVERY_S)
        receiver.behave(FAULTS[number % len(FAULTS)], requests=2)
        number += 1


async def _stored(stage: Stage, accepted: int, start: datetime) -> int:
    """How many readings the hub gives back as past data, once there are as many as it accepted."""
    platform = Platform(database=stage.database, clock=SystemClock())
    for _ in range(100):
        pages = export_readings(platform, stage.site.property.id, Wanted(), start, start + timedelta(days=1))
        stored = sum([len(page) async for page in pages])
        if stored >= accepted:
            break
        await asyncio.sleep(0.1)
    return stored


async def _summary(stage: Stage, tally: Tally, first_s: float | None, recorded: int, stored: int) -> dict[str, Any]:
    """The balance: accepted is what the hub's answers said, delivered and pending what its engines say, and
    duplicates, order and latency what the receiver saw. Of events, recorded is what the log holds; stored is how many
    readings are given back as past data."""
    balance = await _settled_balance(stage, stage.subscription, tally.accepted)
    of_events = await _settled_balance(stage, stage.events, recorded)
    property_id = PropertyId(stage.subscription.property_id)
    overview = await show_subscription(stage.database, stage.codec, property_id, stage.subscription.id)
    totals, seen, team = stage.receiver.ledger.summary(), stage.receiver.events.summary(), stage.team.tally
    unexplained = totals.duplicates_in_new_request + seen.duplicates_in_new_request
    return {
        "right": balance.holds
        and balance.accepted == tally.accepted
        and totals.out_of_order == 0
        and unexplained == 0
        and tally.refused == 0
        and stored == tally.accepted
        and of_events.holds
        and of_events.accepted == of_events.delivered == seen.distinct == recorded
        and stage.receiver.violations_total == 0,
        "accepted": tally.accepted,
        "delivered": balance.delivered,
        "pending": balance.pending,
        "parked": balance.parked,
        "expired": balance.expired,
        "refused": tally.refused,
        "stored": stored,
        "received": totals.distinct,
        "requests": totals.requests,
        "duplicates": totals.duplicates,
        "out_of_order": totals.out_of_order,
        "attempts_failed": overview.progress.attempts_failed,
        "p50_ms": totals.p50_ms,
        "p99_ms": totals.p99_ms,
        "first_delivery_s": None if first_s is None else round(first_s, 3),
        "incidents": team.incidents,
        "tasks": team.tasks,
        "work_completed": team.completed,
        "events": {
            "recorded": recorded,
            "accepted": of_events.accepted,
            "delivered": of_events.delivered,
            "received": seen.distinct,
            "duplicates": seen.duplicates,
            "by_event": dict(sorted(seen.by_event.items())),
        },
    }


async def _settled_balance(stage: Stage, subscription: Subscription, accepted: int) -> Balance:
    """The balance once it is as expected; the receiver has an item a moment before the hub has saved that."""
    books = PostgresBooks(stage.database)
    balance = await subscription_balance(stage.buses, books, subscription.id)
    for _ in range(50):
        if balance.holds and balance.pending == 0 and balance.accepted == accepted:
            break
        await asyncio.sleep(0.1)
        balance = await subscription_balance(stage.buses, books, subscription.id)
    return balance


def _summary_table(summary: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name in (
        "accepted",
        "delivered",
        "pending",
        "parked",
        "expired",
        "duplicates",
        "out_of_order",
        "attempts_failed",
    ):
        table.add_row(name.replace("_", " "), f"{summary[name]:,}")
    table.add_row("past data", f"{summary['stored']:,}")
    table.add_row("created → received", f"p50 {shortened_ms(summary['p50_ms'])}, p99 {shortened_ms(summary['p99_ms'])}")
    if summary["first_delivery_s"] is not None:
        table.add_row("start → first delivery", f"{summary['first_delivery_s']:.1f} s")
    done, events = summary["work_completed"], summary["events"]
    table.add_row("people", f"{summary['incidents']:,} incidents, {summary['tasks']:,} tasks, {done:,} completed")
    table.add_row("events", f"{events['recorded']:,} recorded, {events['received']:,} received")
    verdict = (
        ("every reading and every event is accounted for, in order", "green")
        if summary["right"]
        else ("the balance is off", "red")
    )
    table.add_row("balance", Text(*verdict))
    return table


@contextlib.contextmanager
def _directory(data: Path | None) -> Iterator[Path]:
    """The directory given, or one that goes away."""
    if data is not None:
        yield data.absolute()
        return
    path = Path(tempfile.mkdtemp(prefix="matrixhub-demo-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
