"""The gate: who may do what, over both faces; nothing is left uncovered, and what changes holds at once."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import LOCAL_KEY, Client, Reply, Rig

from matrixhub.api.access import Gate
from matrixhub.api.actions.registry import OPERATIONS
from matrixhub.api.app import make_pages
from matrixhub.api.auth import permission_of
from matrixhub.api.openapi import openapi_document
from matrixhub.model.access import PROPERTY_ADMINS, SENDERS, Identity, Request, RoleId
from matrixhub.model.errors import (
    AccessDenied,
    InvalidValue,
    LimitViolated,
    MemberTaken,
    NameTaken,
    NotFound,
    RoleInUse,
    SystemRole,
)
from matrixhub.model.iam import (
    OTHER_NAMES,
    Conditions,
    Decision,
    GroupDocument,
    Hours,
    Members,
    PolicySet,
    RoleDocument,
    Statement,
    TrustClause,
    matches,
)
from matrixhub.model.iam_system import SYSTEM_ROLES
from matrixhub.model.ids import KeyId
from matrixhub.modules.access import roles as acts
from matrixhub.modules.access.explaining import Question, explain_access
from matrixhub.modules.access.senders import SEND, sending_keys
from matrixhub.modules.workforce.seats import create_seat, deactivate_seat
from matrixhub.observe import Metrics, ignore
from matrixhub.store.access_keys import page_keys
from matrixhub.store.keys import create_key, digest, revoke_key
from matrixhub.store.versions import Versions

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAP = "scgrids.buildingZoneMap"
SLOTS = "scdevicemanagement.getDeviceSlots"


def filled(path: str, operation: dict[str, Any]) -> str:
    """A path with something that looks like a number or an id in every place."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            number = parameter["schema"].get("type") == "integer"
            path = path.replace(f"{{{parameter['name']}}}", "1" if number else "0a6f3d9be2784c15b7c04e91d85f62aa")
    return path.removeprefix("/hub/v1")


ROUTES = sorted(
    (operation["operationId"], method.upper(), filled(path, operation))
    for path, methods in openapi_document()["paths"].items()
    for method, operation in methods.items()
    if path.startswith("/hub/v1") and operation["operationId"] != "sendReadings"
)


def policy(*statements: Statement) -> tuple[PolicySet, ...]:
    return (PolicySet(name="tested", statements=statements),)


def allow(*operations: str, **fields: Any) -> Statement:
    return Statement(effect="allow", operations=operations or ("*",), **fields)


def deny(*operations: str, **fields: Any) -> Statement:
    return Statement(effect="deny", operations=operations or ("*",), **fields)


async def as_role(matrix: Matrix, *operations: str, **fields: Any) -> Matrix:
    """The same property, by somebody with a role of its own."""
    role_id = await matrix.rig.role(matrix.property_id, *operations, **fields)
    return replace(matrix, client=await matrix.rig.client_with(matrix.property_id, role_id))


async def ask_route(client: Client, method: str, path: str, query: str = "") -> Reply:
    return await client.ask(method, path + query, None if method in ("GET", "DELETE") else {})


# --- nothing is left uncovered ---


async def test_no_operation_is_open_to_a_role_that_allows_nothing(matrix: Matrix) -> None:
    nobody = await as_role(matrix)
    for row in OPERATIONS:
        for name in (row.name, *row.also):
            assert await nobody.refused(name) == (403, "IMPLICIT_DENY"), name


async def test_no_route_is_open_to_a_role_that_allows_nothing(rig: Rig) -> None:
    property_id = await rig.property()
    nobody = await rig.client_with(property_id, await rig.role(property_id))
    assert len(ROUTES) > 30
    for operation, method, path in ROUTES:
        told = await ask_route(nobody, method, path)
        assert (told.status, told.code, told.json()["reason"]) == (403, "MH-R025", "IMPLICIT_DENY"), operation


async def test_no_operation_and_no_route_is_open_to_a_key_of_another_property(matrix: Matrix) -> None:
    stranger = await matrix.rig.client()
    foreign = replace(matrix, client=stranger)
    for row in OPERATIONS:
        assert await foreign.refused(row.name) == (403, "IMPLICIT_DENY"), row.name
    for operation, method, path in ROUTES:
        told = await ask_route(stranger, method, path, f"?property={matrix.property_id}")
        assert (told.status, told.code) == (403, "MH-R014"), operation


