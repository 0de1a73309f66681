"""Header values of each scheme: the vectors of the contract and of the standards, and second implementations."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from yarl import URL

from matrixhub.deliveries.auth import azure
from matrixhub.deliveries.auth.aws import signed_headers
from matrixhub.deliveries.auth.azure import messages_url, resource_uri, sas_token
from matrixhub.deliveries.auth.basic import basic, bearer
from matrixhub.model.destination import SharedAccessKey, SignatureV4, aws_region
from matrixhub.model.errors import InvalidValue
from matrixhub.model.secret import Secret
from matrixhub.testing import verifiers
from matrixhub.testing.receiver import Facts

HOST = "abc123example-ats.iot.ap-southeast-1.amazonaws.com"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW_S = 1710029109.0
TOPIC = URL(f"https://{HOST}/topics/matrix%2Fsensor?qos=1")
BODY = b'["{\\"t\\":\\"20240310080509\\"}"]'


def keys(**changes: object) -> SignatureV4:
    return SignatureV4(
        **{"access_key_id": "AKIDEXAMPLE", "secret_access_key": Secret(SECRET), **changes}  # type: ignore[arg-type]
    )


# --- Basic, bearer ---


@pytest.mark.parametrize(
    ("user", "password", "value"),
    [
        ("demo-user", "d3mo pass", "Basic ZGVtby11c2VyOmQzbW8gcGFzcw=="),  # contract §3.1
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617 §2
        ("test", "123£", "Basic dGVzdDoxMjPCow=="),  # RFC 7617 §2.1
        ("u", "a:b", "Basic dTphOmI="),
        ("u", "", "Basic dTo="),
    ],
)
def test_basic_is_the_base64_of_user_and_password(user: str, password: str, value: str) -> None:
    assert basic(user, password) == value


def test_a_token_is_shown_as_bearer() -> None:
    assert bearer("mF_9.B5f-4.1JqM") == "Bearer mF_9.B5f-4.1JqM"  # RFC 6750 §2.1


# --- Azure ---


def test_the_shared_access_signature_of_the_contract() -> None:
    made = sas_token(
        "https://demo-ns.servicebus.windows.net/matrix-hub",
        "sendOnly",
        "ZGVtby1ldmVudC1odWIta2V5LWZvci10ZXN0cw==",
        1710032709,
    )
    assert made == (
        "SharedAccessSignature sr=https%3A%2F%2Fdemo-ns.servicebus.windows.net%2Fmatrix-hub"
        "&sig=bGGbCmQ2%2FZEqAZtaG5LVoLXwTQKIdAS9US4fQ3Lu%2FKo%3D&se=1710032709&skn=sendOnly"
    )


def test_what_would_break_the_signature_apart_is_encoded() -> None:
    made = sas_token("https://ns.servicebus.windows.net/a hub", "k&n=1", "key", 1)
    assert "skn=k%26n%3D1" in made
    assert "sr=https%3A%2F%2Fns.servicebus.windows.net%2Fa%20hub&" in made


@pytest.mark.parametrize(
    ("given", "posted_to"),
    [
        ("/hub", "/hub/messages?timeout=60&api-version=2014-01"),
        ("/hub/", "/hub/messages?timeout=60&api-version=2014-01"),
        ("/hub/messages", "/hub/messages?timeout=60&api-version=2014-01"),
        ("/hub/messages/", "/hub/messages?timeout=60&api-version=2014-01"),
        ("/hub/messages?timeout=30", "/hub/messages?timeout=30&api-version=2014-01"),
        ("/hub?api-version=2024-01", "/hub/messages?api-version=2024-01&timeout=60"),
        ("/hub/publishers/p%201", "/hub/publishers/p%201/messages?timeout=60&api-version=2014-01"),
        ("/messages-hub", "/messages-hub/messages?timeout=60&api-version=2014-01"),
    ],
)
def test_the_url_of_an_event_hub_is_completed(given: str, posted_to: str) -> None:
    found = messages_url(URL(f"https://ns.servicebus.windows.net{given}"))
    assert str(found) == f"https://ns.servicebus.windows.net{posted_to}"
    assert messages_url(found) == found
    assert not resource_uri(found).endswith(("/messages", "/"))
    assert "?" not in resource_uri(found)


def test_a_signature_is_made_for_an_hour_and_made_anew_after_half_of_it() -> None:
    auth = SharedAccessKey(key_name="k", key=Secret("s"))
    made = azure.sign(auth, messages_url(URL("https://ns.servicebus.windows.net/hub")), NOW_S)
    assert f"&se={int(NOW_S) + 3600}&" in made.authorization
    assert [made.holds(NOW_S + age) for age in (0, 1799, 1800, 3600, -1)] == [True, True, False, False, False]


# --- AWS ---


def test_the_signing_key_of_the_contract_by_the_second_implementation() -> None:
    key = verifiers.signing_key(SECRET, "20120215", "us-east-1", "iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def test_the_signature_of_the_contract() -> None:
    assert hashlib.sha256(BODY).hexdigest() == "60019cc72adeeda188b9b71f5d81102c780518263e8999f81303e498992f921f"
    made = signed_headers(keys(), TOPIC, "application/json", BODY, NOW_S)
    assert made == {
        "X-Amz-Date": "20240310T000509Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240310/ap-southeast-1/iotdata/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=12ecca869c94720758236f74b5f8571a831acf7bb7720a81ff020ccd29519da9",
    }


@pytest.mark.parametrize(
    "url",
    [
        str(TOPIC),
        f"https://{HOST}/topics/a%2Fb%2Fc?qos=1&retain=true",
        f"https://{HOST}:8443/topics/plain",
        f"https://{HOST}/topics/%E6%B8%A9%E5%BA%A6%20%24?qos=0",
        f"https://{HOST}/topics/a~b.c-d_e?b=2&a=1&a=0&empty=",
    ],
)
@pytest.mark.parametrize("token", ["", "session+token/=="])
def test_both_implementations_sign_alike(url: str, token: str) -> None:
    target = URL(url)
    auth = keys(session_token=Secret(token) if token else None)
    made = signed_headers(auth, target, "application/json; charset=utf-8", BODY, NOW_S)
    host = f"{HOST}:8443" if ":8443" in url else HOST
    facts = Facts(
        method="POST",
        target=target.raw_path_qs,
        headers={
            **{name.lower(): value for name, value in made.items()},
            **made,
            "host": host,
            "content-type": "application/json; charset=utf-8",
        },
        body=BODY,
    )
    verify = verifiers.signature_v4(
        {"AKIDEXAMPLE": SECRET}, "ap-southeast-1", "iotdata", token=token, now_s=lambda: NOW_S
    )
    assert verify(facts) is None
    wrong = verifiers.signature_v4({"AKIDEXAMPLE": "x"}, "ap-southeast-1", "iotdata", token=token, now_s=lambda: NOW_S)
    assert wrong(facts) is not None


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "ap-southeast-1"),
        ("A1-ATS.IOT.EU-WEST-1.AMAZONAWS.COM", "eu-west-1"),
        ("a1.ats.iot.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("data.iot.us-east-1.amazonaws.com", "us-east-1"),
    ],
)
def test_the_region_is_read_from_the_host_name(host: str, region: str) -> None:
    assert aws_region(host) == region


@pytest.mark.parametrize("host", ["iot.example.com", "127.0.0.1", "", "x.iot.amazonaws.com", f"{HOST}.evil.test"])
def test_a_host_name_without_region_asks_for_one(host: str) -> None:
    with pytest.raises(InvalidValue, match="region"):
        aws_region(host)


def test_the_region_of_the_settings_comes_first() -> None:
    made = signed_headers(keys(region="eu-central-1"), TOPIC, "application/json", BODY, NOW_S)
    assert "/eu-central-1/iotdata/aws4_request" in made["Authorization"]


def test_botocore_is_imported_with_the_first_signature_only() -> None:
    script = (
        "import sys, matrixhub.deliveries.destinations.https;"
        "sys.exit(any(name.split('.')[0] == 'botocore' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


def test_no_environment_and_no_file_gives_botocore_keys_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDELSEWHERE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "elsewhere")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "elsewhere")
    made = signed_headers(keys(), TOPIC, "application/json", BODY, NOW_S)
    assert "X-Amz-Security-Token" not in made
    assert made["Authorization"].endswith("12ecca869c94720758236f74b5f8571a831acf7bb7720a81ff020ccd29519da9")
