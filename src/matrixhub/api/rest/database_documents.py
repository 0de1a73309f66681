"""What the REST face takes and gives about databases. A password is in the answer that makes it, in no other one."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from matrixhub.api.rest.documents import Given, Instant, Next, Taken
from matrixhub.model.database import Condition, Hosting, TlsMode

DatabaseName = Annotated[
    str, Meta(min_length=1, max_length=200, description="What it is, for people; unique in the property.")
]
ConnectionsMax = Annotated[int, Meta(ge=1, le=100, description="Connections of all readers together.")]
StatementTimeout = Annotated[float, Meta(ge=1, le=3600, description="Seconds a query may take.")]
WorkMem = Annotated[int, Meta(ge=1, le=1024, description="MiB that a step of a query may take in memory.")]
TempMax = Annotated[int, Meta(ge=0, le=102_400, description="MiB of temporary files that a session may write.")]
RetentionDays = Annotated[int, Meta(ge=1, le=3650, description="Days that readings and events are kept at least.")]


class LimitsView(Given, frozen=True, kw_only=True):
    """What the readers of a database may take of its server, and how long it keeps."""

    connections_max: ConnectionsMax
    statement_timeout_s: StatementTimeout
    work_mem_mib: WorkMem
    temp_mib_max: TempMax
    retention_days: RetentionDays


class ReaderView(Given, frozen=True, kw_only=True):
    """How readers of a hosted database fare."""

    size_bytes: Annotated[int, Meta(description="What the database takes on disk.")]
    sessions: Annotated[int, Meta(description="Connections of readers now.")]
    reader_may_log_in: Annotated[bool, Meta(description="False once it was revoked.")]


class DatabaseView(Given, frozen=True, kw_only=True):
    """A database; without any password."""

    id: str
    property: str
    name: str
    hosting: Annotated[Hosting, Meta(description="Who hosts it.")]
    state: Annotated[Condition, Meta(description="`making` and `dropping` were begun and are not finished.")]
    host: Annotated[str | None, Meta(description="Of a customer's own; for one of the hub's see its sheet.")]
    port: int | None
    database: str
    user: Annotated[str, Meta(description="Who writes.")]
    tls: TlsMode | None
    reader: Annotated[str | None, Meta(description="Who reads, where the hub hosts it.")]
    limits: LimitsView | None
    version: int
    created_at: Instant


class DatabasePage(Given, frozen=True, kw_only=True):
    """Databases, oldest first."""

    items: list[DatabaseView]
    next: Next


class DatabaseDetails(Given, frozen=True, kw_only=True):
    """A database, what leads to it, and how its readers fare where the hub hosts it."""

    database: DatabaseView
    subscriptions: Annotated[list[str], Meta(description="Those that lead to it.")]
    readers: ReaderView | None


class LoginView(Given, frozen=True, kw_only=True):
    """Where and as whom a reader connects; `password` is in no other answer."""

    host: str
    port: int
    database: str
    schema: str
    user: str
    password: str
    tls: Literal["verify-full", "disable"]
    psql: Annotated[str, Meta(description="A command that connects.")]


class NewDatabaseView(Given, frozen=True, kw_only=True):
    """A database that was made, with the login of its reader."""

    database: DatabaseView
    login: LoginView
    weaknesses: Annotated[list[str], Meta(description="What its server leaves open; empty on the hub's own.")]


class RotatedView(Given, frozen=True, kw_only=True):
    """Whose password was changed, and the login with it where it is the reader's."""

    who: Literal["reader", "writer"]
    login: LoginView | None


class SessionsView(Given, frozen=True, kw_only=True):
    """What was ended."""

    sessions_ended: int


class ExampleView(Given, frozen=True, kw_only=True):
    """A query to begin with."""

    name: str
    title: str
    sql: str


class SheetView(Given, frozen=True, kw_only=True):
    """A connection sheet; no password is in it."""

    host: str
    port: int
    database: str
    schema: str
    user: str
    tls: Literal["verify-full", "disable"]
    ca_pem: Annotated[str, Meta(description="By which the server is known; empty where the system's trust does.")]
    notes: list[str]
    limits: LimitsView
    ways: Annotated[dict[str, str], Meta(description="How to connect, by tool.")]
    queries: list[ExampleView]
    markdown: Annotated[str, Meta(description="All of it as a page.")]


class SchemaView(Given, frozen=True, kw_only=True):
    """The schema of databases that the hub hosts."""

    version: int
    statements: Annotated[dict[str, str], Meta(description="What made it, by name, in order.")]
    markdown: Annotated[str, Meta(description="All of it as a page.")]


class LimitsChange(Taken, frozen=True, kw_only=True):
    """Limits to change; what is left out stays as it is."""

    connections_max: ConnectionsMax | None = None
    statement_timeout_s: StatementTimeout | None = None
    work_mem_mib: WorkMem | None = None
    temp_mib_max: TempMax | None = None
    retention_days: RetentionDays | None = None


class NewDatabase(Taken, frozen=True, kw_only=True):
    """A database to make on the hub's own server."""

    name: DatabaseName
    limits: LimitsChange = LimitsChange()


class DatabaseChange(Taken, frozen=True, kw_only=True):
    """What to change of a database."""

    limits: LimitsChange


class DatabaseRotation(Taken, frozen=True, kw_only=True):
    """Whose password to change."""

    who: Annotated[
        Literal["reader", "writer"], Meta(description="`writer` is the hub itself; nobody has to be told.")
    ] = "reader"
