"""Places, media and device slots over REST. Who may use which route is in test_rest_scoping."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import pytest_asyncio
from PIL import Image
from tests.integration.rest.place_routes import PICTURE, Places, make_places
from tests.integration.rest.rig import Client, Rig

pytestmark = pytest.mark.asyncio(loop_scope="session")

BYTES = {"Content-Type": "application/octet-stream"}


@pytest_asyncio.fixture(loop_scope="session")
async def places(rig: Rig) -> Places:
    return await make_places(rig, await rig.property())


@pytest_asyncio.fixture(loop_scope="session")
async def owner(rig: Rig, places: Places) -> Client:
    return await rig.client(places.property_id)


VERSIONED: dict[str, tuple[Callable[[Places], str], dict[str, object]]] = {
    "property": (lambda p: f"/properties/{p.property_id}", {"name": "Renamed"}),
    "building": (lambda p: f"/buildings/{p.building}", {"name": "Renamed"}),
    "level": (lambda p: f"/buildings/{p.building}/levels/{p.level}", {"name": "Renamed"}),
    "zone": (
        lambda p: f"/zones/{p.zone}",
        {"name": "Renamed", "tags": {"a": 1}, "units": {"G": [{"key": "Sink", "count": 2}]}},
    ),
    "slot": (lambda p: f"/slots/{p.slot}", {"name": "Renamed", "parameters": {"LOW": 1}}),
}


@pytest.mark.parametrize("noun", sorted(VERSIONED))
async def test_a_change_is_made_only_to_the_version_that_is_named(owner: Client, places: Places, noun: str) -> None:
    where, change = VERSIONED[noun]
    path = where(places)
    tag = (await owner.get(path)).headers["ETag"]
    changed = await owner.ask("PATCH", path, change, headers={"If-Match": tag})
    assert changed.status == 200, changed.content
    assert changed.json()["name"] == "Renamed"
    assert changed.headers["ETag"] == f'"{changed.json()["version"]}"' != tag
    assert (await owner.ask("PATCH", path, {"name": "Again"}, headers={"If-Match": tag})).code == "MH-R012"
    assert (await owner.get(path)).json() == changed.json()
    assert (await owner.ask("PATCH", path, {})).headers["ETag"] == changed.headers["ETag"]


@pytest.mark.parametrize(
    ("noun", "change", "wrong"),
    [
        ("property", {"status": "Sold"}, "status"),
        ("building", {"operating_hours": {"7": []}}, "operating_hours"),
        ("building", {"operating_hours": {"1": [{"start": "9", "end": "1700"}]}}, "operating_hours[...][0].start"),
        ("level", {"level": "second"}, "level"),
        ("zone", {"area": -1}, "area"),
        ("slot", {"parameters": []}, "parameters"),
    ],
)
async def test_a_value_that_cannot_be_is_named(
    owner: Client, places: Places, noun: str, change: object, wrong: str
) -> None:
    path = VERSIONED[noun][0](places)
    before = (await owner.get(path)).content
    told = await owner.ask("PATCH", path, change)
    assert told.code == "MH-R010"
    assert told.wrong[0].startswith(wrong.partition("[")[0])
    assert (await owner.get(path)).content == before


async def test_hours_that_overlap_are_refused(owner: Client, places: Places) -> None:
    twice = [{"start": "0900", "end": "1200"}, {"start": "1100", "end": "1700"}]
    told = await owner.ask("PATCH", f"/buildings/{places.building}", {"operating_hours": {"1": twice}})
    assert told.code == "MH-R020"


async def test_what_was_made_is_where_the_answer_says(owner: Client, places: Places) -> None:
    body = {
        "name": "Tower B",
        "country": "SG",
        "country_locale": "en",
        "operating_hours": {"1": [{"start": "0900", "end": "1700"}]},
        "address": {"street": "1 Orchard Road", "coordinates": {"latitude": 1.3, "longitude": 103.8}},
        "levels_count": 3,
    }
    made = await owner.post("/buildings", body, Idempotency_Key="once")
    again = await owner.post("/buildings", body, Idempotency_Key="once")
    assert again.headers["Idempotency-Replayed"] == "true"
    path = made.headers["Location"].removeprefix("/hub/v1")
    assert (await owner.get(path)).json() == made.json() == again.json()
    assert {name: made.json()[name] for name in ("name", "operating_hours", "levels_count", "status")} == {
        "name": "Tower B",
        "operating_hours": body["operating_hours"],
        "levels_count": 3,
        "status": "draft",
    }
    assert made.json()["address"]["coordinates"] == {"latitude": 1.3, "longitude": 103.8}
    assert (await owner.post("/buildings", body)).code == "MH-R023"


async def test_zones_and_slots_come_in_pages(owner: Client, places: Places) -> None:
    drafts = [{"level": places.level, "name": f"Room {number}"} for number in range(7)]
    path = f"/buildings/{places.building}/zones"
    assert (await owner.post(path, {"items": drafts})).status == 201
    for listed in (f"{path}?limit=3", f"{path}?limit=3&level={places.level}", "/slots?limit=2"):
        whole = (await owner.get(listed.replace("limit=3", "limit=500").replace("limit=2", "limit=500"))).json()[
            "items"
        ]
        seen, page = [], (await owner.get(listed)).json()
        while page["next"] is not None:
            seen += page["items"]
            page = (await owner.get(f"{listed}&cursor={page['next']}")).json()
        assert seen + page["items"] == whole
        assert len(whole) > 2
    assert (await owner.get("/slots?cursor=nonsense")).code == "MH-R010"
    foreign = (await owner.get(f"{path}?limit=3")).json()["next"]
    assert (await owner.get(f"/slots?cursor={foreign}")).code == "MH-R010"


async def test_a_floor_plan_is_sent_and_shown_as_it_is(owner: Client, places: Places) -> None:
    path = f"/buildings/{places.building}/levels/{places.level}/floor-plan"
    made = io.BytesIO()
    Image.new("RGB", (16, 16)).save(made, "JPEG")
    given = await owner.ask("PUT", path, made.getvalue(), headers=BYTES)
    assert given.json()["has_floor_plan"] is True
    shown = await owner.get(path)
    assert (shown.content, shown.headers["Content-Type"]) == (made.getvalue(), "image/jpeg")
    assert (await owner.ask("PUT", path, b"GIF89a", headers=BYTES)).code == "MH-R020"
    assert (await owner.ask("PUT", path, {"file": ""})).code == "MH-R016"
    bare = await owner.post(f"/buildings/{places.building}/levels", {"name": "Roof", "level": "L9"})
    assert (await owner.get(f"{bare.headers['Location'].removeprefix('/hub/v1')}/floor-plan")).code == "MH-R008"


async def test_an_attachment_is_sent_and_shown_as_it_is(owner: Client, places: Places) -> None:
    made = await owner.ask("POST", "/media?entity=audits", PICTURE, headers={**BYTES, "Idempotency-Key": "a"})
    assert made.status == 201
    assert made.json()["uri"] == f"media/{made.json()['id']}"
    again = await owner.ask("POST", "/media?entity=audits", PICTURE, headers={**BYTES, "Idempotency-Key": "a"})
    assert again.json() == made.json()
    path = made.headers["Location"].removeprefix("/hub/v1")
    content = await owner.get(f"{path}/content")
    assert (content.content, content.headers["Content-Type"]) == (PICTURE, "image/png")
    assert content.headers["X-Content-Type-Options"] == "nosniff"
    small = await owner.get(f"{path}/thumbnail")
    assert small.headers["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small.content)).size == (32, 16)
    assert [one["id"] for one in (await owner.get("/media")).json()["items"]] == [places.media, made.json()["id"]]
    assert (await owner.ask("DELETE", path)).status == 204
    assert (await owner.get(f"{path}/content")).code == "MH-R008"


async def test_a_video_has_no_thumbnail(owner: Client) -> None:
    made = await owner.ask("POST", "/media", b"\0\0\0\x18ftypisom", headers=BYTES)
    assert (made.json()["kind"], made.json()["has_thumbnail"]) == ("video", False)
    assert (await owner.get(f"/media/{made.json()['id']}/thumbnail")).code == "MH-R008"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "MH-R020"),
        (b"<svg/>", "MH-R020"),
        (b"\x89PNG\r\n\x1a\n", "MH-R020"),
        (b"\xff\xd8\xff" + b"\0" * 2 * 1024 * 1024, "MH-R017"),
        (b"\xff\xd8\xff" + b"\0" * 3 * 1024 * 1024, "MH-R003"),
    ],
    ids=["empty", "SVG", "broken", "too large for a picture", "too large for a body"],
)
async def test_what_is_no_attachment_is_refused(owner: Client, content: bytes, code: str) -> None:
    assert (await owner.ask("POST", "/media", content, headers=BYTES)).code == code


async def test_a_device_goes_through_its_life(owner: Client, places: Places) -> None:
    slot = f"/slots/{places.empty_slot}"
    assert (await owner.post(f"{slot}/commission")).code == "MH-R022"
    put = await owner.post(f"{slot}/associate", {"device": f"first of {places.empty_slot}"})
    assert (put.json()["device"], put.json()["commissioning"]) == (f"first of {places.empty_slot}", "new")
    taken = (await owner.get(f"/slots/{places.slot}")).json()["device"]
    assert (await owner.post(f"{slot}/swap", {"device": taken})).code == "MH-R009"
    await owner.ask("PATCH", slot, {"parameters": {"MAX": 110, "OFFSET": 5}})
    assert (await owner.post(f"{slot}/commission")).json()["commissioning"] == "commissioned"
    assert (await owner.post(f"{slot}/swap", {"device": f"next of {places.empty_slot}"})).status == 200
    assert (await owner.post(f"{slot}/dissociate")).json()["commissioning"] == "decommissioned"
    found = (await owner.get(f"{slot}/associations")).json()["items"]
    assert [one["device"] for one in found[:2]] == [f"next of {places.empty_slot}", f"first of {places.empty_slot}"]
    assert all(one["ended_at"] for one in found)
    assert (await owner.post(f"{slot}/silence", {"unhealthy_after_s": 0})).json()["unhealthy_after_s"] == 0
    assert (await owner.post(f"{slot}/silence", {"unhealthy_after_s": None})).json()["unhealthy_after_s"] is None


async def test_slots_are_found_by_building_zone_type_and_provider(owner: Client, places: Places) -> None:
    whole = (await owner.get("/slots")).json()["items"]
    for field, name in (("building", "building"), ("zone", "zone"), ("devtype", "devtype"), ("provider", "provider")):
        wanted = whole[0][field]
        query = wanted.replace("#", "%23")
        found = (await owner.get(f"/slots?{name}={query}")).json()["items"]
        assert found == [slot for slot in whole if slot[field] == wanted]
    assert (await owner.get("/slots?building=unknown")).code == "MH-R008"
    assert (await owner.get("/slots?colour=blue")).code == "MH-R010"


async def test_an_audit_gets_one_score(owner: Client, places: Places) -> None:
    done = await owner.post(f"/audits/{places.audit}/complete", {"score": 87.5, "comment": "Well kept"})
    assert (done.json()["status"], done.json()["score"]) == ("COMPLETED", 87.5)
    assert (await owner.post(f"/audits/{places.audit}/complete", {"score": 1})).code == "MH-R022"
    for _ in range(2):
        await owner.post("/audits", {"zone": places.zone, "name": "Round", "by": "Ann Lee"})
    first = (await owner.get(f"/audits?limit=2&zone={places.zone}")).json()
    rest = (await owner.get(f"/audits?limit=2&zone={places.zone}&cursor={first['next']}")).json()
    assert [one["status"] for one in first["items"] + rest["items"]] == ["STARTED", "STARTED", "COMPLETED"]


async def test_lists_are_the_organisations_or_a_buildings(owner: Client, places: Places) -> None:
    own = {"id": f"C{places.building}", "name": "Own", "property_type": "X", "building": places.building}
    assert (await owner.post("/zone-categories", own)).status == 201
    shared = {"id": f"S{places.building}", "name": "Shared", "property_type": f"T{places.building}"}
    assert (await owner.post("/zone-categories", shared)).status == 201
    listed = (await owner.get(f"/zone-categories?property_type={shared['property_type']}")).json()["items"]
    assert [one["name"] for one in listed] == ["Shared"]
    assert "Own" in [
        one["name"] for one in (await owner.get(f"/zone-categories?building={places.building}")).json()["items"]
    ]
    unit = {"id": f"U{places.building}", "name": "Sink", "category": own["id"]}
    assert (await owner.post("/zone-units", unit)).status == 201
    for query in ("", f"&building={places.building}"):
        (found,) = (await owner.get(f"/zone-units?category={own['id']}{query}")).json()["items"]
        assert found == {**unit, "image_url": "", "building": None}
    assert found in (await owner.get("/zone-units")).json()["items"]
