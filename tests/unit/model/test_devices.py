import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.devices import (
    DEVICE_TYPES,
    LIGHT_LEVELS,
    Attribute,
    DeviceType,
    Json,
    ammonia_ppb,
    canonical_devtype,
    device_type,
    display_value,
    is_occupied,
    normal_values,
    standard_metric,
)

CONTRACT = (Path(__file__).parents[3] / "docs" / "contract" / "sensor-data.md").read_text(encoding="utf-8")
KINDS = {"num": "number", "str": "text", "object": "object"}
QUIRKS = re.findall(r"^\| (Q\d+) \|", CONTRACT, re.MULTILINE)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def section(number: int) -> str:
    """The text of a numbered section of the contract."""
    found = re.search(rf"^## {number}\. .*?(?=^## |\Z)", CONTRACT, re.MULTILINE | re.DOTALL)
    assert found
    return found.group()


def documented_keys() -> Iterator[tuple[str, str, str]]:
    """Device type, key and type column of every row of §4."""
    for part in re.split(r"^### ", section(4), flags=re.MULTILINE)[1:]:
        heading, *lines = part.splitlines()
        types = re.findall(r"SMARTCLEAN#\w+", heading)
        only = any(line.startswith("| Key") and cells(line)[2] == "Only in" for line in lines)
        for row in (cells(line) for line in lines if line.startswith("| `")):
            for devtype in types:
                if not only or not row[2] or devtype.endswith(row[2]):
                    for key in re.findall(r"`([^`]+)`", row[0]):
                        yield devtype, key, row[1]


def kind(name: str) -> DeviceType:
    found = device_type(f"SMARTCLEAN#{name}")
    assert found
    return found


def normal(name: str, values: dict[str, Any], **parameters: Json) -> dict[str, Json]:
    return normal_values(kind(name), values, parameters)


def attribute(name: str, key: str) -> Attribute:
    found = kind(name).attribute(key)
    assert found
    return found


def test_the_table_has_exactly_the_device_types_of_the_contract() -> None:
    rows = [cells(line) for line in section(2).splitlines() if line.startswith("| `SMARTCLEAN#")]
    assert [(row[0].strip("`"), row[2]) for row in rows] == [(k.devtype, k.solution) for k in DEVICE_TYPES]


@pytest.mark.parametrize("device", DEVICE_TYPES, ids=lambda device: device.devtype)
def test_a_device_type_has_exactly_the_keys_of_the_contract(device: DeviceType) -> None:
    documented = {key: column for devtype, key, column in documented_keys() if devtype == device.devtype}
    assert {a.key: a.kind for a in device.attributes} == {k: KINDS[c.split()[0]] for k, c in documented.items()}
    for key, column in documented.items():
        if column.endswith("opt"):
            assert attribute(device.devtype.partition("#")[2], key).optional, key


def test_every_device_type_needs_something_and_keeps_its_limits_in_order() -> None:
    for device in DEVICE_TYPES:
        assert any(not a.optional for a in device.attributes)
        for a in device.attributes:
            assert a.low is None or a.high is None or a.low < a.high
            assert a.kind == "number" or (a.low, a.high, a.integral) == (None, None, False)


def test_device_types_names_and_keys_are_unique() -> None:
    names = [name for device in DEVICE_TYPES for name in (device.devtype, *device.aliases)]
    assert len(set(names)) == len(names)
    for device in DEVICE_TYPES:
        keys = [key for a in device.attributes for key in (a.key, *a.aliases)]
        assert len(set(keys)) == len(keys)


def test_every_quirk_of_the_contract_has_a_test() -> None:
    tested = {int(found.group(1)) for name in globals() if (found := re.match(r"test_q(\d+)_", name))}
    assert [f"Q{n}" for n in range(1, 16)] == QUIRKS
    assert tested == set(range(1, 16))


def test_q1_rssi_is_a_string_for_the_wired_device_and_a_number_for_the_cubicle() -> None:
    assert normal("ODRDTR", {"amm": 1, "rssi": -70})["rssi"] == "-70"
    assert normal("ODRDTR", {"amm": 1, "rssi": "-61"})["rssi"] == "-61"
    assert normal("OCCMINEW", {"occ": 1, "rssi": "-70"})["rssi"] == -70


def test_q2_battery_and_counter_of_the_usage_monitor_stay_strings() -> None:
    assert normal("UM", {"count": 1, "b": "2980", "u": "4021"}) == {"count": 1, "b": "2980", "u": "4021"}
    assert normal("UM", {"count": 1, "b": 2980, "u": 4021.0}) == {"count": 1, "b": "2980", "u": "4021"}


def test_q3_undocumented_extras_of_the_cubicles_pass_and_may_be_absent() -> None:
    extras = {"C": "1", "Disass": "0", "Src": "gw01:ab12cd3", "batt": 88}
    assert normal("OCCMINEW", {"occ": 0, **extras}) == {"occ": 0, **extras}
    assert normal("OCCMINEW", {"occ": 0}) == {"occ": 0}
    assert normal("OCCSCM", {"occ": 1, "b": "0"}) == {"occ": 1, "b": "0"}


