import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrixhub.ingest.normalise import (
    Incoming,
    SlotPlan,
    TimeRules,
    plan_slot,
    reading_instant,
    reading_key,
    reading_line,
)
from matrixhub.model.devices import DEVICE_TYPES, Attribute, DeviceType, Json, device_type, normal_values
from matrixhub.model.errors import (
    AbsurdTime,
    BadTime,
    BadValue,
    ItemRefused,
    MalformedReading,
    NoValues,
    WrongDeviceType,
)
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.site import Slot

CONTRACT = (Path(__file__).parents[3] / "docs" / "contract" / "sensor-data.md").read_text(encoding="utf-8")
EXAMPLES: list[dict[str, Any]] = [json.loads(e) for e in re.findall(r"```json\n(.*?)\n```", CONTRACT, re.DOTALL)]
EXAMPLE_CASES = [pytest.param(example, id=example["DevType"]) for example in EXAMPLES]
AGGREGATED = {"SMARTCLEAN#UM", "SMARTCLEAN#FD", "SMARTCLEAN#ODRDTR_BATT_V1"}
NOW_MS = 1_710_029_109_417
RULES = TimeRules(oldest_ms=978_307_200_000, ahead_max_ms=86_400_000)


def line_at_its_instant(item: Incoming, found: SlotPlan) -> bytes:
    """The line of an item that has a time."""
    instant = reading_instant(item, found, NOW_MS, RULES)
    assert instant is not None
    return reading_line(item, found, instant)


def plan(devtype: str = "SMARTCLEAN#UM", **parameters: Json) -> SlotPlan:
    return plan_of(slot(devtype=devtype, parameters=parameters))


def slot(**fields: Any) -> Slot:
    return Slot(
        **{
            "id": SlotId("s"),
            "property_id": PropertyId("p"),
            "building_id": BuildingId("b"),
            "zone_id": ZoneId("z"),
            "devtype": "SMARTCLEAN#UM",
            "name": "n",
            "time_zone": "Asia/Singapore",
            **fields,
        }
    )


def plan_of(found: Slot) -> SlotPlan:
    return plan_slot(found, 1, {})


def incoming(v: bytes | dict[str, Any], **fields: Any) -> Incoming:
    raw = v if isinstance(v, bytes) else json.dumps(v).encode()
    return Incoming(DEVID="s", v=msgspec.Raw(raw), **fields)


def line_of(v: bytes | dict[str, Any], devtype: str = "SMARTCLEAN#UM", **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reading_line(incoming(v, **fields), plan(devtype), NOW_MS))
    return found


def exact(value: Any) -> str:
    """A text that tells 1 from 1.0 and does not depend on the order of keys."""
    return json.dumps(value, sort_keys=True)


def test_the_contract_has_an_example_of_every_device_type_with_a_form_of_its_own() -> None:
    assert len(EXAMPLES) == 14
    missing = {kind.devtype for kind in DEVICE_TYPES} - {example["DevType"] for example in EXAMPLES}
    assert missing == {"SMARTCLEAN#TR", "SMARTCLEAN#SS"}  # the same form as PT


@pytest.mark.parametrize("example", EXAMPLE_CASES)
def test_what_a_device_sends_becomes_the_full_example_of_the_contract(example: dict[str, Any]) -> None:
    found = plan_of(
        slot(
            id=example["DEVID"],
            property_id=example["PropId"],
            building_id=example["PID"],
            zone_id=example["InsID"],
            devtype=example["DevType"],
            name=example["Display"],
            time_zone=example["Region"],
            hardware_id=example["DASSOC"],
            sub_type=example["DevSubType"],
        )
    )
    sent = {key: example[key] for key in ("DEVID", "v", "unixT", "stats") if key in example}
    item = msgspec.json.decode(json.dumps(sent), type=Incoming)
    line = json.loads(line_at_its_instant(item, found))
    assert exact(line) == exact({**example, "Type": ""})
    assert ("AGG" in line and "ID" in line) == (example["DevType"] in AGGREGATED)


@pytest.mark.parametrize("example", EXAMPLE_CASES)
def test_a_full_object_of_the_general_format_is_taken_as_it_is(example: dict[str, Any]) -> None:
    found = plan_of(
        slot(
            id=example["DEVID"],
            property_id=example["PropId"],
            building_id=example["PID"],
            zone_id=example["InsID"],
            devtype=example["DevType"],
            name=example["Display"],
        )
    )
    item = msgspec.json.decode(json.dumps(example), type=Incoming)
    assert exact(json.loads(line_at_its_instant(item, found))) == exact({**example, "Type": ""})


