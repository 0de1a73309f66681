"""What a customer needs to connect to a database that the hub hosts: where it is, how his tools say it, what to ask.

Source: docs/contract/dedicated-db.md §1, §2, docs/decisions/0023-hosted-databases.md
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from matrixhub.databases import schema
from matrixhub.databases.examples import Example, examples
from matrixhub.model.database import PORT, CustomerDatabase
from matrixhub.model.errors import ConfigurationError, NotFound
from matrixhub.model.site import Building
from matrixhub.model.time import zone
from matrixhub.store.pool import Database

CA_FILE = "matrixhub-ca.pem"
"""What the file with the authority's certificate is called in the sheet."""

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the databases are that the hub hosts, as far as settings say.

    `ours` says that the server is the embedded one; `ca_path` is where the certificate of its authority is, if it has
    one, `port_kept` whether its port is the same after every start.
    """

    ours: bool = True
    listen: Sequence[str] = ()
    host: str = ""
    port_kept: bool = False
    ca_path: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where customers connect to. Without `tls` it is loopback; `ca_pem` is '' where their systems know the server."""

    host: str
    port: int
    tls: bool
    ca_pem: str
    notes: Sequence[str]


async def read_address(database: Database, place: Place) -> Address:
    """Where customers connect to now. Raises: StoreError, ConfigurationError if the CA cannot be read."""
    async with database.connection() as connection:
        tls = await connection.fetchval("show ssl") == "on"
    return address_of(database.dsn, place, tls=tls, ca_pem=read_ca(place) if tls else "")


def read_ca(place: Place) -> str:
    """The certificates by which customers know the server, '' where there are none of ours.

    Raises: ConfigurationError if they cannot be read.
    """
    if place.ca_path is None or (place.ours and not place.ca_path.exists()):
        return ""
    try:
        return place.ca_path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the certificates of the server's authority cannot be read: {error}") from error


def required_ca(place: Place) -> str:
    """The certificates by which customers know the server. Raises: NotFound if there are none, ConfigurationError."""
    found = read_ca(place)
    if not found:
        raise NotFound(
            "there is no authority of the hub's: its PostgreSQL speaks no TLS (see [databases] in `matrixhub config`)"
            if place.ours
            else "databases.ca_file is not set: customers trust the server by what their systems trust"
        )
    return found


def address_of(dsn: str, place: Place, *, tls: bool, ca_pem: str, machine: str = "") -> Address:
    """Where customers connect to, from the hub's own way to the server.

    >>> found = address_of("postgresql://hub:pw@/hub?host=/run&port=5433", Place(), tls=False, ca_pem="")
    >>> found.host, found.port, len(found.notes)
    ('127.0.0.1', 5433, 2)
    """
    named, port = _place_in(dsn)
    if not place.ours:
        open_way = () if tls else ("The server speaks no TLS: passwords and readings go in clear. Turn `ssl` on there",)
        return Address(host=place.host or named or LOOPBACK, port=port, tls=tls, ca_pem=ca_pem, notes=open_way)
    elsewhere = [one for one in place.listen if not ipaddress.ip_address(one).is_loopback]
    notes = []
    if not elsewhere:
        notes.append(
            f"It is reached from the machine of the hub only. From elsewhere through a tunnel, for example "
            f"`ssh -L {port}:{LOOPBACK}:{port} USER@HUB`; or the hub listens for customers: databases.listen"
        )
    if not place.port_kept:
        notes.append(
            "The port may be another after a start of the hub. Where customers rely on it, set engines.postgres.port"
        )
    if not elsewhere:
        return Address(host=LOOPBACK, port=port, tls=tls, ca_pem=ca_pem, notes=notes)
    specific = [one for one in elsewhere if not ipaddress.ip_address(one).is_unspecified]
    host = place.host or next(iter(specific), "") or machine or socket.gethostname()
    return Address(host=host, port=port, tls=tls, ca_pem=ca_pem, notes=notes)


