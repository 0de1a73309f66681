from pathlib import Path

import pytest
import yaml

from matrixhub.cli.sitefile import parse_site, read_site
from matrixhub.model.errors import SiteFileError
from matrixhub.sources.sites import demo_site_path, make_site, site_document

GOOD = """\
organisation: {name: Orchard}
property: {name: Demo}
buildings:
  - name: Tower
    time_zone: Asia/Singapore
    levels:
      - name: L1
        zones:
          - name: Lobby
            category: LOBBY
            slots:
              - name: Counter
                type: SMARTCLEAN#PPLCTR
                hardware: 0012
                sub_type: 1.0
              - name: Feedback
                type: SMARTCLEAN#FD
                parameters: {MaxRating: 5, tags: [a, b]}
              - {name: Air, type: ODRDTR}
"""

TWICE = GOOD.replace("name: Air,", "name: Air, id: x,").replace(
    "- name: Counter", "- id: x\n                name: Counter"
)
ZONE = "buildings[0].levels[0].zones[0]"


def refused(text: str) -> str:
    with pytest.raises(SiteFileError) as caught:
        parse_site(text, "site.yaml")
    assert caught.value.path == "site.yaml"
    return caught.value.message


def without(line: str, text: str = GOOD) -> str:
    assert line in text
    return "".join(x for x in text.splitlines(keepends=True) if line not in x)


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_a_site_file_declares_places_and_slots() -> None:
    site = parse_site(GOOD)
    assert (site.organisation.id, site.organisation.name) == ("Orchard", "Orchard")
    assert site.property.organisation_id == "Orchard"
    assert [b.time_zone for b in site.buildings] == ["Asia/Singapore"]
    assert [z.category for z in site.zones] == ["LOBBY"]
    counter, feedback, air = site.slots
    assert (counter.hardware_id, counter.sub_type) == ("0012", "1.0")
    assert feedback.parameters == {"MaxRating": 5, "tags": ["a", "b"]}
    assert air.devtype == "SMARTCLEAN#ODRDTR"
    assert {s.zone_id for s in site.slots} == {site.zones[0].id}
    assert {s.time_zone for s in site.slots} == {"Asia/Singapore"}


def test_ids_that_are_left_out_stay_the_same_and_follow_the_names() -> None:
    site = parse_site(GOOD)
    assert parse_site(GOOD) == site
    assert parse_site(without("hardware")).slots[0].id == site.slots[0].id
    renamed = parse_site(changed("name: Lobby", "name: Foyer"))
    assert renamed.zones[0].id != site.zones[0].id
    assert renamed.buildings == site.buildings
    moved = parse_site(changed("Orchard", "Meadow"))
    assert moved.property.id != site.property.id


def test_ids_that_are_given_are_kept_as_they_are_written() -> None:
    site = parse_site(changed("name: Lobby", "name: Lobby\n            id: 007"))
    assert site.zones[0].id == "007"


def test_slots_of_the_same_name_may_differ_by_type() -> None:
    assert len({s.id for s in parse_site(changed("name: Feedback", "name: Counter")).slots}) == 3