@pytest.mark.parametrize("devtype", [kind.devtype for kind in DEVICE_TYPES] + ["ACME#X"])
def test_every_reading_has_all_fields_of_the_general_format(devtype: str) -> None:
    core = set(re.findall(r"^\| `(\w+)` \|.*\| core \|", CONTRACT, re.MULTILINE))
    assert len(core) == 16
    kind = device_type(devtype)
    v = {"x": 1} if kind is None else {"s": 1} if devtype.endswith("FD") else {kind.attributes[0].key: 1}
    always = core | {"DASSOC", "DevSubType", "utc", "unix", "expire_at", "Type"}
    assert set(line_of(v, devtype)) == always | ({"AGG", "ID"} if devtype in AGGREGATED else set())


# --- the fast path and the long way ---

BLANK = st.sampled_from(["", "", "", " ", "\n", "\t", "\r\n "])
NUMBER_TEXT = (
    st.integers(-5, 1500).map(str)
    | st.floats(-5, 1500, allow_nan=False).map(repr)
    | st.sampled_from(["0", "-0", "1", "1.0", "2.00", "0.005", "10.50", "1e2", "1E+2", "25e-1", "-0.0", "5", "100"])
)
STRING_TEXT = st.sampled_from(
    ['"1"', '"2.0"', '"x"', '""', '"a b"', '"\\u0041"', '"\\n"', '"🙂"', '"1.0"', '"e1"', '"0.0"', '"\\"\\\\"', '"  "']
)
OTHER_TEXT = st.sampled_from(["null", "true", "false", "[]", "{}", "[1.0, 2]", '{"a": 1.0}', '{"ID_1":{"Name":"x"}}'])
VALUE_TEXT = st.one_of(NUMBER_TEXT, NUMBER_TEXT, NUMBER_TEXT.map(lambda text: f'"{text}"'), STRING_TEXT, OTHER_TEXT)
RATING_TEXT = st.sampled_from(["1", "2", "3", "4", "5", "6", "0", "1.0", '"5"', "null"])


def likely(a: Attribute) -> st.SearchStrategy[str]:
    """Texts of values that are mostly right for the attribute."""
    match a.kind:
        case "text":
            return st.sampled_from(['"x"', '"2980"', '"a b"', "7", "7.5", "null", '"\\u00e9"'])
        case "object":
            return st.sampled_from(["{}", '{"ID_1":{"ID":"1","Name":"Wet floor","selector":1}}', "null", "[]"])
        case "number":
            low = int(a.low) if a.low is not None else -50
            high = int(a.high) if a.high is not None else 5000
            whole = st.integers(low, high)
            return st.one_of(
                whole.map(str),
                whole.map(lambda n: f"{n}.0"),
                whole.map(lambda n: f'"{n}"'),
                NUMBER_TEXT,
                st.just("null"),
            )


@st.composite
def raw_values(draw: st.DrawFn, kind: DeviceType) -> bytes:
    """The text of a `v` as some device may write it."""
    members: dict[str, st.SearchStrategy[str]] = {"extra": VALUE_TEXT, "x.0": VALUE_TEXT, "ü": VALUE_TEXT}
    for a in kind.attributes:
        for key in (a.key, *a.aliases):
            members[key] = likely(a) if draw(st.integers(0, 9)) else VALUE_TEXT
    if kind.devtype == "SMARTCLEAN#FD":
        members |= {"rating": RATING_TEXT, "s": RATING_TEXT, "n": st.sampled_from(["0", "1", "null"])}
    chosen = draw(st.permutations(sorted(members)))[: draw(st.integers(0, len(members)))]
    parts: list[str] = []
    for key in chosen:
        name = f"\\u{ord(key[0]):04x}{key[1:]}" if draw(st.integers(0, 19)) == 0 else key
        parts.append(f'{draw(BLANK)}"{name}"{draw(BLANK)}:{draw(BLANK)}{draw(members[key])}{draw(BLANK)}')
    return ("{" + ",".join(parts) + "}").encode()


