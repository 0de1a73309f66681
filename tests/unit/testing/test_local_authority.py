"""The local certificate authority."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from matrixhub.model.errors import ConfigurationError
from matrixhub.testing.tls import LocalAuthority


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str | None:
    """The TLS version of a handshake in memory. Raises: ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    return ours.version()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_authority_reaches_this_machine(name: str) -> None:
    authority = LocalAuthority()
    assert shake_hands(authority.server_context(), authority.client_context(), name) == "TLSv1.3"


def test_a_client_of_another_authority_is_refused() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(LocalAuthority().server_context(), LocalAuthority().client_context(), "localhost")


def test_another_host_name_is_refused() -> None:
    authority = LocalAuthority()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(authority.server_context("receiver.example"), authority.client_context(), "localhost")


def test_tls_below_1_2_is_never_spoken() -> None:
    authority = LocalAuthority()
    assert authority.server_context().minimum_version == ssl.TLSVersion.TLSv1_2
    assert authority.client_context().minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_loaded_authority_is_trusted_by_old_clients(tmp_path: Path) -> None:
    first = LocalAuthority()
    assert first.save(tmp_path / "ca").read_text() == first.ca_pem
    second = LocalAuthority.load(tmp_path / "ca")
    assert second.ca_pem == first.ca_pem
    assert shake_hands(second.server_context(), first.client_context(), "localhost")


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    LocalAuthority().save(tmp_path)
    assert stat.S_IMODE((tmp_path / "ca-key.pem").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca-key.pem", "ca.pem"]


def test_an_authority_is_made_once_and_kept(tmp_path: Path) -> None:
    assert LocalAuthority.kept_in(tmp_path / "new").ca_pem == LocalAuthority.kept_in(tmp_path / "new").ca_pem


def test_a_certificate_of_someone_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("mine")
    with pytest.raises(FileNotFoundError):
        LocalAuthority.kept_in(tmp_path)
    assert (tmp_path / "ca.pem").read_text() == "mine"


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    LocalAuthority().save(tmp_path)
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        LocalAuthority.load(tmp_path)


def test_a_name_that_is_no_host_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no host"):
        LocalAuthority().server_context("no host")