async def test_every_route_needs_the_permission_that_it_says_and_no_other(rig: Rig) -> None:
    """A role that allows it comes as far as to be told what else is wrong; a role of all others does not."""
    pages = make_pages({}, Metrics(), None, ignore, described=True)
    permissions = {
        str(handler.operation_id): permission_of(handler)
        for route in pages.routes
        for handler in getattr(route, "route_handlers", ())
        if route.path.startswith("/hub/v1/") and handler.include_in_schema is not False
    }
    assert {operation for operation, _, _ in ROUTES} <= set(permissions)
    property_id = await rig.property()
    for operation, method, path in ROUTES:
        permission = permissions[operation]
        assert re.fullmatch(r"[a-z]+\.\w+", permission), operation
        if method != "GET" or path.count("/") > 1:
            continue  # of lists alone: the guard is the same
        reader = await rig.client_with(property_id, await rig.role(property_id, permission))
        assert (await ask_route(reader, method, path)).status in (200, 422), operation  # 422: it wants a parameter
        others = policy(allow(), deny(permission))
        other = await rig.client_with(property_id, await rig.role(property_id, policy_sets=others))
        assert (await ask_route(other, method, path)).json()["reason"] == "EXPLICIT_DENY", operation


async def test_an_explanation_knows_no_building_that_the_gate_does_not_know(matrix: Matrix) -> None:
    role_id = await matrix.rig.role(matrix.property_id, policy_sets=policy(allow(buildings=(matrix.building_id,))))
    someone = replace(matrix, client=await matrix.rig.client_with(matrix.property_id, role_id))
    for operation, allowed in ((MAP, True), ("scteams.getShiftForPropertyInTRange", False), ("hub.listSlots", False)):
        asked = {"operation": operation, "role": role_id, "building": matrix.building_id}
        assert (await matrix.client.post("/explanations", asked)).json()["allowed"] is allowed
    assert await someone.refused("scteams.getShiftForPropertyInTRange") == (403, "IMPLICIT_DENY")


async def test_a_statement_means_an_operation_by_whichever_of_its_names(matrix: Matrix) -> None:
    assert {row.needed: row.also for row in OPERATIONS if row.also} == OTHER_NAMES
    for operation, others in OTHER_NAMES.items():
        for said in (operation, *others):
            denied = await as_role(matrix, policy_sets=policy(allow(), deny(said)))
            allowed = await as_role(matrix, said)
            for called in (operation, *others):
                assert await denied.refused(called) == (403, "EXPLICIT_DENY"), (said, called)
                assert (await allowed.send(called)).status != 403, (said, called)
                question = Question(operation=called, role_id=await matrix.rig.role(matrix.property_id, said))
                told = await explain_access(matrix.platform, matrix.property_id, question)
                assert told.decision.allowed, (said, called)


async def test_who_manages_seats_gives_nobody_the_role_of_a_group_by_an_address(matrix: Matrix) -> None:
    manager, path = await matrix.rig.client_with(matrix.property_id, RoleId("WorkforceAdministrator")), "/seats"
    own = f"{path}/{matrix.seat_id}"
    assert (await manager.ask("PATCH", own, {"email": "ann@example.org"})).status == 200
    members = Members(seats=(matrix.seat_id,))
    document = GroupDocument(name="administrators", role=PROPERTY_ADMINS, members=members)
    await acts.create_group(matrix.platform, matrix.property_id, document, actor="ann")
    for change in ({"email": "eve@example.org"}, {"email": ""}, {"active": False}):
        assert (await manager.ask("PATCH", own, change)).json()["reason"] == "IMPLICIT_DENY", change
        assert (await matrix.client.get(own)).json()["email"] == "ann@example.org"
    namesake = {"name": "Eve Tan", "email": "Ann@Example.org"}
    assert (await manager.ask("POST", path, namesake)).json()["reason"] == "IMPLICIT_DENY"
    assert (await manager.ask("PATCH", own, {"name": "Ann Lim", "email": "ann@example.org"})).status == 200
    other = await manager.ask("POST", path, {"name": "Eve Tan", "email": "eve@example.org"})
    assert other.status == 201
    taken = await manager.ask("PATCH", f"{path}/{other.json()['id']}", {"email": "ann@example.org"})
    assert taken.json()["reason"] == "IMPLICIT_DENY"
    assert (await matrix.client.ask("PATCH", own, {"email": "eva@example.org"})).status == 200


SETTINGS, POLICY, TARGET = (
    "/workforce-settings/{b}",
    "/escalation-policies/{b}/x",
    {"start_threshold_s": 9, "due_time_s": 9},
)
INCIDENT = {"building": "{b}", "zone": "{z}", "name": "Tap", "raised_by": "QR", "tasks": [{"name": "Close valve"}]}
CATEGORY = {"id": "C", "name": "Pantries", "property_type": "OFFICE"}
UNIT = {"id": "U", "name": "Sink", "category": "WASHROOM"}
SHIFT_CLAIM = {"shift": "no such shift"}
POLICY_LEVELS = "scteams.updateEscalationPolicySettings"
BUILDING = {"building": "{b}"}

