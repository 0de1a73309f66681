"""Audits: every state and act, and what their events tell."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest

from matrixhub.model.audit import (
    Audit,
    AuditAct,
    AuditStatus,
    audit_event,
    audit_record,
    check_audit_texts,
    completed_audit,
    next_status,
)
from matrixhub.model.errors import WrongParameters, WrongState
from matrixhub.model.event import check_envelope, envelope
from matrixhub.model.ids import AuditId, BuildingId, PropertyId, ZoneId

STARTED = Audit(
    id=AuditId("aud_1"),
    property_id=PropertyId("p"),
    building_id=BuildingId("b"),
    zone_id=ZoneId("z"),
    zone_name="Lobby",
    name="Morning round",
    by="Ann Lee",
    status="STARTED",
    started_at=datetime(2024, 3, 10, tzinfo=UTC),
)
ENDED_AT = datetime(2024, 3, 10, 0, 10, tzinfo=UTC)

WANTED: dict[tuple[AuditStatus | None, AuditAct], AuditStatus] = {
    (None, "start"): "STARTED",
    ("STARTED", "complete"): "COMPLETED",
}


@pytest.mark.parametrize(("status", "act"), list(itertools.product((None, *get_args(AuditStatus)), get_args(AuditAct))))
def test_every_state_and_act_has_a_next_state_or_a_named_error(status: AuditStatus | None, act: AuditAct) -> None:
    if (status, act) in WANTED:
        assert next_status(status, act)[0] == WANTED[status, act]
    else:
        with pytest.raises(WrongState):
            next_status(status, act)


def test_the_events_of_an_audit_carry_what_is_agreed() -> None:
    completed, event = completed_audit(STARTED, 87.5, "Dust on the sills", ENDED_AT)
    meta = {
        "AuditId": "aud_1",
        "Name": "Morning round",
        "Zone": "z",
        "ZoneName": "Lobby",
        "By": "Ann Lee",
        "Start": 1710028800,
        "End": 0,
        "Status": "STARTED",
    }
    began, ended = (
        audit_event("AUDIT_STARTED", STARTED, happened_at=1710028800),
        audit_event(event, completed, happened_at=1710029400),
    )
    assert (began.priority, began.meta) == ("NORMAL", meta)
    assert (ended.event, ended.priority) == ("AUDIT_COMPLETED", "HIGH")
    assert ended.meta == {**meta, "End": 1710029400, "Status": "COMPLETED", "Score": 87.5}
    assert ended.description == "Ann Lee has completed Morning round in Lobby."
    check_envelope(envelope(ended))


def test_the_record_of_an_audit_also_tells_where_it_belongs() -> None:
    completed, _ = completed_audit(STARTED, 90, "fine", ENDED_AT)
    record = audit_record(completed)
    assert (record["PID"], record["PropId"], record["Comment"], record["Score"]) == ("b", "p", "fine", 90)


@pytest.mark.parametrize("score", [-0.5, 100.5, float("nan"), float("inf"), True])
def test_a_score_beyond_0_to_100_is_refused(score: float) -> None:
    with pytest.raises(WrongParameters):
        completed_audit(STARTED, score, "", ENDED_AT)


@pytest.mark.parametrize("score", [0, 100, 99.5])
def test_a_score_of_0_to_100_is_taken(score: float) -> None:
    assert completed_audit(STARTED, score, "", ENDED_AT)[0].score == score


def test_what_is_wrong_with_an_audit_that_is_over_is_its_state() -> None:
    with pytest.raises(WrongState):
        completed_audit(replace(STARTED, status="COMPLETED"), -1, "", ENDED_AT)


@pytest.mark.parametrize("texts", [("", "Ann"), ("Round", "  "), ("x" * 201, "Ann"), ("a\x00b", "Ann")])
def test_an_audit_needs_a_name_and_somebody_who_does_it(texts: tuple[str, str]) -> None:
    with pytest.raises(WrongParameters):
        check_audit_texts(*texts)


def test_a_comment_has_an_end() -> None:
    with pytest.raises(WrongParameters):
        completed_audit(STARTED, 1, "x" * 2001, ENDED_AT)
