"""Records of comments and of the timeline."""

from __future__ import annotations

from datetime import UTC, datetime

from matrixhub.model.ids import TaskId
from matrixhub.model.work_order import Comment, HistoryEntry
from matrixhub.modules.workforce.records import comment_record, history_record

AT = datetime.fromtimestamp(1710029109.417, UTC)


def test_a_comment_has_the_keys_of_its_request_and_its_times_in_whole_seconds() -> None:
    comment = Comment(
        id="c", work_order_id=TaskId("1"), user_name="Ann", comment="Wet", created_by="a", created_at=AT, updated_at=AT
    )
    assert comment_record(comment) == {
        "CommentId": "c",
        "Comment": "Wet",
        "UserName": "Ann",
        "CreatedOn": 1710029109,
        "UpdatedOn": 1710029109,
    }


def test_an_entry_of_the_timeline_says_when_who_what_and_the_state_after_it() -> None:
    entry = HistoryEntry(at=AT, actor="Ann", act="start", status="STARTED", detail={"attachments": 2})
    assert history_record(entry) == {
        "Time": 1710029109,
        "By": "Ann",
        "Act": "start",
        "Status": "STARTED",
        "Detail": {"attachments": 2},
    }
