import itertools
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from matrixhub.model.devices import DEVICE_TYPES, device_type, is_occupied, normal_values
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.site import Slot
from matrixhub.sources.sensors import SENSORS
from matrixhub.sources.simulator import Reading, Simulation
from matrixhub.sources.sites import make_site

MINUTE_MS = 60_000
DAY_MS = 86_400_000
SINGAPORE = ZoneInfo("Asia/Singapore")
MONDAY_MS = int(datetime(2024, 3, 4, tzinfo=SINGAPORE).timestamp() * 1000)

SITE = make_site(48)
DEVTYPE = {str(slot.id): slot.devtype for slot in SITE.slots}
ZONE = {str(slot.id): slot.zone_id for slot in SITE.slots}


def slot(name: str, devtype: str, **more: object) -> Slot:
    return Slot(
        id=SlotId(name),
        property_id=PropertyId("property"),
        building_id=BuildingId("building"),
        zone_id=ZoneId("zone"),
        devtype=devtype,
        name=name,
        time_zone="Asia/Singapore",
        parameters=more,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def week() -> list[Reading]:
    simulation = Simulation(SITE.slots, seed=7, start_ms=MONDAY_MS, step_ms=5000)
    return list(simulation.readings(MONDAY_MS, MONDAY_MS + 7 * DAY_MS))


def of_type(readings: list[Reading], short: str) -> Iterator[Reading]:
    return (r for r in readings if DEVTYPE[r["DEVID"]] == f"SMARTCLEAN#{short}")


def number(reading: Reading, key: str) -> float:
    value = reading["v"][key]
    assert isinstance(value, int | float)
    return value


def local(reading: Reading) -> datetime:
    return datetime.fromtimestamp(reading["unixT"] / 1000, SINGAPORE)


def test_every_device_type_can_be_simulated() -> None:
    assert list(SENSORS) == [kind.devtype for kind in DEVICE_TYPES]


def test_every_value_of_a_week_passes_ingest_unchanged(week: list[Reading]) -> None:
    seen = set()
    for reading in week:
        kind = device_type(DEVTYPE[reading["DEVID"]])
        assert kind is not None
        seen.add(kind.devtype)
        assert msgspec.json.encode(normal_values(kind, reading["v"], {})) == msgspec.json.encode(reading["v"])
    assert seen == {kind.devtype for kind in DEVICE_TYPES}


def test_every_attribute_of_every_type_is_sent(week: list[Reading]) -> None:
    sent: dict[str, set[str]] = defaultdict(set)
    for reading in week:
        sent[DEVTYPE[reading["DEVID"]]].update(reading["v"])
    assert sent == {kind.devtype: {a.key for a in kind.attributes} for kind in DEVICE_TYPES}


def test_instants_grow_strictly_for_each_device_and_never_fall_in_the_stream(week: list[Reading]) -> None:
    last: dict[str, int] = {}
    stream = MONDAY_MS
    for reading in week:
        assert reading["unixT"] > last.get(reading["DEVID"], 0)
        assert reading["unixT"] >= stream
        last[reading["DEVID"]] = stream = reading["unixT"]
    assert stream < MONDAY_MS + 7 * DAY_MS


def test_more_people_come_at_lunch_than_at_night_and_fewer_at_the_weekend(week: list[Reading]) -> None:
    came: dict[tuple[bool, int], float] = defaultdict(float)
    for reading in of_type(week, "PPLCTR"):
        came[local(reading).isoweekday() > 5, local(reading).hour] += number(reading, "count")
    assert came[False, 12] > 20 * came[False, 3]
    assert came[False, 12] > 1.5 * came[False, 15]
    assert came[False, 8] / 5 > 2 * came[True, 8] / 2


def test_nobody_goes_out_who_has_not_come_in(week: list[Reading]) -> None:
    inside: dict[str, float] = defaultdict(float)
    for reading in of_type(week, "PPLCTR"):
        inside[reading["DEVID"]] += number(reading, "count") - number(reading, "out_count")
        assert inside[reading["DEVID"]] >= 0
    assert all(people < 50 for people in inside.values())


def test_two_counters_of_a_zone_do_not_count_the_same_person_twice() -> None:
    both = Simulation(
        [slot("a", "SMARTCLEAN#PPLCTR"), slot("b", "SMARTCLEAN#PPLCTR")], seed=1, start_ms=MONDAY_MS + DAY_MS // 2
    )
    balance = 0.0
    for reading in both.readings(MONDAY_MS + DAY_MS // 2, MONDAY_MS + DAY_MS):
        balance += number(reading, "count") - number(reading, "out_count")
        assert balance >= 0
    assert balance < 50


def test_air_follows_people(week: list[Reading]) -> None:
    by_hour: dict[int, list[float]] = defaultdict(list)
    for reading in of_type(week, "ODRDTR_10_IN_1"):
        if local(reading).isoweekday() < 6:
            by_hour[local(reading).hour].append(number(reading, "co2"))
    mean = {hour: sum(values) / len(values) for hour, values in by_hour.items()}
    assert mean[11] > mean[4] + 100
    assert 400 < mean[4] < 480


@pytest.mark.parametrize("short", ["TR", "PT", "SS", "BIN"])
def test_levels_run_down_and_are_filled_by_staff(week: list[Reading], short: str) -> None:
    levels: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for reading in of_type(week, short):
        levels[reading["DEVID"]].append((number(reading, "p"), number(reading, "d"), local(reading).hour))
    filled = 0
    for steps in levels.values():
        for (p, d, _), (p_next, d_next, hour) in itertools.pairwise(steps):
            if p_next > p:
                filled += 1
                assert p < 20
                assert p_next > 80
                assert 6 <= hour <= 22
                assert d_next < d
            else:
                assert d_next >= d
    assert filled >= len(levels)


@pytest.mark.parametrize("short", ["OCCMINEW", "OCCSCM", "OCCDESK"])
def test_places_are_taken_by_day_and_free_by_night(week: list[Reading], short: str) -> None:
    taken: dict[int, list[bool]] = defaultdict(list)
    for reading in of_type(week, short):
        occ = reading["v"]["occ"]
        assert isinstance(occ, int)
        taken[local(reading).hour].append(bool(is_occupied(f"SMARTCLEAN#{short}", occ)))
    share = {hour: sum(values) / len(values) for hour, values in taken.items()}
    assert share[4] < 0.1
    assert share[11] > 0.2


def test_feedback_is_consistent_and_has_reasons_only_when_it_is_bad(week: list[Reading]) -> None:
    stars = []
    for reading in of_type(week, "FD"):
        v = reading["v"]
        assert v["rating"] == 6 - number(reading, "s")
        assert v["n"] == (number(reading, "s") < 3)
        assert ("reasons" in v) == (v["n"] == 1)
        assert v["type"] == ("DEFECT" if v["n"] else "FEEDBACK")
        stars.append(number(reading, "s"))
    assert set(stars) == {1, 2, 3, 4, 5}
    assert 3 < sum(stars) / len(stars) < 4.8


def test_feedback_keeps_to_the_rating_scale_of_its_slot() -> None:
    kind = device_type("SMARTCLEAN#FD")
    assert kind is not None
    scale = {"MaxRating": 3, "GoodThreshold": 2}
    tablet = Simulation([slot("a", "SMARTCLEAN#FD", **scale)], seed=1, start_ms=MONDAY_MS)
    readings = list(tablet.readings(MONDAY_MS, MONDAY_MS + 5 * DAY_MS))
    assert {number(r, "s") for r in readings} == {1, 2, 3}
    for reading in readings:
        assert normal_values(kind, reading["v"], scale) == reading["v"]


def test_spills_are_rare_and_are_cleaned(week: list[Reading]) -> None:
    wet = [number(r, "value") for r in of_type(week, "WD")]
    assert 0 < sum(wet) < 0.1 * len(wet)
    for reading in of_type(week, "WD"):
        assert (number(reading, "AreaP") > 0) == (reading["v"]["value"] == 1)


def test_the_battery_of_a_usage_monitor_falls_slowly(week: list[Reading]) -> None:
    batteries = [int(str(r["v"]["b"])) for r in of_type(week, "UM")]
    assert 0 < batteries[0] - batteries[-1] < 200
    assert batteries == sorted(batteries, reverse=True)


def test_trees_lean_little_but_storms_are_felt(week: list[Reading]) -> None:
    lean = sorted(abs(number(r, axis)) for r in of_type(week, "TILT") for axis in ("Xt", "Yt"))
    assert lean[len(lean) // 2] < 1.5
    month = Simulation([slot("tree", "SMARTCLEAN#TILT")], seed=3, start_ms=MONDAY_MS)
    assert max(abs(number(r, "Xt")) for r in month.readings(MONDAY_MS, MONDAY_MS + 30 * DAY_MS)) > 3


def test_a_stream_in_pieces_is_the_stream_as_a_whole() -> None:
    whole = Simulation(SITE.slots, seed=3, start_ms=MONDAY_MS)
    pieces = Simulation(SITE.slots, seed=3, start_ms=MONDAY_MS)
    expected = list(whole.readings(MONDAY_MS, MONDAY_MS + 60 * MINUTE_MS))
    got: list[Reading] = []
    for minute in range(60):
        got += pieces.readings(MONDAY_MS + minute * MINUTE_MS, MONDAY_MS + (minute + 1) * MINUTE_MS)
    assert got == expected


def test_another_seed_makes_another_stream() -> None:
    one = Simulation(SITE.slots, seed=1, start_ms=MONDAY_MS)
    two = Simulation(SITE.slots, seed=2, start_ms=MONDAY_MS)
    upto = MONDAY_MS + 10 * MINUTE_MS
    assert list(one.readings(MONDAY_MS, upto)) != list(two.readings(MONDAY_MS, upto))


def test_time_nobody_asked_for_is_left_out() -> None:
    simulation = Simulation(SITE.slots, seed=1, start_ms=MONDAY_MS)
    later = MONDAY_MS + 30 * DAY_MS
    readings = list(simulation.readings(later, later + 30 * MINUTE_MS))
    assert readings
    assert all(later <= r["unixT"] < later + 30 * MINUTE_MS for r in readings)


_DIGEST = """
import hashlib, msgspec
from matrixhub.sources.simulator import Simulation
from matrixhub.sources.sites import make_site
start = 1709481600000
simulation = Simulation(make_site(40, 2, seed=5).slots, seed=11, start_ms=start)
digest = hashlib.sha256()
for reading in simulation.readings(start, start + 2 * 3600_000):
    digest.update(msgspec.json.encode(reading))
for reading in simulation.at_rate(200, start + 2 * 3600_000, start + 2 * 3600_000 + 10_000):
    digest.update(msgspec.json.encode(reading))
print(digest.hexdigest())
"""


def test_the_stream_does_not_depend_on_the_process_or_its_hash_seed() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "1", "4242")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("rate", [0.5, 3, 333.3, 1000, 7000])
def test_a_rate_is_met_exactly_and_adjoining_intervals_join(rate: float) -> None:
    whole = Simulation(SITE.slots, seed=1, start_ms=MONDAY_MS)
    pieces = Simulation(SITE.slots, seed=1, start_ms=MONDAY_MS)
    expected = list(whole.at_rate(rate, MONDAY_MS, MONDAY_MS + 10_000))
    got: list[Reading] = []
    edges = [0, 1, 17, 999, 1000, 1003, 4321, 10_000]
    for low, high in itertools.pairwise(edges):
        got += pieces.at_rate(rate, MONDAY_MS + low, MONDAY_MS + high)
    assert got == expected
    assert len(expected) == round(rate * 10)


def test_a_load_goes_round_the_devices_in_turn() -> None:
    simulation = Simulation(SITE.slots, seed=1, start_ms=MONDAY_MS)
    readings = list(simulation.at_rate(1000, MONDAY_MS, MONDAY_MS + 96))
    assert [r["DEVID"] for r in readings] == [str(s.id) for s in SITE.slots] * 2
    assert [r["unixT"] - MONDAY_MS for r in readings] == list(range(96))


def test_a_device_asked_too_often_still_has_instants_that_grow() -> None:
    simulation = Simulation([slot("a", "SMARTCLEAN#TH")], seed=1, start_ms=MONDAY_MS)
    instants = [r["unixT"] for r in simulation.at_rate(5000, MONDAY_MS, MONDAY_MS + 100)]
    assert instants == list(range(MONDAY_MS, MONDAY_MS + 500))


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        list(Simulation(SITE.slots, seed=1, start_ms=0).at_rate(0, 0, 1000))


def test_slots_of_other_makers_are_left_out_and_named() -> None:
    simulation = Simulation([slot("a", "ACME#X"), slot("b", "ODRDTR")], seed=1, start_ms=MONDAY_MS)
    assert [s.name for s in simulation.unsupported] == ["a"]
    assert len(simulation) == 1
    assert {r["DEVID"] for r in simulation.readings(MONDAY_MS, MONDAY_MS + 5 * MINUTE_MS)} == {"b"}


def test_a_building_without_devices_says_nothing() -> None:
    empty = Simulation([], seed=1, start_ms=0)
    assert list(empty.readings(0, 1000)) == []
    assert list(empty.at_rate(10, 0, 1000)) == []


def test_the_rhythm_is_that_of_the_time_zone_of_the_slot() -> None:
    utc_noon = int(datetime(2024, 3, 5, 12, 30, tzinfo=UTC).timestamp() * 1000)

    def came(time_zone: str) -> float:
        counter = Slot(
            id=SlotId("a"),
            property_id=PropertyId("p"),
            building_id=BuildingId("b"),
            zone_id=ZoneId("z"),
            devtype="SMARTCLEAN#PPLCTR",
            name="a",
            time_zone=time_zone,
        )
        simulation = Simulation([counter], seed=1, start_ms=utc_noon)
        return sum(number(r, "count") for r in simulation.readings(utc_noon, utc_noon + 30 * MINUTE_MS))

    assert came("Europe/London") > 10 * (1 + came("Asia/Vladivostok"))
