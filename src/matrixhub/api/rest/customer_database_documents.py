"""What the REST face takes and gives about databases of customers' own. A password is never in an answer."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from matrixhub.api.rest.documents import Given, Instant, SecretText, Taken
from matrixhub.databases.verdict import Grade
from matrixhub.model.database import PORT, Step, TlsMode
from matrixhub.model.subscription import Source

DatabaseLabel = Annotated[str, Meta(min_length=1, max_length=200, description="What it is called here.")]
Host = Annotated[
    str, Meta(min_length=1, max_length=253, description="Name or address of the server, as in its certificate.")
]
PortNumber = Annotated[int, Meta(ge=1, le=65_535, description="TCP port of the server.")]
DatabaseName = Annotated[str, Meta(min_length=1, max_length=63, description="Name of the database there.")]
UserName = Annotated[str, Meta(min_length=1, max_length=63, description="As whom the hub writes.")]
Tls = Annotated[
    TlsMode,
    Meta(
        description="`verify-full` asks for a certificate of that host name, `verify-ca` for one of a trusted"
        " authority, `require` for any; with `disable` everything goes in clear."
    ),
]
CaPem = Annotated[
    str, Meta(max_length=262_144, description="Certificates to trust in place of the public ones, in PEM.")
]
Sources = Annotated[list[Source], Meta(max_length=2)]
MayCreate = Annotated[bool, Meta(description="Whether the hub may make its schema there, and mend it.")]


class CustomerDatabaseView(Given, frozen=True, kw_only=True):
    """A PostgreSQL of the customer's own, which the hub fills."""

    id: str
    property: str
    name: DatabaseLabel
    hosting: Literal["customer"]
    host: Host
    port: PortNumber
    database: DatabaseName
    user: UserName
    tls: Tls
    ca_pem: CaPem
    may_create: MayCreate
    version: Annotated[int, Meta(ge=1)]
    created_at: Instant


class NewCustomerDatabase(Taken, frozen=True, kw_only=True):
    """A database of the customer's own, as it is told of."""

    host: Host
    database: DatabaseName
    user: UserName
    password: SecretText
    name: Annotated[DatabaseLabel | None, Meta(description="As it is called there, where it is left out.")] = None
    port: PortNumber = PORT
    tls: Tls = "verify-full"
    ca_pem: CaPem = ""
    may_create: MayCreate = False


class CustomerDatabaseChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays. For another host, port, TLS or CA the password is given again."""

    name: DatabaseLabel | None = None
    host: Host | None = None
    port: PortNumber | None = None
    database: DatabaseName | None = None
    user: UserName | None = None
    password: SecretText | None = None
    tls: Tls | None = None
    ca_pem: CaPem | None = None
    may_create: MayCreate | None = None


class DatabaseCheck(Taken, frozen=True, kw_only=True):
    """What is to be looked at."""

    sources: Annotated[Sources | None, Meta(description="What it is to take; both where it is left out.")] = None


class VerdictView(Given, frozen=True, kw_only=True):
    """What was found at a step, and what to do."""

    step: Annotated[Step, Meta(description="What has to be right, in this order.")]
    grade: Annotated[
        Grade,
        Meta(description="`wrong` keeps the hub from writing, a `warning` does not; `unknown` was not looked at."),
    ]
    found: str
    to_do: Annotated[str, Meta(description="Empty where nothing is to be done.")]
    run: Annotated[list[str], Meta(description="Commands and statements to be run as they stand.")]


class CheckedView(Given, frozen=True, kw_only=True):
    """What a check found, step by step."""

    ready: Annotated[bool, Meta(description="Whether the hub can write to it.")]
    verdicts: list[VerdictView]


class RanView(Given, frozen=True, kw_only=True):
    """A statement that was run."""

    missing: Annotated[str, Meta(description="What was missing.")]
    sql: str
    error: Annotated[str, Meta(description="Why it failed; empty where it did not.")]


class AppliedView(Given, frozen=True, kw_only=True):
    """The statements that were run, in order, and how the database is now. After one that failed none is run."""

    ran: list[RanView]
    ready: Annotated[bool, Meta(description="Whether the hub can write to it.")]
    verdicts: list[VerdictView]


class ScriptView(Given, frozen=True, kw_only=True):
    """What makes the schema, to be run by hand with psql."""

    script: str
