"""`matrixhub iam` on the database of the rig: what it prints, what it does, and how it fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from tests.integration.rest.rig import Rig
from typer.testing import CliRunner

from matrixhub.cli.app import app
from matrixhub.cli.iam import ACTOR
from matrixhub.model.access import RoleId
from matrixhub.model.ids import PropertyId
from matrixhub.store.keys import create_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROLE = """
name: ORCHARD#Guards
description: Those at the gate
policy_sets:
  - name: at work
    statements:
      - effect: allow
        name: by day
        operations: ["scgrids.read*"]
        when:
          ip_in: ["192.0.2.0/24"]
          hours: {start: 07:00, end: 18:30, days: [1, 2, 3, 4, 5], time_zone: Asia/Singapore}
      - {effect: deny, operations: ["*Floor*"]}
trust:
  - {effect: allow, principals: ["srn:sciam:*:KEY/*"]}
"""
FRIDAY = "2024-03-08T02:00:00Z"  # 10:00 in Singapore


class Shell:
    """Commands on the database of the rig."""

    def __init__(self, rig: Rig, property_id: PropertyId, folder: Path) -> None:
        self.property_id = property_id
        self._folder = folder
        self._environment = {
            "MATRIXHUB_ENGINES__POSTGRES__DSN": rig.database.dsn,
            "MATRIXHUB_ENGINES__NATS__URL": "nats://127.0.0.1:1",
            "MATRIXHUB_SECRETS__MASTER_KEY": "0f" * 32,
        }

    def file(self, text: str) -> str:
        path = self._folder / "document.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    async def run(self, *args: str, stdin: str | None = None) -> Any:
        words = ["iam", *args, "--property", self.property_id]
        return await asyncio.to_thread(CliRunner().invoke, app, words, input=stdin, env=self._environment)

    async def said(self, *args: str, stdin: str | None = None) -> str:
        result = await self.run(*args, stdin=stdin)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    async def ask(self, *args: str, stdin: str | None = None) -> Any:
        return json.loads(await self.said(*args, "--json", stdin=stdin))

    async def failed(self, *args: str, stdin: str | None = None) -> str:
        result = await self.run(*args, stdin=stdin)
        assert result.exit_code == 1, result.output
        return str(result.stderr).split()[0]


@pytest_asyncio.fixture(loop_scope="session")
async def shell(rig: Rig, tmp_path: Path) -> Shell:
    return Shell(rig, await rig.property(), tmp_path)


async def test_a_role_is_set_shown_changed_and_removed(shell: Shell) -> None:
    made = await shell.ask("role", "set", shell.file(ROLE))
    assert (made["name"], made["version"], made["created_by"]) == ("ORCHARD#Guards", 1, ACTOR)
    assert made["policy_sets"][0]["statements"][0]["when"]["hours"]["start"] == "07:00"
    shown = await shell.said("role", "show", "ORCHARD#Guards")
    assert f"created by {ACTOR}, version 1" in shown
    again = await shell.said("role", "set", shell.file(shown))
    assert again == "ORCHARD#Guards is kept, version 1\n"
    changed = yaml.safe_load(shown) | {"status": "PENDING_DEPRECATION"}
    assert "version 2" in await shell.said("role", "set", "-", stdin=json.dumps(changed))
    listed = {one["name"]: one for one in await shell.ask("roles")}
    assert listed["ORCHARD#Guards"]["status"] == "PENDING_DEPRECATION"
    assert listed["PropertyViewer"]["system"]
    assert "PENDING_DEPRECATION" in await shell.said("roles")
    assert [one["act"] for one in (await shell.ask("role", "show", "ORCHARD#Guards"))["changes"]] == [
        "changed",
        "created",
    ]
    assert await shell.said("role", "remove", "ORCHARD#Guards") == "ORCHARD#Guards is removed\n"
    assert await shell.failed("role", "show", "ORCHARD#Guards") == "MH-R008"


async def test_what_cannot_be_a_role_is_told(shell: Shell) -> None:
    for text in ("{", "- a", "name: x", ROLE.replace("07:00", "7 o'clock"), ROLE.replace("ORCHARD#", "SMARTCLEAN#")):
        assert await shell.failed("role", "set", shell.file(text)) == "MH-R010", text
    assert await shell.failed("role", "set", shell.file(ROLE.replace("ORCHARD#Guards", "GridsViewer"))) == "MH-R029"
    assert await shell.failed("role", "remove", "GridsViewer") == "MH-R029"
    assert await shell.failed("role", "remove", "nobody") == "MH-R008"
    assert await shell.failed("role", "set", "no/such/file.yaml") == "MH-R010"


async def test_a_group_is_set_shown_and_removed(shell: Shell) -> None:
    assert await shell.said("groups") == "There are none. See: matrixhub iam group set --help\n"
    group = {"name": "guards", "role": "GridsViewer", "members": {"users": ["007", "ann"]}}
    assert (await shell.ask("group", "set", shell.file(yaml.safe_dump(group))))["members"] == group["members"]
    turned = {**group, "members": {"users": ["ann", "007"]}}
    assert "version 1" in await shell.said("group", "set", shell.file(yaml.safe_dump(turned)))
    shown = await shell.said("group", "show", "guards")
    assert yaml.safe_load(shown) == group
    assert "version 2" in await shell.said("group", "set", shell.file(shown.replace("GridsViewer", "PropertyViewer")))
    assert (await shell.ask("groups"))[0]["role"] == "PropertyViewer"
    assert "PropertyViewer" in await shell.said("groups")
    other = shell.file(yaml.safe_dump({**group, "name": "others"}))
    assert await shell.failed("group", "set", other) == "MH-R031"
    assert await shell.failed("group", "set", shell.file("{name: g, role: none}")) == "MH-R008"
    await shell.said("group", "remove", "guards")
    assert await shell.failed("group", "show", "guards") == "MH-R008"


async def test_a_decision_is_explained_with_every_condition(shell: Shell, rig: Rig) -> None:
    await shell.ask("role", "set", shell.file(ROLE))
    key_id, _ = await create_key(rig.database, shell.property_id, "", role_id=RoleId("ORCHARD#Guards"))
    asked = ("explain", "--key", key_id, "--operation", "scgrids.readZone", "--at", FRIDAY)
    told = (await shell.said(*asked, "--ip", "192.0.2.7")).splitlines()
    assert told[:2] == [
        "allowed  ALLOWED",
        "the role ORCHARD#Guards allows it: policy set at work, statement 1 (by day)",
    ]
    assert told[3].startswith("asked by srn:sciam:")
    assert told[4:] == [
        "trust, clause 1: allow, counts",
        f"  yes {told[3].removeprefix('asked by ')} is srn:sciam:*:KEY/*",
        "policy set at work, statement 1 (by day): allow, counts",
        "  yes scgrids.readZone is scgrids.read*",
        "  yes address 192.0.2.7 is in 192.0.2.0/24",
        "  yes it is 07:00 to 18:30 in Asia/Singapore, days 1 2 3 4 5",
        "policy set at work, statement 2: deny, does not count",
        "  no  scgrids.readZone is *Floor*",
    ]
    unknown = await shell.said(*asked)
    assert unknown.startswith("denied  IMPLICIT_DENY\n")
    assert "  ?   address not known is in 192.0.2.0/24" in unknown
    sunday = await shell.ask(*asked[:-1], "2024-03-10T02:00:00Z", "--ip", "192.0.2.7")
    assert (sunday["code"], sunday["statements"][0]["checks"][2]["holds"]) == ("IMPLICIT_DENY", False)
    floor = await shell.ask("explain", "--role", "ORCHARD#Guards", "--operation", "scgrids.readFloorPlan")
    assert floor["code"] == "EXPLICIT_DENY"


async def test_a_role_is_tried_for_a_principal_a_boundary_and_a_building(shell: Shell) -> None:
    await shell.ask("role", "set", shell.file(ROLE))
    whose = ("explain", "--role", "ORCHARD#Guards", "--operation", "scgrids.readZone")
    seated = await shell.ask(*whose, "--principal", "srn:sciam:ORCHARD:::p:USER/p_004")
    assert seated["code"] == "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY"
    narrowed = ("explain", "--role", "PropertyViewer", "--boundary", "ORCHARD#Guards", "--operation")
    assert (await shell.ask(*narrowed, "scgrids.readFloorPlan"))["code"] == "EXPLICIT_DENY"
    assert "boundary, policy set at work, statement 2: deny, counts" in await shell.said(
        *narrowed, "scgrids.readFloorPlan"
    )
    assert (await shell.ask(*narrowed, "scgrids.readZone", "--building", "b1"))["allowed"]


async def test_what_cannot_be_explained_is_told(shell: Shell) -> None:
    operation = ("--operation", "scgrids.readZone")
    assert await shell.failed("explain", *operation) == "MH-R010"
    assert await shell.failed("explain", *operation, "--key", "k", "--role", "r") == "MH-R010"
    assert await shell.failed("explain", *operation, "--key", "key_none") == "MH-R008"
    assert await shell.failed("explain", *operation, "--role", "r", "--at", "noon") == "MH-R010"
    gone = await shell.ask("explain", *operation, "--role", "gone")
    assert (gone["code"], gone["why"]) == ("IMPLICIT_DENY", "there is no role gone")
    shell.property_id = PropertyId("none")
    for command in (("roles",), ("groups",), ("explain", *operation, "--role", "GridsViewer")):
        assert await shell.failed(*command) == "MH-R008"