@pytest.mark.parametrize("kind", DEVICE_TYPES, ids=lambda kind: kind.devtype)
@settings(max_examples=150)
@given(data=st.data())
def test_passing_bytes_on_gives_what_the_long_way_gives(kind: DeviceType, data: st.DataObject) -> None:
    raw = data.draw(raw_values(kind))
    parameters: dict[str, Json] = data.draw(
        st.sampled_from([{}, {"MaxRating": 3}, {"GoodThreshold": 5}, {"MaxRating": "x"}])
    )
    check = plan(kind.devtype, **parameters).check
    try:
        expected = normal_values(kind, json.loads(raw), parameters)
    except (ValueError, LookupError):
        with pytest.raises((BadValue, NoValues)):
            check(raw)
        return
    found = check(raw)
    assert exact(json.loads(found)) == exact(expected)
    assert b"\n" not in found


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), ANYTHING, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_values_of_another_provider_are_not_touched(
    values: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    raw = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return  # refused with the whole body
    try:
        found = plan("ACME#X").check(raw)
    except BadValue:
        assert re.search(rb"\\ud[89a-f]", raw)  # half of a pair of surrogates is no text
        return
    assert exact(json.loads(found)) == exact(values)
    assert b"\n" not in found


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT | st.none(), TEXT | st.none())
def test_a_reading_is_one_line_of_json_whatever_the_names_hold(
    name: str, place: str, building: str, hardware: str, sub_type: str, dassoc: str | None, firmware: str | None
) -> None:
    found = plan_of(
        slot(
            name=name,
            zone_id=place,
            building_id=building,
            property_id=building + "x",
            hardware_id=hardware,
            sub_type=sub_type,
        )
    )
    item = incoming(b'{"count": 1, "b": "a\\nb"}', DASSOC=dassoc, DevSubType=firmware)
    line = reading_line(item, found, NOW_MS)
    assert b"\n" not in line
    assert b"\r" not in line
    decoded = json.loads(line)
    assert (decoded["Display"], decoded["InsID"], decoded["PID"]) == (name, place, building)
    assert decoded["DASSOC"] == (hardware if dassoc is None else dassoc)
    assert decoded["DevSubType"] == (sub_type if firmware is None else firmware)
    assert decoded["v"] == {"count": 1, "b": "a\nb"}


def test_values_in_published_form_are_passed_on_byte_by_byte() -> None:
    for raw in (b'{"count":3,"out_count":1}', b'{"out_count":0,"x":[1.5,"\xc3\xa4"],"count":0}'):
        assert plan("SMARTCLEAN#PPLCTR").check(raw) == raw


@pytest.mark.parametrize("v", [b"5", b"null", b'"x"', b"[1]", b"true", b" [ ] "])
@pytest.mark.parametrize("devtype", ["SMARTCLEAN#UM", "ACME#X"])
def test_values_that_are_no_object_are_refused(v: bytes, devtype: str) -> None:
    with pytest.raises((BadValue, MalformedReading)):
        plan(devtype).check(v)


@pytest.mark.parametrize(
    "v,error",
    [
        (b'{"count":-1}', BadValue),
        (b'{"count":"many"}', BadValue),
        (b'{"count":1e999}', BadValue),
        (b'{"b":"2980"}', NoValues),
        (b"{}", NoValues),
        (b'{"count":null}', NoValues),
    ],
)
def test_bad_values_are_refused_with_their_reason(v: bytes, error: type[ItemRefused]) -> None:
    with pytest.raises(error, match=r"count|out of range"):
        plan().check(v)


@pytest.mark.parametrize("v", [b'{"count":1e300}', b'{"count":"%s"}' % (b"9" * 400), b'{"count":%s}' % (b"9" * 400)])
def test_a_number_that_no_receiver_can_hold_exactly_is_refused(v: bytes) -> None:
    with pytest.raises(BadValue):
        plan().check(v)


@pytest.mark.parametrize("text", ["1_000", "١"])
def test_a_numeric_string_is_a_number_of_json(text: str) -> None:
    with pytest.raises(BadValue):
        plan().check(json.dumps({"count": text}).encode())


# --- time ---


def instant_of(**fields: Any) -> int | None:
    return reading_instant(incoming(b"{}", **fields), plan(), NOW_MS, RULES)


FIRST = 1_710_000_000_000


def test_the_first_time_that_is_there_counts() -> None:
    times: dict[str, Any] = {
        "unixT": FIRST + 1,
        "time": "2024-03-10T00:00:02+0800",
        "t": "20240310000003",
        "utc": FIRST // 1000 + 4,
        "unix": FIRST // 1000 + 5,
    }
    expected = [FIRST + 1, FIRST + 2000, FIRST + 3000, FIRST + 4000, FIRST + 5000]
    for instant in expected:
        assert instant_of(**times) == instant
        del times[next(iter(times))]
    assert instant_of() is None


@pytest.mark.parametrize(
    "given_time,instant",
    [
        (1710029109417, 1710029109417),
        (1710029109, 1710029109000),
        ("1710029109417", 1710029109417),
        ("1710029109", 1710029109000),
        (1710029109.417, 1710029109417),
        ("1710029109.5", 1710029109500),
        (1710029109417.0, 1710029109417),
    ],
)
def test_unix_t_may_be_seconds_milliseconds_or_a_numeric_string(given_time: float | str, instant: int) -> None:
    assert instant_of(unixT=given_time) == instant


