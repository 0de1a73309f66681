"""Bodies in every format: they say the same readings, keep to the limits, and are the same bytes every time."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from matrixhub.deliveries.formats import Body, frame_bytes, make_body
from matrixhub.deliveries.plan import cut_batch, open_message
from matrixhub.model.destination import Destination, Framing, Kind
from matrixhub.model.event import envelope, platform_event
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import BodyFormat, Filter, Format, Position, Source, Subscription
from matrixhub.ports import Message
from matrixhub.testing.samples import sample_subscription

READING = {
    "t": "20240310080509",
    "unixT": 1710029109417,
    "DEVID": "3706a2d4b1f9a65e82c4d5767081a2b3",
    "DevType": "SMARTCLEAN#UM",
    "PID": "c40d2f6e81b94a0c9e3375ab60d1f8e2",
    "Display": 'Café "L2" 東',
    "v": {"count": 3},
}


def subscription(
    body: BodyFormat = "contract",
    *,
    packed: bool = False,
    kind: Kind = "https",
    framing: Framing = "batch",
    property_id: str = "5b1e0c7a9d2f4e63a8b4c1d09e77f210",
    source: Source = "sensors",
) -> Subscription:
    return sample_subscription(
        filter=Filter(source=source),
        destination=Destination(url="https://example.test/", kind=kind, framing=framing),
        format=Format(body=body, gzip=packed),
        property_id=PropertyId(property_id),
    )


ARRAY = subscription()
EVENTS = subscription("cloudevents")
PER_ITEM = subscription(kind="azure_event_hub", framing="per_item")
ONE_EVENT = subscription(kind="azure_event_hub")
FORMATS = {
    "array": ARRAY,
    "array packed": subscription(packed=True),
    "events": EVENTS,
    "events packed": subscription("cloudevents", packed=True),
    "events of an odd property": subscription("cloudevents", property_id='Demo "Site"/東?#' * 5),
    "event hub, per item": PER_ITEM,
    "event hub": ONE_EVENT,
    "aws": subscription(kind="aws_iot"),
}


def escaped(*texts: str) -> list[bytes]:
    return [msgspec.json.encode(text)[1:-1] for text in texts]


def reading(**changes: object) -> str:
    return msgspec.json.encode(READING | changes).decode()


def unpacked(body: Body) -> bytes:
    return gzip.decompress(body.data) if body.content_encoding == "gzip" else body.data


def readings_of(chosen: Subscription, body: Body) -> list[object]:
    """The readings as a receiver finds them: texts, or the data of events."""
    items = json.loads(unpacked(body))
    if chosen.destination.framing == "per_item":
        return [item["Body"] for item in items]
    if chosen.format.body == "cloudevents":
        return [item["data"] for item in items]
    assert isinstance(items, list)
    return items


def event(text: str, chosen: Subscription = EVENTS) -> dict[str, Any]:
    (found,) = json.loads(make_body(chosen, escaped(text)).data)
    check_event(found)
    return dict(found)


# What the specification demands of an event in JSON, written anew. Source: CloudEvents 1.0.2 and RFC 3986, RFC 3339
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?#]|%[0-9A-Fa-f]{2})+")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z")
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z+.\-]+(?:; charset=utf-8)?")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def check_event(found: dict[str, Any]) -> None:
    required, optional = {"specversion", "id", "source", "type"}, {"subject", "time", "datacontenttype", "data"}
    assert required <= set(found) <= required | optional
    for name in set(found) - {"data"}:
        assert re.fullmatch("[a-z0-9]{1,20}", name)
        assert isinstance(found[name], str)
        assert found[name]
        assert not _FORBIDDEN.search(found[name])
    assert found["specversion"] == "1.0"
    assert _URI_REFERENCE.fullmatch(found["source"])
    assert found["type"].startswith(("sg.smartclean.reading", "sg.smartclean.event"))
    assert _MEDIA_TYPE.fullmatch(found["datacontenttype"])
    if "time" in found:
        assert _TIMESTAMP.fullmatch(found["time"])
        datetime.fromisoformat(found["time"])
    assert found["datacontenttype"] == "application/json" or isinstance(found["data"], str)


def test_the_array_of_the_contract_holds_each_reading_as_a_string() -> None:
    body = make_body(ARRAY, escaped('{"t":"20240310080509"}', "b"))
    assert body == Body(b'["{\\"t\\":\\"20240310080509\\"}","b"]', "application/json; charset=utf-8", "")


def test_an_event_hub_gets_one_event_for_each_reading_where_it_is_framed_so() -> None:
    body = make_body(PER_ITEM, escaped('{"t":"1"}', "b"))
    assert body == Body(b'[{"Body":"{\\"t\\":\\"1\\"}"},{"Body":"b"}]', "application/vnd.microsoft.servicebus.json", "")


def test_an_event_hub_gets_the_array_as_one_event_else() -> None:
    body = make_body(ONE_EVENT, escaped("a", "b"))
    assert body == Body(b'["a","b"]', "application/atom+xml;type=entry;charset=utf-8", "")


def test_a_reading_as_an_event() -> None:
    text = reading()
    assert make_body(EVENTS, escaped(text)).content_type == "application/cloudevents-batch+json; charset=utf-8"
    assert event(text) == {
        "specversion": "1.0",
        "id": "779480d4958fd3146605c82c5481846c",
        "source": "/properties/5b1e0c7a9d2f4e63a8b4c1d09e77f210/buildings/c40d2f6e81b94a0c9e3375ab60d1f8e2",
        "type": "sg.smartclean.reading.SMARTCLEAN#UM",
        "subject": "3706a2d4b1f9a65e82c4d5767081a2b3",
        "time": "2024-03-10T00:05:09.417Z",
        "datacontenttype": "application/json",
        "data": READING,
    }


def test_an_event_keeps_its_id_in_every_push_and_subscription() -> None:
    first, second = reading(), reading(DEVID="other")
    together = json.loads(make_body(EVENTS, escaped(first, second)).data)
    other = sample_subscription(id="sub_2", format=Format(body="cloudevents"))
    assert together[1]["id"] == event(second)["id"] == event(second, other)["id"]
    assert together[0]["id"] != together[1]["id"]


@pytest.mark.parametrize("change", [{"DEVID": "x"}, {"unixT": 1710029109418}, {"DevType": "SMARTCLEAN#FD"}])
def test_readings_that_differ_in_slot_type_or_instant_are_different_events(change: dict[str, object]) -> None:
    assert event(reading(**change))["id"] != event(reading())["id"]


def test_the_same_reading_stored_twice_is_the_same_event() -> None:
    assert event(reading())["id"] == event(reading(Display="renamed meanwhile"))["id"]


def test_ids_are_percent_encoded_in_the_source() -> None:
    chosen = subscription("cloudevents", property_id="Demo Site/é")
    source = event(reading(PID="B 1/2"), chosen)["source"]
    assert source == "/properties/Demo%20Site%2F%C3%A9/buildings/B%201%2F2"
    assert unquote(source.split("/")[2]) == "Demo Site/é"


@pytest.mark.parametrize("slot", ["", "a\tb", "\u0085", "x" * 129, 5, None, ["a"], "\ufffe"])
def test_a_slot_that_no_subject_can_hold_is_left_to_the_data(slot: object) -> None:
    found = event(reading(DEVID=slot))
    assert "subject" not in found
    assert found["data"]["DEVID"] == slot


@pytest.mark.parametrize("unixt", [None, "1710029109417", True, 10**20, -(10**20), 1e300, [], {}])
def test_a_reading_without_a_readable_instant_has_no_time(unixt: object) -> None:
    found = event(msgspec.json.encode({**READING, "unixT": unixt}).decode())
    assert "time" not in found
    assert found["data"]["unixT"] == unixt


@pytest.mark.parametrize(
    "unixt,time",
    [
        (1710029109417, "2024-03-10T00:05:09.417Z"),
        (1710029109, "2024-03-10T00:05:09.000Z"),
        (253402214399999, "9999-12-30T23:59:59.999Z"),
        (-62135510400000, "0001-01-02T00:00:00.000Z"),
    ],
)
def test_the_time_of_an_event_is_its_instant_in_utc(unixt: int, time: str) -> None:
    assert event(reading(unixT=unixt))["time"] == time


def test_events_without_what_tells_readings_apart_are_told_apart_by_their_text() -> None:
    texts = ['{"a":1}', '{"a":2}', "[1]", '"s"', "null", "no JSON", "", '{"a":']
    assert len({event(text)["id"] for text in texts}) == len(texts)
    assert event(texts[0])["id"] == event(texts[0])["id"]


@pytest.mark.parametrize("text", ["no JSON", "", '{"a":', '{"a":NaN}', "a\nb\x01", '{"a":1}{', "[" * 3000])
def test_what_is_no_json_is_sent_as_the_text_it_is(text: str) -> None:
    found = event(text)
    assert (found["datacontenttype"], found["data"]) == ("text/plain; charset=utf-8", text)


@pytest.mark.parametrize("text", ["[1,2]", '"s"', "null", "5", "true", ' {"a": 1} '])
def test_other_json_than_an_object_is_data_too(text: str) -> None:
    found = event(text)
    assert (found["datacontenttype"], found["data"]) == ("application/json", json.loads(text))


def test_a_packed_body_is_the_same_readings_in_fewer_bytes() -> None:
    texts = [reading(n=n) for n in range(100)]
    plain, packed = (make_body(subscription(packed=p), escaped(*texts)) for p in (False, True))
    assert packed.content_encoding == "gzip"
    assert packed.content_type == plain.content_type
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data) / 5


def test_a_body_that_packing_would_make_longer_is_sent_as_it_is() -> None:
    assert make_body(subscription(packed=True), escaped("x")) == make_body(ARRAY, escaped("x"))


def test_a_packed_body_does_not_hold_the_time_it_was_made() -> None:
    assert make_body(subscription(packed=True), escaped(reading())).data[4:8] == b"\0\0\0\0"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
READINGS = st.builds(
    lambda core, more: json.dumps({**more, **core}, ensure_ascii=False),
    st.fixed_dictionaries(
        {},
        optional={
            "DEVID": st.text(max_size=140) | VALUES,
            "DevType": st.text(max_size=140) | VALUES,
            "PID": st.text(max_size=140) | VALUES,
            "unixT": st.integers() | VALUES,
        },
    ),
    st.dictionaries(st.text(max_size=12), VALUES, max_size=4),
)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(texts=st.lists(READINGS, min_size=1, max_size=6))
def test_every_format_gives_the_readings_back_and_the_same_bytes_again(texts: list[str]) -> None:
    for name, chosen in FORMATS.items():
        note(name)
        body = make_body(chosen, escaped(*texts))
        expected: Sequence[object] = [json.loads(t) for t in texts] if chosen.format.body == "cloudevents" else texts
        assert readings_of(chosen, body) == expected
        assert make_body(chosen, escaped(*texts)) == body
        if chosen.format.body == "cloudevents":
            for found in json.loads(unpacked(body)):
                check_event(found)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6))
def test_any_text_is_carried_by_every_format(texts: list[str]) -> None:
    for name, chosen in FORMATS.items():
        note(name)
        body = make_body(chosen, escaped(*texts))
        if chosen.format.body != "cloudevents":
            assert readings_of(chosen, body) == texts
            continue
        for found, text in zip(json.loads(unpacked(body)), texts, strict=True):
            check_event(found)
            is_json = found["datacontenttype"] == "application/json"
            assert found["data"] == (json.loads(text) if is_json else text)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(texts=st.lists(READINGS, min_size=1, max_size=12), size_bytes=st.integers(1024, 6000))
def test_a_body_keeps_to_the_limit_unless_it_holds_one_reading(texts: list[str], size_bytes: int) -> None:
    for name, chosen in FORMATS.items():
        note(name)
        start = Position(seq=1)
        message = Message(1, "s", b"\n".join(text.encode() for text in texts), len(texts))
        found: list[object] = []
        while start.seq == 1:
            piece = open_message(message, start, frozenset(), frame_bytes(chosen))
            batch = cut_batch([piece], start, BatchLimits(items=5, size_bytes=size_bytes))
            body = make_body(chosen, piece.strings[: batch.items])
            assert len(unpacked(body)) <= 1 + sum(len(s) + frame_bytes(chosen) for s in piece.strings[: batch.items])
            assert len(body.data) <= size_bytes or batch.items == 1
            found += readings_of(chosen, body)
            start = batch.end
        assert found == [json.loads(t) for t in texts] if chosen.format.body == "cloudevents" else found == texts


def test_the_frames_of_plain_formats_are_exact() -> None:
    for chosen in (ARRAY, PER_ITEM, ONE_EVENT):
        for strings in (escaped("a"), escaped("a", '"b"', "c")):
            size = 1 + sum(len(s) + frame_bytes(chosen) for s in strings)
            assert len(make_body(chosen, strings).data) == size


# --- events of the bus ---

BUILDING = "c40d2f6e81b94a0c9e3375ab60d1f8e2"
BUS_EVENT = envelope(
    platform_event(
        "INCIDENT_CREATED",
        PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210"),
        BuildingId(BUILDING),
        happened_at=1_710_036_063,
        description='Spill in "Café" 東 \\ L2',
        meta={"Name": "Water spill", "Start": 1_710_036_063},
    )
)
BUS_FORMATS = {
    "array": subscription(source="events"),
    "array packed": subscription(packed=True, source="events"),
    "cloudevents": subscription("cloudevents", source="events"),
    "cloudevents of an odd property": subscription("cloudevents", property_id='Demo "Site"/東?#' * 5, source="events"),
    "event hub, per item": subscription(kind="azure_event_hub", framing="per_item", source="events"),
    "event hub": subscription(kind="azure_event_hub", source="events"),
    "aws": subscription(kind="aws_iot", source="events"),
}


def bus_event(**changes: object) -> str:
    return msgspec.json.encode(BUS_EVENT | changes).decode()


def events_of(chosen: Subscription, body: Body) -> list[object]:
    """The events as a receiver finds them, parsed."""
    found = readings_of(chosen, body)
    return [json.loads(str(one)) for one in found] if chosen.destination.framing == "per_item" else found


def cloud_event(text: str) -> dict[str, Any]:
    return event(text, BUS_FORMATS["cloudevents"])


def test_the_body_of_events_is_an_array_of_objects_as_they_were_written() -> None:
    first, second = bus_event(), bus_event(Description="b")
    body = make_body(BUS_FORMATS["array"], escaped(first, second))
    assert body == Body(f"[{first},{second}]".encode(), "application/json; charset=utf-8", "")
    assert make_body(BUS_FORMATS["aws"], escaped(first)).data == f"[{first}]".encode()


def test_an_event_hub_gets_an_event_as_a_string_where_it_is_framed_so_and_the_array_else() -> None:
    text = bus_event()
    framed = make_body(BUS_FORMATS["event hub, per item"], escaped(text))
    assert framed.content_type == "application/vnd.microsoft.servicebus.json"
    assert json.loads(framed.data) == [{"Body": text}]
    whole = make_body(BUS_FORMATS["event hub"], escaped(text))
    assert (whole.data, whole.content_type) == (f"[{text}]".encode(), "application/atom+xml;type=entry;charset=utf-8")


def test_an_event_of_the_bus_as_a_cloud_event() -> None:
    assert cloud_event(bus_event()) == {
        "specversion": "1.0",
        "id": BUS_EVENT["ATTR"],
        "source": f"/properties/5b1e0c7a9d2f4e63a8b4c1d09e77f210/buildings/{BUILDING}",
        "type": "sg.smartclean.event.INCIDENT_CREATED",
        "subject": f"matrix.{BUILDING}.scworkforcemanagement.INCIDENT_CREATED.HIGH",
        "time": "2024-03-10T02:01:03.000Z",
        "datacontenttype": "application/json",
        "data": BUS_EVENT,
    }


def test_an_event_of_the_property_itself_names_no_building() -> None:
    found = cloud_event(bus_event(PType="property", ID="5b1e0c7a9d2f4e63a8b4c1d09e77f210"))
    assert found["source"] == "/properties/5b1e0c7a9d2f4e63a8b4c1d09e77f210"


def test_an_event_with_a_name_that_is_too_long_has_a_short_id_of_its_own_and_no_subject() -> None:
    found = [cloud_event(bus_event(ATTR=f"E#{'x' * 256}{n}", RoutingKey="x" * 257)) for n in "ab"]
    assert [len(one["id"]) for one in found] == [32, 32]
    assert found[0]["id"] != found[1]["id"]
    assert "subject" not in found[0]


@pytest.mark.parametrize("text", ["no JSON", "", '{"a":', "[" * 3000])
def test_what_is_no_json_does_not_break_an_array_of_events(text: str) -> None:
    body = make_body(BUS_FORMATS["array"], escaped(bus_event(), text))
    assert json.loads(body.data) == [BUS_EVENT, text]
    assert cloud_event(text)["data"] == text


BUS_EVENTS = st.builds(
    lambda core, more: json.dumps({**BUS_EVENT, **more, **core}, ensure_ascii=False),
    st.fixed_dictionaries(
        {},
        optional={name: st.text(max_size=300) | VALUES for name in ("ATTR", "Event", "ID", "PType", "RoutingKey")}
        | {"UnixTimeInt": st.integers() | VALUES},
    ),
    st.dictionaries(st.text(max_size=12), VALUES, max_size=4),
)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(texts=st.lists(BUS_EVENTS, min_size=1, max_size=8), size_bytes=st.integers(1024, 8000))
def test_every_format_gives_the_events_back_within_the_limit(texts: list[str], size_bytes: int) -> None:
    for name, chosen in BUS_FORMATS.items():
        note(name)
        start, found = Position(seq=1), list[object]()
        message = Message(1, "s", b"\n".join(text.encode() for text in texts), len(texts))
        while start.seq == 1:
            piece = open_message(message, start, frozenset(), frame_bytes(chosen))
            batch = cut_batch([piece], start, BatchLimits(items=5, size_bytes=size_bytes))
            body = make_body(chosen, batch.strings)
            assert make_body(chosen, batch.strings) == body
            assert len(unpacked(body)) <= size_bytes or batch.items == 1
            if chosen.format.body == "cloudevents":
                for one in json.loads(unpacked(body)):
                    check_event(one)
            found += events_of(chosen, body)
            start = batch.end
        assert found == [json.loads(text) for text in texts]