ASKS_FOR_MORE: tuple[tuple[str, str, str, dict[str, Any], dict[str, Any], str], ...] = (
    (
        "POST",
        "/incidents/x/start",
        "scteams.startUnassignedIncident",
        {"seat": "s"},
        {"seat": None},
        "scteams.taskStart",
    ),
    (
        "POST",
        "/incidents",
        "scteams.createIncidentWithoutAssignee",
        INCIDENT,
        {"assignee": {"seat": "{s}"}},
        "scteams.createIncident",
    ),
    (
        "PATCH",
        SETTINGS,
        "scteams.updateSettings",
        {"settings": {"AUTO_CLOCKOUT": False}},
        {"settings": {"INCIDENT_HIGH_TIMEOUT": 600}},
        "scteams.updateIncidentsSettings",
    ),
    ("PATCH", POLICY, POLICY_LEVELS, {"levels": {}}, {"name": "n"}, "scteams.updateEscalationPolicyDetails"),
    (
        "PATCH",
        POLICY,
        POLICY_LEVELS,
        {"levels": {}},
        {"targets": {"H": TARGET}},
        "scteams.updateEscalationPolicyTargetDurations",
    ),
    (
        "POST",
        "/timesheets",
        "scteams.requestTimeSheet",
        SHIFT_CLAIM,
        {"kind": "REGULARIZATION"},
        "scteams.requestRegularization",
    ),
    (
        "POST",
        "/zone-categories",
        "scgrids.createZoneCategory",
        CATEGORY,
        BUILDING,
        "scgrids.createZoneCategoryForBuilding",
    ),
    ("POST", "/zone-units", "scgrids.createZoneUnit", UNIT, BUILDING, "scgrids.createZoneUnitForBuilding"),
)


@pytest.mark.parametrize(("method", "path", "operation", "body", "more", "also"), ASKS_FOR_MORE)
async def test_a_body_that_asks_for_what_another_operation_does_needs_that_one_too(
    matrix: Matrix, method: str, path: str, operation: str, body: dict[str, Any], more: dict[str, Any], also: str
) -> None:
    def filled(document: Any) -> Any:
        text = json.dumps(document).replace("{b}", matrix.building_id).replace("{z}", matrix.zone_id)
        return json.loads(text.replace("{s}", matrix.seat_id))

    where, greedy = filled(path), filled({**body, **more})
    limited, allowed = await as_role(matrix, operation), await as_role(matrix, operation, also)
    denied = (await as_role(matrix, policy_sets=policy(allow(), deny(also)))).client
    assert (await limited.client.ask(method, where, filled(body))).status != 403
    assert (await limited.client.ask(method, where, greedy)).json()["reason"] == "IMPLICIT_DENY"
    assert (await denied.ask(method, where, greedy)).json()["reason"] == "EXPLICIT_DENY"
    assert (await allowed.client.ask(method, where, greedy)).status in (200, 201, 404)


async def test_what_roles_of_the_system_name_is_there() -> None:
    """A pattern that names nothing is a slip of the pen."""
    pages = make_pages({}, Metrics(), None, ignore, described=True)
    handlers = [handler for route in pages.routes for handler in getattr(route, "route_handlers", ())]
    known = {row.needed for row in OPERATIONS} | {permission_of(handler) for handler in handlers} | {SEND}
    for role in SYSTEM_ROLES.values():
        for policy_set in role.document.policy_sets:
            named = [pattern for one in policy_set.statements for pattern in one.operations]
            assert [p for p in named if not any(matches(p, operation) for operation in known)] == [], role.id


# --- the four codes ---


CODES = (
    ("IMPLICIT_DENY", {"policy_sets": policy(allow("scteams.*"))}),
    ("EXPLICIT_DENY", {"policy_sets": policy(allow(), deny("scgrids.*", "hub.*"))}),
    ("TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY", {"policy_sets": policy(allow()), "trust": ()}),
    (
        "TRUST_RELATIONSHIP_VIOLATION_EXPLICIT_DENY",
        {
            "policy_sets": policy(allow()),
            "trust": (
                TrustClause(effect="allow", principals=("*",)),
                TrustClause(effect="deny", principals=("srn:sciam:*:KEY/*",)),
            ),
        },
    ),
)


@pytest.mark.parametrize(("code", "fields"), CODES, ids=[code for code, _ in CODES])
async def test_a_denial_has_its_published_code_and_says_what_decided(
    matrix: Matrix, code: str, fields: dict[str, Any]
) -> None:
    denied = await as_role(matrix, **fields)
    reply = await denied.send(MAP)
    body = reply.json()
    assert (reply.status, reply.headers["Content-Type"]) == (403, "application/json")
    assert set(body) == {"status", "code", "message", "reason"}
    assert (body["status"], body["code"], body["reason"]) == (403, code, "MH-R025")
    assert "the role T#" in body["message"]
    told = await denied.client.get("/roles")
    assert (told.status, told.code, told.json()["reason"]) == (403, "MH-R025", code)


