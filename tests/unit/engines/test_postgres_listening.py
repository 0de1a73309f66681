"""Where PostgreSQL may listen, by whom it is known there, and what is refused before it starts."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from matrixhub.engines.binaries import PostgresPrograms
from matrixhub.engines.certificates import (
    RENEW_BEFORE,
    SERVER_TIME,
    authority_path,
    issue,
    kept_authority,
    renewal_due,
)
from matrixhub.engines.postgres import Postgres, check_addresses
from matrixhub.model.errors import ConfigurationError, EngineError

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)


def fake_postgres(folder: Path, library: str) -> PostgresPrograms:
    """Programs that say their version, and with which library they speak TLS."""
    program = folder / "postgres"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *--version) echo "postgres (PostgreSQL) 18.1";; *) echo "{library}";; esac\n'
    )
    program.chmod(0o755)
    return PostgresPrograms(postgres=program, initdb=program)


def engine(folder: Path, library: str, *listen: str, wants_tls: bool = False) -> Postgres:
    data = folder / "data"
    (data / "postgres").mkdir(parents=True)
    (data / "postgres" / "PG_VERSION").write_text("18\n")
    return Postgres(
        data=data,
        sockets=folder,
        port=0,
        programs=fake_postgres(folder, library),
        account=None,
        password="secret",
        listen=listen,
        host="db.example.org",
        wants_tls=wants_tls,
    )


async def test_without_tls_it_listens_on_loopback_only_and_refuses_all_else_with_advice(tmp_path: Path) -> None:
    refused = engine(tmp_path, "", "0.0.0.0", wants_tls=True)
    with pytest.raises(ConfigurationError, match=r"built without TLS(.|\n)*engines\.postgres\.bin_dir"):
        await refused.prepare()
    assert not (refused.folder / "matrixhub.conf").exists()


async def test_without_tls_loopback_is_served_in_clear(tmp_path: Path) -> None:
    served = engine(tmp_path, "", "127.0.0.1", wants_tls=True)
    await served.prepare()
    assert "ssl" not in (served.folder / "matrixhub.conf").read_text()
    assert "hostssl" not in (served.folder / "pg_hba.conf").read_text()
    assert not authority_path(served.data).exists()


async def test_with_tls_readers_are_let_in_from_elsewhere_and_nobody_else(tmp_path: Path) -> None:
    served = engine(tmp_path, "OpenSSL", "0.0.0.0")
    await served.prepare()
    settings = (served.folder / "matrixhub.conf").read_text()
    assert "listen_addresses = '0.0.0.0'" in settings
    assert "ssl = on" in settings
    ways_in = [line.split() for line in (served.folder / "pg_hba.conf").read_text().splitlines() if line[:1] != "#"]
    assert [way for way in ways_in if way[0] != "local" and way[3] != "127.0.0.1/32"] == [
        ["hostssl", "all", "+matrixhub_customers", "0.0.0.0/0", "scram-sha-256"],
        ["hostssl", "all", "+matrixhub_customers", "::/0", "scram-sha-256"],
    ]
    certificate = x509.load_pem_x509_certificate((served.folder / "matrixhub.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"db.example.org", "localhost"} <= set(names.get_values_for_type(x509.DNSName))
    assert "0.0.0.0" not in map(str, names.get_values_for_type(x509.IPAddress))
    assert (served.folder / "matrixhub.pem").stat().st_mode & 0o077 == 0


def test_a_port_that_another_program_has_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(EngineError, match="Address already in use"):
        check_addresses(["127.0.0.1"], taken.getsockname()[1])


# --- certificates ---


def test_the_authority_stays_the_same_and_its_key_is_closed(tmp_path: Path) -> None:
    first = kept_authority(tmp_path, NOW)
    assert kept_authority(tmp_path, NOW + timedelta(days=400)).certificate_pem == first.certificate_pem
    assert authority_path(tmp_path).read_text() == first.certificate_pem
    assert (tmp_path / "tls" / "ca-key.pem").stat().st_mode & 0o077 == 0


def test_an_authority_that_was_not_made_whole_is_made_anew(tmp_path: Path) -> None:
    kept_authority(tmp_path, NOW)
    authority_path(tmp_path).unlink()  # its key is written first
    made = kept_authority(tmp_path, NOW)
    assert made.key.public_key() == made.certificate.public_key()


@pytest.mark.parametrize("file", ["ca.pem", "ca-key.pem"])
def test_a_damaged_authority_is_told_and_not_replaced(tmp_path: Path, file: str) -> None:
    kept_authority(tmp_path, NOW)
    (tmp_path / "tls" / file).write_text("no PEM")
    with pytest.raises(EngineError, match="is damaged"):
        kept_authority(tmp_path, NOW)
    assert (tmp_path / "tls" / file).read_text() == "no PEM"


def test_a_key_of_another_authority_is_told(tmp_path: Path) -> None:
    kept_authority(tmp_path, NOW)
    (tmp_path / "other").mkdir()
    kept_authority(tmp_path / "other", NOW)
    (tmp_path / "other" / "tls" / "ca-key.pem").rename(tmp_path / "tls" / "ca-key.pem")
    with pytest.raises(EngineError, match="do not belong together"):
        kept_authority(tmp_path, NOW)


def test_a_certificate_is_due_a_month_before_its_end(tmp_path: Path) -> None:
    issued = issue(kept_authority(tmp_path, NOW), ["localhost"], NOW)
    due = NOW + SERVER_TIME - RENEW_BEFORE
    assert not renewal_due(issued, due - timedelta(minutes=1))
    assert renewal_due(issued, due + timedelta(minutes=1))
