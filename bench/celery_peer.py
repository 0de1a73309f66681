"""The peer: Redis, a Celery worker and a producer, each in a process of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError, Child, running, tail

START_WAIT_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """How a Celery worker runs its tasks."""

    kind: str
    concurrency: int
    prefetch: int = 4

    def __str__(self) -> str:
        return f"{self.kind} {self.concurrency}"


POOLS = (
    Pool(kind="prefork", concurrency=2),
    Pool(kind="threads", concurrency=8),
    Pool(kind="gevent", concurrency=32),
)


def missing() -> str:
    """Why the peer cannot be run here, empty if it can."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed"
    try:
        import bench.celery_tasks  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed (make bench installs it)"
    return ""


@contextlib.contextmanager
def running_redis(directory: Path) -> Iterator[str]:
    """A Redis that has on disk what it has acknowledged; its URL."""
    data = Path(tempfile.mkdtemp(prefix="matrixhub-bench-redis-"))
    port = _free_port()
    command = [
        *("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data), "--save", ""),
        *("--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"),
    ]
    try:
        with running(command, directory / "redis.log"):
            _wait_open(port)
            yield f"redis://127.0.0.1:{port}/0"
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def running_worker(directory: Path, pool: Pool, env: Mapping[str, str]) -> Iterator[int]:
    """A Celery worker; its process id."""
    log = directory / f"celery-{pool.kind}.log"
    command = [
        *(sys.executable, "-m", "celery", "-A", "bench.celery_tasks", "worker", "-l", "warning"),
        *("-P", pool.kind, "-c", str(pool.concurrency), "--without-gossip", "--without-mingle"),
    ]
    with running(command, log, env={**env, "BENCH_PREFETCH": str(pool.prefetch)}) as process:
        if process.poll() is not None:
            raise BenchError(f"celery has ended; {tail(log)}")
        yield process.pid


def running_producer(directory: Path, env: Mapping[str, str]) -> Child:
    """A process that queues tasks."""
    return Child("bench.celery_producer", directory, env=env)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_open(port: int) -> None:
    deadline = time.monotonic() + START_WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise BenchError(f"Redis does not answer on port {port}")