async def test_a_role_that_is_gone_allows_nothing(matrix: Matrix) -> None:
    role_id = await matrix.rig.role(matrix.property_id, "*")
    someone = replace(matrix, client=await matrix.rig.client_with(matrix.property_id, role_id))
    assert await someone.data(MAP)
    with pytest.raises(RoleInUse):
        await acts.remove_role(matrix.platform, matrix.property_id, role_id, actor="ann")
    async with matrix.rig.database.connection() as connection:
        await connection.execute("delete from iam_roles where name = $1", role_id)
    assert await someone.refused(MAP) == (403, "IMPLICIT_DENY")


async def test_a_role_of_another_property_is_none_here(matrix: Matrix) -> None:
    elsewhere = await matrix.rig.role(await matrix.rig.property(), "*")
    someone = replace(matrix, client=await matrix.rig.client_with(matrix.property_id, elsewhere))
    assert await someone.refused(MAP) == (403, "IMPLICIT_DENY")


# --- conditions ---


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (Conditions(ip_in=("127.0.0.0/8", "::1")), 200),
        (Conditions(ip_in=("192.0.2.0/24",)), 403),
        (Conditions(ip_not_in=("127.0.0.0/8", "::1")), 403),
        (Conditions(not_before=datetime.now(UTC) - timedelta(hours=1)), 200),
        (Conditions(not_before=datetime.now(UTC) + timedelta(hours=1)), 403),
        (Conditions(not_after=datetime.now(UTC) - timedelta(hours=1)), 403),
        (Conditions(hours=Hours(start="00:00", end="24:00", time_zone="Asia/Singapore")), 200),
    ],
)
async def test_a_permission_holds_where_and_when_it_says(matrix: Matrix, when: Conditions, expected: int) -> None:
    someone = await as_role(matrix, policy_sets=policy(allow(when=when)))
    assert (await someone.send(MAP)).status == expected
    assert (await someone.client.get("/events")).status == expected


async def test_a_permission_for_a_building_is_for_no_other_and_not_for_all(matrix: Matrix) -> None:
    someone = await as_role(matrix, policy_sets=policy(allow(buildings=(matrix.building_id,))))
    assert await someone.data(MAP)
    assert await someone.refused(MAP, pid="another") == (403, "IMPLICIT_DENY")
    assert await someone.call(SLOTS)
    assert await someone.refused(SLOTS, pid="scnoop") == (403, "IMPLICIT_DENY")
    assert (await someone.client.get("/events")).json()["reason"] == "IMPLICIT_DENY"


async def test_an_operation_about_a_building_shows_and_changes_nothing_of_another_one(matrix: Matrix) -> None:
    """Or else a permission for a building would be one for all of them."""
    next_door = f"{matrix.building_id}-2"
    things = {
        table: f"select * from {table} where building_id = $1" for table in ("levels", "zones", "slots", "shifts")
    }
    async with matrix.rig.database.connection() as connection:
        await connection.execute(
            "insert into buildings (id, property_id, name, time_zone) values ($1, $2, 'Next door', 'UTC')",
            next_door,
            matrix.property_id,
        )
        before = [await connection.fetch(text, matrix.building_id) for text in things.values()]
    ids = (matrix.zone_id, matrix.level_id, matrix.slot_id, f'"{matrix.building_id}"')
    for row in OPERATIONS:
        if row.about_building:
            reply = await matrix.send(row.name, matrix.example(row.name), pid=next_door)
            assert reply.status >= 400 or not [one for one in ids if one.encode() in reply.content], row.name
    async with matrix.rig.database.connection() as connection:
        assert [await connection.fetch(text, matrix.building_id) for text in things.values()] == before


async def test_a_boundary_denies_what_the_role_allows(matrix: Matrix) -> None:
    boundary = await matrix.rig.role(matrix.property_id, policy_sets=policy(allow(), deny("scgrids.*")))
    gate = Gate(matrix.rig.parts)
    identity = Identity(
        scheme="federated",
        id="quid:ann",
        name="ann",
        property_id=matrix.property_id,
        role_id=RoleId("PropertyViewer"),
        boundary_id=boundary,
    )
    await gate.authorise(identity, Request(operation=SLOTS, property_id=matrix.property_id))
    with pytest.raises(AccessDenied) as caught:
        await gate.authorise(identity, Request(operation=MAP, property_id=matrix.property_id))
    assert caught.value.reason == "EXPLICIT_DENY"
    gone = replace(identity, boundary_id=RoleId("gone"))
    with pytest.raises(AccessDenied) as caught:
        await gate.authorise(gone, Request(operation=SLOTS, property_id=matrix.property_id))
    assert caught.value.reason == "IMPLICIT_DENY"


# --- what changes holds at once ---


