"""Every route of the REST face: who may use it, and that nobody sees or touches what is another property's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import pytest
import pytest_asyncio
from tests.integration.rest.actions.desk import KEPT, Desk, furnish
from tests.integration.rest.backfill_routes import BACKFILL_ROUTES, Backfilled, make_backfilled
from tests.integration.rest.database_routes import DATABASE_ROUTES, with_database
from tests.integration.rest.place_routes import PLACE_ROUTES, Places, make_places
from tests.integration.rest.rig import LOCAL_KEY, SEEDS, Client, Reply, Rig, Things, make_things
from tests.integration.rest.shift_routes import SHIFT_ROUTES, SHIFT_STATEMENTS, STATES, with_shift_things
from tests.integration.rest.work_routes import WORK_ROUTES

from matrixhub.api.openapi import openapi_document
from matrixhub.testing.receiver import HttpsReceiver

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True, slots=True)
class Route:
    """A good request: path and body. `shown` where anyone gets an answer, with what is his own in it; `refused` is
    what others are told elsewhere.
    """

    path: Callable[[Things], str]
    body: Callable[[Things], object] = lambda _: None
    shown: bool = False
    refused: str = "MH-R008"


def fixed(path: str, body: object = None) -> Route:
    return Route(lambda _: path, lambda _: body, shown=True)


def of_subscription(rest: str = "", body: object = None) -> Route:
    return Route(lambda t: f"/subscriptions/{t.subscription}{rest}", lambda _: body)


def of_database(rest: str = "", body: object = None) -> Route:
    return Route(lambda t: f"/databases/{t.database}{rest}", lambda _: body)


def named(path: str, **body: object) -> Route:
    return Route(lambda _: path, lambda t: {"subscription": t.subscription, **body})


def a_role(name: str) -> dict[str, object]:
    statement = {"effect": "allow", "operations": ["scgrids.*"]}
    return {"name": name, "policy_sets": [{"name": "reading", "statements": [statement]}]}


Anything = Things | Places | Desk | Backfilled

ROUTES: dict[str, Route] = {
    "listSubscriptions": fixed("/subscriptions"),
    "createSubscription": fixed("/subscriptions", {"url": "https://example.org/in"}),
    "showSubscription": of_subscription(),
    "changeSubscription": of_subscription("", {"name": "changed"}),
    "deleteSubscription": of_subscription(),
    "pauseSubscription": of_subscription("/pause"),
    "resumeSubscription": of_subscription("/resume"),
    "testSubscription": of_subscription("/test"),
    "showSubscriptionBalance": of_subscription("/balance"),
    "createSigningKey": of_subscription("/signing-keys", {}),
    "deleteSigningKey": Route(lambda t: f"/subscriptions/{t.subscription}/signing-keys/{t.signing_key}"),
    "listAttempts": fixed("/attempts"),
    "showAttempt": Route(lambda t: f"/attempts/{t.attempt}"),
    "showAttemptBody": Route(lambda t: f"/attempts/{t.attempt}/body"),
    "listParked": fixed("/parked"),
    "exportParked": fixed("/parked/export"),
    "showParked": Route(lambda t: f"/parked/{t.parked}"),
    "redriveParked": named("/parked/redrive", all=True),
    "discardParked": named("/parked/discard", all=True),
    "listReplays": fixed("/replays"),
    "createReplay": named("/replays", since="1970-01-01T00:00:00Z", dry_run=True),
    "showReplay": Route(lambda t: f"/replays/{t.replay}"),
    "withdrawReplay": Route(lambda t: f"/replays/{t.replay}"),
    "showBalance": fixed("/balance"),
    "listReadings": fixed("/readings"),
    "exportReadings": fixed("/readings/export"),
    "listDatabases": fixed("/databases"),
    "createDatabase": Route(lambda _: "/databases", lambda _: {"name": f"new-{next(SEEDS)}"}, shown=True),
    "showDatabaseSchema": fixed("/databases/schema"),
    "showDatabaseCa": fixed("/databases/ca"),
    "showDatabase": of_database(),
    "changeDatabase": of_database("", {"limits": {"connections_max": 3}}),
    "dropDatabase": of_database(),
    "rotateDatabase": of_database("/rotate", {}),
    "revokeDatabaseReader": of_database("/revoke"),
    "grantDatabaseReader": of_database("/grant"),
    "showDatabaseSheet": of_database("/sheet"),
    "summariseReadings": fixed("/readings/buckets?metric=count"),
    "showReadingRetention": fixed("/readings/retention"),
    "setReadingRetention": fixed("/readings/retention", {"days": 30}),
    "clearReadingRetention": fixed("/readings/retention"),
    "listEvents": fixed("/events"),
    "exportEvents": fixed("/events/export"),
    "publishEvents": Route(
        lambda _: "/events",
        lambda t: {
            "application": t.application,
            "events": [{"Event": "TRIED", "Priority": "LOW", "Description": "", "Meta": {}}],
        },
    ),
    "listApplications": fixed("/applications"),
    "createApplication": Route(lambda _: "/applications", lambda _: {"id": f"app-{next(SEEDS)}"}, shown=True),
    "showApplication": Route(lambda t: f"/applications/{t.application}"),
    "changeApplication": Route(lambda t: f"/applications/{t.application}", lambda _: {"name": "changed"}),
    "listKeys": fixed("/keys"),
    "createKey": fixed("/keys", {"name": "gateway"}),
    "showKey": Route(lambda t: f"/keys/{t.key}"),
    "changeKey": Route(lambda t: f"/keys/{t.key}", lambda _: {"name": "changed"}),
    "rotateKey": Route(lambda t: f"/keys/{t.key}/rotate", lambda _: {}),
    "revokeKey": Route(lambda t: f"/keys/{t.key}"),
    **{operation: Route(*given) for operation, given in SHIFT_ROUTES.items()},
    **{operation: Route(*given) for operation, given in DATABASE_ROUTES.items()},
    "connectDatabase": Route(
        lambda _: "/databases/connect",
        lambda _: {"host": "db.example.org", "database": f"d{next(SEEDS)}", "user": "u", "password": "p"},
        shown=True,
    ),
    "listRoles": fixed("/roles"),
    "createRole": Route(lambda _: "/roles", lambda _: a_role(f"R-{next(SEEDS)}"), shown=True),
    "showRole": Route(lambda t: f"/roles/{quote(t.role)}"),
    "changeRole": Route(lambda t: f"/roles/{quote(t.role)}", lambda _: {"description": "changed"}),
    "removeRole": Route(lambda t: f"/roles/{quote(t.role)}"),
    "listRoleChanges": Route(lambda t: f"/roles/{quote(t.role)}/changes", shown=True),
    "listUserGroups": fixed("/user-groups"),
    "createUserGroup": Route(
        lambda _: "/user-groups", lambda _: {"name": f"g{next(SEEDS)}", "role": "GridsViewer"}, shown=True
    ),
    "showUserGroup": Route(lambda t: f"/user-groups/{t.group}"),
    "changeUserGroup": Route(lambda t: f"/user-groups/{t.group}", lambda _: {"role": "PropertyViewer"}),
    "removeUserGroup": Route(lambda t: f"/user-groups/{t.group}"),
    "explainAccess": Route(lambda _: "/explanations", lambda t: {"operation": "scgrids.readZone", "key": t.key}),
    "revokeApplication": Route(lambda t: f"/applications/{t.application}"),
    "showMetrics": fixed("/metrics/PROPERTY_METRICS"),
    "listMetricDays": fixed("/metrics/VCS_WO_DAILY_COUNT_BY_TYPE/days?first=20240301&last=20240310"),
    "listSolutions": fixed("/solutions"),
    "showSolution": fixed("/solutions/bin"),
    "addSolution": fixed("/solutions/bin/add"),
    "approveSolution": Route(lambda _: "/solutions/bin/approve", refused="MH-R022"),
    "denySolution": Route(lambda _: "/solutions/bin/deny", refused="MH-R022"),
    "listIdentityApplications": fixed("/identity-applications"),
    "createIdentityApplication": fixed(
        "/identity-applications",
        {"provider": "auth0", "issuer": "https://id.example.org/", "audience": "c", "role": "SMARTCLEAN#IAMViewOnly"},
    ),
    "showIdentityApplication": Route(lambda t: f"/identity-applications/{t.identity_application}"),
    "changeIdentityApplication": Route(
        lambda t: f"/identity-applications/{t.identity_application}", lambda _: {"enabled": False}
    ),
    "removeIdentityApplication": Route(lambda t: f"/identity-applications/{t.identity_application}"),
}

OPERATIONS = {
    operation["operationId"]: (method.upper(), operation)
    for path, methods in openapi_document()["paths"].items()
    for method, operation in methods.items()
    if path.startswith("/hub/v1") and operation["operationId"] != "sendReadings"
}

every_route = pytest.mark.parametrize("operation", sorted(OPERATIONS))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def receiver() -> AsyncIterator[HttpsReceiver]:
    async with HttpsReceiver() as found:
        yield found


@dataclass(frozen=True, slots=True)
class Ask:
    """A good request to a route about one property's things, to be made by whom one likes."""

    operation: str
    path: str
    make_body: Callable[[], object]

    async def by(self, client: Client, query: str = "") -> Reply:
        body = self.make_body()
        kind = {"Content-Type": "application/octet-stream"} if isinstance(body, bytes) else {}
        path = self.path + (query.replace("?", "&") if "?" in self.path else query)
        method, described = OPERATIONS[self.operation]
        reply = await client.ask(method, path, body, headers=kind)
        assert str(reply.status) in described["responses"]
        return reply


