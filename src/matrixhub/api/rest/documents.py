"""What the REST face takes and gives, as types; OpenAPI is made from them.

What is given is rendered with these types. What is taken is read by `model.request` and by the handlers, which are
stricter in what they say; a test holds both together. No type that is given has a field for a secret, save the one for
a signing key that was just made.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from matrixhub.model.delivery import AttemptKind
from matrixhub.model.destination import ClientAuth, Framing, Kind
from matrixhub.model.event import Priority
from matrixhub.model.health import Health
from matrixhub.model.policy import Order
from matrixhub.model.subscription import PATTERNS_MAX, BodyFormat, PausedBy, SigningKind, Source, State

Seconds = Annotated[float, Meta(ge=0, description="Seconds.")]
Count = Annotated[int, Meta(ge=0, description="A number of readings or events.")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, in UTC.")]
SecretText = Annotated[str, Meta(min_length=1, extra_json_schema={"writeOnly": True, "format": "password"})]
Ids = Annotated[list[str], Meta(max_length=10_000, description="Ids; none means all.")]
Patterns = Annotated[
    list[str],
    Meta(
        max_length=PATTERNS_MAX,
        description="Patterns of routing keys: `*` is one word, `#` any number; none means all.",
    ),
]
Id = Annotated[str, Meta(pattern=r"^[\w-]{1,128}$")]
Next = Annotated[str | None, Meta(description="Cursor of the next page; null on the last one.")]


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is given out; being strict, it notices a field that the model has and it has not."""