async def test_a_change_holds_at_once_also_where_another_process_has_decided_before(matrix: Matrix) -> None:
    role_id = await matrix.rig.role(matrix.property_id, "scgrids.*")
    someone = replace(matrix, client=await matrix.rig.client_with(matrix.property_id, role_id))
    parts = matrix.rig.parts
    other = Gate(replace(parts, versions=Versions(parts.database)))
    identity = Identity(scheme="bearer", id="key_x", name="x", property_id=matrix.property_id, role_id=role_id)
    request = Request(operation=MAP, property_id=matrix.property_id)
    for statement, expected in ((deny(), "EXPLICIT_DENY"), (allow("x"), "IMPLICIT_DENY")):
        before = RoleDocument(name=role_id, policy_sets=policy(allow()))
        await acts.set_role(matrix.platform, matrix.property_id, before, actor="ann")
        for _ in range(2):
            assert await someone.data(MAP)
            await other.authorise(identity, request)
        changed = RoleDocument(name=role_id, policy_sets=policy(statement))
        await acts.set_role(matrix.platform, matrix.property_id, changed, actor="ann")
        assert await someone.refused(MAP) == (403, expected)
        with pytest.raises(AccessDenied):
            await other.authorise(identity, request)


async def test_deciding_again_asks_the_database_for_the_number_alone(matrix: Matrix) -> None:
    asked: list[str] = []

    class Counting(Versions):
        async def current(self, *scopes: str) -> Any:
            asked.extend(scopes)
            return await super().current(*scopes)

    parts = matrix.rig.parts
    gate = Gate(replace(parts, versions=Counting(parts.database)))
    identity = Identity(
        scheme="bearer", id="key_x", name="x", property_id=matrix.property_id, role_id=RoleId("GridsViewer")
    )
    request = Request(operation=MAP, property_id=matrix.property_id)
    await gate.authorise(identity, request)
    kept = await gate._rules.access_of(matrix.property_id)
    await gate.authorise(identity, request)
    assert await gate._rules.access_of(matrix.property_id) is kept
    assert asked == ["access"] * 4


async def test_whatever_names_a_role_counts_as_what_decides_on_access(rig: Rig) -> None:
    """A table without the trigger would be kept in memory for ever. Source: docs/decisions/0013-versions.md"""
    async with rig.database.connection() as connection:
        tables = await connection.fetch(
            "select c.table_name as name from information_schema.columns c join information_schema.tables t"
            " using (table_schema, table_name) where t.table_type = 'BASE TABLE' and t.table_schema = 'public'"
            " and (c.column_name = 'role_id' or c.table_name in ('iam_roles', 'iam_members'))"
        )
        counted = await connection.fetch(
            "select distinct tgrelid::regclass::text as name from pg_trigger"
            " where tgfoid = 'count_access'::regproc and tgtype & 28 = 28"  # inserted, deleted and updated
        )
    names = {row["name"] for row in tables}
    assert {"iam_roles", "iam_groups", "iam_members", "access_keys", "ingest_keys"} <= names
    assert names <= {row["name"] for row in counted}


# --- groups of users ---


async def test_a_key_in_a_group_has_the_role_of_the_group(matrix: Matrix) -> None:
    key_id, token = await create_key(matrix.rig.database, matrix.property_id, "", manages=True)
    someone = replace(matrix, client=Client(matrix.client.url, matrix.client.session, token.reveal()))
    assert await someone.call(SLOTS)
    document = GroupDocument(name="guards", role="GridsViewer", members=Members(keys=(key_id,)))
    await acts.create_group(matrix.platform, matrix.property_id, document, actor="ann")
    assert await someone.data(MAP)
    assert await someone.refused(SLOTS) == (403, "IMPLICIT_DENY")
    await acts.remove_group(matrix.platform, matrix.property_id, "guards", actor="ann")
    assert await someone.call(SLOTS)


class Ann:
    """A federated user at the gate."""

    def __init__(self, matrix: Matrix) -> None:
        self._gate, self._property_id = Gate(matrix.rig.parts), matrix.property_id

    async def may(self, operation: str, **fields: Any) -> bool:
        known = {"id": "quid_1:ann", "name": "ann", "role_id": RoleId("GridsViewer"), **fields}
        identity = Identity(**{"scheme": "federated", "property_id": self._property_id, **known})
        try:
            await self._gate.authorise(identity, Request(operation=operation, property_id=self._property_id))
        except AccessDenied:
            return False
        return True


async def test_a_federated_user_has_the_role_of_the_group_that_names_it(matrix: Matrix) -> None:
    ann = Ann(matrix)
    assert (await ann.may(MAP), await ann.may(SLOTS)) == (True, False)
    for members, seat_id in (
        (Members(users=("quid_1:ann",)), None),
        (Members(users=("ann",)), None),
        (Members(seats=(matrix.seat_id,)), matrix.seat_id),
    ):
        document = GroupDocument(name="viewers", role="PropertyViewer", members=members)
        await acts.set_group(matrix.platform, matrix.property_id, document, actor="ann")
        assert await ann.may(SLOTS, seat_id=seat_id)
        assert not await ann.may(SLOTS, id="quid_1:bo", name="bo")
        assert not await ann.may(SLOTS, scheme="bearer")