def test_q4_occupancy_is_never_turned_round_in_the_push() -> None:
    for name, occupied in (("OCCMINEW", 0), ("OCCSCM", 0), ("OCCDESK", 1)):
        for occ in (0, 1):
            assert normal(name, {"occ": occ}) == {"occ": occ}
            assert is_occupied(f"SMARTCLEAN#{name}", occ) is (occ == occupied)
    assert is_occupied("SMARTCLEAN#UM", 1) is None
    assert is_occupied("ACME#X", 1) is None


def test_q5_ammonia_is_ppb_for_the_lite_device_and_ppm_for_the_wired_one() -> None:
    assert (attribute("ODRDTR", "amm").unit, attribute("ODRDTR_BATT_V1", "amm").unit) == ("ppm", "ppb")
    assert ammonia_ppb("ODRDTR", 0.4) == 400
    assert ammonia_ppb("SMARTCLEAN#ODRDTR_BATT_V1", 400) == 400


def test_q6_tenths_are_divided_for_display_only() -> None:
    assert normal("ODRDTR_BATT_V1", {"rh": 734, "temp": 301}) == {"rh": 734, "temp": 301}
    assert display_value("SMARTCLEAN#ODRDTR_BATT_V1", "rh", 734) == (73.4, "%")
    assert display_value("SMARTCLEAN#ODRDTR_BATT_V1", "temp", 301) == (30.1, "°C")
    assert display_value("SMARTCLEAN#TH", "t", 30.1) == (30.1, "°C")
    assert display_value("ACME#X", "x", 1) == (1, "")


def test_q7_rating_and_stars_are_computed_from_each_other_and_stars_win() -> None:
    for best in (3, 5, 10):
        for stars in range(1, best + 1):
            for given_values in ({"s": stars}, {"rating": best + 1 - stars}, {"s": stars, "rating": 1}):
                found = normal("FD", {**given_values, "n": 0}, MaxRating=best)
                assert (found["s"], found["rating"]) == (stars, best + 1 - stars)


@pytest.mark.parametrize("values", [{"s": 6}, {"rating": 6}, {"s": 0}, {"rating": 0}, {"s": 6, "rating": 3}])
def test_feedback_outside_the_rating_scale_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"`s`|`rating`"):
        normal("FD", values)


def test_q8_the_sign_of_feedback_is_kept_and_found_where_it_is_missing() -> None:
    assert normal("FD", {"s": 5, "n": 1})["n"] == 1
    assert normal("FD", {"s": 1, "n": 7})["n"] == 7
    assert [normal("FD", {"s": stars})["n"] for stars in range(1, 6)] == [1, 1, 0, 0, 0]
    assert [normal("FD", {"s": stars}, GoodThreshold=5)["n"] for stars in range(1, 6)] == [1, 1, 1, 1, 0]


def test_q9_reasons_pass_in_the_new_form_and_in_the_old_one() -> None:
    for reasons in ({"ID_1": {"ID": "1", "Name": "Wet floor", "selector": 1}}, {"a": {"Name": "Smell"}}, {}):
        assert normal("FD", {"s": 1, "reasons": reasons})["reasons"] == reasons
    with pytest.raises(ValueError, match="`reasons` is not an object"):
        normal("FD", {"s": 1, "reasons": ["Wet floor"]})


def test_q10_low_means_action_for_bins_and_for_consumables() -> None:
    for name, what in (("BIN", "empty"), ("TR", "remaining"), ("PT", "remaining"), ("SS", "remaining")):
        assert what in attribute(name, "p").note
        assert normal(name, {"p": 7.5}) == {"p": 7.5}


def test_q11_the_distance_may_be_absent_but_does_not_make_a_reading() -> None:
    assert normal("BIN", {"p": 8}) == {"p": 8}
    assert normal("PT", {"p": 12, "d": 171}) == {"p": 12, "d": 171}
    with pytest.raises(LookupError, match="`p`"):
        normal("PT", {"d": 171})


@pytest.mark.parametrize("spelling", [2, 2.0, "2", "2.0", " 2 "])
def test_q12_people_counts_are_integers_however_they_were_sent(spelling: Json) -> None:
    found = normal("PPLCTR", {"count": spelling, "out_count": 0})["count"]
    assert found == 2
    assert type(found) is int


def test_q13_the_raw_count_of_a_usage_monitor_is_not_halved() -> None:
    assert normal("UM", {"count": 10})["count"] == 10


def test_q14_both_spellings_of_pm_25_and_quoted_numbers_give_the_published_form() -> None:
    assert normal("ODRDTR_10_IN_1", {"pm_2.5": "11"}) == {"pm_25": 11}
    assert normal("ODRDTR_10_IN_1", {"pm_25": 11, "co2": "640"}) == {"pm_25": 11, "co2": 640}


