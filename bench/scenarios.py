"""The scenarios: each starts what it needs, measures, and gives rows."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import celery_peer
from bench.hub import Hub, Memory, running_hub, steps_told
from bench.micro import micro
from bench.processes import BenchError, Child, Usage
from bench.rows import Row, measured, required, skipped

PER_REQUEST = 500
BATCHED_RATE_MIN = 100_000
BATCHED_CONNECTIONS = 8
SINGLE_RATE_MIN = 3_500
SINGLE_CONNECTIONS = 64
PACED_RATE = 1_000
PACED_CONNECTIONS = 100
PACED_WARM_UP_S = 2.0
P50_MS_MAX = 3.0
P99_MS_MAX = 15.0
MEMORY_MB_MAX = 300.0
BACKLOG_READINGS = 1_000_000
BACKLOG_GROWTH_PCT_MAX = 10.0
SPARE = 1.2
"""A scenario carries what the required rate would in its seconds, and a fifth more."""

PUSHES_1_PER_S = 500
BARE_BATCHES = 600
PROBE_PUSHES = {1: 600, 500: 40}
STALLED_S = 15.0
POLL_S = 0.05
PAST_READINGS = 10_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What every scenario is given."""

    seconds: float
    directory: Path
    receiver: Child
    receiver_url: str
    ca_pem: str
    say: Callable[[str], None]
    past_readings: int = PAST_READINGS


Scenario = Callable[[Bench], Sequence[Row]]


def ingest_batched(bench: Bench) -> Sequence[Row]:
    """500 readings a request, to JetStream, over TLS, to the receiver; and what memory that takes."""
    total = rounded(BATCHED_RATE_MIN * SPARE * bench.seconds)
    with under_load(bench, BATCHED_CONNECTIONS) as (hub, generator), Memory(hub.pid) as memory:
        generator.ask("prepare", readings=total, per_request=PER_REQUEST)
        usage, spent = Usage(hub=hub.pid, receiver=bench.receiver.pid, generator=generator.pid), hub.spent()
        sent = generator.ask("send", timeout_s=patience_s(bench))
        got = wait_received(bench, total + WARM_UP)
        used, engines = _used(usage, hub, spent), memory.engines_mb()
    rate = total / _seconds(sent, got)
    ingest_rate = total / ((sent["ended_ns"] - sent["began_ns"]) / 1e9)
    notes = (
        f"{total:,} readings, {PER_REQUEST} a request on {BATCHED_CONNECTIONS} connections, {hub.batch} "
        f"({got['items'] / got['requests']:.0f} and {got['size_bytes'] / got['requests'] / 1024:.0f} KiB on average); "
        f"accepted at {ingest_rate:,.0f}/s; {used}"
    )
    held = ", ".join(f"{name} {mb:.0f}" for name, mb in engines.items())
    return [
        required(
            "ingest_batched_end_to_end",
            rate,
            "readings/s",
            BATCHED_RATE_MIN,
            better="more",
            problems=problems_of(sent, got, total),
            notes=notes,
        ),
        required(
            "memory_under_load",
            memory.highest_mb,
            "MB",
            MEMORY_MB_MAX,
            better="less",
            notes=f"highest RSS of the hub's Python process while the above ran; engines besides (MB): {held}",
        ),
    ]


def ingest_single(bench: Bench) -> Sequence[Row]:
    """One reading a request."""
    total = rounded(SINGLE_RATE_MIN * SPARE * bench.seconds)
    with under_load(bench, SINGLE_CONNECTIONS) as (hub, generator):
        generator.ask("prepare", readings=total, per_request=1)
        usage, spent = Usage(hub=hub.pid, receiver=bench.receiver.pid, generator=generator.pid), hub.spent()
        sent = generator.ask("send", timeout_s=patience_s(bench))
        got = wait_received(bench, total + WARM_UP)
        used = _used(usage, hub, spent)
    return [
        required(
            "ingest_single_end_to_end",
            total / _seconds(sent, got),
            "readings/s",
            SINGLE_RATE_MIN,
            better="more",
            problems=problems_of(sent, got, total),
            notes=f"{total:,} requests of one reading on {SINGLE_CONNECTIONS} connections, {hub.batch} "
            f"({got['items'] / got['requests']:.1f} on average); {used}",
        )
    ]


