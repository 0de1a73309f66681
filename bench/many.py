"""Many subscriptions: what idle ones cost, one event to a thousand, a thousand endpoints of which half are broken."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import psutil

from bench.hub import MB, Hub, Memory, running_hub
from bench.processes import BenchError, Child
from bench.readings import STAMP
from bench.rows import Row, measured, required
from bench.scenarios import Bench, Scenario, percentile
from matrixhub.bus import StreamSettings, open_bus
from matrixhub.deliveries.memory import READ_BYTES_MIN
from matrixhub.engines import read_running, read_secrets
from matrixhub.model.destination import Destination
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.site import Site
from matrixhub.model.subscription import Filter, Position
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import open_database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription

ENDPOINTS = 1_000
IDLE = 10_000
IDLE_KB_MAX = 20.0
IDLE_CPU_PCT_MAX = 2.0
FAN_OUT_S_MAX = 1.0
HEALTHY_P99_RATIO_MAX = 2.0
PACED_RATE = 100
BACKLOG_READINGS = 20_000
BACKLOG_PER_REQUEST = 500
BACKLOG_MEMORY_MB = 64
BATCH = BatchLimits(items=500, size_bytes=262_144)


def idle(bench: Bench) -> Sequence[Row]:
    """10,000 subscriptions with nothing to do: memory of each, and CPU."""
    with running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub:
        memory, process = Memory(hub.pid), psutil.Process(hub.pid)
        time.sleep(2.0)
        before_mb, before_cpu = memory.now_mb(), _cpu_of(process, 5.0)
        asyncio.run(_subscribe(hub, bench.receiver_url, bench.ca_pem, IDLE, by_building=False))
        wait_owned(hub, IDLE + 1)
        time.sleep(8.0)
        after_mb, after_cpu = memory.now_mb(), _cpu_of(process, 10.0)
    kb = (after_mb - before_mb) * 1024 / IDLE
    return [
        required(
            "idle_subscription_memory",
            kb,
            "KB",
            IDLE_KB_MAX,
            better="less",
            notes=f"RSS of the hub's Python process {before_mb:.0f} → {after_mb:.0f} MB for {IDLE:,} subscriptions",
        ),
        required(
            "idle_subscription_cpu",
            after_cpu - before_cpu,
            "% of a core",
            IDLE_CPU_PCT_MAX,
            better="less",
            notes=f"{before_cpu:.2f} % without, {after_cpu:.2f} % with {IDLE:,}, over 10 s",
        ),
    ]


def fan_out(bench: Bench) -> Sequence[Row]:
    """One reading to 1,000 subscriptions: until the last has it."""
    with _crowded(bench, by_building=False) as (hub, crowd, devices), _Sender(hub) as sender:
        cold = _one_event(crowd, sender, devices[0])
        warm = sorted(_one_event(crowd, sender, devices[0]) for _ in range(10))
    return [
        required(
            "fan_out_1000",
            percentile(warm, 0.5),
            "s",
            FAN_OUT_S_MAX,
            better="less",
            notes=f"one reading sent → received by all of {ENDPOINTS:,} endpoints, median of {len(warm)}: "
            f"{warm[0]:.2f} to {warm[-1]:.2f} s; the first, with {ENDPOINTS:,} TLS handshakes, {cold:.2f} s",
        )
    ]


def half_broken(bench: Bench) -> Sequence[Row]:
    """1,000 endpoints with a reading each in turn, then half of them hang or reset: the p99 of the healthy half."""
    healthy = range(0, ENDPOINTS, 2)
    hang, reset = list(range(1, ENDPOINTS, 4)), list(range(3, ENDPOINTS, 4))
    with _crowded(bench, by_building=True) as (hub, crowd, devices), _Sender(hub) as sender:
        _paced(crowd, sender, devices, seconds=ENDPOINTS / PACED_RATE)  # every connection made once
        before = _latencies(_paced(crowd, sender, devices, seconds=bench.seconds), healthy)
        crowd.ask("behave", hang=hang, reset=reset)
        _paced(crowd, sender, devices, seconds=ENDPOINTS / PACED_RATE)  # every broken one has met its fate
        after = _latencies(_paced(crowd, sender, devices, seconds=bench.seconds), healthy)
        fates = crowd.ask("take_arrivals")
    p99 = percentile(before, 0.99), percentile(after, 0.99)
    p50 = percentile(before, 0.50), percentile(after, 0.50)
    return [
        required(
            "half_broken_p99",
            p99[1] / p99[0],
            "×",
            HEALTHY_P99_RATIO_MAX,
            better="less",
            notes=f"p99 {p99[0]:.1f} → {p99[1]:.1f} ms, p50 {p50[0]:.1f} → {p50[1]:.1f} ms over {len(after):,} "
            f"readings at {PACED_RATE}/s to {ENDPOINTS:,} endpoints; {fates['hung']:,} requests hung, "
            f"{fates['reset']:,} were reset",
        ),
        measured("half_broken_p50", p50[1] / p50[0], "×", "the same for the median"),
    ]


def backlog(bench: Bench) -> Sequence[Row]:
    """1,000 endpoints that hang while 20,000 readings come for each of them: what the hub holds in memory."""
    env = {"MATRIXHUB_DELIVERIES__MEMORY_BYTES_MAX": str(BACKLOG_MEMORY_MB * MB)}
    with (
        _crowded(bench, by_building=False, env=env) as (hub, crowd, devices),
        Memory(hub.pid) as memory,
        _Sender(hub) as sender,
    ):
        _one_event(crowd, sender, devices[0])
        before_mb = memory.now_mb()
        crowd.ask("behave", hang=list(range(ENDPOINTS)), reset=[])
        for _ in range(BACKLOG_READINGS // BACKLOG_PER_REQUEST):
            sender.send_many(devices[:BACKLOG_PER_REQUEST])
        time.sleep(20.0)  # until the first requests have timed out, and been tried again
        highest_mb = memory.take_highest_mb()
        fates = crowd.ask("take_arrivals")
    growth = highest_mb - before_mb
    return [
        required(
            "crowd_backlog_memory",
            growth,
            "MB",
            BACKLOG_MEMORY_MB + ENDPOINTS * 4 * READ_BYTES_MIN / MB,
            better="less",
            notes=f"highest RSS {before_mb:.0f} → {highest_mb:.0f} MB with {BACKLOG_READINGS:,} readings waiting for "
            f"each of {ENDPOINTS:,} subscriptions; the limit is memory_bytes_max ({BACKLOG_MEMORY_MB} MB here) and for "
            f"each what it may read without room, as message, lines, batch and body; {fates['hung']:,} requests hung",
        )
    ]


@contextlib.contextmanager
def _crowded(
    bench: Bench, *, by_building: bool, env: Mapping[str, str] | None = None
) -> Iterator[tuple[Hub, Child, Sequence[str]]]:
    with (
        running_hub(bench.directory, bench.receiver_url, bench.ca_pem, env=env) as hub,
        Child("bench.crowd", bench.directory) as crowd,
    ):
        where = crowd.ask("listen")
        devices = asyncio.run(_subscribe(hub, where["url"], where["ca_pem"], ENDPOINTS, by_building=by_building))
        wait_owned(hub, ENDPOINTS + 1)
        yield hub, crowd, devices


def _crowd_site() -> Site:
    """A property with a building, and one device in it, for each endpoint."""
    return make_site(ENDPOINTS, ENDPOINTS, name="Crowd")


async def _subscribe(hub: Hub, url: str, ca_pem: str, count: int, *, by_building: bool) -> Sequence[str]:
    """Subscriptions made by the hub's own functions, one for each endpoint; the devices of the site."""
    running, site = read_running(hub.data), _crowd_site()
    codec = Codec(sealer=Sealer(read_secrets(hub.data).master_key))
    async with (
        open_database(running["postgres_dsn"], connections_max=4) as database,
        open_bus(running["nats_url"], StreamSettings(), ignore, create=False) as bus,
    ):
        await apply_site(database, site, remove=False)
        position = Position(seq=(await bus.bounds()).last_seq + 1)

        async def one(number: int) -> SubscriptionId:
            buildings = frozenset({site.buildings[number].id}) if by_building else frozenset()
            made = await create_subscription(
                database,
                codec,
                site.property.id,
                name=str(number),
                wanted=Filter(buildings=buildings),
                destination=Destination(url=f"{url}/{number}", ca_pem=ca_pem),
                limits=BATCH,
                position=position,
            )
            return made.id

        for start in range(0, count, 100):
            await asyncio.gather(*map(one, range(start, min(start + 100, count))))
    return [slot.id for slot in site.slots]


