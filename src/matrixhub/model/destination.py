"""Where pushes go, and how they show who sends them.

A destination is reached over HTTPS, and `kind` says whose rules the request follows: a web service of the customer, an
Azure Event Hub or AWS IoT Core. Or it is a customer's database, and its URL is `database:` with the id of that, which
knows where it is and who writes. Source: docs/contract/data-push.md §3, §4, docs/decisions/0021-databases.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from matrixhub.model.database import database_of
from matrixhub.model.errors import InvalidValue
from matrixhub.model.secret import Secret

Kind = Literal["https", "azure_event_hub", "aws_iot", "postgres"]
KINDS: tuple[Kind, ...] = ("https", "azure_event_hub", "aws_iot", "postgres")

ClientAuth = Literal["header", "body"]
"""Where a client shows its secret to a token server: HTTP Basic or form fields. Source: RFC 6749 §2.3.1"""

Framing = Literal["batch", "per_item"]
"""What an event of an Event Hub holds: a whole batch, or one reading."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAuth:
    """No authentication, or one by headers or client certificate alone."""

    scheme: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class BasicAuth:
    """HTTP Basic, sent with every request. Source: RFC 7617, docs/contract/data-push.md §3.1"""

    user: str
    password: Secret
    scheme: Literal["basic"] = "basic"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientCredentials:
    """An access token for the hub itself. `extra` are further form fields. Source: RFC 6749 §4.4"""

    token_url: str
    client_id: str
    client_secret: Secret
    client_auth: ClientAuth = "header"
    scope: str = ""
    audience: str = ""
    extra: tuple[tuple[str, str], ...] = ()
    scheme: Literal["oauth2_client_credentials"] = "oauth2_client_credentials"


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshToken:
    """An access token for someone who agreed once; `refresh_token` is the first, later ones are kept by the hub.

    Without client secret the client is a public one, which sends only its id. Source: RFC 6749 §6
    """

    token_url: str
    client_id: str
    refresh_token: Secret
    client_secret: Secret | None = None
    client_auth: ClientAuth = "header"
    scope: str = ""
    extra: tuple[tuple[str, str], ...] = ()
    scheme: Literal["oauth2_refresh_token"] = "oauth2_refresh_token"


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedAccessKey:
    """A key of an Event Hub, from which the hub makes and renews signatures. Source: docs/contract/data-push.md §3.4"""

    key_name: str
    key: Secret
    scheme: Literal["azure_sas"] = "azure_sas"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignatureV4:
    """AWS Signature Version 4 for AWS IoT; without region it is read from the host name.

    Source: docs/contract/data-push.md §3.5
    """

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None
    region: str = ""
    scheme: Literal["aws_sigv4"] = "aws_sigv4"


Auth = NoAuth | BasicAuth | ClientCredentials | RefreshToken | SharedAccessKey | SignatureV4
TokenAuth = ClientCredentials | RefreshToken