async def test_what_names_a_user_comes_before_what_names_the_seat(matrix: Matrix) -> None:
    ann = Ann(matrix)
    for name, role, members in (
        ("seated", "PropertyViewer", Members(seats=(matrix.seat_id,))),
        ("named", "GridsViewer", Members(users=("ann",))),
        ("surely", "SMARTCLEAN#IAMViewOnly", Members(users=("quid_1:ann",))),
    ):
        document = GroupDocument(name=name, role=role, members=members)
        await acts.create_group(matrix.platform, matrix.property_id, document, actor="ann")
    seat_id = matrix.seat_id
    assert await ann.may("hub.listRoles", seat_id=seat_id)
    assert not await ann.may(MAP, seat_id=seat_id)
    assert (await ann.may(MAP, seat_id=seat_id, id="quid_2:ann"), await ann.may(SLOTS, id="quid_2:ann")) == (
        True,
        False,
    )
    assert await ann.may(SLOTS, seat_id=seat_id, id="quid_2:bo", name="bo")


async def test_a_user_has_the_seat_whose_address_is_its_own(matrix: Matrix) -> None:
    platform, property_id, ann = matrix.platform, matrix.property_id, Ann(matrix)
    seat = await create_seat(platform, property_id, name="Ann", email="Ann@Orchard.example", actor="bo")
    document = GroupDocument(name="viewers", role="PropertyViewer", members=Members(seats=(seat.id,)))
    await acts.create_group(platform, property_id, document, actor="bo")
    by_address = {"email": "ann@ORCHARD.example"}
    assert await ann.may(SLOTS, **by_address)
    assert not await ann.may(SLOTS, name="ann@orchard.example")  # nobody vouches for it
    twin = await create_seat(platform, property_id, name="Ann", email="ann@orchard.example", actor="bo")
    assert not await ann.may(SLOTS, **by_address)  # whose is it?
    await deactivate_seat(platform, property_id, twin.id, actor="bo")
    assert await ann.may(SLOTS, **by_address)
    await deactivate_seat(platform, property_id, seat.id, actor="bo")
    assert not await ann.may(SLOTS, **by_address)


async def test_a_role_may_trust_users_by_their_seats(matrix: Matrix) -> None:
    seated = (TrustClause(effect="allow", principals=("srn:sciam:*:USER/*",)),)
    role_id = await matrix.rig.role(matrix.property_id, "*", trust=seated)
    ann = Ann(matrix)
    assert await ann.may(SLOTS, role_id=role_id, seat_id=matrix.seat_id)
    assert not await ann.may(SLOTS, role_id=role_id)


# --- acts ---


async def test_roles_of_the_system_are_the_same_for_ever(matrix: Matrix) -> None:
    platform, property_id = matrix.platform, matrix.property_id
    document = RoleDocument(name="GridsViewer", policy_sets=policy(allow()))
    with pytest.raises(SystemRole):
        await acts.set_role(platform, property_id, document, actor="ann")
    with pytest.raises(SystemRole):
        await acts.remove_role(platform, property_id, RoleId("GridsViewer"), actor="ann")
    with pytest.raises(InvalidValue):
        await acts.create_role(platform, property_id, document, actor="ann")


async def test_names_are_taken_once_and_nobody_is_in_two_groups(matrix: Matrix) -> None:
    platform, property_id = matrix.platform, matrix.property_id
    role_id = await matrix.rig.role(property_id, "*")
    with pytest.raises(NameTaken):
        await matrix.rig.role(property_id, "*", name=role_id)
    first = GroupDocument(name="first", role=role_id, members=Members(users=("ann",)))
    await acts.create_group(platform, property_id, first, actor="ann")
    with pytest.raises(NameTaken):
        await acts.create_group(platform, property_id, first, actor="ann")
    second = GroupDocument(name="second", role=role_id, members=Members(users=("bo", "ann")))
    with pytest.raises(MemberTaken):
        await acts.create_group(platform, property_id, second, actor="ann")
    assert [one.name for one in await acts.list_groups(matrix.rig.database, property_id)] == ["first"]
    with pytest.raises(RoleInUse, match="group first"):
        await acts.remove_role(platform, property_id, role_id, actor="ann")
    await acts.remove_group(platform, property_id, "first", actor="ann")
    key_id, _ = await create_key(matrix.rig.database, property_id, "", role_id=role_id)
    with pytest.raises(RoleInUse, match=f"key {key_id}"):
        await acts.remove_role(platform, property_id, role_id, actor="ann")
    await revoke_key(matrix.rig.database, property_id, key_id)
    await acts.remove_role(platform, property_id, role_id, actor="ann")
    for name in ("nobody", "matrixhub#Operator"):
        with pytest.raises(InvalidValue if "#" in name else NotFound):
            await acts.create_group(platform, property_id, GroupDocument(name="third", role=name), actor="ann")