def _place_in(dsn: str) -> tuple[str, int]:
    """Host, '' for a socket, and port of a DSN; the first of several.

    >>> _place_in("postgresql://hub:p@db.example.org/hub"), _place_in("postgresql://u@a:1,b:2/d")
    (('db.example.org', 5432), ('a', 1))
    """
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    at = parts.netloc.rpartition("@")[2].partition(",")[0]
    host, _, port = at.rpartition(":") if at.rpartition(":")[2].isdigit() else (at, "", "")
    host = host.strip("[]") or query.get("host", [""])[0]
    return "" if host.startswith("/") else host, int(port or query.get("port", [str(PORT)])[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A connection sheet. `ways` say for each tool what to enter; passwords are not in it."""

    record: CustomerDatabase
    address: Address
    ways: Mapping[str, str]
    queries: Sequence[Example]


def sheet_of(record: CustomerDatabase, address: Address, building: Building | None, now: datetime) -> Sheet:
    """The sheet of a database; its queries are about a building of the property and its last whole day."""
    queries: Sequence[Example] = ()
    if building is not None:
        queries = examples(building, now.astimezone(zone(building.time_zone)).date() - timedelta(days=1))
    return Sheet(record=record, address=address, ways=ways_of(record, address), queries=queries)


def ways_of(record: CustomerDatabase, address: Address) -> Mapping[str, str]:
    """How a reader connects, by tool."""
    host, port, name, user = _bracketed(address.host), address.port, record.server.database, record.reader
    trust = f"&sslrootcert={CA_FILE}" if address.ca_pem else ("&sslrootcert=system" if address.tls else "")
    mode = "verify-full" if address.tls else "disable"
    url = f"postgresql://{quote(user)}@{host}:{port}/{quote(name)}?sslmode={mode}"
    # Java looks where its own system keeps what it trusts if it is told to, others need a file.
    java = (
        f"&sslrootcert={CA_FILE}"
        if address.ca_pem
        else ("&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory" if address.tls else "")
    )
    go = f"&sslrootcert={CA_FILE}" if address.ca_pem else ""
    root = f"'{CA_FILE}'" if address.ca_pem else "None"
    context = f"ssl.create_default_context(cafile={root})" if address.tls else "False"
    pgmode = (
        f";SSL Mode=VerifyFull{f';Root Certificate={CA_FILE}' if address.ca_pem else ''}"
        if address.tls
        else ";SSL Mode=Disable"
    )
    return {
        "psql": f'psql "{url}{trust}"',
        "JDBC": f"jdbc:postgresql://{host}:{port}/{quote(name)}?user={quote(user)}&sslmode={mode}{java}",
        "Python (psycopg, pandas, SQLAlchemy)": (
            "import os, psycopg\n"
            f'with psycopg.connect("{url}{trust}", password=os.environ["PGPASSWORD"]) as connection:\n'
            '    print(connection.execute("select count(*) from matrix.sensor_data").fetchone())'
        ),
        "Python (asyncpg)": (
            "import asyncio, os, ssl, asyncpg\n"
            "async def main():\n"
            f'    connection = await asyncpg.connect("postgresql://{quote(user)}@{host}:{port}/{quote(name)}",\n'
            f'                                       password=os.environ["PGPASSWORD"], ssl={context})\n'
            '    print(await connection.fetchval("select count(*) from matrix.sensor_data"))\n'
            "asyncio.run(main())"
        ),
        "Go (pgx)": f'pgx.Connect(ctx, "{url}{go}") // the password from PGPASSWORD',
        "Power BI, Excel (Npgsql)": f"Host={address.host};Port={port};Database={name};Username={user}{pgmode}",
        "ODBC": (
            f"Driver={{PostgreSQL Unicode}};Server={address.host};Port={port};Database={name};Uid={user};SSLmode={mode}"
        ),
        "Grafana, Metabase, Tableau, DBeaver": (
            f"type PostgreSQL, host {address.host}, port {port}, database {name}, schema matrix, user {user}, "
            f"TLS/SSL mode {mode}" + (f", root certificate {CA_FILE}" if address.ca_pem else "")
        ),
    }


def sheet_markdown(sheet: Sheet) -> str:
    """The sheet as a page."""
    record, address, limits = sheet.record, sheet.address, sheet.record.limits
    allowed = (
        f"{limits.connections_max} connections, {limits.statement_timeout_s:g} s for a query, "
        f"{limits.temp_mib_max:,} MiB of temporary files; data is kept for {limits.retention_days:,} days"
    )
    lines = [
        f"# Database {record.name}",
        "",
        "Readings and events of your buildings, to be asked with SQL.",
        "",
        "| | |",
        "|---|---|",
        f"| host | `{address.host}` |",
        f"| port | `{address.port}` |",
        f"| database | `{record.server.database}` |",
        "| schema | `matrix` |",
        f"| user | `{record.reader}`, which reads and cannot write |",
        "| password | told once, when the database was made or its password changed |",
        f"| TLS | {_tls_words(address)} |",
        f"| limits | {allowed} |",
        "",
        *(line for note in address.notes for line in (f"> {note}.", "")),
        "## Connecting",
        "",
        "Programs take the password from the variable `PGPASSWORD`, or ask for it.",
        "",
    ]
    for tool, way in sheet.ways.items():
        lines += [f"**{tool}**", "", "```", way, "```", ""]
    if sheet.queries:
        lines += ["## Queries to begin with", ""]
        for query in sheet.queries:
            lines += [f"{query.title}:", "", "```sql", query.sql, "```", ""]
    return "\n".join(lines)


def schema_markdown() -> str:
    """The schema of a hosted database as a page: what made it, its comments included."""
    lines = [f"# Schema `matrix`, version {schema.VERSION}", ""]
    for name, statement in schema.statements(hosted=True).items():
        lines += [f"## {name.replace('_', ' ')}", "", "```sql", f"{statement};", "```", ""]
    return "\n".join(lines)


def _tls_words(address: Address) -> str:
    if not address.tls:
        return "none"
    by = (
        f"by the certificate in `{CA_FILE}` (`matrixhub database ca`)"
        if address.ca_pem
        else "by what your system trusts"
    )
    return f"`verify-full`: the server is known {by}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
