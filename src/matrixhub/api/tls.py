"""The certificate of the hub's own TLS listener, read again when it is renewed."""

from __future__ import annotations

import ssl
from pathlib import Path

from matrixhub.model.errors import ConfigurationError


class Certificate:
    """A certificate with its key, in PEM files that somebody renews now and then."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises: ConfigurationError if the files cannot be read, or do not belong together."""
        self._certificate, self._key = certificate, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._read_at = self._changed_at()
            self._load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"http.tls_certificate and http.tls_key: {error}") from error

    def renew(self) -> bool:
        """Whether there was another certificate, which new connections get from now on.

        Files that are being written, or do not fit each other, change nothing: they are looked at again.
        """
        try:
            changed_at = self._changed_at()
            if changed_at == self._read_at:
                return False
            # A context of its own first: a key that does not fit would leave the one in use without.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
            self._load()
        except (OSError, ssl.SSLError):
            return False  # the one in use stays, and its end is for whoever renews it to see
        self._read_at = changed_at
        return True

    def _load(self) -> None:
        self.context.load_cert_chain(self._certificate, self._key)

    def _changed_at(self) -> tuple[int, int]:
        return self._certificate.stat().st_mtime_ns, self._key.stat().st_mtime_ns
