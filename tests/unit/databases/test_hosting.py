"""What is decided about hosting without a server: verifiers of passwords, names, and what a sheet says."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from matrixhub.databases.hosted import hosted_record, require_ready
from matrixhub.databases.hosting import scram_verifier
from matrixhub.databases.sheet import (
    Address,
    Place,
    address_of,
    read_ca,
    required_ca,
    sheet_markdown,
    sheet_of,
    ways_of,
)
from matrixhub.model.database import HostedNames, Limits
from matrixhub.model.errors import ConfigurationError, Conflict, DatabaseBusy, InvalidValue, NotFound
from matrixhub.model.ids import DatabaseId, PropertyId
from matrixhub.model.secret import Secret
from matrixhub.sources.sites import make_site

RECORD = replace(hosted_record(PropertyId("p"), "reports", Limits()), state="ready")
SOCKET = "postgresql://matrixhub:hubsecret@/matrixhub?host=%2Frun%2Fhub&port=5444"
TLS = Address(host="db.example.org", port=5444, tls=True, ca_pem="PEM", notes=())
NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)


def test_a_verifier_is_that_of_the_example_of_the_standard() -> None:
    """Password and salt of RFC 7677 §3; the keys follow from its proof and signature."""
    made = scram_verifier(Secret("pencil"), salt=base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    assert made == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize("wrong", ["", "db_", "db_1; drop role x", 'db_1"', "db_1F", "DB_1", "db_" + "1" * 33])
def test_what_is_no_id_never_becomes_a_name_in_sql(wrong: str) -> None:
    with pytest.raises(InvalidValue):
        HostedNames.of(DatabaseId(wrong))


def test_names_tell_nobody_whose_the_database_is() -> None:
    record = hosted_record(PropertyId("acme-tower"), "Secret project", Limits())
    names = HostedNames.of(record.id)
    assert not [name for name in (names.database, *names.roles) if "acme" in name or "ecret" in name]
    assert max(map(len, names.roles)) < 63


def test_what_is_not_finished_or_not_hosted_is_refused() -> None:
    require_ready(RECORD)
    for state, told in (("making", "never finished"), ("dropping", "being dropped")):
        with pytest.raises(DatabaseBusy, match=told):
            require_ready(replace(RECORD, state=state))  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="customer's own"):
        require_ready(replace(RECORD, hosting="customer"))


# --- addresses ---


@pytest.mark.parametrize(
    ("place", "host"),
    [
        (Place(), "127.0.0.1"),
        (Place(listen=["127.0.0.1"], host="db.example.org"), "127.0.0.1"),
        (Place(listen=["0.0.0.0"]), "machine"),
        (Place(listen=["0.0.0.0", "10.1.2.3"]), "10.1.2.3"),
        (Place(listen=["0.0.0.0"], host="db.example.org"), "db.example.org"),
        (Place(ours=False), "127.0.0.1"),
        (Place(ours=False, host="db.example.org"), "db.example.org"),
    ],
)
def test_customers_are_told_where_they_reach_the_server(place: Place, host: str) -> None:
    found = address_of(SOCKET, place, tls=True, ca_pem="", machine="machine")
    assert (found.host, found.port) == (host, 5444)


def test_customers_are_told_what_does_not_last_and_what_is_not_safe() -> None:
    tunnel, port = address_of(SOCKET, Place(), tls=False, ca_pem="").notes
    assert "ssh -L 5444:127.0.0.1:5444" in tunnel
    assert "engines.postgres.port" in port
    assert address_of(SOCKET, Place(listen=["0.0.0.0"], port_kept=True), tls=True, ca_pem="").notes == []
    (clear,) = address_of("postgresql://u:p@db:1/d", Place(ours=False), tls=False, ca_pem="").notes
    assert "in clear" in clear


def test_the_authority_is_read_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    assert read_ca(Place()) == read_ca(Place(ca_path=file)) == ""
    with pytest.raises(NotFound, match="speaks no TLS"):
        required_ca(Place(ca_path=file))
    with pytest.raises(NotFound, match=r"databases\.ca_file"):
        required_ca(Place(ours=False))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_ca(Place(ours=False, ca_path=file))
    file.write_text("PEM")
    assert required_ca(Place(ca_path=file)) == "PEM"


# --- sheets ---


def test_every_tool_verifies_the_server_where_it_speaks_tls() -> None:
    ways = ways_of(RECORD, TLS)
    for tool, way in ways.items():
        assert "db.example.org" in way, tool
        assert "5444" in way, tool
        assert "verify-full" in way or "VerifyFull" in way or "create_default_context" in way, tool
    for tool in ("psql", "JDBC", "Python (asyncpg)", "Go (pgx)"):
        assert "matrixhub-ca.pem" in ways[tool]
    trusted = ways_of(RECORD, replace(TLS, ca_pem=""))
    assert "sslrootcert=system" in trusted["psql"]
    assert not [way for way in trusted.values() if "matrixhub-ca.pem" in way]


def test_no_tool_is_told_to_verify_a_server_without_tls() -> None:
    ways = ways_of(RECORD, Address(host="127.0.0.1", port=1, tls=False, ca_pem="", notes=()))
    assert not [way for way in ways.values() if "verify" in way.lower() or "default_context" in way]
    assert "ssl=False" in ways["Python (asyncpg)"]


def test_an_ipv6_address_is_bracketed_in_urls() -> None:
    ways = ways_of(RECORD, replace(TLS, host="fd12::7"))
    assert "@[fd12::7]:5444/" in ways["psql"]
    assert "//[fd12::7]:5444/" in ways["JDBC"]
    assert "Host=fd12::7;" in ways["Power BI, Excel (Npgsql)"]


def test_python_of_the_sheet_is_python() -> None:
    for tool, way in ways_of(RECORD, TLS).items():
        if tool.startswith("Python"):
            compile(way, tool, "exec")


def test_a_sheet_has_all_a_customer_needs_and_no_password() -> None:
    site = make_site(3)
    sheet = sheet_of(RECORD, TLS, site.buildings[0], NOW)
    page = sheet_markdown(sheet)
    for needed in ("db.example.org", "5444", RECORD.reader, RECORD.id, "verify-full", site.buildings[0].id, "psql"):
        assert needed in page
    assert sheet.queries
    assert all(query.sql in page for query in sheet.queries)
    assert RECORD.server.password.reveal() not in page
    assert not sheet_of(RECORD, TLS, None, NOW).queries
