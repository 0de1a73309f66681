from datetime import UTC, datetime

from matrixhub.model.event import envelope, platform_event
from matrixhub.model.event_log import LoggedEvent, event_log_record
from matrixhub.model.ids import BuildingId, PropertyId


def test_a_record_of_the_log_has_the_module_as_its_id_and_bare_seconds_as_its_time() -> None:
    event = platform_event(
        "TASK_COMPLETED", PropertyId("p1"), BuildingId("b1"), happened_at=1_710_036_000, description="Done.", meta={}
    )
    logged = LoggedEvent(number=7, happened_at=datetime(2024, 3, 10, 2, tzinfo=UTC), envelope=envelope(event))
    assert event_log_record(logged) == {
        "ATTR": f"TASK_COMPLETED#p1#b1#{event.id}",
        "Description": "Done.",
        "Event": "TASK_COMPLETED",
        "ID": "scworkforcemanagement",
        "Principal": "b1",
        "Status": "NORMAL",
        "Time": "1710036000",
    }
