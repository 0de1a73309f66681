"""Every way to show who sends a push: the destination as it is configured, and a receiver that checks it anew."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from matrixhub.deliveries.signing import new_signing_key
from matrixhub.model.destination import (
    BasicAuth,
    ClientCertificate,
    ClientCredentials,
    Destination,
    Header,
    RefreshToken,
    SharedAccessKey,
    SignatureV4,
)
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Format, SigningKey
from matrixhub.testing import verifiers
from matrixhub.testing.receiver import Answer, Facts, Verify
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.token_server import TokenIssuer, TokenServer

CLIENTS = LocalAuthority()
"""Who issues the certificates of clients."""

CLIENT_ID, PUBLIC_CLIENT_ID = "hub of the matrix", "public hub"
USER, REGION, ACCESS_KEY_ID, KEY_NAME = "hub-user", "eu-west-1", "AKIDMATRIXHUB", "sendOnly"


@dataclass(frozen=True, kw_only=True)
class Planted:
    """The secrets that the schemes use. The access tokens are made by the token server."""

    password: str = "pässw0rd-+/-of-basic"
    header: str = "k3y-in-a-header"
    client_secret: str = "cl1ent s3cret+&/="
    sas_key: str = base64.b64encode(b"the key of an event hub, planted").decode()
    aws_secret: str = "aws/S3cret+AccessKey/planted/EXAMPLE"
    aws_session: str = "aws-session/T0ken+planted=="


PLANTED = Planted()


@dataclass(frozen=True, kw_only=True)
class Made:
    """A destination with what goes with it, and what its receiver judges by. Shape: `receiver` is of HttpsReceiver."""

    destination: Destination
    verify: Verify
    receiver: Mapping[str, Any] = field(default_factory=dict)
    form: Format = field(default_factory=Format)
    signing: tuple[SigningKey, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A way to show who sends; `make` gets the address of the receiver, as `https://host:port`, and a token server."""

    make: Callable[[str, TokenServer], Made]
    tokens: bool = False
    refresh: bool = False
    client_auth: str = "header"

    def issuer(self) -> TokenIssuer:
        """The books of a token server that knows the hub as it shows itself by this scheme."""
        return TokenIssuer({CLIENT_ID: PLANTED.client_secret, PUBLIC_CLIENT_ID: None}, client_auth=self.client_auth)


@functools.cache
def certificate_of(client: str) -> ClientCertificate:
    """The certificate of a client."""
    return CLIENTS.client_certificate(client)


def _nothing(facts: Facts) -> Answer | None:
    shown = [name for name in ("Authorization", "X-Api-Key", "webhook-signature") if name in facts.headers]
    return Answer(403, body=f"{shown} was not asked for") if shown or facts.client_name else None


def none(base: str, server: TokenServer) -> Made:
    """No authentication."""
    return Made(destination=Destination(url=f"{base}/readings"), verify=_nothing)


def static_headers(base: str, server: TokenServer) -> Made:
    """Headers of the customer's choice."""
    headers = (
        Header(name="X-Api-Key", value=Secret(PLANTED.header)),
        Header(name="Authorization", value=Secret(f"Token {PLANTED.header}")),
    )
    checks = [verifiers.header(header.name, header.value.reveal()) for header in headers]
    return Made(destination=Destination(url=f"{base}/readings", headers=headers), verify=verifiers.all_of(*checks))


def basic(base: str, server: TokenServer) -> Made:
    """HTTP Basic."""
    auth = BasicAuth(user=USER, password=Secret(PLANTED.password))
    return Made(
        destination=Destination(url=f"{base}/readings", auth=auth), verify=verifiers.basic(USER, PLANTED.password)
    )


def client_credentials(base: str, server: TokenServer) -> Made:
    """OAuth 2.0 client credentials, the secret shown in the way the token server expects."""
    auth = ClientCredentials(
        token_url=server.url, client_id=CLIENT_ID, client_secret=Secret(PLANTED.client_secret), scope="push"
    )
    return Made(
        destination=Destination(url=f"{base}/readings", auth=auth), verify=verifiers.bearer(server.issuer.is_valid)
    )


def client_credentials_in_body(base: str, server: TokenServer) -> Made:
    """OAuth 2.0 client credentials with the secret as a form field."""
    made = client_credentials(base, server)
    auth = made.destination.auth
    assert isinstance(auth, ClientCredentials)
    return replace(made, destination=replace(made.destination, auth=replace(auth, client_auth="body")))


def refresh_token(base: str, server: TokenServer) -> Made:
    """OAuth 2.0 refresh token of a public client."""
    first = Secret(server.issuer.agree())
    auth = RefreshToken(token_url=server.url, client_id=PUBLIC_CLIENT_ID, refresh_token=first)
    return Made(
        destination=Destination(url=f"{base}/readings", auth=auth), verify=verifiers.bearer(server.issuer.is_valid)
    )