async def prepared(rig: Rig, receiver: HttpsReceiver, operation: str) -> tuple[Ask, Anything, Client]:
    """The request, the things it is about, and a client of their owner."""
    if operation in WORK_ROUTES:
        desk, of_work = await furnish(rig), WORK_ROUTES[operation]
        path = await of_work.prepare(desk)
        return Ask(operation, path, lambda: of_work.body(desk)), desk, desk.matrix.client
    property_id = await rig.property()
    owner = await rig.client(property_id)
    if operation in BACKFILL_ROUTES:
        backfilled, of_backfill = await make_backfilled(rig, property_id), BACKFILL_ROUTES[operation]
        return Ask(operation, of_backfill.path(backfilled), lambda: of_backfill.body), backfilled, owner
    if operation in PLACE_ROUTES:
        places, of_place = await make_places(rig, property_id), PLACE_ROUTES[operation]
        return Ask(operation, of_place.path(places), lambda: of_place.body(places)), places, owner
    if operation in SHIFT_ROUTES:
        things = await with_shift_things(rig, property_id, STATES.get(operation, "published"))
    else:
        things = await make_things(rig, property_id, owner, receiver.url)
    if operation in DATABASE_ROUTES:
        things = await with_database(rig, things)
    route = ROUTES[operation]
    return Ask(operation, route.path(things), lambda: route.body(things)), things, owner


