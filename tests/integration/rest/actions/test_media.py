"""Media attachments and floor plans: forms in, base64 out. Source: docs/contract/grids.md §5, §8"""

from __future__ import annotations

import asyncio
import base64
import io
import json

import pytest
import pytest_asyncio
from PIL import Image
from tests.integration.rest.actions.estate import make_estate, rows_of
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.actions.strict import faults_of
from tests.integration.rest.conftest import MEDIA_BYTES_MAX
from tests.integration.rest.rig import Reply, Rig

from matrixhub.api.actions.registry import BY_NAME

pytestmark = pytest.mark.asyncio(loop_scope="session")

UPLOAD, READ, THUMBNAILS = (
    f"scgrids.{name}" for name in ("uploadMediaAttachment", "getMediaAttachment", "getThumbnails")
)
FORM = {"Content-Type": "multipart/form-data; boundary=XX"}
MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isom"


def picture(form: str = "PNG", size: tuple[int, int] = (640, 320)) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, "teal").save(made, form)
    return made.getvalue()


async def send(estate: Matrix, operation: str, file: bytes | None, *, name: str = "File", **texts: str) -> Reply:
    """Call an operation with a form."""
    parts = [(f'name="{field}"', text.encode()) for field, text in texts.items()]
    if file is not None:
        parts.append((f'name="{name}"; filename="a.bin"\r\nContent-Type: application/octet-stream', file))
    lines = [
        b"--XX\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), said) for head, said in parts
    ]
    return await estate.send(operation, b"".join([*lines, b"--XX--\r\n"]), headers=FORM)


async def upload(estate: Matrix, file: bytes | None, *, kind: str = "image", entity: str = "incident") -> Reply:
    return await send(estate, UPLOAD, file, Type=kind, Entity=entity)


