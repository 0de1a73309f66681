"""What the desk decides: where to begin, and what a test sends and tells."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from tests.simulation.world import outgoing

from matrixhub.deliveries.desk import (
    TEST_DEVICE,
    FromAttempt,
    FromPlace,
    ReplayStart,
    Since,
    first_position,
    parse_start,
    sample_event,
    sample_line,
    send_test,
)
from matrixhub.ingest.normalise import Incoming, plan_slot, reading_line
from matrixhub.model.errors import (
    DeliveryError,
    DestinationRefused,
    DestinationUnreachable,
    EgressRefused,
    InvalidValue,
    ReauthorisationNeeded,
)
from matrixhub.model.event import check_envelope
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.site import Slot
from matrixhub.model.subscription import Filter, Position
from matrixhub.ports import Push, Sent
from matrixhub.testing.fakes import FakeClock
from matrixhub.testing.memory_bus import MemoryBus
from matrixhub.testing.samples import sample_subscription

AN_ID = UUID("0190163d-8694-739b-aea5-966c26f8ad91")


class OneAnswer:
    """The port `Sender`, which always says the same."""

    def __init__(self, answer: Sent | DeliveryError) -> None:
        self.answer = answer
        self.pushes: list[Push] = []

    async def send(self, push: Push) -> Sent:
        self.pushes.append(push)
        if isinstance(self.answer, DeliveryError):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("beginning", Since(0)),
        ("1", FromPlace(Position(seq=1))),
        (" 1200.7 ", FromPlace(Position(seq=1200, item=7))),
        (str(AN_ID), FromAttempt(AN_ID)),
        ("2024-03-10T08:05:09+08:00", Since(1_710_029_109_000)),
        ("2024-03-10T00:05:09.417Z", Since(1_710_029_109_417)),
    ],
)
def test_a_place_to_begin_is_read_as_people_write_it(text: str, start: ReplayStart) -> None:
    assert parse_start(text) == start


def test_a_time_without_offset_is_local() -> None:
    local = datetime(2024, 3, 10, 8, 5).astimezone()
    assert parse_start("2024-03-10T08:05") == Since(int(local.timestamp() * 1000))


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "0", "-1", "1.", ".5", "1.2.3", "1e5", "9" * 30, "0001-01-01", "1969-12-31", "10:00", "١٢"],
)
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="a place to begin is"):
        parse_start(text)


async def test_a_new_subscription_begins_where_it_is_told_to() -> None:
    bus = MemoryBus(now_ms=FakeClock(5_000).now_ms)
    await bus.publish([outgoing(str(n), "{}") for n in range(3)])
    for text, seq in {"now": 4, "": 4, "beginning": 1, "2": 2, "4": 4, "1970-01-01T00:00:06Z": 4}.items():
        assert await first_position(bus, text) == Position(seq=seq)
    for text in ("5", "4.1", str(AN_ID), "soon"):
        with pytest.raises(InvalidValue):
            await first_position(bus, text)


# --- tests ---


def test_the_sample_has_the_fields_of_a_reading_of_its_type() -> None:
    slot = Slot(
        id=SlotId(TEST_DEVICE),
        property_id=PropertyId("p"),
        building_id=BuildingId(TEST_DEVICE),
        zone_id=ZoneId(TEST_DEVICE),
        name="x",
        devtype="SMARTCLEAN#UM",
        time_zone="UTC",
    )
    line = reading_line(
        Incoming(DEVID=slot.id, v=msgspec.Raw(b'{"count":0}')), plan_slot(slot, 1, {}), 1_710_029_109_417
    )
    real, sample = json.loads(line), json.loads(sample_line(PropertyId("p"), 1_710_029_109_417))
    assert {**real, "Display": ""} == {**sample, "Display": ""}
    assert "Test" in sample["Display"]
    assert "\n" not in sample_line(PropertyId("p"), 0)


async def test_a_test_is_a_push_of_one_reading_with_an_id_of_its_own() -> None:
    sender, clock = OneAnswer(Sent(http_status=202, seconds=0.1, answer="thanks")), FakeClock()
    result = await send_test(sender, sample_subscription(), clock)
    (push,) = sender.pushes
    assert (push.kind, push.items) == ("test", 1)
    assert [json.loads(item)["DEVID"] for item in json.loads(push.body)] == [TEST_DEVICE]
    attempt = result.attempt
    assert result.taken
    assert (attempt.kind, attempt.http_status, attempt.answer, attempt.code) == ("test", 202, "thanks", "")
    assert (attempt.request_id, attempt.size_bytes) == (push.request_id, len(push.body))
    assert attempt.at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=clock.now_ms())
    assert attempt.start is attempt.end is None
    await send_test(sender, sample_subscription(), clock)
    assert sender.pushes[1].request_id != push.request_id


async def test_a_test_of_a_subscription_to_events_is_an_event_that_says_so() -> None:
    sender, clock = OneAnswer(Sent(http_status=202, seconds=0.1)), FakeClock()
    made = sample_subscription(filter=Filter(source="events", patterns=frozenset({"matrix.b1.#"})))
    assert (await send_test(sender, made, clock)).taken
    (push,) = sender.pushes
    (event,) = json.loads(push.body)
    check_envelope(event)
    assert event["RoutingKey"] == "matrix.p.matrixhub.TEST.LOW"
    assert "Test" in event["Description"]
    assert event["UnixTimeInt"] == clock.now_ms() // 1000
    assert sample_event(PropertyId("p"), clock.now_ms()) == json.dumps(event, separators=(",", ":"))


@pytest.mark.parametrize(
    ("answer", "code", "status", "said"),
    [
        (DestinationUnreachable("no answer in time"), "MH-D002", 0, "no answer in time"),
        (DestinationRefused("HTTP 403", http_status=403, answer="who?"), "MH-D003", 403, "HTTP 403"),
        (EgressRefused("not there"), "MH-D004", 0, "not there"),
        (ReauthorisationNeeded("agree anew"), "MH-D007", 0, "agree anew"),
        (Sent(http_status=207, seconds=0.1, failed={0: "no such device"}), "MH-D003", 207, "no such device"),
    ],
)
async def test_a_test_that_fails_tells_why_and_raises_nothing(
    answer: Sent | DeliveryError, code: str, status: int, said: str
) -> None:
    result = await send_test(OneAnswer(answer), sample_subscription(state="paused"), FakeClock())
    assert not result.taken
    assert (result.attempt.code, result.attempt.http_status) == (code, status)
    assert said in result.attempt.error
