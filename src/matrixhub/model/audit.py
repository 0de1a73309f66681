"""Audits: inspections of a zone, from their start to their score.

Source: docs/contract/event-bus.md §4, §6; docs/contract/grids.md §7
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from matrixhub.model.devices import Json
from matrixhub.model.errors import WrongParameters, WrongState
from matrixhub.model.event import Event, platform_event
from matrixhub.model.ids import AuditId, BuildingId, PropertyId, ZoneId

AuditStatus = Literal["STARTED", "COMPLETED"]
AuditAct = Literal["start", "complete"]

STEPS: Mapping[tuple[AuditStatus | None, AuditAct], tuple[AuditStatus, str]] = {
    (None, "start"): ("STARTED", "AUDIT_STARTED"),
    ("STARTED", "complete"): ("COMPLETED", "AUDIT_COMPLETED"),
}
"""What an act makes of an audit, and the event of it; None is one that is not there yet. Nothing else can be done."""

SCORE_MAX = 100
TEXT_MAX = 200
COMMENT_MAX = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """An inspection of a zone. `by` is who does it; `score` is 0 to 100, None until it is completed."""

    id: AuditId
    property_id: PropertyId
    building_id: BuildingId
    zone_id: ZoneId
    zone_name: str
    name: str
    by: str
    status: AuditStatus
    started_at: datetime
    ended_at: datetime | None = None
    score: float | None = None
    comment: str = ""


def next_status(status: AuditStatus | None, act: AuditAct) -> tuple[AuditStatus, str]:
    """The status after an act, and the event of it. Raises WrongState if it cannot be done now."""
    step = STEPS.get((status, act))
    if step is None:
        raise WrongState(f"an audit cannot {act} while it is {status or 'not there'}")
    return step


def check_audit_texts(*texts: str) -> None:
    """Refuse names that are empty or too long. Raises WrongParameters."""
    for text in texts:
        if not 0 < len(text.strip()) <= TEXT_MAX or "\x00" in text:
            raise WrongParameters(f"an audit has a name, and somebody who does it, of 1 to {TEXT_MAX} characters")


def completed_audit(audit: Audit, score: float, comment: str, ended_at: datetime) -> tuple[Audit, str]:
    """The audit with its score, and the event of it. Raises: WrongState, WrongParameters."""
    status, event = next_status(audit.status, "complete")
    if isinstance(score, bool) or not 0 <= score <= SCORE_MAX:
        raise WrongParameters(f"the score of an audit is a number of 0 to {SCORE_MAX}")
    if len(comment) > COMMENT_MAX or "\x00" in comment:
        raise WrongParameters(f"a comment has at most {COMMENT_MAX:,} characters")
    return replace(audit, status=status, score=float(score), comment=comment, ended_at=ended_at), event


def audit_event(event: str, audit: Audit, *, happened_at: int) -> Event:
    """The event of an audit. Units: happened_at is epoch seconds."""
    did = {"AUDIT_STARTED": "started", "AUDIT_COMPLETED": "completed"}[event]
    return platform_event(
        event,
        audit.property_id,
        audit.building_id,
        happened_at=happened_at,
        description=f"{audit.by} has {did} {audit.name} in {audit.zone_name}.",
        meta=audit_meta(audit),
    )


def audit_meta(audit: Audit) -> dict[str, Json]:
    """The `Meta` of its events; `Score` once it is completed."""
    meta: dict[str, Json] = {
        "AuditId": audit.id,
        "Name": audit.name,
        "Zone": audit.zone_id,
        "ZoneName": audit.zone_name,
        "By": audit.by,
        "Start": int(audit.started_at.timestamp()),
        "End": int(audit.ended_at.timestamp()) if audit.ended_at else 0,
        "Status": audit.status,
    }
    if audit.score is not None:
        meta["Score"] = int(audit.score) if audit.score == int(audit.score) else audit.score
    return meta


def audit_record(audit: Audit) -> dict[str, Json]:
    """An audit as it is read: what its events tell, and where it belongs."""
    return {**audit_meta(audit), "PID": audit.building_id, "PropId": audit.property_id, "Comment": audit.comment}
