"""A certificate authority made on this machine, so that a receiver to try with speaks real TLS."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from matrixhub.model.destination import ClientCertificate
from matrixhub.model.errors import ConfigurationError
from matrixhub.model.secret import Secret

CA_FILE = "ca.pem"
KEY_FILE = "ca-key.pem"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class LocalAuthority:
    """Issues certificates for local names; whoever trusts `ca_pem` accepts them.

    Certificates are issued in memory, one per context. Only the authority itself can be kept on disk.
    """

    def __init__(self, authority: trustme.CA | None = None) -> None:
        self._authority = authority or trustme.CA(organization_name="Matrix Hub, local testing")

    @property
    def ca_pem(self) -> str:
        """The certificate to trust, in PEM; it holds nothing secret."""
        return self._authority.cert_pem.bytes().decode("ascii")

    def server_context(self, *names: str, client_ca_pem: str = "", expired: bool = False) -> ssl.SSLContext:
        """TLS for a server under these host names or addresses; without any, those of this machine.

        With `client_ca_pem` only clients with a certificate of that authority get through the handshake. With `expired`
        the certificate was good until yesterday.

        Raises: ConfigurationError if one of them is no host name.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        not_after = datetime.now(UTC) - timedelta(days=1) if expired else None
        try:
            certificate = self._authority.issue_cert(*(names or LOCAL_NAMES), not_after=not_after)
        except ValueError as error:
            raise ConfigurationError(f"{', '.join(names)}: no certificate can be issued: {error}") from error
        certificate.configure_cert(context)
        if client_ca_pem:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_ca_pem)
        return context

    def client_certificate(self, name: str) -> ClientCertificate:
        """A certificate for a client of this common name, to show in a handshake."""
        made = self._authority.issue_cert(f"{name}.client.test", common_name=name)
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        return ClientCertificate(
            certificate_pem=chain.decode("ascii"), key_pem=Secret(made.private_key_pem.bytes().decode("ascii"))
        )

    def client_context(self) -> ssl.SSLContext:
        """TLS for a client that trusts this authority and no other."""
        context = ssl.create_default_context(cadata=self.ca_pem)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def save(self, directory: Path) -> Path:
        """Keep the authority in the directory, its key readable by the owner only; the path of the certificate."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(directory / KEY_FILE, self._authority.private_key_pem.bytes(), 0o600)
        _write(directory / CA_FILE, self._authority.cert_pem.bytes(), 0o644)
        return directory / CA_FILE

    @classmethod
    def load(cls, directory: Path) -> LocalAuthority:
        """The authority kept in the directory.

        Raises: FileNotFoundError if a file is missing; ConfigurationError if one is not what `save` wrote.
        """
        certificate, key = (directory / CA_FILE).read_bytes(), (directory / KEY_FILE).read_bytes()
        try:
            return cls(trustme.CA.from_pem(certificate, key))
        except ValueError as error:
            raise ConfigurationError(f"{directory}: the certificate authority cannot be read: {error}") from error

    @classmethod
    def kept_in(cls, directory: Path) -> LocalAuthority:
        """The authority kept in the directory, made and saved there if there is none yet.

        Raises: FileNotFoundError if only one of its two files is there, which is left alone.
        """
        if (directory / CA_FILE).exists() or (directory / KEY_FILE).exists():
            return cls.load(directory)
        authority = cls()
        authority.save(directory)
        return authority


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace the file in one step; at no moment is it readable by more than `mode` says."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
