"""What the OpenAPI document says is taken is what is taken, field by field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from matrixhub.api.rest import documents
from matrixhub.model.destination import AUTH_SCHEMES
from matrixhub.model.policy import DEFAULT_POLICY, BatchLimits
from matrixhub.model.request import parse_request, patched
from matrixhub.testing.samples import sample_subscription

URL = "https://example.org/in"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = CERTIFICATE.replace("CERTIFICATE", "PRIVATE KEY")

CLIENT = {"token_url": URL, "client_id": "c", "client_secret": "s", "client_auth": "body", "scope": "x"}
AUTHS: dict[str, dict[str, Any]] = {
    "none": {},
    "basic": {"user": "u", "password": "p"},
    "oauth2_client_credentials": {**CLIENT, "audience": "a", "extra": {"e": "f"}},
    "oauth2_refresh_token": {**CLIENT, "refresh_token": "r", "extra": {"e": "f"}},
    "azure_sas": {"key_name": "n", "key": "k"},
    "aws_sigv4": {"access_key_id": "i", "secret_access_key": "s", "session_token": "t", "region": "r"},
}
KINDS = {"azure_sas": "azure_event_hub", "aws_sigv4": "aws_iot"}
POLICY = {
    "retry_schedule_s": [0, 1.5],
    "retry_spread": 0,
    "give_up_s": 60,
    "connect_timeout_s": 2,
    "total_timeout_s": 3,
    "order": "per_device",
    "in_flight": 2,
    "flush_s": 1,
    "rate_per_s": 10,
    "catch_up_per_s": 20,
}
WHOLE: dict[str, Any] = {
    "url": URL,
    "property": "p",
    "name": "n",
    "from": "now",
    "source": "sensors",
    "filter": {"patterns": [], "buildings": ["b"], "zones": ["z"], "devtypes": ["SMARTCLEAN#UM"]},
    "kind": "https",
    "auth": {"scheme": "none"},
    "headers": {"X-Key": "k"},
    "ca_pem": CERTIFICATE,
    "client_certificate": {"certificate_pem": CERTIFICATE, "key_pem": KEY},
    "framing": "batch",
    "format": {"body": "contract", "gzip": True},
    "batch_items": 5,
    "batch_bytes": 5_000,
    "policy": POLICY,
    "notify": {"url": URL, "ca_pem": CERTIFICATE, "secret": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
}


def names(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def auth_kinds() -> dict[str, type[msgspec.Struct]]:
    kinds: tuple[type[msgspec.Struct], ...] = documents.AuthTaken.__args__
    return {str(kind.__struct_config__.tag): kind for kind in kinds}


def test_every_field_that_is_described_is_taken() -> None:
    assert {*WHOLE, "database"} == names(documents.NewSubscription), "a database takes the place of a URL"
    assert set(POLICY) == names(documents.Policy)
    for field, kind in (
        ("filter", documents.Filter),
        ("format", documents.Format),
        ("client_certificate", documents.ClientCertificate),
    ):
        assert set(WHOLE[field]) == names(kind)
    assert {*WHOLE["notify"], "subscription"} == names(documents.Notify)
    msgspec.convert(WHOLE, documents.NewSubscription)
    parse_request(WHOLE, limits=BatchLimits(), policy=DEFAULT_POLICY)


@pytest.mark.parametrize("scheme", AUTH_SCHEMES)
def test_every_scheme_is_described_as_it_is_taken(scheme: str) -> None:
    document = {"scheme": scheme, **AUTHS[scheme]}
    assert set(AUTHS[scheme]) == names(auth_kinds()[scheme])
    asked = {"url": URL, "kind": KINDS.get(scheme, "https"), "batch_bytes": 1_024, "auth": document}
    msgspec.convert(asked, documents.NewSubscription)
    request = parse_request(asked, limits=BatchLimits(), policy=DEFAULT_POLICY)
    assert request.destination.auth.scheme == scheme


def test_a_change_may_name_all_but_where_it_belongs_and_begins() -> None:
    changing = {name: value for name, value in WHOLE.items() if name not in ("property", "from")}
    assert {*changing, "database"} == names(documents.SubscriptionChange)
    assert names(documents.AuthChange) == {"scheme", *(name for fields in AUTHS.values() for name in fields)}
    msgspec.convert(changing, documents.SubscriptionChange)
    changed = patched(sample_subscription(), changing, limits=BatchLimits(), policy=DEFAULT_POLICY)
    assert changed.policy.in_flight == 2


def test_null_is_taken_where_the_description_says_so() -> None:
    for name in names(documents.SubscriptionChange) - {"url"}:
        msgspec.convert({name: None}, documents.SubscriptionChange)
        patched(sample_subscription(), {name: None}, limits=BatchLimits(), policy=DEFAULT_POLICY)


def test_no_document_that_is_given_has_a_place_for_a_secret() -> None:
    words = ("password", "secret", "token", "key_pem", "key")
    for kind in vars(documents).values():
        if isinstance(kind, type) and issubclass(kind, documents.Given) and kind is not documents.NewSigningKeyView:
            assert not names(kind) & set(words), kind