async def test_who_did_what_to_a_role_is_kept_also_when_it_is_gone(matrix: Matrix) -> None:
    platform, property_id = matrix.platform, matrix.property_id
    role_id = await matrix.rig.role(property_id, "*")
    document = RoleDocument(name=role_id, policy_sets=policy(allow()), status="PENDING_DEPRECATION")
    changed = await acts.set_role(platform, property_id, document, actor="bo")
    assert changed.role.pending_since is not None
    again = replace_description(document, "the same, said anew")
    assert (await acts.set_role(platform, property_id, again, actor="bo")).role.pending_since == (
        changed.role.pending_since
    )
    same = await acts.set_role(platform, property_id, again, actor="cy")
    await acts.remove_role(platform, property_id, role_id, actor="dee")
    changes = await acts.list_role_changes(matrix.rig.database, property_id, role_id)
    assert [(one.act, one.version, one.actor) for one in changes] == [
        ("removed", 3, "dee"),
        ("changed", 3, "bo"),
        ("changed", 2, "bo"),
        ("created", 1, "ann"),
    ]
    assert (same.version, changes[1].document["status"]) == (3, "PENDING_DEPRECATION")


def replace_description(document: RoleDocument, text: str) -> RoleDocument:
    return RoleDocument(name=document.name, policy_sets=document.policy_sets, status=document.status, description=text)


async def test_a_property_has_so_many_roles_and_no_more(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "ROLES_MAX", 1)
    monkeypatch.setattr(acts, "GROUPS_MAX", 1)
    await matrix.rig.role(matrix.property_id)
    with pytest.raises(LimitViolated):
        await matrix.rig.role(matrix.property_id)
    await acts.create_group(matrix.platform, matrix.property_id, GroupDocument(name="a", role="GridsViewer"), actor="x")
    other = GroupDocument(name="b", role="GridsViewer")
    with pytest.raises(LimitViolated):
        await acts.create_group(matrix.platform, matrix.property_id, other, actor="x")


# --- over REST ---


async def test_a_role_is_made_given_changed_and_removed_over_rest(matrix: Matrix) -> None:
    client = matrix.client
    statement = {"effect": "allow", "operations": ["scgrids.read*"], "when": {"ip_in": ["127.0.0.0/8"]}}
    role = {"name": "ORCHARD#Guards", "policy_sets": [{"name": "s", "statements": [statement]}]}
    made = await client.post("/roles", role, Idempotency_Key="k1")
    assert (made.status, made.headers["Location"]) == (201, "/hub/v1/roles/ORCHARD%23Guards")
    assert (await client.post("/roles", role, Idempotency_Key="k1")).headers["Idempotency-Replayed"] == "true"
    assert (await client.post("/roles", role)).code == "MH-R023"
    path = "/roles/ORCHARD%23Guards"
    shown = await client.get(path)
    assert (shown.json()["system"], shown.json()["status"], shown.headers["ETag"]) == (False, "ACTIVE", '"1"')
    assert shown.json()["trust"] == [{"effect": "allow", "principals": ["*"]}]
    assert shown.json()["created_by"] == shown.json()["updated_by"] != ""
    stale = await client.ask("PATCH", path, {"description": "x"}, headers={"If-Match": '"7"'})
    assert stale.code == "MH-R012"
    changed = await client.ask("PATCH", path, {"description": "x", "trust": []}, headers={"If-Match": '"1"'})
    assert (changed.json()["version"], changed.json()["trust"]) == (2, [])
    back = await client.ask("PATCH", path, {"trust": None})
    assert (back.json()["description"], back.json()["trust"]) == ("x", shown.json()["trust"])
    assert (await client.ask("PATCH", path, {"name": "other"})).wrong == ["name"]
    wrong = await client.ask("PATCH", path, {"policy_sets": [{"name": "s", "statements": []}]})
    assert wrong.wrong == ["policy_sets[0].statements"]
    names = [one["name"] for one in (await client.get("/roles")).json()["items"]]
    assert names[0] == "ORCHARD#Guards"
    assert "SMARTCLEAN#PropertyAdmins" in names
    assert "matrixhub#Operator" not in names
    acted = [one["act"] for one in (await client.get(f"{path}/changes")).json()["items"]]
    assert acted == ["changed", "changed", "created"]
    assert (await client.ask("DELETE", path)).status == 204
    assert (await client.get(path)).code == "MH-R008"
    assert (await client.ask("PATCH", "/roles/GridsViewer", {"description": "x"})).code == "MH-R029"
    assert (await client.ask("DELETE", "/roles/GridsViewer")).code == "MH-R029"


