"""`/hub/v1/databases/connect` and `/hub/v1/databases/{id}/server`: databases of customers' own, and whether they take
what is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, etag, version_of
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.parts import Parts
from matrixhub.api.rest import customer_database_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.deliveries.database_desk import (
    DatabaseDesk,
    ServerChange,
    applied_document,
    checked_document,
    open_database_desk,
    server_document,
)
from matrixhub.model.database import CustomerDatabase, Server
from matrixhub.model.ids import DatabaseId
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import SOURCES
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer

DatabasePath = Annotated[str, PathParameter(pattern=r"^db_[0-9a-f]{1,32}$", description="Id of the database, db_….")]


@post(
    "/databases/connect",
    operation_id="connectDatabase",
    summary="Connect a database of the customer's own",
    tags=["databases"],
    status_code=201,
    opt={
        "takes": doc.NewCustomerDatabase,
        "answers": {201: doc.CustomerDatabaseView},
        "headers": ("ETag", "Location"),
    },
)
async def connect(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """The password goes in here and never comes out again. Nothing is asked of the server yet: `checkDatabase` does."""
    body = await read_body(request)
    asked = parse_as(doc.NewCustomerDatabase, body)
    server = Server(
        host=asked.host,
        port=asked.port,
        database=asked.database,
        user=asked.user,
        password=Secret(asked.password),
        tls=asked.tls,
        ca_pem=asked.ca_pem,
    )

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            async with _desk(hub, database) as desk:
                made = await desk.add(property_id, asked.name or asked.database, server, may_create=asked.may_create)
            headers = {"Location": f"/hub/v1/databases/{made.id}/server", "ETag": etag(made.version)}
            return answer(201, _view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/databases/{database_id:str}/server",
    operation_id="showDatabaseServer",
    summary="Show where a database is",
    tags=["databases"],
    opt={"headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, database_id: DatabasePath) -> Response[doc.CustomerDatabaseView]:
    """Where a database of the customer's own is, and as whom the hub writes; without the password."""
    async with _desk(hub) as desk:
        return _shown(await desk.own(DatabaseId(database_id), property_id))


@patch(
    "/databases/{database_id:str}/server",
    operation_id="changeDatabaseServer",
    summary="Change where a database is",
    tags=["databases"],
    opt={"takes": doc.CustomerDatabaseChange, "types": MERGE_PATCH_TYPES, "headers": ("ETag",)},
)
async def change(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    database_id: DatabasePath,
    if_match: IfMatch = None,
) -> Response[doc.CustomerDatabaseView]:
    """What is not named stays as it is, the password too, unless another server could be asked for it. Deliveries go on
    with the change.
    """
    asked = parse_as(doc.CustomerDatabaseChange, await read_body(request, MERGE_PATCH_TYPES))
    given = {name: getattr(asked, name) for name in ("name", "host", "port", "database", "user", "tls", "ca_pem")}
    password = None if asked.password is None else Secret(asked.password)
    wanted = ServerChange(**given, password=password, may_create=asked.may_create)
    async with _desk(hub) as desk:
        before = await desk.own(DatabaseId(database_id), property_id)
        version = version_of(if_match, before.version)
        after = await desk.change(before.id, property_id, wanted, version=version, knows_password=False)
        return _shown(after)


@delete(
    "/databases/{database_id:str}/server",
    operation_id="disconnectDatabase",
    summary="Forget a database of the customer's own",
    tags=["databases"],
    opt={"problems": (409,)},
)
async def disconnect(hub: Hub, property_id: PropertyScope, database_id: DatabasePath) -> None:
    """Nothing is changed in it. Not while a subscription leads to it."""
    async with _desk(hub) as desk:
        await desk.remove(DatabaseId(database_id), property_id)


@post(
    "/databases/{database_id:str}/check",
    operation_id="checkDatabase",
    summary="Check a database",
    tags=["databases"],
    status_code=200,
    opt={"takes": doc.DatabaseCheck, "answers": {200: doc.CheckedView}},
)
async def check(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, database_id: DatabasePath
) -> Response[doc.CheckedView]:
    """Whether the hub can write to it: reach, TLS, login, rights, schema, with what to do where it cannot, which is no
    error here. A row is written to each table, and taken back.
    """
    asked = parse_as(doc.DatabaseCheck, await read_body(request))
    async with _desk(hub) as desk:
        checked = await desk.check(await desk.show(DatabaseId(database_id), property_id), asked.sources or SOURCES)
    return Response(msgspec.convert(checked_document(checked), doc.CheckedView))


@post(
    "/databases/{database_id:str}/apply",
    operation_id="applyDatabaseSchema",
    summary="Make the schema in a database",
    tags=["databases"],
    status_code=200,
    opt={"problems": (409, 502)},
)
async def apply(hub: Hub, property_id: PropertyScope, database_id: DatabasePath) -> doc.AppliedView:
    """Makes what is missing, where that was allowed, and checks it. What the customer has added is left alone. It may
    be repeated.
    """
    async with _desk(hub) as desk:
        applied = await desk.apply(await desk.show(DatabaseId(database_id), property_id))
    return msgspec.convert(applied_document(applied), doc.AppliedView)


@get(
    "/databases/{database_id:str}/script",
    operation_id="showDatabaseScript",
    summary="Show what makes the schema",
    tags=["databases"],
)
async def script(hub: Hub, property_id: PropertyScope, database_id: DatabasePath) -> doc.ScriptView:
    """What is missing of the schema and of the rights to write, to be run by hand with psql by someone who may."""
    async with _desk(hub) as desk:
        return doc.ScriptView(script=await desk.script(await desk.own(DatabaseId(database_id), property_id)))


@asynccontextmanager
async def _desk(hub: Parts, database: Database | None = None) -> AsyncIterator[DatabaseDesk]:
    async with open_database_desk(
        hub.database, hub.codec.sealer, hub.allowed_to_all, hub.clock, writing=database
    ) as desk:
        yield desk


def _view(record: CustomerDatabase) -> doc.CustomerDatabaseView:
    return msgspec.convert(server_document(record), doc.CustomerDatabaseView)


def _shown(record: CustomerDatabase) -> Response[doc.CustomerDatabaseView]:
    return Response(_view(record), headers={"ETag": etag(record.version)})


handlers = [connect, show, change, disconnect, check, apply, script]
