"""The certificate of the embedded PostgreSQL, and the authority that issues it, whose certificate customers trust.

Source: docs/decisions/0023-hosted-databases.md
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from matrixhub.engines.files import make_directory, write_atomically
from matrixhub.model.errors import EngineError

AUTHORITY_TIME = timedelta(days=3650)
SERVER_TIME = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)
CLOCKS_DIFFER = timedelta(hours=1)
"""So much a customer's clock may be behind."""

_HOST_NAME = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


@dataclass(frozen=True, slots=True)
class Authority:
    """What issues certificates; `certificate_pem` holds nothing secret."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> str:
        """For customers to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def authority_path(data: Path) -> Path:
    """Where the certificate of the authority is, in a data directory."""
    return data / "tls" / "ca.pem"


def kept_authority(data: Path, now: datetime) -> Authority:
    """The authority of a data directory, made if there is none. Raises: EngineError if what is there is damaged."""
    certificate_file, key_file = authority_path(data), data / "tls" / "ca-key.pem"
    if not certificate_file.exists():  # it is written last
        made = make_authority(now)
        make_directory(certificate_file.parent, 0o700)
        write_atomically(key_file, _key_pem(made.key))
        write_atomically(certificate_file, made.certificate_pem)
        return made
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{certificate_file} or {key_file.name} is damaged ({error}). Restore them from a backup"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise EngineError(f"{certificate_file} and {key_file.name} do not belong together. Restore them from a backup")
    return Authority(certificate, key)


def make_authority(now: datetime) -> Authority:
    """A new authority, good for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Matrix Hub databases")])
    usage = _usage(sign=False, certificates=True)
    certificate = (
        _builder(name, name, key, now, AUTHORITY_TIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def issue(authority: Authority, names: Iterable[str], now: datetime) -> str:
    """A certificate for a server of these host names and addresses, and its key, in one text of PEM.

    In one text, and so in one file, they cannot be of two issues.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Matrix Hub PostgreSQL")])
    certificate = (
        _builder(subject, authority.certificate.subject, key, now, SERVER_TIME)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in dict.fromkeys(names)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=True, certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode() + _key_pem(key)


def renewal_due(certificate_pem: str, now: datetime) -> bool:
    """Whether a certificate ends so soon that another one should take its place."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    return now > certificate.not_valid_after_utc - RENEW_BEFORE


def can_be_named(name: str) -> bool:
    """Whether a certificate can be for it.

    >>> can_be_named("db.example.org"), can_be_named("::1"), can_be_named("my_host"), can_be_named("0.0.0.0")
    (True, True, False, False)
    """
    try:
        return not ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return _HOST_NAME.fullmatch(name) is not None and len(name) < 254


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, good_for: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - CLOCKS_DIFFER)
        .not_valid_after(now.astimezone(UTC) + good_for)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign: bool, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