def test_q15_light_levels_have_ranges_that_do_not_overlap_and_level_0_ends_at_5_lux() -> None:
    assert LIGHT_LEVELS == {0: (0, 5), 1: (6, 50), 2: (51, 100), 3: (101, 500)}
    assert all(normal("ODRDTR_10_IN_1", {"light_level": level}) for level in LIGHT_LEVELS)


def test_the_wired_device_is_known_without_its_provider() -> None:
    assert device_type("ODRDTR") is device_type("SMARTCLEAN#ODRDTR")
    assert canonical_devtype("ODRDTR") == "SMARTCLEAN#ODRDTR"
    assert canonical_devtype("ACME#X") == "ACME#X"
    assert device_type("ACME#X") is None


def test_raw_metrics_have_their_published_names() -> None:
    published = re.findall(r"`(sg\.smartclean\.\w+\.raw\.\w+)`", section(2))
    assert published == [
        standard_metric("SMARTCLEAN#PPLCTR", "count"),
        standard_metric("SMARTCLEAN#FD", "rating"),
        standard_metric("ODRDTR", "voc"),
    ]


@pytest.mark.parametrize(
    "name,values,message",
    [
        ("TH", {"t": "warm"}, "`t` is 'warm', not a number"),
        ("TH", {"t": True}, "`t` is not a number"),
        ("TH", {"t": [1]}, "`t` is not a number"),
        ("TH", {"t": float("inf")}, "`t` is not a finite number"),
        ("TH", {"t": "1e999"}, "`t` is not a finite number"),
        ("TH", {"h": 100.5}, "`h` is 100.5, above 100"),
        ("TH", {"h": -1}, "`h` is -1, below 0"),
        ("UM", {"count": 1.5}, "`count` is 1.5, not a whole number"),
        ("UM", {"count": -1}, "`count` is -1, below 0"),
        ("UM", {"count": 1, "b": {}}, "`b` is not a string"),
        ("UM", {"count": 1, "b": True}, "`b` is not a string"),
        ("WD", {"value": 2}, "`value` is 2, above 1"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_attribute(
    name: str, values: dict[str, Json], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        normal(name, values)


@pytest.mark.parametrize("values", [{}, {"b": "2980"}, {"count": None}, {"other": 1}])
def test_a_reading_without_any_attribute_of_its_type_is_none(values: dict[str, Json]) -> None:
    with pytest.raises(LookupError, match="`v` has none of `count`"):
        normal("UM", values)


def number_for(a: Attribute) -> st.SearchStrategy[Json]:
    low, high = a.low if a.low is not None else -1e6, a.high if a.high is not None else 1e6
    whole: st.SearchStrategy[Any] = st.integers(int(low), int(high))
    if a.integral:
        return whole | whole.map(str) | whole.map(float) | st.none()
    part: st.SearchStrategy[Any] = st.floats(low, high, allow_nan=False)
    return whole | part | whole.map(str) | part.map(repr) | st.none()


def value_for(a: Attribute) -> st.SearchStrategy[Json]:
    match a.kind:
        case "text":
            texts: st.SearchStrategy[Any] = st.text(max_size=8) | st.integers(0, 99_999) | st.none()
            return texts
        case "object":
            objects: st.SearchStrategy[Any] = (
                st.dictionaries(st.text(max_size=3), st.integers(), max_size=2) | st.none()
            )
            return objects
        case "number":
            return number_for(a)


def values_of(device: DeviceType) -> st.SearchStrategy[dict[str, Json]]:
    known: dict[str, st.SearchStrategy[Json]] = {a.key: value_for(a) for a in device.attributes}
    if device.devtype == "SMARTCLEAN#FD":
        known |= {"rating": st.integers(1, 5), "s": st.integers(1, 5)}
    extra = st.dictionaries(st.text("xyz_", min_size=2, max_size=4), st.integers() | st.none() | st.text(max_size=3))
    return st.tuples(st.fixed_dictionaries({}, optional=known), extra).map(lambda pair: {**pair[1], **pair[0]})


@pytest.mark.parametrize("device", DEVICE_TYPES, ids=lambda device: device.devtype)
@given(data=st.data())
def test_normal_values_stay_as_they_are_within_their_ranges_beside_unknown_keys(
    device: DeviceType, data: st.DataObject
) -> None:
    values = data.draw(values_of(device))
    try:
        found = normal_values(device, values, {})
    except LookupError:
        assert all(values.get(a.key) is None for a in device.attributes if not a.optional)
        return
    assert normal_values(device, found, {}) == found
    for key, value in values.items():
        if device.attribute(key) is None:
            assert found[key] == value
    for key, value in found.items():
        a = device.attribute(key)
        if a is None or a.kind != "number":
            continue
        assert isinstance(value, int | float)
        assert a.low is None or value >= a.low
        assert a.high is None or value <= a.high
        assert isinstance(value, int) or not value.is_integer()
