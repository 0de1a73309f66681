"""The installed command seen from outside: a hub in a directory of its own, a customer, and a load between them.

Nothing here waits for a time to pass: what is waited for is a condition, with a generous deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from tests.acceptance.nursery import Nursery

from matrixhub.sources.client import HubClient
from matrixhub.testing.receiver import HttpsReceiver
from matrixhub.testing.tls import LocalAuthority

DEADLINE_S = 60.0
POLL_S = 0.02

PROPERTY = "acceptance"
SITE_FILE = "site.yaml"
DEVICES = tuple(f"device-{number}" for number in range(8))
KINDS: tuple[tuple[str, Callable[[int], dict[str, Any]]], ...] = (
    ("SMARTCLEAN#PPLCTR", lambda n: {"count": n % 50, "out_count": n % 7}),
    ("SMARTCLEAN#UM", lambda n: {"count": n % 50}),
    ("SMARTCLEAN#BIN", lambda n: {"p": n % 101}),
)

SETTINGS: Mapping[str, str] = {
    "MATRIXHUB_DELIVERIES__RETRY_SCHEDULE_S": "[0.1, 0.2, 0.5]",
    "MATRIXHUB_DELIVERIES__LEASE_S": "3",
    "MATRIXHUB_DELIVERIES__EGRESS_ALLOW": '["127.0.0.0/8", "::1/128"]',
    "MATRIXHUB_LOG__FORMAT": "json",
}

Reading = tuple[str, int]
"""What tells a reading from every other: its device and its instant."""

_instants = itertools.count(time.time_ns() // 1_000_000 - 3_600_000)
"""Each instant is used once in a process, so that all tests on a hub send different readings, in rising order."""


def command() -> list[str]:
    """The installed command."""
    script = Path(sys.executable).with_name("matrixhub")
    return [str(script)] if script.exists() else [sys.executable, "-m", "matrixhub"]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: ours without any settings, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MATRIXHUB_")}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", **settings}


def free_port() -> int:
    """A free port below those that outgoing connections use, so that nothing takes it while its server is away."""
    while True:
        port = random.randrange(30_000, 32_700)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def site_text(property_id: str = PROPERTY, devices: Sequence[str] = DEVICES) -> str:
    """A site file: one property, two buildings, the devices spread over both and over three types."""
    lines = [
        f"organisation: {{id: {property_id}-owner, name: Owner}}",
        f"property: {{id: {property_id}, name: {property_id}}}",
        "buildings:",
    ]
    for building, region in enumerate(("Asia/Singapore", "Europe/Berlin")):
        lines += [
            f"  - name: Building {building}",
            f"    id: {property_id}-b{building}",
            f"    time_zone: {region}",
            "    levels:",
            "      - name: L1",
            "        zones:",
            f"          - {{name: Zone, id: {property_id}-z{building}, slots: [",
            *(
                f'              {{id: {device}, name: {device}, type: "{kind_of(device)[0]}"}},'
                for number, device in enumerate(devices)
                if number % 2 == building
            ),
            "            ]}",
        ]
    return "\n".join(lines) + "\n"


def kind_of(device: str) -> tuple[str, Callable[[int], dict[str, Any]]]:
    """Type of a device, by the number its id ends with, and what it sends."""
    return KINDS[int(device.rpartition("-")[2]) % len(KINDS)]


def make_reading(device: str) -> dict[str, Any]:
    """The next reading of a device, at an instant no other reading has."""
    instant = next(_instants)
    return {"DEVID": device, "unixT": instant, "v": kind_of(device)[1](instant)}


def key_of(reading: Mapping[str, Any]) -> Reading:
    """Device and instant of a reading."""
    return reading["DEVID"], reading["unixT"]


async def wait_for(
    condition: Callable[[], bool], what: str | Callable[[], str], *, timeout_s: float = DEADLINE_S
) -> None:
    """Wait until the condition holds; fails with `what` if it does not within the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        shown = what if isinstance(what, str) else what()
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {shown}"
        await asyncio.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    args: Sequence[str]
    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed for scripts; the command must have succeeded."""
        assert self.code == 0, f"{' '.join(self.args)} ended with {self.code}:\n{self.err}"
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """All it printed, on one line: the console may have broken it anywhere."""
        return " ".join((self.out + self.err).split())


def run_command(*args: str, settings: Mapping[str, str] | None = None, timeout_s: float = 90.0) -> Done:
    """Run a command to its end."""
    if _nursery is not None:
        ended = _nursery.run(args, environment(settings or {}), timeout_s)
        return Done(args, ended.returncode, ended.stdout, ended.stderr)
    return run_installed_command(*args, settings=settings, timeout_s=timeout_s)


def run_installed_command(*args: str, settings: Mapping[str, str] | None = None, timeout_s: float = 90.0) -> Done:
    """The same, as a user starts it."""
    done = subprocess.run(
        [*command(), *args],
        env=environment(settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Done(args, done.returncode, done.stdout, done.stderr)


_nursery: Nursery | None = None


@contextlib.contextmanager
def quick_commands() -> Iterator[None]:
    """Have `run_command` fork its commands from a process that is ready for them."""
    global _nursery
    with Nursery(environment({})) as _nursery:
        try:
            yield
        finally:
            _nursery = None


class Program:
    """A command that runs until it is stopped, its output in files."""

    def __init__(self, directory: Path, name: str, args: Sequence[str], settings: Mapping[str, str]) -> None:
        self._out = directory / f"{name}.out"
        self._err = directory / f"{name}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*command(), *args], env=environment(settings), stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has logged until now."""
        return self._err.read_text(encoding="utf-8", errors="replace")

    def facts(self, event: str) -> list[dict[str, Any]]:
        """The facts of a kind that it has logged."""
        lines = [line for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [fact for fact in map(json.loads, lines) if fact.get("event") == event]

    def wait_told(self) -> dict[str, Any]:
        """Wait until it prints where it is."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(json.JSONDecodeError):
                told: dict[str, Any] = json.loads(self._out.read_text())
                return told
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log[-4000:]}"
            assert time.monotonic() < deadline, f"it did not get ready:\n{self.log[-4000:]}"
            time.sleep(POLL_S)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait_end(self) -> int:
        """Wait for its end; how it ended."""
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """Kill it, even where it is stopped, and wait for its end."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)


@dataclass(frozen=True, slots=True)
class Model:
    """A hub that was prepared once and stopped. Others begin as copies of it, which is quicker than `initdb`."""

    folder: Path

    def copy_to(self, data: Path) -> str:
        """Make this data directory a copy; the key that it knows. The first of all processes to ask makes the model."""
        with self.folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._key.exists():
                self._make()
        _copy(self.folder, data)
        return self._key.read_text(encoding="utf-8")

    @property
    def _key(self) -> Path:
        return self.folder.with_suffix(".key")

    def _make(self) -> None:
        hub = Hub()
        try:
            hub.start()
            hub.prepare()
            assert hub.stop() == 0
            (hub.data / "ports.json").unlink()  # each copy finds its own
            shutil.rmtree(hub.data / "logs")
            _copy(hub.data, self.folder)
            self._key.write_text(hub.key, encoding="utf-8")
        finally:
            hub.remove()


def _copy(source: Path, target: Path) -> None:
    """Copy a directory with the owners of what is in it, which the engines insist on."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


class Hub:
    """A hub in a directory of its own, which another user may pass through."""

    model: ClassVar[Model | None] = None
    """What `started` begins with, where the tests have one."""

    def __init__(self, settings: Mapping[str, str] | None = None, *, port: int = 0) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="matrixhub-acceptance-"))
        self.directory.chmod(0o755)
        self.write(SITE_FILE, site_text())
        self.data = self.directory / "data"
        self.settings = {**SETTINGS, **(settings or {})}
        self.port = port
        self.url = ""
        self.key = ""
        self.programs: list[Program] = []
        self._numbers = itertools.count()

    @classmethod
    @contextlib.contextmanager
    def started(cls, settings: Mapping[str, str] | None = None, *, port: int = 0, anew: bool = False) -> Iterator[Hub]:
        """A running hub that knows the property of the tests and has a key for it; nothing of it is left behind.

        Shape:  anew begins with an empty directory, for engines that could not read the model's.
        """
        hub = cls(settings, port=port)
        try:
            model = None if anew else cls.model
            if model is not None:
                hub.key = model.copy_to(hub.data)
            hub.start()
            if model is None:
                hub.prepare()
            yield hub
        finally:
            hub.remove()

    @property
    def program(self) -> Program:
        """The `up` that was started last."""
        return self.programs[-1]

    @property
    def is_running(self) -> bool:
        """Whether `up` runs."""
        return bool(self.programs) and self.program.process.poll() is None

    def start(self) -> None:
        """`matrixhub up`; returns when it is ready."""
        args = ["up", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}", "--json"]
        self.programs.append(Program(self.directory, f"up-{next(self._numbers)}", args, self.settings))
        self.url = self.program.wait_told()["url"]
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it says it is ready."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(URLError, OSError), urlopen(f"{self.url}/health/ready", timeout=5):
                return
            assert time.monotonic() < deadline, f"not ready:\n{self.program.log[-4000:]}"
            time.sleep(POLL_S)

    def prepare(self) -> None:
        """Declare the property of the tests and make a key for it."""
        self.ask("site", "apply", str(self.directory / SITE_FILE))
        self.key = self.ask("key", "create", "--property", PROPERTY)["key"]

    def write(self, name: str, text: str) -> Path:
        """A file in the directory of the hub."""
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *args: str, settings: Mapping[str, str] | None = None) -> Done:
        """Run a command on this hub to its end."""
        return run_command(*args, "--data", str(self.data), settings={**self.settings, **(settings or {})})

    def ask(self, *args: str) -> Any:
        """Run a command on this hub that prints JSON."""
        return self.run(*args, "--json").json()

    def start_worker(self) -> Program:
        """A second process with the role `deliveries`, ready. `remove` ends it."""
        args = ["run", "deliveries", "--data", str(self.data), "--listen", "127.0.0.1:0", "--json"]
        worker = Program(self.directory, f"worker-{next(self._numbers)}", args, self.settings)
        self.programs.insert(0, worker)
        worker.wait_told()
        return worker

    def engine(self, name: str) -> psutil.Process:
        """The first process of an engine, `postgres` or `nats-server`, once there is one."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(self.program.pid).children():
                    if process.name() == name:
                        return process
            assert time.monotonic() < deadline, f"no process of {name}"
            time.sleep(POLL_S)

    def kill_engine(self, name: str) -> None:
        """SIGKILL to the first process of an engine."""
        self.engine(name).kill()

    def kill(self) -> None:
        """SIGKILL to the hub alone."""
        self.program.kill()

    def kill_everything(self) -> None:
        """SIGKILL to the hub and all processes of both engines at once: none can notice the end of another."""
        self.program.send(signal.SIGSTOP)
        for process in psutil.Process(self.program.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.program.kill()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.program.send(signal.SIGTERM)
        return self.program.wait_end()

    def remove(self) -> None:
        """End all that was started here, and remove the directory."""
        for program in self.programs:
            program.kill()
        for process in self._left_behind():
            with contextlib.suppress(psutil.Error):
                process.kill()
        deadline = time.monotonic() + DEADLINE_S
        while self._left_behind() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _left_behind(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(self.data) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    @contextlib.asynccontextmanager
    async def customer(self, *options: str, authority: LocalAuthority | None = None) -> AsyncIterator[Customer]:
        """A customer with a subscription to the property; it is paused afterwards, where the hub still runs."""
        customer = Customer(authority)
        async with customer.receiver:
            await self.subscribe(customer, *options)
            try:
                yield customer
            finally:
                await self.pause(customer)

    async def subscribe(self, customer: Customer, *options: str, property_id: str = PROPERTY, url: str = "") -> None:
        """Make a subscription to the property for the customer, at its receiver unless another URL is given."""
        ca = self.write(f"ca-{next(self._numbers)}.pem", customer.receiver.ca_pem)
        args = ("--property", property_id, "--url", url or customer.receiver.url, "--ca", str(ca), *options)
        made = await asyncio.to_thread(self.ask, "subscription", "create", *args)
        customer.subscription = made["id"]

    async def pause(self, customer: Customer) -> None:
        """Pause the customer's subscription, so that it does not concern the next test; if the hub still runs."""
        if self.is_running:
            await asyncio.to_thread(self.run, "subscription", "pause", customer.subscription)

    async def show(self, customer: Customer) -> dict[str, Any]:
        """What the hub says of the customer's subscription."""
        shown: dict[str, Any] = await asyncio.to_thread(self.ask, "subscription", "show", customer.subscription)
        return shown

    async def check_balance(self, customer: Customer, accepted: int) -> dict[str, Any]:
        """accepted = delivered + pending + parked + expired, with nothing pending once the position is saved."""
        deadline = time.monotonic() + DEADLINE_S
        while (shown := await self.show(customer))["pending"] and time.monotonic() < deadline:
            pass
        numbers = {name: shown[name] for name in ("delivered", "pending", "parked", "expired")}
        assert numbers == {"delivered": accepted, "pending": 0, "parked": 0, "expired": 0}
        return shown


@dataclass(frozen=True, slots=True)
class Taken:
    """A request the customer has taken."""

    request_id: str
    items: Sequence[str]
    keys: Sequence[Reading]


class Customer:
    """A receiver of a customer that keeps everything it has taken. Shape: options are those of `HttpsReceiver`."""

    def __init__(self, authority: LocalAuthority | None = None, **options: Any) -> None:
        self.receiver = HttpsReceiver(**{"port": free_port(), **options}, authority=authority, on_items=self._take)
        self.subscription = ""
        self.taken: list[Taken] = []
        self.received: set[Reading] = set()

    def _take(self, request_id: str, items: Sequence[str]) -> None:
        taken = Taken(request_id, items, [key_of(json.loads(item)) for item in items])
        self.taken.append(taken)
        self.received.update(taken.keys)

    async def wait_received(self, wanted: Collection[Reading]) -> None:
        """Wait until all of these have come."""
        await wait_for(
            lambda: self.received.issuperset(wanted),
            lambda: f"{len(set(wanted) - self.received)} of {len(wanted)} readings have not come",
        )

    async def wait_more(self, count: int) -> None:
        """Wait until so many more readings have come than now."""
        goal = len(self.received) + count
        await wait_for(lambda: len(self.received) >= goal, lambda: f"{goal - len(self.received)} more readings")

    async def wait_requests(self, count: int) -> None:
        """Wait until so many more requests were read, taken or not."""
        summary, refused = self.receiver.ledger.summary, self.receiver.rejected.summary
        goal = summary().requests + refused().requests + count
        await wait_for(lambda: summary().requests + refused().requests >= goal, f"{count} more requests")

    def check(self, sent: Sequence[Reading], *, repeats: int = 0) -> None:
        """All that was sent has come, in order for each device, and no reading twice but in a repeated request.

        Shape:  repeats is how many requests may have come again, each whole and under its id.
        """
        assert list(self.receiver.violations) == []
        assert self.receiver.unauthorised_total == 0
        assert self.received == set(sent), (
            f"{len(set(sent) - self.received)} lost, {len(self.received - set(sent))} never sent"
        )
        known: dict[str, Taken] = {}
        first: dict[Reading, None] = {}
        again = again_in_new = 0
        for taken in self.taken:
            before = known.setdefault(taken.request_id, taken)
            if before is not taken:
                assert before.items == taken.items, f"{taken.request_id} came again with other content"
                again += 1
            else:
                again_in_new += sum(key in first for key in taken.keys)
                first.update(dict.fromkeys(taken.keys))
        assert by_device(first) == by_device(sent), "the order of a device is broken"
        assert again <= repeats, f"{again} requests came again, {repeats} may"
        assert again_in_new == 0, f"{again_in_new} readings came again in another request"

    def check_retries(self) -> int:
        """After each request without a whole 2xx answer comes the same one again; how many there were."""
        requests = list(self.receiver.requests)
        failed = 0
        for request, following in itertools.pairwise(requests):
            if not 200 <= request.status < 300:
                failed += 1
                identity = (request.headers["X-Request-Id"], request.size_bytes, request.items)
                assert identity == (following.headers["X-Request-Id"], following.size_bytes, following.items)
        return failed


def by_device(readings: Collection[Reading]) -> dict[str, list[int]]:
    """The instants of each device, in the order of the readings."""
    found: dict[str, list[int]] = defaultdict(list)
    for device, instant in readings:
        found[device].append(instant)
    return dict(found)


@dataclass
class Load:
    """Readings of the devices sent in order and in the background, until the end of the context; then all are accepted.

    Each sender has its own devices and one request under way; it sends it again until the hub says that it has it.
    """

    hub: Hub
    devices: Sequence[str] = DEVICES
    senders: int = 2
    batch: int = 20
    pause_s: float = 0.01
    sent: list[Reading] = field(default_factory=list)
    repeated: int = 0
    retries: int = 0
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _group: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        for number in range(self.senders):
            self._group.create_task(self._send(self.devices[number :: self.senders]), name=f"sender {number}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await self._group.__aexit__(kind, error, trace)

    @property
    def accepted(self) -> int:
        """How many readings the hub has said to have on disk."""
        return len(self.sent)

    async def wait_accepted(self, count: int) -> None:
        """Wait until so many more were accepted."""
        goal = self.accepted + count
        await wait_for(lambda: self.accepted >= goal, lambda: f"{goal - self.accepted} more accepted")

    async def _send(self, devices: Sequence[str]) -> None:
        async with HubClient(
            self.hub.url, self.hub.key, give_up_s=DEADLINE_S, sleep=lambda s: asyncio.sleep(min(s, 0.2))
        ) as client:
            turn = itertools.cycle(devices)
            while not self._stop.is_set():
                readings = [make_reading(next(turn)) for _ in range(self.batch)]
                receipt = await client.send(readings)
                assert receipt.refused == ()
                assert receipt.accepted + receipt.repeated == len(readings)
                self.sent += map(key_of, readings)
                self.repeated += receipt.repeated
                await asyncio.sleep(self.pause_s)
            self.retries += client.retries


async def send_some(hub: Hub, count: int, *, devices: Sequence[str] = DEVICES) -> list[Reading]:
    """Send so many readings in one request, all of which must be new."""
    readings = [make_reading(device) for device, _ in zip(itertools.cycle(devices), range(count), strict=False)]
    async with HubClient(hub.url, hub.key, give_up_s=DEADLINE_S) as client:
        receipt = await client.send(readings)
    assert (receipt.accepted, receipt.repeated, receipt.refused) == (count, 0, ())
    return [key_of(reading) for reading in readings]