@pytest.mark.parametrize(
    "text,message",
    [
        (without("time_zone"), "site.yaml:4: buildings[0].time_zone: is missing"),
        (
            changed("Asia/Singapore", "Mars/Olympus"),
            "site.yaml:5: buildings[0].time_zone: 'Mars/Olympus' is not an IANA time zone such as Asia/Singapore",
        ),
        (changed("Asia/Singapore", ""), "site.yaml:5: buildings[0].time_zone: is empty"),
        (changed("Asia/Singapore", "[Asia]"), "site.yaml:5: buildings[0].time_zone: is not a text"),
        (without("organisation:"), "site.yaml:1: organisation: is missing"),
        (without("property:"), "site.yaml:1: property: is missing"),
        (changed("{name: Orchard}", "{}"), "site.yaml:1: organisation.name: is missing"),
        (changed("{name: Orchard}", "Orchard"), "site.yaml:1: organisation: is not a mapping with id, name"),
        (changed("{name: Demo}", "{name: ''}"), "site.yaml:2: property.name: is empty"),
        (
            changed("{name: Demo}", "{name: Demo, id: ''}"),
            "site.yaml:2: property.id: is not an id: 1 to 128 printable characters without outer blanks",
        ),
        (changed("{name: Orchard}", '{name: Orchard, id: "a\\tb"}'), "site.yaml:1: organisation.id: is not an id"),
        (
            changed("category:", "catgory:"),
            f"site.yaml:10: {ZONE}.catgory: is not a field; there are category, id, name, slots",
        ),
        (
            changed("name: Feedback", "name: Feedback\n                name: Again"),
            "site.yaml:17: buildings[0].levels[0].zones[0].slots[1].name: is given twice",
        ),
        (
            TWICE,
            f"site.yaml:20: {ZONE}.slots[2].id: slot x is there already, at {ZONE}.slots[0]",
        ),
        (
            changed("levels:", "levels: many\n    x:"),
            "site.yaml:7: buildings[0].x: is not a field; there are id, levels, name, time_zone",
        ),
        ("organisation: {name: O}\nproperty: {name: P}\nbuildings: 5\n", "site.yaml:3: buildings: is not a list"),
        (
            "organisation: {name: O}\nproperty: {name: P}\nbuildings:\n  - 5\n",
            "site.yaml:4: buildings[0]: is not a mapping with id, levels, name, time_zone",
        ),
        (
            changed("SMARTCLEAN#FD", '" "'),
            "site.yaml:17: buildings[0].levels[0].zones[0].slots[1].type: is not a slot type such as SMARTCLEAN#UM",
        ),
        (
            without("type: SMARTCLEAN#FD"),
            "site.yaml:16: buildings[0].levels[0].zones[0].slots[1].type: is missing",
        ),
        (
            changed("{MaxRating: 5, tags: [a, b]}", "[5]"),
            "site.yaml:18: buildings[0].levels[0].zones[0].slots[1].parameters: is not a mapping of names to values",
        ),
        ("", "site.yaml: the file is empty"),
        ("# nothing\n", "site.yaml: the file is empty"),
        ("- a\n- b\n", "site.yaml:1: file: is not a mapping with buildings, organisation, property"),
        ("just a text", "site.yaml:1: file: is not a mapping with buildings, organisation, property"),
    ],
)  # fmt: skip
def test_an_error_names_line_and_field(text: str, message: str) -> None:
    assert refused(text) == message


def test_outer_blanks_of_texts_are_taken_off() -> None:
    assert parse_site(changed("{name: Demo}", "{name: ' Demo ', id: ' x '}")).property.id == "x"


def test_a_second_building_of_the_same_name_needs_an_id() -> None:
    again = "  - name: Tower\n    time_zone: UTC\n"
    assert "is there already, at buildings[0]" in refused(GOOD + again)
    assert refused(GOOD + again).startswith("site.yaml:20: buildings[1].name: building ")
    assert len(parse_site(GOOD + again + "    id: two\n").buildings) == 2


def test_parameters_need_names() -> None:
    assert "slots[1].parameters: is not a mapping of names to values" in refused(changed("{MaxRating: 5,", "{5: 5,"))


@pytest.mark.parametrize(
    "text,line",
    [
        ("organisation: {name: O\nproperty: x", 2),
        ("a: b: c", 1),
        ("organisation: *nobody", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("\torganisation: x", 1),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(text: str, line: int) -> None:
    assert refused(text).startswith(f"site.yaml:{line}: not YAML: ")


def test_control_characters_are_not_yaml() -> None:
    assert refused("a: \x00").startswith("site.yaml: not YAML: ")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError, match=r"site\.yaml: cannot be read"):
        read_site(tmp_path / "site.yaml")
    (tmp_path / "site.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SiteFileError, match="cannot be read"):
        read_site(tmp_path / "site.yaml")


@pytest.mark.parametrize("devices,buildings", [(1, 1), (60, 1), (250, 3)])
def test_a_made_site_written_and_read_back_is_the_same(devices: int, buildings: int) -> None:
    site = make_site(devices, buildings)
    assert parse_site(yaml.safe_dump(dict(site_document(site)), sort_keys=False, allow_unicode=True)) == site


def test_a_read_site_written_and_read_back_is_the_same() -> None:
    for site in (parse_site(GOOD), read_site(demo_site_path())):
        assert parse_site(yaml.safe_dump(dict(site_document(site)), sort_keys=False)) == site