def latency(bench: Bench) -> Sequence[Row]:
    """1,000 readings a second, evenly, from 1,000 devices: how long after it was sent does a reading arrive."""
    with under_load(bench, PACED_CONNECTIONS) as (hub, generator):
        generator.ask("pace", rate=PACED_RATE, seconds=PACED_WARM_UP_S)
        wait_received(bench, WARM_UP + round(PACED_RATE * PACED_WARM_UP_S))
        bench.receiver.ask("open_books", stamps=True)
        usage, spent = Usage(hub=hub.pid, receiver=bench.receiver.pid, generator=generator.pid), hub.spent()
        sent = generator.ask("pace", rate=PACED_RATE, seconds=bench.seconds, timeout_s=patience_s(bench))
        total = round(PACED_RATE * bench.seconds)
        got = wait_received(bench, total)
        used = _used(usage, hub, spent)
    arrived = {int(stamp): int(at) for stamp, at in bench.receiver.ask("stamps")["stamps"]}
    stamps = [(int(a), int(b)) for a, b in sent["stamps"]]
    from_sent = sorted((arrived[s] - s) / 1e6 for s, _ in stamps if s in arrived)
    from_accepted = sorted((arrived[s] - a) / 1e6 for s, a in stamps if s in arrived)
    problems = problems_of(sent, got, total, warm_up=0)
    if len(from_sent) != total:
        problems.append(f"{len(from_sent):,} of {total:,} stamps came through")
    said = (
        f"{len(from_sent):,} readings, one a request, sent → received, {hub.batch}; "
        f"the generator was late by {sent['late_ms']:.1f} ms at most"
    )
    p50, p99 = percentile(from_sent, 0.50), percentile(from_sent, 0.99)
    return [
        required("latency_p50", p50, "ms", P50_MS_MAX, better="less", problems=problems, notes=f"{said}; {used}"),
        required(
            "latency_p99",
            p99,
            "ms",
            P99_MS_MAX,
            better="less",
            problems=problems,
            notes=f"p99.9 {percentile(from_sent, 0.999):.1f} ms, max {from_sent[-1]:.1f} ms",
        ),
        measured(
            "latency_from_accepted_p50",
            percentile(from_accepted, 0.50),
            "ms",
            f"answer 202 at the sender → received: p99 {percentile(from_accepted, 0.99):.2f} ms, "
            f"max {from_accepted[-1]:.1f} ms; below zero where the push overtook the answer",
        ),
    ]


def backlog(bench: Bench) -> Sequence[Row]:
    """The receiver is away while 1,000,000 readings come in; then it is back."""
    total = BACKLOG_READINGS
    with under_load(bench, BATCHED_CONNECTIONS, env=_QUICK_RETRIES) as (hub, generator), Memory(hub.pid) as memory:
        idle_mb = memory.now_mb()
        # The measure is the hub at the same load: what it remembers to recognise repeats is there, backlog or not.
        sent = _send(bench, generator, total)
        got = wait_received(bench, total + WARM_UP)
        problems = problems_of(sent, got, total)
        before_mb = memory.take_highest_mb()
        bench.receiver.ask("leave")
        sent = _send(bench, generator, total)
        time.sleep(1.0)
        waiting_mb, full_mb = memory.take_highest_mb(), memory.now_mb()
        bench.receiver.ask("listen")
        back_ns = time.monotonic_ns()
        got = wait_received(bench, 2 * total + WARM_UP)
        after_mb = memory.take_highest_mb()
    problems += problems_of(sent, got, total, warm_up=WARM_UP + total)
    notes = (
        f"highest RSS with {total:,} readings coming to wait {waiting_mb:.0f} MB ({full_mb:.0f} at its end) against "
        f"{before_mb:.0f} MB with the same load delivered; fresh and idle {idle_mb:.0f} MB, "
        f"while catching up {after_mb:.0f} MB; all of {2 * total:,} received once and in order"
    )
    return [
        required(
            "backlog_memory",
            (waiting_mb / before_mb - 1) * 100,
            "%",
            BACKLOG_GROWTH_PCT_MAX,
            better="less",
            problems=problems,
            notes=notes if not problems else notes.partition("; all of")[0],
        ),
        measured(
            "backlog_catch_up",
            total / ((got["last_ns"] - got["resumed_ns"]) / 1e9),
            "readings/s",
            f"{total:,} readings, from the first after the return to the last; that and the wait for the next attempt "
            f"took {(got['last_ns'] - back_ns) / 1e9:.1f} s (retries every second here); {hub.batch}",
        ),
    ]


def _send(bench: Bench, generator: Child, total: int) -> dict[str, Any]:
    generator.ask("prepare", readings=total, per_request=PER_REQUEST)
    return generator.ask("send", timeout_s=patience_s(bench))


