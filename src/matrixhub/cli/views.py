"""What the commands print of deliveries: as documents for scripts, with the field names of REST."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from matrixhub.deliveries.desk import PlannedReplay
from matrixhub.model.application import Application
from matrixhub.model.delivery import ParkedItem
from matrixhub.model.health import health_of
from matrixhub.model.subscription import Position, public_view
from matrixhub.store.attempts import RecordedAttempt
from matrixhub.store.replays import ReplayRecord
from matrixhub.store.subscriptions import Overview


def overview_document(overview: Overview, now: datetime) -> dict[str, Any]:
    """A subscription without secrets, how it fares and how far it has come."""
    progress = overview.progress
    return {
        **public_view(overview.subscription),
        "health": health_of(overview.subscription, progress, now),
        "delivered": progress.delivered,
        "parked": progress.parked,
        "expired": progress.expired,
        "skipped": progress.skipped,
        "replayed": progress.replayed,
        "attempts_failed": progress.attempts_failed,
        "failures": progress.failures,
        "failing_since": _instant(progress.failing_since),
        "retry_at": _instant(progress.retry_at),
        "last_error": progress.last_error,
        "last_delivered_at": _instant(progress.last_delivered_at),
        "position": _position(progress.position),
        "replay_waits": overview.replay.id if overview.replay else None,
        "owner": overview.owner,
    }


def attempt_document(recorded: RecordedAttempt) -> dict[str, Any]:
    """An attempt."""
    attempt = recorded.attempt
    return {
        "id": str(attempt.id),
        "subscription": recorded.subscription_id,
        "at": attempt.at.isoformat(),
        "kind": attempt.kind,
        "request_id": attempt.request_id,
        "attempt": attempt.attempt,
        "items": attempt.items,
        "size_bytes": attempt.size_bytes,
        "http_status": attempt.http_status,
        "seconds": round(attempt.seconds, 6),
        "start": _position(attempt.start),
        "end": _position(attempt.end),
        "taken": not attempt.code,
        "code": attempt.code,
        "error": attempt.error,
        "answer": attempt.answer,
    }


def parked_document(item: ParkedItem) -> dict[str, Any]:
    """A parked reading."""
    return {
        "id": str(item.id),
        "subscription": item.subscription_id,
        "parked_at": item.parked_at.isoformat(),
        "position": _position(item.place),
        "reading": item.line,
        "code": item.code,
        "reason": item.reason,
        "http_status": item.http_status,
        "request_id": item.request_id,
        "redrive_at": _instant(item.redrive_at),
    }


def replay_document(replay: ReplayRecord) -> dict[str, Any]:
    """A replay."""
    return {
        "id": replay.id,
        "subscription": replay.subscription_id,
        "position": _position(replay.position),
        "state": replay.state,
        "requested_at": replay.requested_at.isoformat(),
        "begun_at": _instant(replay.begun_at),
        "end": _position(replay.ended_by),
        "readings": replay.items,
    }


def application_document(application: Application) -> dict[str, Any]:
    """An application that may publish events."""
    quota = application.quota
    return {
        "id": application.id,
        "property": application.property_id,
        "name": application.name,
        "per_minute": quota.per_minute,
        "burst": quota.burst,
        "per_day": quota.per_day,
        "created_at": application.created_at.isoformat(),
        "revoked_at": _instant(application.revoked_at),
        "version": application.version,
    }


def plan_document(plan: PlannedReplay) -> dict[str, Any]:
    """What a replay would do."""
    return {
        "position": _position(plan.position),
        "end": _position(plan.until),
        "readings": plan.items,
        "note": plan.note,
    }


@contextmanager
def counting(until_seq: int) -> Iterator[Callable[[int], None]]:
    """A bar on the screen while the stream is looked through; tell it the sequence that was reached."""
    with Progress(
        TextColumn("counting"), BarColumn(), TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task("", total=None)

        def seen(seq: int) -> None:
            progress.update(task, total=until_seq, completed=min(seq, until_seq))

        yield seen


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _position(position: Position | None) -> dict[str, int] | None:
    return None if position is None else {"seq": position.seq, "item": position.item}
