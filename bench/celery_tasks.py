"""A Python team's usual way to push: one Celery task per push, over Redis, with requests.

As durable as Redis makes it: append-only file with fsync always (set where Redis is started), and a task acknowledged
only after it has run. Given every advantage that is common practice: a kept-alive session per worker, no result
backend, no environment look-ups for proxies. The readings come as ready JSON texts.
"""

from __future__ import annotations

import json
import os
import threading

import requests
from celery import Celery

app = Celery("bench", broker=os.environ.get("BENCH_BROKER", "redis://127.0.0.1:6379/0"))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    broker_connection_retry_on_startup=True,
    task_default_queue="pushes",
    worker_hijack_root_logger=False,
)

TIMEOUT_S = 15
_kept = threading.local()


def _session() -> requests.Session:
    if not hasattr(_kept, "session"):
        _kept.session = requests.Session()
        _kept.session.trust_env = False
        _kept.session.verify = os.environ["BENCH_CA"]
        _kept.session.headers["Content-Type"] = "application/json; charset=utf-8"
    session: requests.Session = _kept.session
    return session


def _push(request_id: str, readings: list[str]) -> None:
    """Post the readings; a failure is tried again by Celery."""
    body = json.dumps(readings, ensure_ascii=False, separators=(",", ":")).encode()
    answer = _session().post(
        os.environ["BENCH_URL"], data=body, headers={"X-Request-Id": request_id}, timeout=TIMEOUT_S
    )
    answer.raise_for_status()


push = app.task(name="push", autoretry_for=(requests.RequestException,), retry_backoff=True)(_push)