def azure_sas(base: str, server: TokenServer) -> Made:
    """An Event Hub with signatures, each push one event."""
    url = f"{base}/matrix-hub"
    auth = SharedAccessKey(key_name=KEY_NAME, key=Secret(PLANTED.sas_key))
    return Made(
        destination=Destination(url=url, kind="azure_event_hub", auth=auth),
        verify=verifiers.shared_access_signature({KEY_NAME: PLANTED.sas_key}, url.removeprefix("https://")),
        receiver={"content_type": "application/atom+xml"},
    )


def azure_sas_per_item(base: str, server: TokenServer) -> Made:
    """An Event Hub with signatures, each reading one event."""
    made = azure_sas(base, server)
    receiver = {"content_type": "application/vnd.microsoft.servicebus.json", "read_body": _bodies}
    return replace(made, destination=replace(made.destination, framing="per_item"), receiver=receiver)


def azure_entra_id(base: str, server: TokenServer) -> Made:
    """An Event Hub with tokens of Entra ID."""
    made = client_credentials(base, server)
    destination = replace(made.destination, kind="azure_event_hub", url=f"{base}/matrix-hub")
    return replace(made, destination=destination, receiver={"content_type": "application/atom+xml"})


def aws_sigv4(base: str, server: TokenServer) -> Made:
    """AWS IoT with Signature Version 4 and a session token."""
    auth = SignatureV4(
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=Secret(PLANTED.aws_secret),
        session_token=Secret(PLANTED.aws_session),
        region=REGION,
    )
    secrets = {ACCESS_KEY_ID: PLANTED.aws_secret}
    return Made(
        destination=Destination(url=f"{base}/topics/matrix%2Fsensor?qos=1", kind="aws_iot", auth=auth),
        verify=verifiers.signature_v4(secrets, REGION, "iotdata", token=PLANTED.aws_session),
    )


def aws_x509(base: str, server: TokenServer) -> Made:
    """AWS IoT with a client certificate."""
    certificate = certificate_of("thing")
    return Made(
        destination=Destination(url=f"{base}/topics/a?qos=1", kind="aws_iot", client_certificate=certificate),
        verify=verifiers.client_certificate("thing"),
        receiver={"client_ca_pem": CLIENTS.ca_pem},
    )


def mutual_tls(base: str, server: TokenServer) -> Made:
    """A web service that asks for a client certificate."""
    certificate = certificate_of("hub")
    return Made(
        destination=Destination(url=f"{base}/readings", client_certificate=certificate),
        verify=verifiers.client_certificate("hub"),
        receiver={"client_ca_pem": CLIENTS.ca_pem},
    )


def signed_gzip(base: str, server: TokenServer) -> Made:
    """A web service that verifies a secret and a public key in every push; bodies are packed."""
    now = datetime.now(UTC)
    secret, pair = new_signing_key("v1", now), new_signing_key("v1a", now)
    return Made(
        destination=Destination(url=f"{base}/readings"),
        verify=signed(secret.secret.reveal(), pair.public),
        form=Format(gzip=True),
        signing=(secret, pair),
    )


def cloudevents(base: str, server: TokenServer) -> Made:
    """A web service that takes CloudEvents."""
    receiver = {"content_type": "application/cloudevents-batch+json", "read_body": _events}
    return replace(none(base, server), form=Format(body="cloudevents"), receiver=receiver)


SCHEMES: Mapping[str, Scheme] = {
    "none": Scheme(make=none),
    "static headers": Scheme(make=static_headers),
    "basic": Scheme(make=basic),
    "client credentials": Scheme(make=client_credentials, tokens=True),
    "client credentials in the body": Scheme(make=client_credentials_in_body, tokens=True, client_auth="body"),
    "refresh token": Scheme(make=refresh_token, tokens=True, refresh=True),
    "azure SAS": Scheme(make=azure_sas),
    "azure SAS per item": Scheme(make=azure_sas_per_item),
    "azure Entra ID": Scheme(make=azure_entra_id, tokens=True),
    "aws SigV4": Scheme(make=aws_sigv4),
    "aws X.509": Scheme(make=aws_x509),
    "mutual TLS": Scheme(make=mutual_tls),
    "signed, gzip": Scheme(make=signed_gzip),
    "cloudevents": Scheme(make=cloudevents),
}


def signed(secret: str, public: str) -> Verify:
    """A push that both a secret (by the library of the standard) and a public key verify."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))

    def verify(facts: Facts) -> Answer | None:
        headers = {name.lower(): value for name, value in facts.headers.items()}
        try:
            Webhook(secret).verify(facts.body, headers)
        except WebhookVerificationError as error:
            return Answer(401, body=f"v1: {error}")
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + facts.body
        for signature in headers["webhook-signature"].split():
            kind, _, value = signature.partition(",")
            try:
                if kind == "v1a":
                    key.verify(base64.b64decode(value), content)
                    return None
            except InvalidSignature:
                continue
        return Answer(401, body="v1a: no signature fits")

    return verify


def base_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _bodies(body: bytes) -> list[str]:
    return [event["Body"] for event in json.loads(body)]


def _events(body: bytes) -> list[str]:
    return [json.dumps(event["data"]) for event in json.loads(body)]