def wait_owned(hub: Hub, count: int, *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while (owned := hub.spent().get("matrixhub_subscriptions_owned", 0)) < count or hub.spent()[
        "matrixhub_subscriptions_behind"
    ]:
        if time.monotonic() > deadline:
            raise BenchError(f"only {owned:,.0f} of {count:,} subscriptions are delivered after {seconds:g} s")
        time.sleep(0.2)


class _Sender:
    """Sends readings one a request on one connection."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._instant_ms = time.time_ns() // 1_000_000

    def __enter__(self) -> _Sender:
        self._connection = http.client.HTTPConnection(urlsplit(self._hub.url).netloc, timeout=30)
        self._key = read_secrets(self._hub.data).local_key
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send_many(self, devices: Sequence[str]) -> None:
        """Send a reading of each device in one request."""
        self._instant_ms += 1
        readings = [{"DEVID": d, "unixT": self._instant_ms, "v": {"count": 1, "out_count": 0}} for d in devices]
        self._post(json.dumps(readings), b'"accepted":%d' % len(devices))

    def send(self, device: str) -> int:
        """Send one reading; its stamp."""
        self._instant_ms += 1
        stamp = time.monotonic_ns()
        reading = {"DEVID": device, "unixT": self._instant_ms, "v": {"count": 1, "out_count": 0, STAMP: stamp}}
        self._post(json.dumps(reading), b'"accepted":1')
        return stamp

    def _post(self, body: str, expected: bytes) -> None:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._connection.request("POST", "/hub/v1/readings", body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 202 or expected not in text:
            raise BenchError(f"the hub answered {answer.status}: {text[:200].decode(errors='replace')}")


def _one_event(crowd: Child, sender: _Sender, device: str) -> float:
    """Seconds from one reading to its last arrival."""
    crowd.ask("take_arrivals")
    stamp = sender.send(device)
    arrivals = wait_arrivals(crowd, ENDPOINTS)
    if {number for number, _, _ in arrivals} != set(range(ENDPOINTS)):
        raise BenchError("some endpoints did not get the reading")
    return float(max(at for _, _, at in arrivals) - stamp) / 1e9


def _paced(crowd: Child, sender: _Sender, devices: Sequence[str], *, seconds: float) -> list[tuple[int, int, int]]:
    """A reading for one endpoint after the other; what arrived until a second after the last."""
    crowd.ask("take_arrivals")
    began = time.monotonic()
    for turn in range(round(PACED_RATE * seconds)):
        due = began + turn / PACED_RATE
        time.sleep(max(0.0, due - time.monotonic()))
        sender.send(devices[turn % len(devices)])
    time.sleep(1.0)
    return [tuple(entry) for entry in crowd.ask("take_arrivals")["arrivals"]]


def _latencies(arrivals: Sequence[tuple[int, int, int]], endpoints: Sequence[int]) -> list[float]:
    wanted = set(endpoints)
    return sorted((at - stamp) / 1e6 for number, stamp, at in arrivals if number in wanted)


def wait_arrivals(crowd: Child, count: int, *, seconds: float = 60.0) -> list[tuple[int, int, int]]:
    deadline = time.monotonic() + seconds
    while (seen := crowd.ask("count")["count"]) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"only {seen:,} of {count:,} readings arrived within {seconds:g} s")
        time.sleep(0.02)
    return [tuple(entry) for entry in crowd.ask("take_arrivals")["arrivals"]]


def _cpu_of(process: psutil.Process, seconds: float) -> float:
    """Percent of a core that the process used over the time."""
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds * 100


SCENARIOS: Mapping[str, Scenario] = {
    "fan_out_1000": fan_out,
    "half_broken": half_broken,
    "idle_subscriptions": idle,
    "crowd_backlog_memory": backlog,
}
