"""The model as the documents that are given out."""

from __future__ import annotations

from datetime import datetime

import msgspec

from matrixhub.api.rest import documents as doc
from matrixhub.model.application import Application
from matrixhub.model.balance import Balance
from matrixhub.model.delivery import ParkedItem
from matrixhub.model.event_log import LoggedEvent
from matrixhub.model.health import health_of
from matrixhub.model.subscription import Position, Progress, public_view
from matrixhub.store.attempts import RecordedAttempt
from matrixhub.store.replays import ReplayRecord
from matrixhub.store.subscriptions import Overview


def subscription_view(overview: Overview, now: datetime) -> doc.SubscriptionView:
    """A subscription, how it fares and how far it has come."""
    subscription, progress = overview.subscription, overview.progress
    shown = {
        **public_view(subscription),
        "health": health_of(subscription, progress, now),
        "progress": _progress_view(progress),
    }
    return msgspec.convert(shown, doc.SubscriptionView)


def _progress_view(progress: Progress) -> doc.ProgressView:
    return doc.ProgressView(
        position=position_view(progress.position),
        delivered=progress.delivered,
        parked=progress.parked,
        expired=progress.expired,
        skipped=progress.skipped,
        replayed=progress.replayed,
        attempts_failed=progress.attempts_failed,
        failures=progress.failures,
        failing_since=progress.failing_since,
        retry_at=progress.retry_at,
        last_error=progress.last_error,
        last_delivered_at=progress.last_delivered_at,
    )


def attempt_view(recorded: RecordedAttempt) -> doc.AttemptView:
    """An attempt."""
    attempt = recorded.attempt
    return doc.AttemptView(
        id=str(attempt.id),
        subscription=recorded.subscription_id,
        at=attempt.at,
        kind=attempt.kind,
        request_id=attempt.request_id,
        attempt=attempt.attempt,
        items=attempt.items,
        size_bytes=attempt.size_bytes,
        http_status=attempt.http_status,
        seconds=round(attempt.seconds, 6),
        start=_maybe_position(attempt.start),
        end=_maybe_position(attempt.end),
        taken=not attempt.code,
        code=attempt.code,
        error=attempt.error,
        answer=attempt.answer,
    )


def parked_view(item: ParkedItem) -> doc.ParkedView:
    """A parked reading."""
    return doc.ParkedView(
        id=str(item.id),
        subscription=item.subscription_id,
        parked_at=item.parked_at,
        position=position_view(item.place),
        reading=item.line,
        code=item.code,
        reason=item.reason,
        http_status=item.http_status,
        request_id=item.request_id,
        redrive_at=item.redrive_at,
    )


def replay_view(replay: ReplayRecord) -> doc.ReplayView:
    """A replay."""
    return doc.ReplayView(
        id=replay.id,
        subscription=replay.subscription_id,
        position=position_view(replay.position),
        state=replay.state,
        requested_at=replay.requested_at,
        begun_at=replay.begun_at,
        end=_maybe_position(replay.ended_by),
        readings=replay.items,
    )


def position_view(position: Position) -> doc.PositionView:
    """A place in the stream."""
    return doc.PositionView(seq=position.seq, item=position.item)


def _maybe_position(position: Position | None) -> doc.PositionView | None:
    return None if position is None else position_view(position)


def balance_view(balance: Balance) -> doc.BalanceView:
    """A balance."""
    return doc.BalanceView(
        accepted=balance.accepted,
        delivered=balance.delivered,
        pending=balance.pending,
        parked=balance.parked,
        expired=balance.expired,
        skipped=balance.skipped,
        replayed=balance.replayed,
        difference=balance.difference,
        holds=balance.holds,
    )


def event_view(event: LoggedEvent) -> doc.EventView:
    """An event."""
    return msgspec.convert(event.envelope, doc.EventView)


def application_view(application: Application) -> doc.ApplicationView:
    """An application."""
    return doc.ApplicationView(
        id=application.id,
        property=application.property_id,
        name=application.name,
        per_minute=application.quota.per_minute,
        burst=application.quota.burst,
        per_day=application.quota.per_day,
        created_at=application.created_at,
        revoked_at=application.revoked_at,
        version=application.version,
    )
