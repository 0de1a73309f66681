"""What is done about a reader's session, and to whose processes."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from matrixhub.databases import warden
from matrixhub.databases.warden import Session, restrain, verdict
from matrixhub.model.database import Limits

LIMITS = Limits(statement_timeout_s=60)
SESSION = Session(
    pid=1,
    role="db_1_reader",
    database="db_1",
    backend_start=datetime(2024, 3, 10, tzinfo=UTC),
    backend_type="client backend",
    leader_pid=None,
    state="active",
    query_start=datetime(2024, 3, 10, tzinfo=UTC),
    running_s=1,
    since_s=1,
    transaction_s=1,
)


@pytest.mark.parametrize(
    ("changed", "done"),
    [
        ({"running_s": 61}, None),  # PostgreSQL does it, unless the reader took that away
        ({"running_s": 63}, "cancel"),
        ({"running_s": 63, "state": "fastpath function call"}, "cancel"),
        ({"running_s": 80}, "terminate"),
        ({"running_s": 80, "state": "idle"}, None),
        ({"running_s": 80, "backend_type": "parallel worker", "leader_pid": 7}, None),
        ({"since_s": 61, "state": "idle in transaction"}, "terminate"),
        ({"since_s": 61, "state": "idle in transaction (aborted)"}, "terminate"),
        ({"since_s": 59, "state": "idle in transaction", "running_s": 100}, None),
        ({"since_s": 1e6, "state": "idle"}, None),
        ({"transaction_s": 3601}, "terminate"),
        ({"state": ""}, None),  # what the hub may not see
    ],
)
def test_a_session_is_ended_for_what_it_takes(changed: dict[str, object], done: str | None) -> None:
    assert verdict(replace(SESSION, **changed), LIMITS) == done  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory_mib", "state", "done"), [(544, "active", None), (545, "active", "cancel"), (545, "idle", None)]
)
def test_a_query_that_holds_too_much_memory_is_cancelled(memory_mib: float, state: str, done: str | None) -> None:
    assert verdict(replace(SESSION, state=state), replace(LIMITS, work_mem_mib=60), memory_mib) == done


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_process_that_is_not_that_session_is_left_alone() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert "another machine" in restrain(replace(SESSION, pid=os.getpid()))
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_session_whose_process_is_elsewhere_is_said_to_be() -> None:
    assert "another machine" in restrain(replace(SESSION, pid=2**22 + 1))


def test_where_processes_cannot_be_held_back_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrixhub.databases.warden.sys.platform", "darwin")
    assert restrain(SESSION) == "the hub cannot hold processes back on darwin"


@pytest.mark.parametrize(
    ("title", "leader", "is_of"),
    [
        ("postgres: db_1_reader db_1 127.0.0.1(5) SELECT", None, True),
        ("postgres: main: db_1_reader db_1 [local] idle", None, True),
        ("postgres: db_2_reader db_2 [local] idle", None, False),
        ("postgres: xdb_1_reader db_1 [local] idle", None, False),
        ("python postgres: db_1_reader db_1 ", None, False),
        ("postgres: parallel worker for PID 77 ", 77, True),
        ("postgres: parallel worker for PID 778 ", 77, False),
    ],
)
def test_a_process_says_whose_session_it_is(title: str, leader: int | None, is_of: bool) -> None:
    assert warden._is_of(title, replace(SESSION, leader_pid=leader)) is is_of
