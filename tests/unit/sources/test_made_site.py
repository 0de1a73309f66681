from collections import Counter

import pytest

from matrixhub.model.devices import DEVICE_TYPES
from matrixhub.sources.sites import make_site, site_document


@pytest.mark.parametrize("devices,buildings", [(1, 1), (16, 1), (47, 3), (5000, 4), (20_000, 1)])
def test_a_made_site_has_exactly_the_devices_and_buildings_asked_for(devices: int, buildings: int) -> None:
    site = make_site(devices, buildings)
    assert len(site.slots) == devices
    assert len(site.buildings) == buildings
    per_building = Counter(slot.building_id for slot in site.slots)
    assert max(per_building.values()) - min(per_building.values()) <= 1


def test_sixteen_devices_are_enough_for_every_type() -> None:
    assert {slot.devtype for slot in make_site(16).slots} == {kind.devtype for kind in DEVICE_TYPES}


def test_the_same_arguments_give_the_same_site_and_another_seed_other_ids() -> None:
    assert make_site(300, 2, seed=9) == make_site(300, 2, seed=9)
    ours = {slot.id for slot in make_site(300, 2, seed=9).slots}
    assert ours.isdisjoint(slot.id for slot in make_site(300, 2, seed=10).slots)


def test_ids_are_unique_and_every_place_belongs_to_one_above_it() -> None:
    site = make_site(9000, 2)
    levels = {level.id: level.building_id for level in site.levels}
    zones = {zone.id: zone for zone in site.zones}
    assert len({slot.id for slot in site.slots}) == 9000
    assert len(zones) == len(site.zones)
    assert len(levels) == len(site.levels) <= 80
    for zone in site.zones:
        assert levels[zone.level_id] == zone.building_id
    for slot in site.slots:
        assert zones[slot.zone_id].building_id == slot.building_id
        assert slot.property_id == site.property.id


def test_a_site_cannot_be_larger_than_the_limit_or_emptier_than_its_buildings() -> None:
    with pytest.raises(ValueError, match="100,000"):
        make_site(100_001)
    with pytest.raises(ValueError, match="buildings"):
        make_site(2, 3)
    with pytest.raises(ValueError, match="IANA"):
        make_site(2, time_zone="Mars/Olympus")


def test_the_document_of_a_site_declares_every_slot_with_its_id() -> None:
    site = make_site(100, 2)
    document = site_document(site)
    declared = [
        (slot["id"], slot["type"], slot["name"])
        for building in document["buildings"]
        for level in building["levels"]
        for zone in level["zones"]
        for slot in zone["slots"]
    ]
    assert declared == [(slot.id, slot.devtype, slot.name) for slot in site.slots]