def hub_push_1(bench: Bench) -> Sequence[Row]:
    """The hub with one reading a push, in order, one push in flight, each push's place committed."""
    total = round(PUSHES_1_PER_S * bench.seconds)
    with under_load(bench, BATCHED_CONNECTIONS, batch_items=1, warm_up=100) as (hub, generator):
        generator.ask("prepare", readings=total, per_request=PER_REQUEST)
        usage, spent = Usage(hub=hub.pid, receiver=bench.receiver.pid), hub.spent()
        sent = generator.ask("send", timeout_s=patience_s(bench))
        got = wait_received(bench, total + 100)
        used = _used(usage, hub, spent)
    problems = problems_of(sent, got, total, warm_up=100)
    rate = total / _seconds(sent, got)
    return [
        measured("hub_push_batch1", rate, "readings/s", "; ".join([*problems, f"{total:,} pushes in order; {used}"]))
    ]


def bare_sender_500(bench: Bench) -> Sequence[Row]:
    """The limit: the sender alone."""
    return _bare(bench, "bare_sender_batch500", BARE_BATCHES, 500)


def bare_sender_1(bench: Bench) -> Sequence[Row]:
    """The limit for pushes of one reading."""
    return _bare(bench, "bare_sender_batch1", round(PUSHES_1_PER_S * bench.seconds), 1)


def celery_1(bench: Bench) -> Sequence[Row]:
    """Celery and Redis, one reading a push."""
    return _celery(bench, "celery_redis_batch1", 1)


def celery_500(bench: Bench) -> Sequence[Row]:
    """Celery and Redis, 500 readings a push."""
    return _celery(bench, "celery_redis_batch500", 500)


SCENARIOS: Mapping[str, Scenario] = {
    "ingest_batched_end_to_end": ingest_batched,
    "ingest_single_end_to_end": ingest_single,
    "latency_1000_per_s": latency,
    "backlog_memory": backlog,
    "hub_push_batch1": hub_push_1,
    "bare_sender_batch500": bare_sender_500,
    "bare_sender_batch1": bare_sender_1,
    "celery_redis_batch500": celery_500,
    "celery_redis_batch1": celery_1,
    "micro": lambda bench: micro(min(1.0, bench.seconds / 10)),
}

WARM_UP = 1_000
_QUICK_RETRIES = {"MATRIXHUB_DELIVERIES__RETRY_SCHEDULE_S": "[1.0]"}
"""With the default schedule the scenario would wait 30 s and more for the attempt after the return."""


@contextlib.contextmanager
def under_load(
    bench: Bench,
    connections: int,
    *,
    batch_items: int | None = None,
    warm_up: int = WARM_UP,
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[Hub, Child]]:
    """A fresh hub, a connected generator, new books; and one reading of each device has gone all the way."""
    bench.receiver.ask("listen")
    bench.receiver.ask("open_books")
    with (
        running_hub(bench.directory, bench.receiver_url, bench.ca_pem, batch_items=batch_items, env=env) as hub,
        Child("bench.generator", bench.directory) as generator,
    ):
        generator.ask("connect", url=hub.url, key=hub.key, connections=connections)
        generator.ask("prepare", readings=warm_up, per_request=PER_REQUEST)
        generator.ask("send")
        wait_received(bench, warm_up)
        yield hub, generator


def wait_received(bench: Bench, distinct: int, *, stalled_s: float = STALLED_S) -> dict[str, Any]:
    """The receiver's books once so many readings are in them. Raises: BenchError if nothing comes any more.

    `resumed_ns` is when the first of them came after this was called.
    """
    began = time.monotonic_ns()
    seen, changed, resumed_ns = -1, time.monotonic(), 0
    while True:
        totals = bench.receiver.ask("totals")
        if totals["distinct"] != seen:
            if seen >= 0 and not resumed_ns:
                resumed_ns = time.monotonic_ns()
            seen, changed = totals["distinct"], time.monotonic()
            bench.say(f"{seen:,} of {distinct:,} received")
        if seen >= distinct:
            return {**totals, "resumed_ns": resumed_ns, "asked_ns": began}
        if time.monotonic() - changed > stalled_s:
            raise BenchError(
                f"{distinct - seen:,} of {distinct:,} readings did not arrive within {stalled_s:g} s of the last; "
                + "; ".join(totals["problems"])
            )
        time.sleep(POLL_S)