def code_of(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json()["code"]


@pytest_asyncio.fixture(loop_scope="session")
async def estate(rig: Rig) -> Matrix:
    return await make_estate(rig, devices=3)


@pytest.mark.parametrize(
    ("content", "kind", "content_type"),
    [
        (picture(), "image", "image/png"),
        (picture("JPEG"), "Image", "image/jpeg"),
        (picture("WEBP"), "image", "image/webp"),
        (MP4, "video", "video/mp4"),
    ],
    ids=["PNG", "JPEG", "WebP", "MP4"],
)
async def test_an_attachment_is_kept_and_read_back(
    estate: Matrix, content: bytes, kind: str, content_type: str
) -> None:
    reply = await upload(estate, content, kind=kind)
    assert faults_of(BY_NAME[UPLOAD], reply.json()) == []
    made = reply.json()["data"]
    assert (made["ContentType"], made["Size"], made["Type"]) == (content_type, len(content), kind.lower())
    answer = await estate.call(READ, {"URI": made["URI"]})
    assert faults_of(BY_NAME[READ], answer) == []
    assert base64.b64decode(answer["data"]) == content
    small = await estate.call(THUMBNAILS, {"URIs": [made["URI"], "media/med_unknown"]})
    assert faults_of(BY_NAME[THUMBNAILS], small) == []
    (one,) = small["data"]
    assert one["URI"] == made["URI"]
    assert bool(one["Thumbnail"]) == (kind != "video")


@pytest.mark.parametrize(
    ("content", "kind", "entity", "code"),
    [
        (None, "image", "incident", "MISSING_PARAMETERS"),
        (picture(), "", "incident", "WRONG_PARAMETERS"),
        (picture(), "sound", "incident", "WRONG_PARAMETERS"),
        (picture(), "image", "zone", "WRONG_PARAMETERS"),
        (picture(), "video", "incident", "WRONG_PARAMETERS"),
        (MP4, "image", "audits", "WRONG_PARAMETERS"),
        (b"", "image", "incident", "WRONG_PARAMETERS"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image", "incident", "WRONG_PARAMETERS"),
        (b"\x89PNG\r\n\x1a\n...", "image", "incident", "WRONG_PARAMETERS"),
        (picture("BMP"), "image", "incident", "WRONG_PARAMETERS"),
        (picture() + b"\0" * 2 * 1024 * 1024, "image", "incident", "LIMIT_VIOLATED"),
        (MP4 + b"\0" * 2 * 1024 * 1024, "video", "incident", "LIMIT_VIOLATED"),
    ],
    ids=[
        *("no file", "no kind", "unknown kind", "unknown entity", "picture as video", "video as picture", "empty"),
        *("SVG", "broken", "BMP", "large picture", "large video"),
    ],
)
async def test_what_is_no_attachment_is_refused_and_not_kept(
    estate: Matrix, content: bytes | None, kind: str, entity: str, code: str
) -> None:
    assert code_of(await upload(estate, content, kind=kind, entity=entity)) == (400, code)
    assert (await rows_of(estate))["media"] == []


async def test_a_form_that_is_broken_or_too_large_is_refused(estate: Matrix) -> None:
    assert await estate.refused(UPLOAD, b"--XX\r\nnonsense", headers=FORM) == (400, "failure")
    assert await estate.refused(UPLOAD, b"\0" * (4 * 1024 * 1024 + 1), headers=FORM) == (413, "failure")
    assert await estate.refused(UPLOAD, {"Type": "image", "Entity": "incident"}) == (400, "MISSING_PARAMETERS")


async def test_the_attachments_of_a_property_have_a_quota_of_their_own(estate: Matrix, rig: Rig) -> None:
    large = MP4 + b"\0" * (MEDIA_BYTES_MAX // 2 - len(MP4))
    told = await asyncio.gather(*(upload(estate, large, kind="video") for _ in range(4)))
    assert sorted(reply.status for reply in told) == [200, 200, 400, 400]
    assert code_of(await upload(estate, MP4, kind="video")) == (400, "LIMIT_VIOLATED")
    other = await make_estate(rig, devices=3)
    assert (await upload(other, MP4, kind="video")).status == 200


async def test_an_attachment_is_seen_by_its_own_property_alone(estate: Matrix, rig: Rig) -> None:
    uri = (await upload(estate, picture())).json()["data"]["URI"]
    other = await make_estate(rig, devices=3)
    assert await other.refused(READ, {"URI": uri}) == (400, "failure")
    assert await other.data(THUMBNAILS, {"URIs": [uri]}) == []


async def test_at_most_five_thumbnails_are_given_at_once(estate: Matrix) -> None:
    assert await estate.refused(THUMBNAILS, {"URIs": ["media/a"] * 6}) == (400, "QUERY_LENGTH_EXCEEDED")
    assert await estate.refused(THUMBNAILS, {"URIs": ["media/ a"]}) == (400, "WRONG_PARAMETERS")
    assert await estate.refused(READ, {"URI": ""}) == (400, "WRONG_PARAMETERS")


async def test_the_name_of_an_operation_that_is_nothing_but_a_name_is_not_known(estate: Matrix) -> None:
    assert await estate.refused("scgrids.uploadImage") == (404, "UNKNOWN_OPERATION")


# --- floor plans ---


async def test_a_floor_plan_is_given_by_a_form_and_read_in_base64(estate: Matrix) -> None:
    operation = "scgrids.updateLevelFloorPlan"
    reply = await send(estate, operation, picture(), name="file", LID=estate.level_id)
    assert faults_of(BY_NAME[operation], reply.json()) == []
    assert reply.json()["data"]["FloorPlanExists"] is True
    assert base64.b64decode(await estate.data("scgrids.readFloorPlan", {"LID": estate.level_id})) == picture()
    (level,) = await estate.data("scgrids.listLevelsByBuilding")
    assert level["FloorPlanExists"] is True


async def test_a_level_is_changed_by_a_form_or_in_json(estate: Matrix) -> None:
    operation = "scgrids.updateLevel"
    reply = await send(estate, operation, picture("JPEG"), name="File", LID=estate.level_id, Name="Ground", Area="99.5")
    assert faults_of(BY_NAME[operation], reply.json()) == []
    plan = base64.b64encode(picture()).decode()
    changed = await estate.data(operation, {"LID": estate.level_id, "Name": "Lobby", "FloorPlan": plan})
    assert (changed["Name"], changed["Area"]) == ("Lobby", 99.5)
    found = await estate.data("scgrids.readLevel", {"LID": estate.level_id})
    assert found["FloorPlan"] == plan


@pytest.mark.parametrize(
    ("file", "level", "status"),
    [(None, "", 400), (b"", "", 400), (b"GIF89a", "", 400), (picture(), "unknown", 400), (picture() * 2_000, "", 400)],
    ids=["none", "empty", "GIF", "unknown level", "large"],
)
async def test_what_is_no_floor_plan_is_refused(estate: Matrix, file: bytes | None, level: str, status: int) -> None:
    before = await rows_of(estate)
    reply = await send(estate, "scgrids.updateLevelFloorPlan", file, name="file", LID=level or estate.level_id)
    assert reply.status == status, reply.content
    assert json.loads(reply.content)["message"]
    assert await rows_of(estate) == before
