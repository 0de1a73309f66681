"""The examples of the guide, typed as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tests.integration.rest.backfill_routes import make_backfilled
from tests.integration.rest.place_routes import PICTURE, make_places
from tests.integration.rest.rig import Rig, make_things

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCS = Path(__file__).parents[3] / "docs"
GUIDES = ("rest.md", "past-data-guide.md")


def curls(guide: str) -> list[str]:
    """The commands of a guide, each on one line."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (DOCS / guide).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [command.strip() for block in blocks for command in re.split(r"^(?=curl )", block, flags=re.MULTILINE)[1:]]


@pytest.mark.parametrize("guide", GUIDES)
async def test_every_example_of_the_guide_does_what_it_says(rig: Rig, guide: str) -> None:
    property_id = await rig.property()
    client = await rig.client(property_id)
    things = await make_things(rig, property_id, client, "https://127.0.0.1:1/")
    places = await make_places(rig, property_id)
    backfilled = await make_backfilled(rig, property_id)
    auth = {"auth": {"scheme": "basic", "user": "u", "password": "p"}}
    told = await client.ask("PATCH", f"/subscriptions/{things.subscription}", auth)
    values = {
        "HUB": "",
        "KEY": client.key,
        "SUB": things.subscription,
        "ATTEMPT": str(things.attempt),
        "PARKED": str(things.parked),
        "REPLAY": things.replay,
        "DATABASE": backfilled.database,
        "BACKFILL": backfilled.backfill,
        "PAIR": things.key,
        "BUILDING": places.building,
        "LEVEL": places.level,
        "ZONE": places.zone,
        "SLOT": places.empty_slot,
    }
    tried = curls(guide)
    assert len(tried) > (15 if guide == "rest.md" else 4)
    for command in tried:
        text = re.sub(r"\$([A-Z]+)", lambda found: values[found[1]], command.replace("\\\n", " "))
        method, path, body, headers = parsed(text.replace('"1"', told.headers["ETag"]))
        assert headers.pop("Authorization") == f"Bearer {client.key}"
        reply = await client.ask(method, path, body, headers=headers)
        assert 200 <= reply.status < 300, (command, reply.content)


def parsed(command: str) -> tuple[str, str, object, dict[str, str]]:
    """What curl would send."""
    words = iter(shlex.split(command)[1:])
    method, path, body, headers = "", "", None, {}
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "--json":
            body = json.loads(next(words))
        elif word == "--data-binary":
            assert next(words).startswith("@")
            body = PICTURE
        else:
            path = word
    return method or ("GET" if body is None else "POST"), path, body, headers