def percentile(ascending: Sequence[float], fraction: float) -> float:
    """The value that this fraction of all stays within (nearest rank).

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return ascending[max(1, math.ceil(len(ascending) * fraction)) - 1] if ascending else math.nan


def problems_of(sent: Mapping[str, Any], got: Mapping[str, Any], total: int, *, warm_up: int = WARM_UP) -> list[str]:
    """What must not be, whatever the speed."""
    found = [str(problem) for problem in got["problems"]]
    stored = sent["accepted"] + sent["repeated"]
    if stored != total:
        found.append(f"accepted {stored:,} of {total:,} readings, {sent['refused']:,} refused")
    if got["distinct"] != stored + warm_up:
        found.append(f"{got['distinct']:,} received of {stored + warm_up:,} accepted")
    if got["duplicates"]:
        found.append(f"{got['duplicates']:,} came twice")
    return found


def _seconds(sent: Mapping[str, Any], got: Mapping[str, Any]) -> float:
    """From the first request to the last reading received."""
    return float(got["last_ns"] - sent["began_ns"]) / 1e9


def _used(usage: Usage, hub: Hub, spent: Mapping[str, float]) -> str:
    """Where the time went since the two were made."""
    cores = usage.told()
    return f"{steps_told(spent, hub.spent())}; {cores}"


def rounded(readings: float) -> int:
    """Whole requests for every connection."""
    share = PER_REQUEST * BATCHED_CONNECTIONS
    return max(1, round(readings / share)) * share


def patience_s(bench: Bench) -> float:
    return 60.0 + 6 * bench.seconds


def _bare(bench: Bench, name: str, pushes: int, per_push: int) -> Sequence[Row]:
    bench.receiver.ask("listen")
    bench.receiver.ask("open_books")
    with Child("bench.sender", bench.directory) as sender:
        prepared = sender.ask("prepare", pushes=pushes, per_push=per_push)
        usage = Usage(sender=sender.pid, receiver=bench.receiver.pid)
        sent = sender.ask("send", url=bench.receiver_url, ca_pem=bench.ca_pem, timeout_s=patience_s(bench))
        got = wait_received(bench, pushes * per_push)
        used = usage.told()
    rate = pushes * per_push / _seconds(sent, got)
    size = prepared["size_bytes"] / pushes / 1024
    notes = [*got["problems"], f"{pushes:,} ready bodies of {size:.1f} KiB, one in flight; {used}"]
    return [measured(name, rate, "readings/s", "; ".join(notes))]


def _celery(bench: Bench, name: str, per_push: int) -> Sequence[Row]:
    if reason := celery_peer.missing():
        return [skipped(name, reason)]
    bench.receiver.ask("listen")
    ca = bench.directory / "celery-ca.pem"
    ca.write_text(bench.ca_pem)
    with celery_peer.running_redis(bench.directory) as broker:
        env = {"BENCH_BROKER": broker, "BENCH_URL": bench.receiver_url, "BENCH_CA": str(ca)}
        with celery_peer.running_producer(bench.directory, env) as producer:
            probes = {
                pool: _celery_rate(bench, producer, pool, env, PROBE_PUSHES[per_push], per_push)[0]
                for pool in celery_peer.POOLS
            }
            best = max(probes, key=probes.__getitem__)
            pushes = max(PROBE_PUSHES[per_push], round(probes[best] / per_push * bench.seconds))
            rate, notes = _celery_rate(bench, producer, best, env, pushes, per_push)
    tried = ", ".join(f"{pool} {rate / per_push:,.0f}/s" for pool, rate in probes.items())
    said = f"{rate / per_push:,.0f} pushes/s of {per_push}, {best}, appendfsync always; tried: {tried}; {notes}"
    return [measured(name, rate, "readings/s", said)]


def _celery_rate(
    bench: Bench, producer: Child, pool: celery_peer.Pool, env: Mapping[str, str], pushes: int, per_push: int
) -> tuple[float, str]:
    """Readings a second from the first task queued to the last reading received, and what to say of it."""
    bench.say(f"{pool}: {pushes:,} pushes of {per_push}")
    bench.receiver.ask("open_books")
    with celery_peer.running_worker(bench.directory, pool, env) as pid:
        warm_up = pool.concurrency * 2
        producer.ask("prepare", pushes=warm_up, per_push=per_push)
        producer.ask("send")
        wait_received(bench, warm_up * per_push, stalled_s=30.0)
        bench.receiver.ask("open_books")
        producer.ask("prepare", pushes=pushes, per_push=per_push, timeout_s=patience_s(bench))
        usage = Usage(worker=pid, producer=producer.pid, receiver=bench.receiver.pid)
        sent = producer.ask("send", timeout_s=patience_s(bench))
        got = wait_received(bench, pushes * per_push)
        used = usage.told()
    queued = pushes / ((sent["ended_ns"] - sent["began_ns"]) / 1e9)
    notes = f"{pushes:,} pushes, queued at {queued:,.0f}/s, {got['out_of_order']:,} readings out of order; {used}"
    return pushes * per_push / _seconds(sent, got), notes