def shown(operation: str) -> bool:
    """Whether anyone gets an answer, with what is his own in it."""
    found = (routes.get(operation) for routes in (WORK_ROUTES, PLACE_ROUTES, BACKFILL_ROUTES, ROUTES))
    return next(route.shown for route in found if route is not None)


def refused(operation: str) -> str:
    """What somebody else is told where he gets no answer."""
    return ROUTES[operation].refused if operation in ROUTES else "MH-R008"


async def rows(rig: Rig, things: Anything) -> list[Any]:
    """All that is kept of the things."""
    statements = (
        "select * from subscription_overviews where property_id = $1",
        "select * from attempts where subscription_id in (select id from subscriptions where property_id = $1)",
        "select * from parked where subscription_id in (select id from subscriptions where property_id = $1)",
        "select * from replays where subscription_id in (select id from subscriptions where property_id = $1)",
        "select property_id, key from idempotency_keys where property_id = $1",
        "select * from applications where property_id = $1",
        "select * from access_keys where property_id = $1",
        "select * from identity_applications where property_id = $1 order by id",
        "select * from property_solutions where property_id = $1",
        "select line from events where property_id = $1 order by number",
        *SHIFT_STATEMENTS,
        "select * from databases where property_id = $1",
        "select * from iam_roles where property_id = $1",
        "select * from iam_groups where property_id = $1",
        "select * from iam_changes where property_id = $1",
        "select * from backfills where property_id = $1",
        "select * from properties where id = $1",
        "select * from building_overviews where property_id = $1 order by id",
        "select * from level_overviews where property_id = $1 order by id",
        "select * from zone_overviews where property_id = $1 order by id",
        "select * from slots where property_id = $1 order by id",
        "select * from audits where property_id = $1",
        "select * from media where property_id = $1",
        "select c.id from zone_categories c join buildings b on b.id = c.building_id where b.property_id = $1",
        "select u.id from zone_units u join buildings b on b.id = u.building_id where b.property_id = $1",
        "select p.* from plan_positions p join zone_overviews z using (level_id) where z.property_id = $1",
        *(f"select t::text from {table} t where property_id = $1 order by 1" for table in KEPT),
    )
    async with rig.database.connection() as connection:
        return [sorted(map(repr, await connection.fetch(statement, things.property_id))) for statement in statements]


async def test_no_route_is_forgotten_here() -> None:
    assert set(ROUTES) | set(PLACE_ROUTES) | set(WORK_ROUTES) | set(BACKFILL_ROUTES) == set(OPERATIONS)


