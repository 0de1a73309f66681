"""The hub speaks TLS itself, and takes a renewed certificate without a restart."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import trustme
from tests.unit.api.test_patience import answers_lengths

from matrixhub.api.server import HttpServer
from matrixhub.api.tls import Certificate
from matrixhub.config import load_settings, tls_listen_address
from matrixhub.model.errors import ConfigurationError

AUTHORITY = trustme.CA()


def issue(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate for the name, and its key, in files."""
    made = AUTHORITY.issue_cert(name, "127.0.0.1")
    certificate, key = directory / "hub.pem", directory / "hub.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return certificate, key


async def names_shown(port: int) -> list[str]:
    """The names in the certificate that a client is shown, once a request was answered over it."""
    context = ssl.create_default_context(cadata=AUTHORITY.cert_pem.bytes().decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    shown = writer.get_extra_info("peercert")["subjectAltName"]
    writer.close()
    await writer.wait_closed()
    return [value for kind, value in shown if kind == "DNS"]


async def test_requests_come_over_tls_and_a_renewed_certificate_is_shown(tmp_path: Path) -> None:
    certificate = Certificate(*issue(tmp_path, "before.example"))
    server, stop = HttpServer("127.0.0.1", 0, 1.0, certificate=certificate), asyncio.Event()
    assert server.url.startswith("https://")
    serving = asyncio.create_task(server.run(answers_lengths, stop))
    assert await names_shown(server.port) == ["before.example"]
    assert certificate.renew() is False
    issue(tmp_path, "after.example")
    assert certificate.renew() is True
    assert await names_shown(server.port) == ["after.example"]
    stop.set()
    await serving


def test_a_key_that_does_not_fit_leaves_the_certificate_in_use(tmp_path: Path) -> None:
    certificate_file, key = issue(tmp_path, "hub.example")
    certificate = Certificate(certificate_file, key)
    key.write_bytes(AUTHORITY.issue_cert("other.example").private_key_pem.bytes())
    os.utime(key, (1, 1))
    assert certificate.renew() is False
    key.unlink()
    assert certificate.renew() is False


def test_files_that_are_not_there_or_do_not_fit_are_told(tmp_path: Path) -> None:
    certificate, key = issue(tmp_path, "hub.example")
    with pytest.raises(ConfigurationError, match=r"http\.tls_certificate"):
        Certificate(certificate, tmp_path / "none")
    key.write_text("no key")
    with pytest.raises(ConfigurationError):
        Certificate(certificate, key)


def test_a_listener_behind_tls_needs_certificate_and_key() -> None:
    assert tls_listen_address(load_settings(None, {})) is None
    with pytest.raises(ConfigurationError, match="tls_certificate"):
        load_settings(None, {}, {"http.tls_listen": "127.0.0.1:0"})
    with pytest.raises(ConfigurationError, match="host:port"):
        load_settings(None, {}, {"http.tls_listen": "nowhere"})
