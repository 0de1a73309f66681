"""The REST face over real HTTP, on a real PostgreSQL and NATS, with what its tests need to fill it."""

from __future__ import annotations

import builtins
import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp

from matrixhub.api import Parts
from matrixhub.bus import NatsBus
from matrixhub.bus.subjects import sensor_subject
from matrixhub.databases import hosting
from matrixhub.databases.hosted import hosted_record
from matrixhub.lifecycle import SystemClock
from matrixhub.model.access import PROPERTY_ADMINS, RoleId
from matrixhub.model.application import Quota
from matrixhub.model.database import HostedNames, Limits
from matrixhub.model.delivery import Attempt, time_ordered_id
from matrixhub.model.destination import Destination
from matrixhub.model.iam import GroupDocument, PolicySet, RoleDocument, Statement
from matrixhub.model.ids import (
    ApplicationId,
    BuildingId,
    DatabaseId,
    IdentityApplicationId,
    KeyId,
    PropertyId,
    SubscriptionId,
)
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Filter, Position, Source, Subscription
from matrixhub.modules.access.keys import AccessKeyDraft, make_access_key
from matrixhub.modules.access.roles import create_group, create_role
from matrixhub.modules.events import publish_events, register_application
from matrixhub.modules.federation import NewIdentityApplication, register_identity_application
from matrixhub.modules.property_solutions import add_solution
from matrixhub.modules.work import Platform
from matrixhub.observe import Fact
from matrixhub.ports import Outgoing
from matrixhub.sources.sites import make_site
from matrixhub.store import Database
from matrixhub.store.attempts import record_attempt
from matrixhub.store.databases import Databases
from matrixhub.store.keys import create_key
from matrixhub.store.replays import ask_replay
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription

if TYPE_CHECKING:
    from tests.integration.rest.shift_routes import ShiftThings

