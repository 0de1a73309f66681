import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from matrixhub.model.devices import DEVICE_TYPES
from matrixhub.model.time import zone
from matrixhub.sources.mapping import read_mapping
from matrixhub.sources.sites import demo_site_path

EXAMPLES = Path(__file__).parents[2] / "examples"
HEX = re.compile(r"[0-9a-f]{32}")


def read(name: str) -> dict[str, Any]:
    document = yaml.safe_load((EXAMPLES / name).read_text())
    assert isinstance(document, dict)
    return document


def places(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything a site file declares that has an id of its own, from the property down to the slots."""
    found = [document["property"]]
    for building in document["buildings"]:
        found.append(building)
        for level in building["levels"]:
            found.append(level)
            for room in level["zones"]:
                found += [room, *room["slots"]]
    return found


@pytest.mark.parametrize("name", ["demo.site.yaml", "office.site.yaml", "door.site.yaml"])
def test_a_sample_site_has_fixed_ids_that_differ_and_real_time_zones(name: str) -> None:
    document = read(name)
    ids = [place["id"] for place in places(document)]
    assert all(HEX.fullmatch(text) for text in ids)
    assert len(set(ids)) == len(ids)
    assert document["organisation"]["id"] == "ORCHARD"
    for building in document["buildings"]:
        assert zone(building["time_zone"])


def test_the_demo_site_has_every_device_type() -> None:
    devtypes = [place["type"] for place in places(read("demo.site.yaml")) if "type" in place]
    assert set(devtypes) == {kind.devtype for kind in DEVICE_TYPES}
    assert 16 <= len(devtypes) <= 25


def test_the_demo_site_of_the_examples_is_the_one_that_is_installed() -> None:
    assert (EXAMPLES / "demo.site.yaml").read_bytes() == demo_site_path().read_bytes()


@pytest.mark.parametrize(
    "mapping,site",
    [("office-environment.mapping.yaml", "office.site.yaml"), ("door-counts.mapping.yaml", "door.site.yaml")],
)
def test_a_mapping_fills_exactly_the_slots_of_its_site(mapping: str, site: str) -> None:
    declared = {place["id"] for place in places(read(site)) if "type" in place}
    assert {output.slot for output in read_mapping(EXAMPLES / mapping).outputs} == declared