@every_route
async def test_a_route_serves_the_owner_and_nobody_else(rig: Rig, receiver: HttpsReceiver, operation: str) -> None:
    ask, things, owner = await prepared(rig, receiver, operation)
    foreign = await rig.client()
    before = await rows(rig, things)
    told = await ask.by(foreign)
    assert told.status < 300 if shown(operation) else told.code == refused(operation), told.content
    said = unquote(ask.path) + str(ask.make_body())
    assert not [name for name in things.names if name in told.content and name.decode() not in said]
    assert (await ask.by(foreign, f"?property={things.property_id}")).code == "MH-R014"
    assert await rows(rig, things) == before
    assert 200 <= (served := await ask.by(owner)).status < 300, served.content


@pytest.mark.long
@every_route
async def test_a_route_serves_the_hubs_own_key_for_the_property_it_names(
    rig: Rig, receiver: HttpsReceiver, operation: str
) -> None:
    ask, things, _ = await prepared(rig, receiver, operation)
    local = Client(rig.url, rig.session, LOCAL_KEY)
    unnamed = await ask.by(local)
    assert (unnamed.code, unnamed.wrong) == ("MH-R010", ["property"])
    other = await ask.by(local, f"?property={await rig.property()}")
    assert other.status < 300 if shown(operation) else other.code == refused(operation)
    assert 200 <= (served := await ask.by(local, f"?property={things.property_id}")).status < 300, served.content


@every_route
async def test_a_route_wants_a_valid_key_that_may_manage(rig: Rig, receiver: HttpsReceiver, operation: str) -> None:
    ask, things, owner = await prepared(rig, receiver, operation)
    before = await rows(rig, things)
    for key in ("", "mhk_unknown", "not-a-key", "mhk_" + "x" * 5_000):
        told = await ask.by(Client(rig.url, rig.session, key))
        assert told.code == "MH-R006"
        assert told.headers["WWW-Authenticate"].startswith("Bearer")
    ingest_only = await rig.client(things.property_id, manages=False)
    assert (await ask.by(ingest_only)).code == "MH-R014"
    async with rig.database.connection() as connection:
        await connection.execute("update ingest_keys set revoked_at = now() where property_id = $1", things.property_id)
    assert (await ask.by(owner)).code == "MH-R006"
    assert await rows(rig, things) == before


BAD_BODIES: tuple[tuple[str, bytes, dict[str, str], str], ...] = (
    ("malformed", b"{", {}, "MH-R002"),
    ("empty", b"", {}, "MH-R002"),
    ("not UTF-8", b'{"name": "\xff"}', {}, "MH-R002"),
    ("no object", b'"text"', {}, "MH-R010"),
    ("too deep", b'{"name":' * 100_000, {}, "MH-R002 MH-R010"),
    ("of another type", b"{}", {"Content-Type": "text/plain"}, "MH-R016"),
    ("without type", b"{}", {"Content-Type": ""}, "MH-R016"),
    ("compressed", b"{}", {"Content-Encoding": "gzip"}, "MH-R005"),
    ("too large", b" " * (1024 * 1024 + 1), {}, "MH-R003"),
)


def takes_json(operation: str) -> bool:
    """Whether it takes a document, and not a file."""
    return "application/json" in OPERATIONS[operation][1].get("requestBody", {}).get("content", {})


@pytest.mark.parametrize("operation", [name for name in sorted(OPERATIONS) if takes_json(name)])
async def test_a_bad_body_is_told_what_is_wrong_with_it_and_does_nothing(
    rig: Rig, receiver: HttpsReceiver, operation: str
) -> None:
    ask, things, owner = await prepared(rig, receiver, operation)
    before = await rows(rig, things)
    for what, body, headers, code in BAD_BODIES:
        told = await owner.ask(OPERATIONS[operation][0], ask.path, body, headers=headers)
        assert told.code in code.split(), what
    good = ask.make_body()
    assert isinstance(good, dict)
    told = await owner.ask(OPERATIONS[operation][0], ask.path, {**good, "surprise": 1})
    assert (told.code, told.wrong) == ("MH-R010", ["surprise"])
    assert await rows(rig, things) == before


async def test_a_request_is_known_by_the_id_it_brings_or_is_given_one(client: Client) -> None:
    told = await client.ask("GET", "/subscriptions", headers={"X-Request-Id": "mine-1"})
    assert told.headers["X-Request-Id"] == "mine-1"
    told = await client.ask("GET", "/subscriptions", headers={"X-Request-Id": "not an id"})
    assert len(told.headers["X-Request-Id"]) == 36