class Taken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is taken; an unknown field is refused by name."""


# --- subscriptions, as they are given ---


class NoAuthView(Given, frozen=True, kw_only=True, tag_field="scheme", tag="none"):
    """No authentication, or one by headers or client certificate alone."""


class BasicAuthView(Given, frozen=True, kw_only=True, tag_field="scheme", tag="basic"):
    """HTTP Basic."""

    user: str


class ClientCredentialsView(Given, frozen=True, kw_only=True, tag_field="scheme", tag="oauth2_client_credentials"):
    """OAuth 2.0 client credentials."""

    token_url: str
    client_id: str
    client_auth: ClientAuth
    scope: str
    extra: Annotated[list[str], Meta(description="The names of further form fields.")]
    audience: str


class RefreshTokenView(Given, frozen=True, kw_only=True, tag_field="scheme", tag="oauth2_refresh_token"):
    """OAuth 2.0 refresh token."""

    token_url: str
    client_id: str
    client_auth: ClientAuth
    scope: str
    extra: Annotated[list[str], Meta(description="The names of further form fields.")]


class SharedAccessKeyView(Given, frozen=True, kw_only=True, tag_field="scheme", tag="azure_sas"):
    """A shared access key of an Azure Event Hub."""

    key_name: str


class SignatureV4View(Given, frozen=True, kw_only=True, tag_field="scheme", tag="aws_sigv4"):
    """AWS Signature Version 4."""

    access_key_id: str
    region: str


AuthView = NoAuthView | BasicAuthView | ClientCredentialsView | RefreshTokenView | SharedAccessKeyView | SignatureV4View


class FilterView(Given, frozen=True, kw_only=True):
    """Which readings or events of the property are wanted; an empty list means all. `patterns` are for events, the
    others for readings.
    """

    patterns: list[str]
    buildings: list[str]
    zones: list[str]
    devtypes: list[str]


class FormatView(Given, frozen=True, kw_only=True):
    """How a body is written."""

    body: BodyFormat
    gzip: bool


class SigningKeyView(Given, frozen=True, kw_only=True):
    """A key that pushes are signed with, without its secret."""

    id: str
    kind: SigningKind
    created_at: Instant
    expires_at: Annotated[Instant | None, Meta(description="Until when a replaced key goes on signing.")]
    public_key: Annotated[
        str, Meta(description="What `v1a` signatures are verified with (whpk_…); empty for `v1`.")
    ] = ""


class PolicyView(Given, frozen=True, kw_only=True):
    """How pushes are timed and ordered. See the contract, section 5."""

    retry_schedule_s: list[float]
    retry_spread: float
    give_up_s: float
    connect_timeout_s: float
    total_timeout_s: float
    order: Order
    in_flight: int
    flush_s: float
    rate_per_s: float
    catch_up_per_s: float


class NotifyView(Given, frozen=True, kw_only=True):
    """Where notices about the health of the subscription go."""

    subscription: str
    url: str
    signed: bool


class PositionView(Given, frozen=True, kw_only=True):
    """A place in the stream: line `item` of message `seq`."""

    seq: int
    item: int


class ProgressView(Given, frozen=True, kw_only=True):
    """How far the subscription has come."""

    position: Annotated[PositionView, Meta(description="The first place not yet delivered.")]
    delivered: Count
    parked: Count
    expired: Count
    skipped: Count
    replayed: Count
    attempts_failed: Annotated[int, Meta(ge=0)]
    failures: Annotated[int, Meta(ge=0, description="How many attempts failed in a row.")]
    failing_since: Instant | None
    retry_at: Annotated[Instant | None, Meta(description="When it is tried again.")]
    last_error: str
    last_delivered_at: Instant | None


class SubscriptionView(Given, frozen=True, kw_only=True):
    """A subscription as it may be shown: without secrets."""

    id: str
    property: str
    name: str
    state: State
    paused_by: PausedBy
    paused_reason: str
    health: Health
    source: Source
    filter: FilterView
    kind: Kind
    url: Annotated[str, Meta(description="Empty for a database.")]
    database: Annotated[str, Meta(description="Id of the database it leads to, empty for all other kinds.")]
    auth: AuthView
    headers: Annotated[list[str], Meta(description="The names of the headers of the customer's own.")]
    private_ca: bool
    client_certificate: bool
    framing: Framing
    format: FormatView
    signing: list[SigningKeyView]
    batch_items: int
    batch_bytes: int
    policy: PolicyView
    notify: NotifyView
    progress: ProgressView
    version: Annotated[int, Meta(ge=1, description="Grows with every change; also the `ETag`.")]
    created_at: Instant


class SubscriptionPage(Given, frozen=True, kw_only=True):
    """Subscriptions, oldest first."""

    items: list[SubscriptionView]
    next: Next


class NewSigningKeyView(SigningKeyView, frozen=True, kw_only=True):
    """A signing key that was just made; its secret is given here and never again."""

    secret: Annotated[str, Meta(description="whsec_… or whsk_…; to verify `v1a`, the public key is enough.")]


# --- subscriptions, as they are asked for ---


class NoAuth(Taken, frozen=True, kw_only=True, tag_field="scheme", tag="none"):
    """No authentication, or one by headers or client certificate alone."""


class BasicAuth(Taken, frozen=True, kw_only=True, tag_field="scheme", tag="basic"):
    """HTTP Basic, sent with every push (RFC 7617)."""

    user: Annotated[str, Meta(min_length=1, pattern="^[^:]*$")]
    password: SecretText


class ClientCredentials(Taken, frozen=True, kw_only=True, tag_field="scheme", tag="oauth2_client_credentials"):
    """OAuth 2.0 client credentials (RFC 6749 §4.4)."""

    token_url: str
    client_id: Annotated[str, Meta(min_length=1)]
    client_secret: SecretText
    client_auth: Annotated[ClientAuth, Meta(description="Where the client shows its secret.")] = "header"
    scope: str = ""
    audience: str = ""
    extra: Annotated[dict[str, str], Meta(description="Further form fields.")] = {}


class RefreshToken(Taken, frozen=True, kw_only=True, tag_field="scheme", tag="oauth2_refresh_token"):
    """OAuth 2.0 refresh token (RFC 6749 §6); later refresh tokens are kept by the hub."""

    token_url: str
    client_id: Annotated[str, Meta(min_length=1)]
    refresh_token: SecretText
    client_secret: SecretText | None = None
    client_auth: Annotated[ClientAuth, Meta(description="Where the client shows its secret.")] = "header"
    scope: str = ""
    extra: Annotated[dict[str, str], Meta(description="Further form fields.")] = {}


class SharedAccessKey(Taken, frozen=True, kw_only=True, tag_field="scheme", tag="azure_sas"):
    """A shared access key of an Azure Event Hub; the hub makes and renews signatures."""

    key_name: Annotated[str, Meta(min_length=1)]
    key: SecretText


class SignatureV4(Taken, frozen=True, kw_only=True, tag_field="scheme", tag="aws_sigv4"):
    """AWS Signature Version 4 for AWS IoT; without region it is read from the host name."""

    access_key_id: Annotated[str, Meta(min_length=1)]
    secret_access_key: SecretText
    session_token: SecretText | None = None
    region: str = ""


AuthTaken = NoAuth | BasicAuth | ClientCredentials | RefreshToken | SharedAccessKey | SignatureV4


class Filter(Taken, frozen=True, kw_only=True):
    """Which readings or events of the property are wanted. `patterns` are for events, the others for readings."""

    patterns: Patterns = []
    buildings: Ids = []
    zones: Ids = []
    devtypes: Ids = []


class Format(Taken, frozen=True, kw_only=True):
    """How a body is written."""

    body: BodyFormat = "contract"
    gzip: bool = False


class ClientCertificate(Taken, frozen=True, kw_only=True):
    """What the hub shows of itself in the TLS handshake, in PEM."""

    certificate_pem: str
    key_pem: SecretText


class Policy(Taken, frozen=True, kw_only=True):
    """How pushes are timed and ordered; what is left out is as the settings of the hub have it."""

    retry_schedule_s: Annotated[list[Seconds] | None, Meta(description="Waits before retries; the last repeats.")] = (
        None
    )
    retry_spread: Annotated[float, Meta(ge=0, le=10)] | None = None
    give_up_s: Seconds | None = None
    connect_timeout_s: Annotated[float, Meta(ge=1, le=60)] | None = None
    total_timeout_s: Annotated[float, Meta(ge=1, le=60)] | None = None
    order: Order | None = None
    in_flight: Annotated[int, Meta(ge=1, le=32)] | None = None
    flush_s: Seconds | None = None
    rate_per_s: Annotated[float, Meta(ge=0)] | None = None
    catch_up_per_s: Annotated[float, Meta(ge=0)] | None = None


class Notify(Taken, frozen=True, kw_only=True):
    """Where notices about its health go: the destination of another subscription, or a webhook."""

    subscription: str = ""
    url: str = ""
    ca_pem: str = ""
    secret: Annotated[SecretText | None, Meta(description="whsec_…, signs what goes to the webhook.")] = None


Name = Annotated[str, Meta(max_length=200, description="What it is for, for people.")]
Url = Annotated[str, Meta(description="Where readings or events are posted to: https://…")]
DatabaseTaken = Annotated[
    str,
    Meta(
        pattern="^db_[0-9a-f]{1,32}$",
        description="The database of the property that rows are written to, in place of a URL.",
    ),
]
Headers = Annotated[
    dict[str, SecretText], Meta(max_length=20, description="Headers that are sent with every push; values are secret.")
]
BatchItems = Annotated[int, Meta(ge=1, le=10_000, description="Most readings or events in one push.")]
BatchBytes = Annotated[int, Meta(ge=1_024, le=16_777_216, description="Most bytes in one push.")]


class NewSubscription(Taken, frozen=True, kw_only=True):
    """A subscription as it is asked for; null is the same as leaving a field out."""

    url: Url | None = None
    database: DatabaseTaken | None = None
    property: Annotated[str | None, Meta(description="Must be that of the request, where it is given.")] = None
    name: Name = ""
    start: Annotated[str, Meta(description="Where to begin: `now`, `beginning` or an ISO 8601 time.")] = msgspec.field(
        name="from", default="now"
    )
    source: Annotated[Source, Meta(description="Readings of sensors, or events; cannot be changed.")] = "sensors"
    filter: Filter | None = None
    kind: Annotated[Kind | None, Meta(description="`postgres` where a database is named, else `https`.")] = None
    auth: AuthTaken | None = None
    headers: Headers | None = None
    ca_pem: Annotated[str | None, Meta(description="Certificates to trust instead of the system's, in PEM.")] = None
    client_certificate: ClientCertificate | None = None
    framing: Framing = "batch"
    format: Format | None = None
    batch_items: BatchItems | None = None
    batch_bytes: BatchBytes | None = None
    policy: Policy | None = None
    notify: Notify | None = None


class FilterChange(Taken, frozen=True, kw_only=True):
    """A change of the filter."""

    patterns: Patterns | None = None
    buildings: Ids | None = None
    zones: Ids | None = None
    devtypes: Ids | None = None


class FormatChange(Taken, frozen=True, kw_only=True):
    """A change of the format."""

    body: BodyFormat | None = None
    gzip: bool | None = None


class AuthChange(Taken, frozen=True, kw_only=True):
    """A change of the authentication; another scheme begins with none of the fields of the one before."""

    scheme: (
        Literal["none", "basic", "oauth2_client_credentials", "oauth2_refresh_token", "azure_sas", "aws_sigv4"] | None
    ) = None
    user: str | None = None
    password: SecretText | None = None
    token_url: str | None = None
    client_id: str | None = None
    client_secret: SecretText | None = None
    client_auth: ClientAuth | None = None
    scope: str | None = None
    audience: str | None = None
    extra: dict[str, str | None] | None = None
    refresh_token: SecretText | None = None
    key_name: str | None = None
    key: SecretText | None = None
    access_key_id: str | None = None
    secret_access_key: SecretText | None = None
    session_token: SecretText | None = None
    region: str | None = None


class ClientCertificateChange(Taken, frozen=True, kw_only=True):
    """Another client certificate, or another key of it."""

    certificate_pem: str | None = None
    key_pem: SecretText | None = None


class NotifyChange(Taken, frozen=True, kw_only=True):
    """A change of where notices go."""

    subscription: str | None = None
    url: str | None = None
    ca_pem: str | None = None
    secret: SecretText | None = None


class SubscriptionChange(Taken, frozen=True, kw_only=True):
    """A merge patch (RFC 7396): what is not named stays, secrets too; null brings the default back."""

    name: Name | None = None
    source: Annotated[Source | None, Meta(description="Only the one it has.")] = None
    filter: FilterChange | None = None
    kind: Kind | None = None
    url: Url | None = None
    database: DatabaseTaken | None = None
    auth: AuthChange | None = None
    headers: dict[str, SecretText | None] | None = None
    ca_pem: str | None = None
    client_certificate: ClientCertificateChange | None = None
    framing: Framing | None = None
    format: FormatChange | None = None
    batch_items: BatchItems | None = None
    batch_bytes: BatchBytes | None = None
    policy: Policy | None = None
    notify: NotifyChange | None = None


class NewSigningKey(Taken, frozen=True, kw_only=True):
    """A signing key to be made, or one that is brought along."""

    kind: Annotated[SigningKind, Meta(description="`v1`: HMAC-SHA256; `v1a`: ed25519.")] = "v1"
    secret: Annotated[SecretText | None, Meta(description="A key of your own, whsec_… or whsk_….")] = None
    grace_s: Annotated[
        float, Meta(ge=0, le=2_592_000, description="How long those of its kind that it replaces go on signing.")
    ] = 86_400.0


# --- attempts ---


class AttemptView(Given, frozen=True, kw_only=True):
    """One try to send a push and what came of it."""

    id: str
    subscription: str
    at: Instant
    kind: AttemptKind
    request_id: str
    attempt: Annotated[int, Meta(ge=1, description="Which try it was, from 1.")]
    items: int
    size_bytes: int
    http_status: Annotated[int, Meta(ge=0, description="0: no answer came, or the destination speaks no HTTP.")]
    seconds: float
    start: Annotated[PositionView | None, Meta(description="Where the stretch of the stream begins.")]
    end: PositionView | None
    taken: bool
    code: Annotated[str, Meta(description="Empty for an attempt that was taken.")]
    error: str
    answer: Annotated[str, Meta(description="The first signs of what the destination said, secrets hidden.")]


class AttemptPage(Given, frozen=True, kw_only=True):
    """Attempts, newest first."""

    items: list[AttemptView]
    next: Next


# --- parked readings ---


class ParkedView(Given, frozen=True, kw_only=True):
    """A reading that was set aside, with its reason."""

    id: str
    subscription: str
    parked_at: Instant
    position: PositionView
    reading: Annotated[str, Meta(description="The reading as it was pushed, JSON text.")]
    code: str
    reason: str
    http_status: int
    request_id: str
    redrive_at: Annotated[Instant | None, Meta(description="Since when it is to be sent again.")]


class ParkedPage(Given, frozen=True, kw_only=True):
    """Parked readings, oldest first."""

    items: list[ParkedView]
    next: Next


class ParkedSelection(Taken, frozen=True, kw_only=True):
    """Which parked readings of a subscription are meant: those for which all that is named holds."""

    subscription: Id
    ids: Annotated[list[str], Meta(max_length=10_000, description="Ids of parked readings.")] = []
    since: Annotated[Instant | None, Meta(description="Parked at this instant or later.")] = None
    until: Annotated[Instant | None, Meta(description="Parked before this instant.")] = None
    code: Annotated[str, Meta(pattern="^[A-Z0-9-]{0,20}$", description="Parked with this code.")] = ""
    all: Annotated[bool, Meta(description="Every one of them; then nothing else is named.")] = False
    dry_run: Annotated[bool, Meta(description="Only count.")] = False


class CountView(Given, frozen=True, kw_only=True):
    """How many readings it was about."""

    readings: Count
    dry_run: bool


# --- replays ---


class PlaceTaken(Taken, frozen=True, kw_only=True):
    """A place in the stream: line `item` of message `seq`."""

    seq: Annotated[int, Meta(ge=1, le=2**62)]
    item: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0


class NewReplay(Taken, frozen=True, kw_only=True):
    """Where to deliver again from: one of the fields is given."""

    subscription: Id
    since: Annotated[Instant | None, Meta(description="From the first reading stored at that time or later.")] = None
    position: Annotated[PlaceTaken | None, Meta(description="From that place of the stream on.")] = None
    attempt: Annotated[str | None, Meta(description="From where that attempt or request began; its id.")] = None
    dry_run: Annotated[bool, Meta(description="Only count.")] = False


class ReplayPlanView(Given, frozen=True, kw_only=True):
    """What a replay would repeat: exactly so many readings, if it began now."""

    subscription: str
    position: PositionView
    readings: Count
    note: Annotated[str, Meta(description="Where it is less than was asked for.")]
    dry_run: bool = True


class ReplayView(Given, frozen=True, kw_only=True):
    """A replay as it stands."""

    id: str
    subscription: str
    position: Annotated[PositionView, Meta(description="Where it begins.")]
    state: Literal["waiting", "running", "done"]
    requested_at: Instant
    begun_at: Instant | None
    end: Annotated[PositionView | None, Meta(description="Where the subscription was when it went back.")]
    readings: Annotated[int | None, Meta(description="How many readings come again; null while it waits.")]


class ReplayPage(Given, frozen=True, kw_only=True):
    """Replays, newest first."""

    items: list[ReplayView]
    next: Next


# --- the balance ---


class BalanceView(Given, frozen=True, kw_only=True):
    """Readings, by what became of them; `accepted` includes `replayed`, those asked for again."""

    accepted: int
    delivered: int
    pending: int
    parked: int
    expired: int
    skipped: int
    replayed: int
    difference: Annotated[int, Meta(description="What was accepted and is not accounted for; 0 where all is well.")]
    holds: Annotated[bool, Meta(description="Whether every reading is accounted for.")]


class SubscriptionBalance(Given, frozen=True, kw_only=True):
    """The balance of one subscription."""

    subscription: str
    balance: BalanceView


class BalanceSheet(Given, frozen=True, kw_only=True):
    """The balances of all subscriptions of the property."""

    total: BalanceView
    holds: Annotated[bool, Meta(description="Whether the balance of each of them holds.")]
    items: list[SubscriptionBalance]


# --- events and applications ---

EVENT_NAMES = {
    "id": "ID",
    "attr": "ATTR",
    "ptype": "PType",
    "etype": "EType",
    "routing_key": "RoutingKey",
    "routing_key_s": "RoutingKeyS",
    "unix_time": "UnixTime",
    "unix_time_int": "UnixTimeInt",
    **{
        name: name.title()
        for name in ("description", "event", "principal", "entity", "status", "time", "module", "meta")
    },
}
"""The names of the contract, which events keep wherever they are shown."""


class EventView(Given, frozen=True, kw_only=True, rename=EVENT_NAMES):
    """An event, as it is delivered. See the contract of the event bus, section 3."""

    id: str
    attr: str
    description: str
    event: str
    principal: str
    ptype: str
    entity: str
    etype: str
    routing_key: str
    routing_key_s: list[str]
    status: Annotated[str, Meta(description="The priority.")]
    time: str
    unix_time: str
    unix_time_int: int
    module: str
    meta: dict[str, Any]


class EventPage(Given, frozen=True, kw_only=True):
    """Events of the log, oldest first."""

    items: list[EventView]
    next: Next


class NewEvent(Taken, frozen=True, kw_only=True, rename="pascal"):
    """An event that an application asks for; all else of it is set by the hub."""

    event: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{2,63}$", description="None of the platform's own.")]
    priority: Priority
    description: Annotated[str, Meta(max_length=1_000, description="For people.")]
    meta: Annotated[dict[str, Any], Meta(description="At most 16 KB.")]
    principal: Annotated[
        str | None, Meta(description="The property, or one of its buildings; the property where it is left out.")
    ] = None


class NewEvents(Taken, frozen=True, kw_only=True):
    """Events that an application asks for. Each is looked at for itself."""

    events: Annotated[list[NewEvent], Meta(max_length=100)]
    application: Annotated[
        str | None, Meta(description="Whose they are; left out with a key of the application, which says it.")
    ] = None


class RejectedEvent(Given, frozen=True, kw_only=True):
    """An event that was not taken: which one, from 0, and why."""

    index: int
    code: str
    message: str


class PublishedView(Given, frozen=True, kw_only=True):
    """What became of the events of a request."""

    accepted: Annotated[int, Meta(ge=0)]
    rejected: list[RejectedEvent]


QuotaNumber = Annotated[int, Meta(ge=1, le=10_000_000)]
ApplicationKey = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{3,64}$", description="The module of its events.")]


class ApplicationView(Given, frozen=True, kw_only=True):
    """An application that may publish events."""

    id: str
    property: str
    name: str
    per_minute: Annotated[int, Meta(description="Events it may publish a minute, in the long run.")]
    burst: Annotated[int, Meta(description="Events it may publish at once.")]
    per_day: Annotated[int, Meta(description="Events it may publish in a day (UTC).")]
    created_at: Instant
    revoked_at: Instant | None
    version: Annotated[int, Meta(ge=1)]


class ApplicationList(Given, frozen=True, kw_only=True):
    """The applications of the property, oldest first."""

    items: list[ApplicationView]


class NewApplication(Taken, frozen=True, kw_only=True):
    """An application to register; quotas that are left out are as the settings of the hub have them."""

    id: ApplicationKey
    name: Name = ""
    per_minute: QuotaNumber | None = None
    burst: QuotaNumber | None = None
    per_day: QuotaNumber | None = None


class ChangedApplication(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays."""

    name: Name | None = None
    per_minute: QuotaNumber | None = None
    burst: QuotaNumber | None = None
    per_day: QuotaNumber | None = None