AUTH_SCHEMES: Mapping[str, type[Auth]] = {
    "none": NoAuth,
    "basic": BasicAuth,
    "oauth2_client_credentials": ClientCredentials,
    "oauth2_refresh_token": RefreshToken,
    "azure_sas": SharedAccessKey,
    "aws_sigv4": SignatureV4,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """A header that is sent with every push; its value may be a key, so it is a secret."""

    name: str
    value: Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientCertificate:
    """What the hub shows of itself in the TLS handshake (mutual TLS), both in PEM."""

    certificate_pem: str
    key_pem: Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where pushes go. `ca_pem` holds the certificates to trust instead of the system's.

    `egress_allow` is the allow-list of the property, in canonical form; see `model.egress`.
    """

    url: str
    kind: Kind = "https"
    auth: Auth = NoAuth()
    headers: tuple[Header, ...] = ()
    ca_pem: str = ""
    client_certificate: ClientCertificate | None = None
    framing: Framing = "batch"
    egress_allow: frozenset[str] = frozenset()


RESERVED_HEADERS = frozenset(
    {
        *("accept-encoding", "connection", "content-encoding", "content-length", "content-type", "date", "expect"),
        *("host", "keep-alive", "te", "traceparent", "trailer", "transfer-encoding", "upgrade", "user-agent"),
        *("webhook-id", "webhook-signature", "webhook-timestamp", "x-request-id", "x-sc-compression-enabled"),
    }
)
"""What the hub itself says in every push."""

_AWS_HOST = re.compile(r".+\.(?:data\.)?iot(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADERS_MAX = 20
_HEADER_BYTES_MAX = 8_192


def check_destination(destination: Destination, *, plain_http: bool = False) -> None:
    """Refuse a destination that could never work. `plain_http` is for development.

    Raises: InvalidValue if a URL is not https with a host, or a part does not fit the scheme or kind.
    """
    if destination.kind == "postgres":
        _check_database(destination)
        return
    check_https_url(destination.url, "the URL", plain_http=plain_http)
    _check_auth(destination.auth, plain_http)
    _check_headers(destination)
    if destination.framing != "batch" and destination.kind != "azure_event_hub":
        raise InvalidValue("framing is chosen for an azure_event_hub only")
    scheme = destination.auth.scheme
    if scheme == "azure_sas" and destination.kind != "azure_event_hub":
        raise InvalidValue("azure_sas is the authentication of an azure_event_hub")
    if scheme == "aws_sigv4" and destination.kind != "aws_iot":
        raise InvalidValue("aws_sigv4 is the authentication of aws_iot")
    if destination.kind == "azure_event_hub" and scheme not in ("azure_sas", "oauth2_client_credentials"):
        raise InvalidValue("an azure_event_hub takes azure_sas, or oauth2_client_credentials (Entra ID)")
    if destination.kind == "aws_iot" and scheme != "aws_sigv4" and destination.client_certificate is None:
        raise InvalidValue("aws_iot takes aws_sigv4, or a client certificate (X.509)")
    if isinstance(destination.auth, SignatureV4) and not destination.auth.region:
        aws_region(urlsplit(destination.url).hostname or "")


def _check_database(destination: Destination) -> None:
    database_of(destination.url)
    plain = Destination(url=destination.url, kind="postgres", egress_allow=destination.egress_allow)
    if destination != plain:
        raise InvalidValue("a database takes no authentication, headers, certificates or framing here: it has its own")


def check_https_url(url: str, what: str, *, plain_http: bool = False) -> None:
    """Refuse a URL that nothing is sent to. Raises: InvalidValue unless it is https with a host and nothing to hide."""
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise InvalidValue(f"{what} holds blanks or control characters")
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or 0 < parts.port < 65_536
    except ValueError as error:
        raise InvalidValue(f"{what} is not a URL") from error
    if parts.scheme != "https" and not (plain_http and parts.scheme == "http"):
        raise InvalidValue(f"{what} must begin with https://; plain HTTP is not pushed to (contract data-push §4)")
    if not parts.hostname or not port_ok:
        raise InvalidValue(f"{what} names no host")
    if parts.username is not None or parts.password is not None:
        raise InvalidValue(f"{what} holds a user or password; give them as authentication instead")
    if parts.fragment:
        raise InvalidValue(f"{what} has a #fragment, which is never sent")


def aws_region(host: str) -> str:
    """The region in the host name of an endpoint of AWS IoT. Raises: InvalidValue if there is none.

    >>> aws_region("abc123-ats.iot.ap-southeast-1.amazonaws.com")
    'ap-southeast-1'
    """
    found = _AWS_HOST.fullmatch(host.lower())
    if found is None:
        raise InvalidValue(f"{host} does not tell its AWS region; name it")
    return found.group(1)


def _check_auth(auth: Auth, plain_http: bool) -> None:
    match auth:
        case BasicAuth():
            if ":" in auth.user or not auth.user:
                raise InvalidValue("the user name of Basic authentication must not be empty or hold a colon")
        case ClientCredentials() | RefreshToken():
            check_https_url(auth.token_url, "the token URL", plain_http=plain_http)
            if not auth.client_id:
                raise InvalidValue("the client id is missing")
            taken = {"grant_type", "client_id", "client_secret", "refresh_token", "scope"}
            wrong = sorted(name for name, _ in auth.extra if name in taken or not name)
            if wrong:
                raise InvalidValue(
                    f"extra form fields must not be {', '.join(wrong)!r}: they have settings of their own"
                )
            if isinstance(auth, RefreshToken) and not auth.refresh_token.reveal():
                raise InvalidValue("the refresh token is missing")
        case SharedAccessKey():
            if not auth.key_name or not auth.key.reveal():
                raise InvalidValue("the name or the key of the shared access key is missing")
        case SignatureV4():
            if not auth.access_key_id or not auth.secret_access_key.reveal():
                raise InvalidValue("the access key id or the secret access key is missing")
        case NoAuth():
            pass


def _check_headers(destination: Destination) -> None:
    if len(destination.headers) > _HEADERS_MAX:
        raise InvalidValue(f"at most {_HEADERS_MAX} headers of your own")
    seen: set[str] = set()
    for header in destination.headers:
        name, value = header.name.lower(), header.value.reveal()
        if not _HEADER_NAME.fullmatch(header.name):
            raise InvalidValue(f"{header.name!r} is not a header name")
        if name in RESERVED_HEADERS or name.startswith(":"):
            raise InvalidValue(f"the header {header.name} is the hub's own")
        if name == "authorization" and destination.auth.scheme != "none":
            raise InvalidValue("a header Authorization would contradict the authentication scheme")
        if name in seen:
            raise InvalidValue(f"the header {header.name} is there twice")
        if not value or len(value) > _HEADER_BYTES_MAX or not value.isascii() or not value.isprintable():
            raise InvalidValue(f"the value of the header {header.name} is not printable ASCII of 1 to 8,192 signs")
        seen.add(name)
