"""The example mapping files, on excerpts in the form of the recordings and on the recordings themselves."""

import csv
from collections import Counter, defaultdict
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from matrixhub.model.devices import LIGHT_LEVELS, device_type, normal_values
from matrixhub.sources.mapping import read_mapping
from matrixhub.sources.recorded import Recorded, read_recorded

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DATA = ROOT.parent / "shared" / "data"

OFFICE = """\
"date","Temperature","Humidity","Light","CO2","HumidityRatio","Occupancy"
"1","2015-03-01 09:00:00",21.5,30.25,50.5,800,0.005,1
"2","2015-03-01 09:00:59",21,31,1200,801.5,0.005,0
"""

DOOR = """\
7,08/01/05,07:30:00,2
9,08/01/05,07:30:00,11
7,08/01/05,08:00:00,0
9,08/01/05,08:00:00,23
"""


def slots_of(site: str) -> dict[str, str]:
    """Device type of each slot id a site file declares."""
    document = yaml.safe_load((EXAMPLES / site).read_text())
    return {
        slot["id"]: slot["type"]
        for building in document["buildings"]
        for level in building["levels"]
        for zone in level["zones"]
        for slot in zone["slots"]
    }


def excerpt(tmp_path: Path, text: str, mapping: str) -> list[Recorded]:
    path = tmp_path / "excerpt.csv"
    path.write_text(text)
    return list(read_recorded(path, read_mapping(EXAMPLES / mapping)))


def recording(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the recording {path} is not on this machine")
    return path


def by_type(readings: list[Recorded], site: str) -> dict[str, list[Recorded]]:
    devtypes = slots_of(site)
    found: dict[str, list[Recorded]] = defaultdict(list)
    for reading in readings:
        found[devtypes[reading.slot_id]].append(reading)
    return found


def epoch_ms(text: str, form: str, zone: str) -> int:
    return round(datetime.strptime(text, form).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_a_minute_of_the_office_becomes_three_readings(tmp_path: Path) -> None:
    readings = by_type(excerpt(tmp_path, OFFICE, "office-environment.mapping.yaml"), "office.site.yaml")
    assert [r.v for r in readings["SMARTCLEAN#TH"]] == [{"t": 21.5, "h": 30.25}, {"t": 21, "h": 31}]
    assert [r.v for r in readings["SMARTCLEAN#ODRDTR_10_IN_1"]] == [
        {"temperature": 21.5, "humidity": 30.25, "co2": 800, "light_level": 1},
        {"temperature": 21, "humidity": 31, "co2": 801.5, "light_level": 3},
    ]
    assert [r.v for r in readings["SMARTCLEAN#OCCDESK"]] == [{"occ": 1}, {"occ": 0}]
    # Nine in the morning in Mons is eight in UTC.
    assert {r.instant_ms for r in readings["SMARTCLEAN#TH"]} == {1425196800000, 1425196859000}


def test_both_directions_of_a_half_hour_become_one_reading(tmp_path: Path) -> None:
    readings = excerpt(tmp_path, DOOR, "door-counts.mapping.yaml")
    assert [r.v for r in readings] == [{"count": 11, "out_count": 2}, {"count": 23, "out_count": 0}]
    # Half past seven in the Californian summer is half past two in the afternoon in UTC.
    assert readings[0].instant_ms == 1122906600000


def test_every_minute_of_the_recorded_office_is_read() -> None:
    path = recording("office-environment.csv")
    readings = list(read_recorded(path, read_mapping(EXAMPLES / "office-environment.mapping.yaml")))
    assert len(readings) == 8143 * 3
    assert set(Counter(r.line for r in readings).values()) == {3}
    found = by_type(readings, "office.site.yaml")
    with path.open() as file:
        rows: list[list[Any]] = list(islice(csv.reader(file), 1, None))
    for i, (_, date, temperature, humidity, light, co2, _, occupancy) in enumerate(rows):
        climate, air, desk = (
            found["SMARTCLEAN#TH"][i],
            found["SMARTCLEAN#ODRDTR_10_IN_1"][i],
            found["SMARTCLEAN#OCCDESK"][i],
        )
        assert climate.v == {"t": float(temperature), "h": float(humidity)}
        level = 0 if float(light) < 6 else 1 if float(light) < 51 else 2 if float(light) < 101 else 3
        assert air.v == {
            **dict(zip(("temperature", "humidity"), climate.v.values(), strict=True)),
            "co2": float(co2),
            "light_level": level,
        }
        assert desk.v == {"occ": int(occupancy)}
        if i % 500 == 0:
            assert climate.instant_ms == epoch_ms(date, "%Y-%m-%d %H:%M:%S", "Europe/Brussels")
    assert {r.v["light_level"] for r in found["SMARTCLEAN#ODRDTR_10_IN_1"]} == set(LIGHT_LEVELS)


def test_every_half_hour_of_the_recorded_door_is_read() -> None:
    path = recording("door-counts.csv")
    readings = list(read_recorded(path, read_mapping(EXAMPLES / "door-counts.mapping.yaml")))
    assert len(readings) == 3000
    with path.open() as file:
        rows = list(csv.reader(file))
    for direction, key in (("9", "count"), ("7", "out_count")):
        assert [r.v[key] for r in readings] == [int(row[3]) for row in rows if row[0] == direction]
    for reading in readings[::300]:
        _, date, clock, _ = rows[reading.line - 1]
        assert reading.instant_ms == epoch_ms(f"{date} {clock}", "%m/%d/%y %H:%M:%S", "America/Los_Angeles")
    instants = [r.instant_ms for r in readings]
    assert instants == sorted(set(instants))


@pytest.mark.parametrize(
    "data,mapping,site",
    [
        ("office-environment.csv", "office-environment.mapping.yaml", "office.site.yaml"),
        ("door-counts.csv", "door-counts.mapping.yaml", "door.site.yaml"),
    ],
)
def test_recorded_values_are_taken_by_ingest_as_they_are(data: str, mapping: str, site: str) -> None:
    devtypes = slots_of(site)
    for reading in read_recorded(recording(data), read_mapping(EXAMPLES / mapping)):
        kind = device_type(devtypes[reading.slot_id])
        assert kind is not None
        assert normal_values(kind, reading.v, {}) == reading.v
