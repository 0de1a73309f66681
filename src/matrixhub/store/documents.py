"""A subscription's parts as documents: what may be seen as JSON, what must not as one sealed JSON object.

The secrets of a part are kept under its path, such as `auth.password`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from matrixhub.model.destination import (
    AUTH_SCHEMES,
    Auth,
    ClientCertificate,
    Destination,
    Header,
    NoAuth,
)
from matrixhub.model.policy import Policy
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Format, Notify, SigningKey
from matrixhub.store.sealing import Sealer

Document = dict[str, Any]
Secrets = dict[str, str]


def auth_document(auth: Auth, secrets: Secrets) -> Document:
    """The authentication without its secrets, which are added to `secrets`."""
    document: Document = {}
    for field in dataclasses.fields(auth):
        value = getattr(auth, field.name)
        if isinstance(value, Secret):
            secrets[f"auth.{field.name}"] = value.reveal()
        elif value is not None:
            document[field.name] = value
    return document


def read_auth(document: Mapping[str, Any], secrets: Secrets) -> Auth:
    """The authentication again."""
    made = AUTH_SCHEMES[document["scheme"]]
    values: dict[str, Any] = {name: value for name, value in document.items() if name != "scheme"}
    if "extra" in values:
        values["extra"] = tuple((name, value) for name, value in values["extra"])
    for name, text in secrets.items():
        part, _, field = name.partition(".")
        if part == "auth":
            values[field] = Secret(text)
    return made(**values)


def destination_document(destination: Destination, secrets: Secrets) -> Document:
    """What a destination is besides kind, URL, CA and authentication, which have columns of their own."""
    for number, header in enumerate(destination.headers):
        secrets[f"header.{number}"] = header.value.reveal()
    certificate = destination.client_certificate
    if certificate is not None:
        secrets["certificate.key"] = certificate.key_pem.reveal()
    return {
        "framing": destination.framing,
        "headers": [header.name for header in destination.headers],
        "certificate_pem": certificate.certificate_pem if certificate else "",
    }


def read_destination(row: Mapping[str, Any], secrets: Secrets) -> Destination:
    """The destination of a row of `subscriptions` with the allow-list of its property."""
    document = row["destination"]
    certificate = None
    if document.get("certificate_pem"):
        key = Secret(secrets["certificate.key"])
        certificate = ClientCertificate(certificate_pem=document["certificate_pem"], key_pem=key)
    return Destination(
        url=row["url"],
        kind=row["kind"],
        auth=read_auth(row["auth"], secrets) if row["auth"]["scheme"] != "none" else NoAuth(),
        headers=tuple(
            Header(name=name, value=Secret(secrets[f"header.{number}"]))
            for number, name in enumerate(document.get("headers", ()))
        ),
        ca_pem=row["ca_pem"],
        client_certificate=certificate,
        framing=document.get("framing", "batch"),
        egress_allow=frozenset(row["egress_allow"]),
    )


def policy_document(policy: Policy, defaults: Policy) -> Document:
    """What of the policy differs from the defaults, so that a change of these reaches the rest."""
    return {
        field.name: getattr(policy, field.name)
        for field in dataclasses.fields(policy)
        if getattr(policy, field.name) != getattr(defaults, field.name)
    }


def read_policy(document: Mapping[str, Any], defaults: Policy) -> Policy:
    """The policy in force."""
    values = dict(document)
    if "retry_schedule_s" in values:
        values["retry_schedule_s"] = tuple(map(float, values["retry_schedule_s"]))
    return dataclasses.replace(defaults, **values)


def format_document(form: Format) -> Document:
    """The format."""
    return dataclasses.asdict(form)


def signing_document(keys: tuple[SigningKey, ...], secrets: Secrets) -> list[Document]:
    """The signing keys without their secrets, which are added to `secrets`."""
    secrets.update({f"signing.{key.id}": key.secret.reveal() for key in keys})
    return [
        {
            "id": key.id,
            "kind": key.kind,
            "public": key.public,
            "created_at": key.created_at.isoformat(),
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        }
        for key in keys
    ]


def read_signing(documents: list[Document], secrets: Secrets) -> tuple[SigningKey, ...]:
    """The signing keys again."""
    return tuple(
        SigningKey(
            id=entry["id"],
            kind=entry["kind"],
            secret=Secret(secrets[f"signing.{entry['id']}"]),
            created_at=datetime.fromisoformat(entry["created_at"]),
            expires_at=datetime.fromisoformat(entry["expires_at"]) if entry["expires_at"] else None,
            public=entry.get("public", ""),
        )
        for entry in documents
    )


def notify_document(notify: Notify, secrets: Secrets) -> Document:
    """Where notices go, without the secret, which is added to `secrets`."""
    if notify.secret is not None:
        secrets["notify.secret"] = notify.secret.reveal()
    return {"subscription_id": notify.subscription_id, "url": notify.url, "ca_pem": notify.ca_pem}


def read_notify(document: Mapping[str, Any], secrets: Secrets) -> Notify:
    """Where notices go."""
    secret = secrets.get("notify.secret")
    return Notify(**document, secret=Secret(secret) if secret is not None else None)


def seal_secrets(secrets: Secrets, sealer: Sealer, owner: str) -> bytes | None:
    """The secrets as bytes for the database, None where there are none."""
    return sealer.seal(Secret(msgspec.json.encode(secrets).decode()), owner) if secrets else None


def open_secrets(row: Mapping[str, Any], sealer: Sealer) -> Secrets:
    """The secrets of a row of `subscriptions`. Raises: StoreError if they were sealed with another master key."""
    if row["secrets"] is not None:
        return msgspec.json.decode(sealer.open(row["secrets"], row["id"]).reveal(), type=Secrets)
    if row["auth_secret"] is not None:  # written before there was more than a password
        return {"auth.password": sealer.open(row["auth_secret"], row["id"]).reveal()}
    return {}
