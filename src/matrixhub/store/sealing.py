"""Secrets at rest: AES-256-GCM with the hub's master key, which is never in the database.

Source: design decision 9.
"""

from __future__ import annotations

import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from matrixhub.model.errors import StoreError
from matrixhub.model.secret import Secret

_NONCE_BYTES = 12


class Sealer:
    """Seals texts for one owner each, so that a sealed text moved to another row cannot be opened."""

    def __init__(self, master_key: str) -> None:
        key = bytes.fromhex(master_key)
        self._cipher = AESGCM(key)
        self._digest_key = hmac.digest(key, b"matrixhub digest", "sha256")

    def seal(self, secret: Secret, owner: str) -> bytes:
        """The secret as bytes for the database."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.reveal().encode(), owner.encode())

    def open(self, sealed: bytes, owner: str) -> Secret:
        """The secret again.

        Raises: StoreError if it was sealed with another master key or for another owner.
        """
        try:
            return Secret(self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.encode()).decode())
        except InvalidTag as error:
            raise StoreError(
                f"the secret of {owner} was sealed with another master key (secrets.master_key)"
            ) from error

    def digest(self, secret: Secret) -> bytes:
        """32 bytes by which equal secrets are known, and which tell nothing without the master key."""
        return hmac.digest(self._digest_key, secret.reveal().encode(), "sha256")
