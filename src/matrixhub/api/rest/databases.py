"""`/hub/v1/databases`: databases that customers ask with SQL; here those that the hub hosts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import PathParameter, QueryParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.parts import Parts
from matrixhub.api.rest import database_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.databases import schema as published
from matrixhub.databases.hosted import require_ready
from matrixhub.databases.sheet import (
    Address,
    read_address,
    required_ca,
    schema_markdown,
    sheet_markdown,
    sheet_of,
    ways_of,
)
from matrixhub.model.database import CustomerDatabase, Limits
from matrixhub.model.ids import DatabaseId, PropertyId
from matrixhub.model.secret import Secret
from matrixhub.store import Database
from matrixhub.store.databases import Databases
from matrixhub.store.idempotency import Answer
from matrixhub.store.sites import read_site

DatabasePath = Annotated[str, PathParameter(pattern=r"^db_[0-9a-f]{1,32}$", description="Id of the database.")]
AlsoQuery = Annotated[bool, QueryParameter(description="Delete the subscriptions that lead to it, too.")]


@get("/databases", operation_id="listDatabases", summary="List databases", tags=["databases"])
async def list_(
    hub: Hub, property_id: PropertyScope, cursor: CursorQuery = None, limit: LimitQuery = LIMIT
) -> doc.DatabasePage:
    """Those of the property, oldest first: that the hub hosts, and that are customers' own."""
    after = read_cursor("database", cursor, DatabaseId)
    found = [one for one in await _kept(hub).list(property_id) if after is None or (one.created_at, one.id) > after]
    page, following = cut_page(found, limit, lambda one: make_cursor("database", one.created_at, one.id))
    return doc.DatabasePage(items=[database_view(one) for one in page], next=following)


