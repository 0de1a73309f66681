"""What a token that was really signed is good for. Source: docs/contract/web-services.md §3.3"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from matrixhub.model.access import OPERATOR, PROPERTY_ADMINS, RoleId
from matrixhub.model.errors import FederatedTokenRefused, InvalidValue
from matrixhub.model.federation import (
    LEEWAY_S,
    USER_MAX,
    FederatedUser,
    IdentityApplication,
    check_identity_application,
    jwks_url_of,
    user_of,
)
from matrixhub.model.ids import IdentityApplicationId, PropertyId

NOW = 1_710_029_109
AT = datetime.fromtimestamp(NOW, UTC)

APPLICATION = IdentityApplication(
    id=IdentityApplicationId("quid_0f"),
    property_id=PropertyId("p"),
    name="Staff",
    provider="azure_ad",
    token_kind="identity",
    issuer="https://login.microsoftonline.com/t1/v2.0",
    audience="client-1",
    jwks_url="https://login.microsoftonline.com/t1/discovery/v2.0/keys",
    ca_pem="",
    user_claim="sub",
    role_id=PROPERTY_ADMINS,
    boundary_id=None,
    enabled=True,
    created_at=AT,
    updated_at=AT,
)
COGNITO = replace(APPLICATION, provider="cognito", token_kind="access")
ACCESS = replace(APPLICATION, provider="other", token_kind="access")


def claims(**changes: Any) -> dict[str, Any]:
    made = {"iss": APPLICATION.issuer, "aud": "client-1", "sub": "ann", "iat": NOW - 5, "exp": NOW + 600, **changes}
    return {name: value for name, value in made.items() if value is not None}


def named(application: IdentityApplication = APPLICATION, typ: str = "JWT", **changes: Any) -> FederatedUser:
    return user_of(application, {"alg": "RS256", "typ": typ}, claims(**changes), now_s=NOW)


def user(application: IdentityApplication = APPLICATION, typ: str = "JWT", **changes: Any) -> str:
    return named(application, typ, **changes).name


COGNITO_CLAIMS: dict[str, Any] = {"aud": None, "client_id": "client-1", "token_use": "access", "scope": "openid"}


@pytest.mark.parametrize(
    "application, changes",
    [
        (APPLICATION, {}),
        (APPLICATION, {"aud": ["client-1"]}),
        (APPLICATION, {"aud": ["client-1", "other"], "azp": "client-1"}),
        (APPLICATION, {"exp": NOW - LEEWAY_S + 1}),
        (APPLICATION, {"nbf": NOW + LEEWAY_S, "iat": NOW + LEEWAY_S}),
        (APPLICATION, {"exp": NOW + 600.5}),
        (COGNITO, COGNITO_CLAIMS),
        (ACCESS, {"scope": "read", "aud": ["x", "client-1"]}),
    ],
)
def test_a_token_that_is_meant_for_the_application_names_its_user(
    application: IdentityApplication, changes: dict[str, Any]
) -> None:
    assert user(application, **changes) == "ann"


@pytest.mark.parametrize(
    "application, changes, why",
    [
        (APPLICATION, {"iss": "https://login.microsoftonline.com/t2/v2.0"}, "another issuer"),
        (APPLICATION, {"iss": APPLICATION.issuer + "/"}, "another issuer"),
        (APPLICATION, {"iss": None}, "another issuer"),
        (APPLICATION, {"iss": [APPLICATION.issuer]}, "another issuer"),
        (APPLICATION, {"aud": "client-2"}, "another application"),
        (APPLICATION, {"aud": None}, "another application"),
        (APPLICATION, {"aud": []}, "another application"),
        (APPLICATION, {"aud": {"client-1": 1}}, "another application"),
        (APPLICATION, {"aud": "client-1 "}, "another application"),
        (APPLICATION, {"aud": ["client-1", "other"]}, "another application"),
        (APPLICATION, {"aud": ["client-1", "other"], "azp": "other"}, "another application"),
        (APPLICATION, {"aud": None, "client_id": "client-1"}, "another application"),
        (APPLICATION, {"exp": NOW - LEEWAY_S}, "expired"),
        (APPLICATION, {"exp": None}, "exp of the token is no time"),
        (APPLICATION, {"exp": "9999999999"}, "exp of the token is no time"),
        (APPLICATION, {"exp": True}, "exp of the token is no time"),
        (APPLICATION, {"exp": float("nan")}, "exp of the token is no time"),
        (APPLICATION, {"exp": float("inf")}, "exp of the token is no time"),
        (APPLICATION, {"iat": None}, "iat of the token is no time"),
        (APPLICATION, {"iat": NOW + LEEWAY_S + 1, "nbf": NOW}, "in the future"),
        (APPLICATION, {"nbf": NOW + LEEWAY_S + 1}, "not valid yet"),
        (APPLICATION, {"nbf": "now"}, "nbf of the token is no time"),
        (APPLICATION, {"nbf": None, "iat": NOW + LEEWAY_S + 1}, "not valid yet"),
        (APPLICATION, {"scp": "user_impersonation"}, "an identity token is needed"),
        (APPLICATION, {"scope": "openid"}, "an identity token is needed"),
        (APPLICATION, {"token_use": "access"}, "an identity token is needed"),
        (COGNITO, {**COGNITO_CLAIMS, "token_use": "id"}, "an access token is needed"),
        (COGNITO, {**COGNITO_CLAIMS, "token_use": None}, "another application"),
        (COGNITO, {**COGNITO_CLAIMS, "client_id": "client-2"}, "another application"),
        (COGNITO, {**COGNITO_CLAIMS, "client_id": None, "aud": "client-1"}, "another application"),
        (ACCESS, {"token_use": "id"}, "an access token is needed"),
        (ACCESS, {"aud": "client-2"}, "another application"),
        (APPLICATION, {"sub": None}, "no user by sub"),
        (APPLICATION, {"sub": " "}, "no user by sub"),
        (APPLICATION, {"sub": 7}, "no user by sub"),
        (APPLICATION, {"sub": "a\nb"}, "no user by sub"),
        (APPLICATION, {"sub": "x" * (USER_MAX + 1)}, "no user by sub"),
    ],
)
def test_a_token_that_is_not_good_is_refused_with_the_reason(
    application: IdentityApplication, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(FederatedTokenRefused, match=why):
        user(application, **changes)


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT"])
def test_an_access_token_by_its_type_is_no_identity_token(typ: str) -> None:
    with pytest.raises(FederatedTokenRefused, match="identity token"):
        user(typ=typ)


def test_an_email_counts_only_where_its_issuer_verified_it() -> None:
    azure, auth0 = (replace(APPLICATION, provider=p, user_claim="email") for p in ("azure_ad", "auth0"))
    assert user(azure, email="ann@example.org") == "ann@example.org"
    assert user(auth0, email="ann@example.org", email_verified=True) == "ann@example.org"
    for application, verified in ((azure, False), (auth0, False), (auth0, None), (auth0, "no")):
        with pytest.raises(FederatedTokenRefused, match="not verified"):
            user(application, email="ann@example.org", email_verified=verified)


@pytest.mark.parametrize(
    "verified, known", [(True, True), ("true", True), (None, False), (False, False), ("no", False)]
)
def test_seats_are_looked_up_by_an_email_that_was_verified(verified: object, known: bool) -> None:
    told = named(email="ann@example.org", email_verified=verified)
    assert told == FederatedUser(name="ann", email="ann@example.org" if known else "")


@pytest.mark.parametrize("email", [7, None, "a\nb", "x" * (USER_MAX + 1)])
def test_an_email_that_is_none_is_nobodys(email: object) -> None:
    assert named(email=email, email_verified=True) == FederatedUser(name="ann")


@pytest.mark.parametrize(
    "provider, issuer, url",
    [
        ("cognito", "https://cognito-idp.eu-west-1.amazonaws.com/p1", "/p1/.well-known/jwks.json"),
        ("firebase", "https://securetoken.google.com/demo", "securetoken@system.gserviceaccount.com"),
        ("azure_ad", "https://sts.windows.net/t1/", "/t1/discovery/v2.0/keys"),
        ("other", "https://id.example.org/realm", "/realm/.well-known/jwks.json"),
    ],
)
def test_keys_are_where_the_provider_has_them(provider: Any, issuer: str, url: str) -> None:
    assert jwks_url_of(provider, issuer).endswith(url)


@pytest.mark.parametrize(
    "field, value, named",
    [
        ("provider", "okta", "provider"),
        ("token_kind", "access", "token_kind"),
        ("token_kind", "any", "token_kind"),
        ("issuer", "http://id.example.org", "issuer"),
        ("issuer", "https://user@id.example.org", "issuer"),
        ("issuer", "https://[::1", "issuer"),
        ("issuer", "https://id.example.org:99999", "issuer"),
        ("jwks_url", "file:///etc/passwd", "jwks_url"),
        ("jwks_url", "https:///keys", "jwks_url"),
        ("audience", " ", "audience"),
        ("audience", "x" * 513, "audience"),
        ("name", "a\x00b", "name"),
        ("user_claim", "", "user_claim"),
        ("user_claim", "a b", "user_claim"),
        ("role_id", OPERATOR, "role"),
        ("role_id", "", "role"),
        ("boundary_id", OPERATOR, "boundary_role"),
        ("ca_pem", "x" * 100_001, "ca_pem"),
    ],
)
def test_what_cannot_be_registered_is_named(field: str, value: str, named: str) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(InvalidValue) as told:
        check_identity_application(replace(APPLICATION, **changes))
    assert [path for path, _ in told.value.fields] == [named]


def test_what_can_be_registered_is() -> None:
    check_identity_application(replace(APPLICATION, boundary_id=RoleId("limits"), name=""))