SEEDS = itertools.count(1)
LOCAL_KEY = "mhk_the-key-of-the-hub-itself"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The document."""
        return json.loads(self.content)

    @property
    def code(self) -> str:
        """The code of a problem, which must be one."""
        assert self.headers["Content-Type"] == "application/problem+json", self.content
        problem = self.json()
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["X-Request-Id"]
        return str(problem["code"])

    @property
    def wrong(self) -> list[str]:
        """The paths of the fields that a problem names."""
        assert self.code
        return [entry["path"] for entry in self.json()["errors"]]


@dataclass(slots=True)
class Client:
    """Asks the REST face with a key, and keeps everything that came back."""

    url: str
    session: aiohttp.ClientSession
    key: str
    seen: list[bytes] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        async with self.session.request(
            method,
            self.url + path,
            data=None if data is None else io.BytesIO(data),
            headers=sent,
            skip_auto_headers=["Content-Type"],
        ) as answer:
            content = await answer.read()
            assert answer.headers["X-Request-Id"]
            assert answer.headers["Cache-Control"] == "no-store"
            self.seen += [content, repr(answer.raw_headers).encode()]
            return Reply(answer.status, answer.headers, content)

    async def get(self, path: str) -> Reply:
        """A GET."""
        return await self.ask("GET", path)

    async def post(self, path: str, body: object = None, **headers: str) -> Reply:
        """A POST; underscores in the names of headers stand for dashes."""
        return await self.ask("POST", path, body, headers={n.replace("_", "-"): v for n, v in headers.items()})


@dataclass(slots=True)
class Rig:
    """A served REST face and the parts behind it; every test has properties of its own."""

    url: str
    database: Database
    codec: Codec
    buses: Mapping[Source, NatsBus]
    session: aiohttp.ClientSession
    facts: list[Fact]
    parts: Parts

    @builtins.property
    def bus(self) -> NatsBus:
        """The stream of readings."""
        return self.buses["sensors"]

    async def property(self) -> PropertyId:
        """A property."""
        site = make_site(3, seed=next(SEEDS))
        await apply_site(self.database, site, remove=False)
        return site.property.id

    async def client(self, property_id: PropertyId | None = None, *, manages: bool = True) -> Client:
        """A client with a key of the property, by default of a new one."""
        owner = property_id or await self.property()
        _, token = await create_key(self.database, owner, "", manages=manages)
        return Client(self.url, self.session, token.reveal())

    async def hosted(self, property_id: PropertyId) -> DatabaseId:
        """The record and the roles of a database that the hub hosts; not the database itself, which takes longer."""
        record = replace(hosted_record(property_id, f"reports-{next(SEEDS)}", Limits()), state="ready")
        async with self.database.transaction() as connection:
            rights = await hosting.read_rights(connection)
            await hosting.make_roles(connection, HostedNames.of(record.id), record.limits, rights)
        await Databases(self.database, self.codec.sealer).add(record)
        return record.id

    async def role(self, property_id: PropertyId, *operations: str, **fields: Any) -> RoleId:
        """A role of the property that allows the operations, and whatever else its document says."""
        allow = Statement(effect="allow", operations=operations or ("nothing.at.all",))
        document = RoleDocument(
            **{
                "name": f"T#{next(SEEDS)}-{property_id[:16]}",
                "policy_sets": (PolicySet(name="tested", statements=(allow,)),),
                **fields,
            }
        )
        return (await create_role(self.parts.platform, property_id, document, actor="ann")).role.id

    async def client_with(self, property_id: PropertyId, role_id: RoleId) -> Client:
        """A client with a key of the property that has the role."""
        _, token = await create_key(self.database, property_id, "", role_id=role_id)
        return Client(self.url, self.session, token.reveal())

    async def subscribe(self, property_id: PropertyId, *, seq: int = 1, **fields: Any) -> Subscription:
        """A subscription that begins at a message of the stream."""
        return await create_subscription(
            self.database,
            self.codec,
            property_id,
            **{
                "name": "n",
                "wanted": Filter(),
                "destination": Destination(url="https://example.org/in"),
                "limits": BatchLimits(),
                "position": Position(seq=seq),
                **fields,
            },
        )

    async def publish(self, property_id: PropertyId, readings: int) -> int:
        """A message of so many readings in the stream; its sequence."""
        lines = b"\n".join(b'{"DEVID":"d","unixT":%d,"InsID":"z"}' % n for n in range(readings))
        subject = sensor_subject(property_id, BuildingId("b"), "SMARTCLEAN#UM")
        (fault,) = await self.bus.publish([Outgoing(subject, lines, readings, f"{property_id}-{next(SEEDS)}")])
        assert fault is None
        return (await self.bus.bounds()).last_seq

    async def application(self, property_id: PropertyId, quota: Quota | None = None) -> ApplicationId:
        """An application of the property that has published an event."""
        platform = Platform(database=self.database, clock=SystemClock())
        made = await register_application(
            platform, property_id, f"app-{next(SEEDS)}-{property_id[:8]}", name="", quota=quota or Quota()
        )
        item = {"Event": "TRIED", "Priority": "LOW", "Description": f"of {made.id}", "Meta": {}}
        await publish_events(platform, property_id, made.id, [item])
        return made.id

    async def attempt(self, subscription: Subscription, **fields: Any) -> Attempt:
        """A recorded attempt."""
        at = fields.pop("at", datetime.now(UTC))
        made = Attempt(
            **{
                "id": time_ordered_id(int(at.timestamp() * 1000)),
                "at": at,
                "kind": "push",
                "request_id": "r1",
                "attempt": 1,
                "items": 2,
                "size_bytes": 20,
                "http_status": 200,
                "seconds": 0.25,
                **fields,
            }
        )
        await record_attempt(self.database, subscription.property_id, subscription.id, made)
        return made

    async def park(self, subscription: Subscription, count: int = 1, **fields: Any) -> list[UUID]:
        """Parked readings, with the count that the carrier keeps."""
        now = fields.pop("at", datetime.now(UTC))
        ids = []
        async with self.database.transaction() as connection:
            for number in range(count):
                at = now + timedelta(microseconds=number)
                ids.append(time_ordered_id(int(at.timestamp() * 1000)))
                await connection.execute(
                    "insert into parked (subscription_id, parked_at, id, seq, item, line, code, reason, http_status,"
                    " request_id) values ($1, $2, $3, $4, 0, $5, $6, 'wrong', 422, 'r1')",
                    subscription.id,
                    at,
                    ids[-1],
                    number + 1,
                    json.dumps({"n": number}),
                    fields.get("code", "MH-D003"),
                )
            await connection.execute(
                "update subscription_progress set parked = parked + $2 where subscription_id = $1",
                subscription.id,
                count,
            )
        return ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Things:
    """One of everything that a property can have."""

    property_id: PropertyId
    subscription: SubscriptionId
    signing_key: str
    attempt: UUID
    parked: UUID
    replay: str
    application: ApplicationId
    key: KeyId
    identity_application: IdentityApplicationId
    role: str
    group: str
    database: DatabaseId
    shifts: ShiftThings | None = None
    customer_database: DatabaseId | None = None

    @property
    def names(self) -> list[bytes]:
        """What must not be seen by another property."""
        ids = (
            *(self.property_id, self.subscription, self.signing_key, self.attempt, self.parked, self.replay),
            *(self.application, self.key, self.identity_application, self.role, self.group, self.database),
            *((self.shifts.shift, self.shifts.integration) if self.shifts else ()),
            *((self.customer_database,) if self.customer_database else ()),
        )
        return [str(one).encode() for one in ids]


async def make_things(rig: Rig, property_id: PropertyId, client: Client, url: str) -> Things:
    """A subscription amid the stream, with an attempt, a parked reading, a replay and a signing key; an application."""
    first = await rig.publish(property_id, 2)
    destination = Destination(url=url)
    made = await rig.subscribe(property_id, seq=first + 1, destination=destination)
    attempt = await rig.attempt(made, start=Position(seq=first), end=Position(seq=first + 1))
    (parked,) = await rig.park(made)
    replay = await ask_replay(rig.database, property_id, made.id, Position(seq=first))
    key = await client.post(f"/subscriptions/{made.id}/signing-keys", {})
    assert key.status == 201, key.content
    application = await rig.application(property_id)
    pair, _ = await make_access_key(rig.parts.platform, rig.codec.sealer, property_id, AccessKeyDraft())
    asked = NewIdentityApplication(
        provider="auth0", issuer="https://id.example.org/", audience="c", role_id=PROPERTY_ADMINS
    )
    identity_application = await register_identity_application(rig.parts.platform, property_id, asked)
    await add_solution(rig.parts.platform, property_id, "bin", actor="ann")
    role, group = await rig.role(property_id, "scgrids.*"), f"group-{property_id[:16]}"
    members = GroupDocument(name=group, role="GridsViewer")
    await create_group(rig.parts.platform, property_id, members, actor="ann")
    return Things(
        property_id=property_id,
        subscription=made.id,
        signing_key=key.json()["id"],
        attempt=attempt.id,
        parked=parked,
        replay=replay.id,
        application=application,
        key=pair.id,
        identity_application=identity_application.id,
        role=role,
        group=group,
        database=await rig.hosted(property_id),
    )
