"""Whether a push is rightly authenticated, judged a second time: for `HttpsReceiver(verify=…)`.

Everything is computed anew from what the standards and vendors publish, with nothing of the hub's own code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from matrixhub.testing.receiver import Answer, Facts, Verify

CLOCK_SKEW_S = 300
"""AWS takes a signature whose time is at most so far off. Source: AWS General Reference, Signature Version 4"""


def all_of(*checks: Verify) -> Verify:
    """Every check must pass."""

    def verify(facts: Facts) -> Answer | None:
        return next((answer for check in checks if (answer := check(facts)) is not None), None)

    return verify


def basic(user: str, password: str) -> Verify:
    """HTTP Basic. Source: RFC 7617 §2"""

    def verify(facts: Facts) -> Answer | None:
        scheme, _, pair = facts.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return _unauthorised("no Basic")
        try:
            given = base64.b64decode(pair, validate=True).decode()
        except ValueError:
            return _unauthorised("no base64")
        return None if given == f"{user}:{password}" else _unauthorised("wrong user or password")

    return verify


def header(name: str, value: str) -> Verify:
    """A header with exactly this value, once."""

    def verify(facts: Facts) -> Answer | None:
        return None if facts.headers.get(name) == value else _unauthorised(f"no {name}, or another one")

    return verify


def bearer(is_valid: Callable[[str], bool]) -> Verify:
    """A bearer token that its issuer says is good. Source: RFC 6750 §2.1, §3"""

    def verify(facts: Facts) -> Answer | None:
        found = re.fullmatch(r"Bearer ([A-Za-z0-9\-._~+/]+=*)", facts.headers.get("Authorization", ""))
        if found is None or not is_valid(found.group(1)):
            return Answer(401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}, "no good token")
        return None

    return verify


def shared_access_signature(
    keys: Mapping[str, str], resource: str, *, now_s: Callable[[], float] = time.time
) -> Verify:
    """A signature for the Event Hub `resource`, its scheme left out, by one of these keys.

    Source: Microsoft, "Authenticate access to Event Hubs using shared access signatures"
    """

    def verify(facts: Facts) -> Answer | None:
        found = re.fullmatch(r"SharedAccessSignature (\S+)", facts.headers.get("Authorization", ""))
        if found is None:
            return _unauthorised("no shared access signature")
        # The signature may hold "+", which a form parser would make a blank, so it must be percent-encoded.
        fields = dict(part.split("=", 1) for part in found.group(1).split("&"))
        if set(fields) != {"sr", "sig", "se", "skn"}:
            return _unauthorised(f"fields are {sorted(fields)}")
        key = keys.get(unquote(fields["skn"]))
        if key is None:
            return _unauthorised("unknown key name")
        signed = hmac.new(key.encode("utf-8"), (fields["sr"] + "\n" + fields["se"]).encode("utf-8"), hashlib.sha256)
        if unquote(fields["sig"]) != base64.b64encode(signed.digest()).decode():
            return _unauthorised("wrong signature")
        if not now_s() < int(fields["se"]) <= now_s() + 86_400:
            return _unauthorised("the signature has expired, or lives too long")
        if unquote(fields["sr"]) != f"https://{resource}" or any(
            c.islower() for c in re.findall("%(..)", fields["sr"])
        ):
            return _unauthorised("a signature for something else")
        target = urlsplit(facts.target)
        query = dict(parse_qsl(target.query))
        if not target.path.endswith("/messages") or query != {"timeout": "60", "api-version": "2014-01"}:
            return Answer(404, body=f"{facts.target} is nothing one sends to")
        return None

    return verify


def signature_v4(
    secrets: Mapping[str, str], region: str, service: str, *, token: str = "", now_s: Callable[[], float] = time.time
) -> Verify:
    """A Signature Version 4 in headers, by one of these access keys.

    Source: AWS, "Create a signed AWS API request"
    """

    def verify(facts: Facts) -> Answer | None:
        pattern = r"AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
        found = re.fullmatch(pattern, facts.headers.get("Authorization", ""))
        if found is None:
            return _forbidden("no Signature Version 4")
        credential, signed_names, signature = found.groups()
        key_id, day, *rest = credential.split("/")
        instant = facts.headers.get("X-Amz-Date", "")
        if rest != [region, service, "aws4_request"] or key_id not in secrets or not instant.startswith(day):
            return _forbidden("a credential for something else")
        age_s = now_s() - datetime.strptime(instant, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if abs(age_s) > CLOCK_SKEW_S:
            return _forbidden("signature expired")
        names = signed_names.split(";")
        required = {"host", "x-amz-date", *(["x-amz-security-token"] if token else [])}
        if names != sorted(names) or not required <= set(names):
            return _forbidden("headers that must be signed are not")
        if facts.headers.get("X-Amz-Security-Token", "") != token:
            return _forbidden("another session token")
        canonical = canonical_request(facts, names)
        scope = "/".join((day, *rest))
        to_sign = "\n".join(("AWS4-HMAC-SHA256", instant, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        expected = hmac.new(signing_key(secrets[key_id], day, region, service), to_sign.encode(), hashlib.sha256)
        return None if hmac.compare_digest(expected.hexdigest(), signature) else _forbidden("wrong signature")

    return verify


def canonical_request(facts: Facts, signed_names: list[str]) -> str:
    """The text that is signed. The path is encoded once more than it is on the wire, as for all services but S3."""
    target = urlsplit(facts.target)
    path = quote(target.path or "/", safe="/-_.~")
    pairs = [(quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(target.query, keep_blank_values=True)]
    query = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    headers = "".join(f"{name}:{' '.join(facts.headers[name].split())}\n" for name in signed_names)
    body_hash = hashlib.sha256(facts.body).hexdigest()
    return "\n".join((facts.method, path, query, headers, ";".join(signed_names), body_hash))


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of a day, region and service."""
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def client_certificate(common_name: str) -> Verify:
    """The name in the client certificate; that it is one to trust has been seen to in the TLS handshake."""

    def verify(facts: Facts) -> Answer | None:
        return None if facts.client_name == common_name else Answer(403, body="another client")

    return verify


def _unauthorised(reason: str) -> Answer:
    return Answer(401, body=reason)


def _forbidden(reason: str) -> Answer:
    return Answer(403, body=reason)
