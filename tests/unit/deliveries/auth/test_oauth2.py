"""What is asked of a token server, and what becomes of each answer."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from matrixhub.deliveries.auth.oauth2 import TokenAnswer, read_answer, token_request
from matrixhub.model.destination import ClientCredentials, RefreshToken
from matrixhub.model.errors import ReauthorisationNeeded, TokenFault, TokenRefused
from matrixhub.model.secret import Secret

URL = "https://login.example.test/token"
CLIENT = ClientCredentials(token_url=URL, client_id="s6BhdRkqt3", client_secret=Secret("7Fjfp0ZBr1KtDRbnfVdmIw"))
REFRESH = RefreshToken(
    token_url=URL,
    client_id="s6BhdRkqt3",
    client_secret=Secret("7Fjfp0ZBr1KtDRbnfVdmIw"),
    refresh_token=Secret("tGzv3JOkF0XG5Qx2TlKWIA"),
)
NOW_MS = 1_710_029_109_417


def form(auth: ClientCredentials | RefreshToken, refresh_token: Secret | None = None) -> dict[str, str]:
    return dict(parse_qsl(token_request(auth, refresh_token).body.decode(), keep_blank_values=True))


def answered(document: Any, status: int = 200) -> TokenAnswer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return TokenAnswer(status=status, body=body, retry_after_s=7.0)


def test_client_credentials_are_asked_for_as_rfc_6749_has_it() -> None:
    asked = token_request(CLIENT, None)
    assert asked.url == URL
    assert asked.body == b"grant_type=client_credentials"
    assert asked.headers["Authorization"] == "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"  # RFC 6749 §2.3.1
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_a_refresh_token_is_shown_as_rfc_6749_has_it() -> None:
    assert token_request(REFRESH, None).body == b"grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA"
    assert form(REFRESH, Secret("rotated"))["refresh_token"] == "rotated"


def test_id_and_secret_are_form_urlencoded_before_basic() -> None:
    asked = token_request(ClientCredentials(token_url=URL, client_id="a b:c", client_secret=Secret("p+ä%")), None)
    assert asked.headers["Authorization"] == "Basic YStiJTNBYzpwJTJCJUMzJUE0JTI1"  # a+b%3Ac:p%2B%C3%A4%25


def test_a_client_shows_its_secret_in_the_body_where_asked_to() -> None:
    auth = ClientCredentials(token_url=URL, client_id="c", client_secret=Secret("s&p"), client_auth="body")
    assert form(auth) == {"grant_type": "client_credentials", "client_id": "c", "client_secret": "s&p"}
    assert "Authorization" not in token_request(auth, None).headers


def test_a_public_client_shows_its_id_only() -> None:
    auth = RefreshToken(token_url=URL, client_id="c", refresh_token=Secret("r"))
    assert form(auth) == {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c"}
    assert "Authorization" not in token_request(auth, None).headers


def test_scope_audience_and_further_fields_are_sent_where_they_are_set() -> None:
    auth = ClientCredentials(
        token_url=URL,
        client_id="c",
        client_secret=Secret("s"),
        scope="a b",
        audience="https://api",
        extra=(("resource", "x&y"),),
    )
    assert form(auth) == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "audience": "https://api",
        "resource": "x&y",
    }


def test_the_body_of_a_request_is_not_shown() -> None:
    assert "tGzv3JOkF0XG5Qx2TlKWIA" not in repr(token_request(REFRESH, None))


def test_the_answer_of_rfc_6749_is_read() -> None:
    granted = read_answer(
        REFRESH,
        None,
        answered(
            {
                "access_token": "2YotnFZFEjr1zCsicMWpAA",
                "token_type": "bearer",
                "expires_in": 3600,
                "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIB",
                "example_parameter": "example_value",
            }
        ),
        NOW_MS,
    )
    assert granted.access_token == Secret("2YotnFZFEjr1zCsicMWpAA")
    assert granted.refresh_token == Secret("tGzv3JOkF0XG5Qx2TlKWIB")
    assert granted.expires_at_ms == NOW_MS + 3540_000


@pytest.mark.parametrize(
    ("expires_in", "used_s"),
    [
        (3600, 3540),
        ("3600", 3540),
        (" 3600 ", 3540),
        (3600.9, 3540.9),
        (120, 60),
        (90, 45),
        (1, 0.5),
        (None, 240),
        (0, 240),
        (-5, 240),
        ("soon", 240),
        ("", 240),
        ("nan", 240),
        ("inf", 240),
        (True, 240),
        ([60], 240),
        ({"s": 60}, 240),
        (10**30, 365 * 86_400 - 60),
        ("9" * 400, 240),
    ],
)
def test_a_token_is_used_until_a_margin_before_it_expires(expires_in: Any, used_s: float) -> None:
    granted = read_answer(CLIENT, None, answered({"access_token": "t", "expires_in": expires_in}), NOW_MS)
    assert granted.expires_at_ms - NOW_MS == pytest.approx(used_s * 1000)


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", None])
def test_bearer_is_meant_in_any_case_and_if_nothing_is_said(kind: str | None) -> None:
    assert read_answer(CLIENT, None, answered({"access_token": "t", "token_type": kind}), NOW_MS)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "no access token"),
        (b"<html>welcome</html>", "no access token"),
        (b"access_token=t&token_type=bearer", "no access token"),
        (b"[" * 100_000, "no access token"),
        (b'{"access_token":"\xff"}', "no access token"),
        ([], "no access token"),
        ("token", "no access token"),
        ({}, "no access token"),
        ({"access_token": ""}, "no access token"),
        ({"access_token": None}, "no access token"),
        ({"access_token": 5}, "no access token"),
        ({"access_token": "a\r\nX-Evil: 1"}, "cannot be sent"),
        ({"access_token": "a b"}, "cannot be sent"),
        ({"access_token": "ü"}, "cannot be sent"),
        ({"access_token": "a" * 40_000}, "cannot be sent"),
        ({"access_token": "t", "token_type": "mac"}, "another kind"),
        ({"access_token": "t", "token_type": 7}, "another kind"),
    ],
)
def test_an_answer_without_a_token_to_use_is_a_fault(document: Any, says: str) -> None:
    with pytest.raises(TokenFault, match=says) as fault:
        read_answer(CLIENT, None, answered(document), NOW_MS)
    assert type(fault.value) is TokenFault


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (400, {"error": "invalid_client"}, TokenRefused),
        (401, {"error": "invalid_client", "error_description": "no such client"}, TokenRefused),
        (400, {"error": "invalid_scope"}, TokenRefused),
        (400, {"error": "invalid_grant"}, TokenRefused),
        (403, {"error": "unauthorized_client"}, TokenRefused),
        (200, {"error": "bad_verification_code"}, TokenRefused),
        (401, b"", TokenFault),
        (400, {"error": {"code": 1}}, TokenFault),
        (404, b"not here", TokenFault),
        (302, b"", TokenFault),
        (429, {"error": "invalid_client"}, TokenFault),
        (500, {"error": "invalid_grant"}, TokenFault),
        (503, b"", TokenFault),
        (400, {"error": "temporarily_unavailable"}, TokenFault),
        (400, {"error": "slow_down"}, TokenFault),
    ],
)
def test_a_refusal_is_told_from_a_server_in_trouble(status: int, document: Any, kind: type[TokenFault]) -> None:
    with pytest.raises(TokenFault) as fault:
        read_answer(CLIENT, None, answered(document, status), NOW_MS)
    assert type(fault.value) is kind
    assert fault.value.retry_after_s == 7.0


def test_invalid_grant_of_a_refresh_token_asks_for_a_person() -> None:
    with pytest.raises(ReauthorisationNeeded, match="set a new one"):
        read_answer(REFRESH, None, answered({"error": "invalid_grant"}, 400), NOW_MS)
    with pytest.raises(TokenRefused) as refused:
        read_answer(REFRESH, None, answered({"error": "invalid_client"}, 400), NOW_MS)
    assert not isinstance(refused.value, ReauthorisationNeeded)


def test_a_refusal_names_error_and_description_without_what_was_sent() -> None:
    description = (
        "client s6BhdRkqt3:7Fjfp0ZBr1KtDRbnfVdmIw (czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3) showed "
        "rotated-token-9 and tGzv3JOkF0XG5Qx2TlKWIA\r\n\0"
    )
    answer = answered({"error": "invalid_grant", "error_description": description}, 400)
    with pytest.raises(ReauthorisationNeeded) as refused:
        read_answer(REFRESH, Secret("rotated-token-9"), answer, NOW_MS)
    assert "invalid_grant: client [hidden] ([hidden]) showed [hidden] and [hidden]" in refused.value.message
    assert "\0" not in refused.value.message


def test_a_refresh_token_that_is_none_leaves_the_one_kept() -> None:
    for rotated in (None, "", 5, "a" * 40_000):
        granted = read_answer(REFRESH, None, answered({"access_token": "t", "refresh_token": rotated}), NOW_MS)
        assert granted.refresh_token is None