async def test_a_group_is_made_changed_and_removed_over_rest(matrix: Matrix) -> None:
    client = matrix.client
    group = {"name": "cleaners", "role": "SMARTCLEAN#HOUSEKEEPING", "members": {"seats": [matrix.seat_id]}}
    assert (await client.post("/user-groups", group)).status == 201
    assert (await client.post("/user-groups", {"name": "b", "role": "none"})).code == "MH-R008"
    taken = await client.post("/user-groups", {**group, "name": "b"})
    assert taken.code == "MH-R031"
    changed = await client.ask("PATCH", "/user-groups/cleaners", {"members": {"users": ["ann"]}, "role": "GridsViewer"})
    assert changed.json()["members"] == {"seats": [matrix.seat_id], "users": ["ann"]}
    assert (changed.json()["role"], changed.headers["ETag"]) == ("GridsViewer", '"2"')
    assert (await client.ask("PATCH", "/user-groups/cleaners", {"role": "none"})).code == "MH-R008"
    assert [one["name"] for one in (await client.get("/user-groups")).json()["items"]] == ["cleaners"]
    assert (await client.ask("DELETE", "/user-groups/cleaners")).status == 204
    assert (await client.get("/user-groups/cleaners")).code == "MH-R008"


async def test_a_decision_is_explained_over_rest(matrix: Matrix) -> None:
    role_id = await matrix.rig.role(
        matrix.property_id, policy_sets=policy(allow("scgrids.*", when=Conditions(ip_in=("192.0.2.0/24",))))
    )
    key_id, _ = await create_key(matrix.rig.database, matrix.property_id, "", role_id=role_id)

    async def told(**fields: Any) -> Any:
        reply = await matrix.client.post("/explanations", {"operation": MAP, **fields})
        return reply.json() if reply.status == 200 else reply.code

    good = await told(key=key_id, address="192.0.2.9")
    assert (good["allowed"], good["code"]) == (True, "ALLOWED")
    assert good["why"] == f"the role {role_id} allows it: policy set tested, statement 1"
    assert good["principals"][0].endswith(f":::{matrix.property_id}:KEY/{key_id}")
    (statement,) = good["statements"]
    assert [check["holds"] for check in statement["checks"]] == [True, True]
    unknown = await told(role=role_id)
    assert (unknown["code"], unknown["statements"][0]["checks"][1]["holds"]) == ("IMPLICIT_DENY", None)
    denied = await told(role="PropertyViewer", boundary=role_id, at="2024-03-10T00:00:00Z")
    assert denied["allowed"]
    assert await told() == "MH-R010"
    assert await told(key="key_none") == "MH-R008"
    await matrix.client.ask("DELETE", f"/keys/{key_id}")
    assert await told(key=key_id) == "MH-R022"


async def test_an_explanation_is_what_the_gate_decides(matrix: Matrix) -> None:
    """The same question put to both, for keys with roles of every kind."""
    for _, fields in CODES:
        someone = await as_role(matrix, **fields)
        reply = await someone.send(MAP)
        keys = await page_keys(matrix.rig.database, matrix.property_id, limit=99)
        question = Question(operation=MAP, key_id=KeyId(keys[-1].id), address="127.0.0.1")
        told = await explain_access(matrix.platform, matrix.property_id, question)
        assert (told.decision.code, told.decision.why) == (reply.json()["code"], reply.json()["message"])


# --- who may send readings ---


async def test_readings_are_sent_by_keys_whose_roles_allow_it_whatever_address_and_time(matrix: Matrix) -> None:
    rig, property_id = matrix.rig, matrix.property_id
    near = Conditions(ip_in=("127.0.0.0/8",))
    expected = {
        SENDERS: "sends",
        RoleId("SMARTCLEAN#PropertyAdmins"): "sends",
        RoleId("GridsViewer"): "IMPLICIT_DENY",
        RoleId("gone"): "IMPLICIT_DENY",
        await rig.role(property_id, "hub.*"): "sends",
        await rig.role(property_id, policy_sets=policy(allow(), deny("hub.send*"))): "EXPLICIT_DENY",
        await rig.role(property_id, policy_sets=policy(allow(when=near))): "IMPLICIT_DENY",
        await rig.role(property_id, policy_sets=policy(allow(), deny(when=near))): "EXPLICIT_DENY",
        await rig.role(property_id, "*", status="PENDING_DEPRECATION"): "sends",
        await rig.role(property_id, "*", status="DEPRECATED"): "IMPLICIT_DENY",
        await rig.role(property_id, "*", trust=()): "TRUST_RELATIONSHIP_VIOLATION_IMPLICIT_DENY",
    }
    tokens = {}
    for role_id in expected:
        _, token = await create_key(rig.database, property_id, "", role_id=role_id)
        tokens[role_id] = digest(token.reveal())
    standings = await sending_keys(matrix.platform)
    found = {role_id: standings[tokens[role_id]] for role_id in expected}
    assert {
        role_id: standing.code if isinstance(standing, Decision) else "sends" if standing == property_id else standing
        for role_id, standing in found.items()
    } == expected
    assert standings[digest(LOCAL_KEY)] is None