def test_calendar_fields_that_disagree_with_unix_t_are_computed_again() -> None:
    item = incoming(b'{"count":1}', unixT=NOW_MS, t="19990101000000", time="nonsense")
    found = json.loads(line_at_its_instant(item, plan()))
    assert (found["t"], found["time"]) == ("20240310080509", "2024-03-10T08:05:09+0800")


@pytest.mark.parametrize(
    "fields",
    [
        {"unixT": "soon"},
        {"unixT": ""},
        {"unixT": "nan"},
        {"unixT": "--5"},
        {"unixT": "²"},
        {"unixT": float("inf")},
        {"unixT": "9" * 5000},
        {"time": "soon"},
        {"t": "2024"},
        {"t": "20240230000000"},
        {"utc": "soon"},
        {"unix": ""},
    ],
)
def test_a_time_that_cannot_be_read_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadTime, match="cannot be read"):
        instant_of(**fields)


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"unixT": 0}, "absurdly old"),
        ({"unixT": -5}, "absurdly old"),
        ({"unixT": RULES.oldest_ms - 1}, "absurdly old"),
        ({"t": "19700101000000"}, "absurdly old"),
        ({"time": "0001-01-01T00:00:00"}, "absurdly old"),
        ({"unixT": NOW_MS + RULES.ahead_max_ms + 1}, "absurdly far ahead"),
        ({"unixT": 10**30}, "absurdly far ahead"),
        ({"time": "9999-12-31T23:59:59-1200"}, "absurdly far ahead"),
    ],
)
def test_an_absurd_time_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(AbsurdTime, match=message):
        instant_of(**fields)


def test_times_at_the_ends_of_what_is_believed_are_taken() -> None:
    for instant in (RULES.oldest_ms, NOW_MS + RULES.ahead_max_ms):
        assert instant_of(unixT=instant) == instant


# --- type, hardware, key ---


def test_a_reading_of_another_device_type_is_refused() -> None:
    with pytest.raises(WrongDeviceType, match="is of SMARTCLEAN#WD, but its slot takes SMARTCLEAN#UM"):
        line_of({"count": 1}, DevType="SMARTCLEAN#WD")


@pytest.mark.parametrize("declared", ["ODRDTR", "SMARTCLEAN#ODRDTR"])
@pytest.mark.parametrize("sent", ["ODRDTR", "SMARTCLEAN#ODRDTR", None])
def test_the_wired_device_may_leave_its_provider_out(declared: str, sent: str | None) -> None:
    assert line_of({"amm": 0.4}, declared, DevType=sent)["DevType"] == "SMARTCLEAN#ODRDTR"
    assert plan(declared).subject == "sensors.p.b.SMARTCLEAN#ODRDTR"


def test_the_device_knows_its_own_number_and_firmware_best() -> None:
    found = plan_of(slot(hardware_id="OLD", sub_type="1"))
    for sent, expected in (
        ({}, ("OLD", "1")),
        ({"DASSOC": "NEW"}, ("NEW", "1")),
        ({"DevSubType": "2.9.3"}, ("OLD", "2.9.3")),
        ({"DASSOC": "", "DevSubType": ""}, ("", "")),
    ):
        line = json.loads(reading_line(incoming(b'{"count":1}', **sent), found, NOW_MS))
        assert (line["DASSOC"], line["DevSubType"]) == expected


def test_stats_are_passed_on_and_must_be_an_object() -> None:
    assert line_of({"count": 1}, stats=msgspec.Raw(b'{"a": [1.0, null]}'))["stats"] == {"a": [1.0, None]}
    assert "stats" not in line_of({"count": 1}, stats=msgspec.Raw(b"null"))
    for stats in (b"[]", b"5", b'"x"'):
        with pytest.raises(ItemRefused):
            line_of({"count": 1}, stats=msgspec.Raw(stats))


@given(st.integers(0, 2**20), st.integers(0, 2**20), st.integers(0, 2**47), st.integers(0, 2**47))
def test_keys_are_equal_for_the_same_slot_and_instant_only(one: int, other: int, at: int, later: int) -> None:
    plans = [plan_slot(slot(), number, {}) for number in (one, other)]
    assert (reading_key(plans[0], at) == reading_key(plans[1], later)) == ((one, at) == (other, later))


def test_slots_of_one_region_share_their_calendar() -> None:
    calendars: dict[Any, Any] = {}
    plans = [
        plan_slot(slot(devtype=t), 1, calendars) for t in ("SMARTCLEAN#WD", "ACME#X", "SMARTCLEAN#UM", "SMARTCLEAN#FD")
    ]
    assert plans[0].calendar is plans[1].calendar
    assert plans[2].calendar is plans[3].calendar
    assert len(calendars) == 2
