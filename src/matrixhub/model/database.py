"""A customer's database: a PostgreSQL that the hub fills with readings and events, and the customer queries.

It is hosted by the hub, in a database of its own on a server of the hub's, or by the customer, wherever that is.
Source: docs/contract/dedicated-db.md, docs/decisions/0021-databases.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import DatabaseId, PropertyId
from matrixhub.model.secret import Secret

Hosting = Literal["hub", "customer"]
HOSTINGS: tuple[Hosting, ...] = ("hub", "customer")

Condition = Literal["making", "ready", "dropping"]
"""How far the hub is with a database that it hosts; one of a customer is always ready."""

TlsMode = Literal["verify-full", "verify-ca", "require", "disable"]
"""How sure the hub makes that it talks to the right server: the `sslmode` of libpq. With `disable` all is in clear."""

TLS_MODES: tuple[TlsMode, ...] = ("verify-full", "verify-ca", "require", "disable")

Step = Literal["reach", "tls", "login", "rights", "schema"]
"""What has to be right for the hub to write, in the order in which it is found out."""

STEPS: tuple[Step, ...] = ("reach", "tls", "login", "rights", "schema")

PORT = 5432
CUSTOMERS = "matrixhub_customers"
"""The role that all readers of hosted databases are members of; it has no rights, but `pg_hba.conf` knows by it who may
come from elsewhere."""

URL_PREFIX = "database:"
"""What a destination has in place of a URL; behind it stands the id of the database."""

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_NAME_MAX = 63
"""PostgreSQL cuts names that have more bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where a database is reached, and as whom. `ca_pem` holds the certificates to trust instead of the system's."""

    host: str
    database: str
    user: str
    password: Secret
    port: int = PORT
    tls: TlsMode = "verify-full"
    ca_pem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the readers of a database that the hub hosts may take of its server.

    Units:  seconds, MiB, days. `connections_max` counts those of all readers together; `retention_days` is how long
            readings and events are kept there at least.
    """

    connections_max: int = 10
    statement_timeout_s: float = 60.0
    work_mem_mib: int = 32
    temp_mib_max: int = 1024
    retention_days: int = 180


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerDatabase:
    """A customer's database. `version` grows with every change of it.

    `server` says where the hub writes: of one that the hub hosts, `host` is '' and the hub knows its server.
    `may_create` allows the hub to make its schema there, and to mend it.
    """

    id: DatabaseId
    property_id: PropertyId
    name: str
    hosting: Hosting
    server: Server
    may_create: bool
    limits: Limits
    reader: str
    version: int
    created_at: datetime
    egress_allow: frozenset[str] = frozenset()
    state: Condition = "ready"

    @property
    def url(self) -> str:
        """What a destination that leads here has in place of a URL."""
        return database_url(self.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedNames:
    """What a hosted database and its roles are called on the server: by its id, which tells nobody whose it is.

    `owner` owns the tables and cannot log in, `writer` is the hub, `reader` the customer.
    """

    database: str
    owner: str
    writer: str
    reader: str

    @classmethod
    def of(cls, database_id: DatabaseId) -> HostedNames:
        """Those of a database. Raises: InvalidValue if it is no id of one, for names are written into SQL as they are.

        >>> HostedNames.of(DatabaseId("db_1f0e")).reader
        'db_1f0e_reader'
        """
        database_of(database_url(database_id))
        owner, writer, reader = (f"{database_id}_{role}" for role in ("owner", "writer", "reader"))
        return cls(database=str(database_id), owner=owner, writer=writer, reader=reader)

    @property
    def roles(self) -> tuple[str, str, str]:
        """The three roles."""
        return self.owner, self.writer, self.reader


def database_url(database_id: DatabaseId) -> str:
    """What a destination has in place of a URL.

    >>> database_url(DatabaseId("db_1f0e"))
    'database:db_1f0e'
    """
    return f"{URL_PREFIX}{database_id}"


def database_of(url: str) -> DatabaseId:
    """The database that a destination leads to. Raises: InvalidValue if it leads to none.

    >>> database_of("database:db_1f0e")
    'db_1f0e'
    """
    found = url.removeprefix(URL_PREFIX)
    if found == url or re.fullmatch(r"db_[0-9a-f]{1,32}", found) is None:
        raise InvalidValue(f"{url!r} is no database; it is like database:db_1f0e6a5233bb4b0e9d1c")
    return DatabaseId(found)


def check_server(server: Server) -> None:
    """Refuse what can be no server. Raises: InvalidValue naming what is wrong."""
    if _HOST.fullmatch(server.host) is None:
        raise InvalidValue(f"host is a host name or an address, not {server.host!r}")
    if not 0 < server.port < 65_536:
        raise InvalidValue(f"port is 1 to 65535, not {server.port}")
    for what, name in (("database", server.database), ("user", server.user)):
        if not name or len(name.encode()) > _NAME_MAX or not name.isprintable():
            raise InvalidValue(f"{what} is a name of 1 to {_NAME_MAX} bytes, not {name!r}")
    if not server.password.reveal():
        raise InvalidValue("password is missing: anonymous access is never used (contract dedicated-db §2)")
    if server.tls not in TLS_MODES:
        raise InvalidValue(f"tls is one of {', '.join(TLS_MODES)}, not {server.tls!r}")
    if server.tls == "disable" and server.ca_pem:
        raise InvalidValue("ca_pem is of no use with tls disable")


def check_limits(limits: Limits) -> None:
    """Refuse limits that cannot be kept. Raises: InvalidValue naming what is out of its range."""
    ranges = {
        "connections_max": (limits.connections_max, 1, 100),
        "statement_timeout_s": (limits.statement_timeout_s, 1, 3600),
        "work_mem_mib": (limits.work_mem_mib, 1, 1024),
        "temp_mib_max": (limits.temp_mib_max, 0, 102_400),
        "retention_days": (limits.retention_days, 1, 3650),
    }
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise InvalidValue(f"{name} is {least:,} to {most:,}, not {value:,}")