@post(
    "/databases",
    operation_id="createDatabase",
    summary="Make a database",
    tags=["databases"],
    status_code=201,
    opt={
        "takes": doc.NewDatabase,
        "answers": {201: doc.NewDatabaseView},
        "headers": ("Location",),
        "problems": (409, 412),
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """On the hub's own server, with a login that reads, whose password is in this answer and in no other one. The
    database is empty until subscriptions lead to it. What was interrupted is finished by the same request.
    """
    body = await read_body(request)
    asked = parse_as(doc.NewDatabase, body)

    async def prepare() -> Make:
        made = await hub.hosted.prepare(property_id, asked.name, _changed(Limits(), asked.limits))
        address = await read_address(hub.database, hub.hosting)

        async def make(database: Database) -> Answer:
            done = await hub.hosted.finish(database, made)
            view = doc.NewDatabaseView(
                database=database_view(done.record),
                login=_login(done.record, done.password, address),
                weaknesses=list(done.weaknesses),
            )
            return answer(201, view, {"Location": f"/hub/v1/databases/{done.record.id}"})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get("/databases/schema", operation_id="showDatabaseSchema", summary="Show the schema", tags=["databases"])
async def schema(hub: Hub, property_id: PropertyScope) -> doc.SchemaView:
    """What stands in every database that the hub hosts, with comments on its columns."""
    return doc.SchemaView(
        version=published.VERSION,
        statements=dict(published.statements(hosted=True)),
        markdown=schema_markdown(),
    )


@get(
    "/databases/ca",
    operation_id="showDatabaseCa",
    summary="Show the authority of the server",
    tags=["databases"],
    opt={"answer": ("application/x-pem-file", "A certificate in PEM."), "problems": (404,)},
)
async def ca(hub: Hub, property_id: PropertyScope) -> Response[bytes]:
    """The certificate by which readers know the server of the databases that the hub hosts."""
    return Response(required_ca(hub.hosting).encode(), media_type="application/x-pem-file")


@get("/databases/{database_id:str}", operation_id="showDatabase", summary="Show a database", tags=["databases"])
async def show(hub: Hub, property_id: PropertyScope, database_id: DatabasePath) -> doc.DatabaseDetails:
    """One database, the subscriptions that lead to it, and how its readers fare."""
    record = await _found(hub, property_id, database_id)
    inspected = await hub.hosted.inspect(record) if record.hosting == "hub" else None
    return doc.DatabaseDetails(
        database=database_view(record),
        subscriptions=list(await _kept(hub).subscribed(record.id)),
        readers=None
        if inspected is None
        else doc.ReaderView(
            size_bytes=inspected.size_bytes,
            sessions=inspected.sessions,
            reader_may_log_in=inspected.reader_may_log_in,
        ),
    )


@patch(
    "/databases/{database_id:str}",
    operation_id="changeDatabase",
    summary="Change a database",
    tags=["databases"],
    opt={"takes": doc.DatabaseChange, "types": MERGE_PATCH_TYPES, "problems": (409, 412)},
)
async def change(
    hub: Hub, property_id: PropertyScope, database_id: DatabasePath, request: ApiRequest
) -> doc.DatabaseView:
    """Its limits, for sessions of readers from then on."""
    asked = parse_as(doc.DatabaseChange, await read_body(request, MERGE_PATCH_TYPES))
    record = await _found(hub, property_id, database_id)
    return database_view(await hub.hosted.resize(record.id, property_id, _changed(record.limits, asked.limits)))


@delete(
    "/databases/{database_id:str}",
    operation_id="dropDatabase",
    summary="Drop a database",
    tags=["databases"],
    opt={"problems": (409,)},
)
async def drop(
    hub: Hub, property_id: PropertyScope, database_id: DatabasePath, subscriptions: AlsoQuery = False
) -> None:
    """With all that is in it, its logins, and every session in it. It is refused while subscriptions lead to it, unless
    those are to go, too.
    """
    await hub.hosted.drop(DatabaseId(database_id), property_id, subscriptions=subscriptions)


@post(
    "/databases/{database_id:str}/rotate",
    operation_id="rotateDatabase",
    summary="Change a password",
    tags=["databases"],
    status_code=200,
    opt={"takes": doc.DatabaseRotation, "answers": {200: doc.RotatedView}, "problems": (409, 412)},
)
async def rotate(
    hub: Hub, property_id: PropertyScope, database_id: DatabasePath, request: ApiRequest
) -> Response[bytes]:
    """The reader's is in this answer and in no other one, and its sessions end. The hub's own goes on writing."""
    asked = parse_as(doc.DatabaseRotation, await read_body(request))
    password = await hub.hosted.rotate(DatabaseId(database_id), property_id, asked.who)
    login = None
    if asked.who == "reader":
        record = await _found(hub, property_id, database_id)
        login = _login(record, password, await read_address(hub.database, hub.hosting))
    view = doc.RotatedView(who=asked.who, login=login)
    return Response(msgspec.json.encode(view), status_code=200, media_type="application/json")


@post(
    "/databases/{database_id:str}/revoke",
    operation_id="revokeDatabaseReader",
    summary="Let the reader in no more",
    tags=["databases"],
    status_code=200,
    opt={"problems": (409,)},
)
async def revoke(hub: Hub, property_id: PropertyScope, database_id: DatabasePath) -> doc.SessionsView:
    """Its sessions end. The database goes on being filled."""
    return doc.SessionsView(sessions_ended=await hub.hosted.revoke(DatabaseId(database_id), property_id))


@post(
    "/databases/{database_id:str}/grant",
    operation_id="grantDatabaseReader",
    summary="Let the reader in again",
    tags=["databases"],
    status_code=204,
    opt={"problems": (409,)},
)
async def grant(hub: Hub, property_id: PropertyScope, database_id: DatabasePath) -> None:
    """With the password it has."""
    await hub.hosted.grant(DatabaseId(database_id), property_id)


@get(
    "/databases/{database_id:str}/sheet",
    operation_id="showDatabaseSheet",
    summary="Show the connection sheet",
    tags=["databases"],
    opt={"problems": (409,)},
)
async def sheet(hub: Hub, property_id: PropertyScope, database_id: DatabasePath) -> doc.SheetView:
    """Where the database is now, how tools connect to it, and queries to begin with. No password is in it."""
    record = await _found(hub, property_id, database_id)
    require_ready(record)
    site = await read_site(hub.database, property_id)
    address = await read_address(hub.database, hub.hosting)
    made = sheet_of(record, address, site.buildings[0] if site and site.buildings else None, datetime.now(UTC))
    return doc.SheetView(
        host=address.host,
        port=address.port,
        database=record.server.database,
        schema="matrix",
        user=record.reader,
        tls=_tls(address),
        ca_pem=address.ca_pem,
        notes=list(address.notes),
        limits=_limits_view(record.limits),
        ways=dict(made.ways),
        queries=[doc.ExampleView(name=one.name, title=one.title, sql=one.sql) for one in made.queries],
        markdown=sheet_markdown(made),
    )


def database_view(record: CustomerDatabase) -> doc.DatabaseView:
    """A database without any password."""
    hosted = record.hosting == "hub"
    return doc.DatabaseView(
        id=record.id,
        property=record.property_id,
        name=record.name,
        hosting=record.hosting,
        state=record.state,
        host=None if hosted else record.server.host,
        port=None if hosted else record.server.port,
        database=record.server.database,
        user=record.server.user,
        tls=None if hosted else record.server.tls,
        reader=record.reader if hosted else None,
        limits=_limits_view(record.limits) if hosted else None,
        version=record.version,
        created_at=record.created_at,
    )


def _limits_view(limits: Limits) -> doc.LimitsView:
    return doc.LimitsView(
        connections_max=limits.connections_max,
        statement_timeout_s=limits.statement_timeout_s,
        work_mem_mib=limits.work_mem_mib,
        temp_mib_max=limits.temp_mib_max,
        retention_days=limits.retention_days,
    )


def _login(record: CustomerDatabase, password: Secret, address: Address) -> doc.LoginView:
    return doc.LoginView(
        host=address.host,
        port=address.port,
        database=record.server.database,
        schema="matrix",
        user=record.reader,
        password=password.reveal(),
        tls=_tls(address),
        psql=ways_of(record, address)["psql"],
    )


def _tls(address: Address) -> Literal["verify-full", "disable"]:
    return "verify-full" if address.tls else "disable"


def _changed(limits: Limits, asked: doc.LimitsChange) -> Limits:
    given = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
    return replace(limits, **given)


def _kept(hub: Parts) -> Databases:
    return Databases(hub.database, hub.codec.sealer)


async def _found(hub: Parts, property_id: PropertyId, database_id: str) -> CustomerDatabase:
    return await _kept(hub).show(DatabaseId(database_id), property_id)


handlers = [list_, create, schema, ca, show, change, drop, rotate, revoke, grant, sheet]
