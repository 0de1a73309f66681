"""The document that asks for a subscription, or for a change of one: the same over REST, from a file and by options.

Its fields are those of `subscription.public_view`, with the secrets that a view leaves out: `headers` is an object of
names and values, `ca_pem`, `client_certificate` and the secrets of `auth` and `notify` are given as text. A change is
a merge patch (RFC 7396): what is not named stays, secrets too, and null means the default.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from matrixhub.model.database import database_of, database_url
from matrixhub.model.destination import (
    AUTH_SCHEMES,
    KINDS,
    Auth,
    BasicAuth,
    ClientCertificate,
    ClientCredentials,
    Destination,
    Framing,
    Header,
    Kind,
    NoAuth,
    RefreshToken,
    SharedAccessKey,
    SignatureV4,
)
from matrixhub.model.devices import canonical_devtype
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import BuildingId, DatabaseId, ZoneId, is_id
from matrixhub.model.policy import DATABASE_LIMITS, ORDERS, BatchLimits, Order, Policy
from matrixhub.model.routing import check_pattern
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import (
    PATTERNS_MAX,
    SOURCES,
    BodyFormat,
    Filter,
    Format,
    Notify,
    Source,
    Subscription,
    check_subscription,
    default_policy,
)

TEXT_MAX = 65_536
NAME_MAX = 200
ENTRIES_MAX = 10_000
AMOUNT_MAX = 1e15
"""Far above all that is allowed, so that the checks of the model can tell what is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionRequest:
    """A subscription as it is asked for, checked. `property_id` and `start` are '' where the document is silent."""

    name: str
    filter: Filter
    destination: Destination
    limits: BatchLimits
    policy: Policy
    format: Format
    notify: Notify
    property_id: str = ""
    start: str = ""


def parse_request(document: object, *, limits: BatchLimits, policy: Policy) -> SubscriptionRequest:
    """The request that a decoded JSON or YAML document holds; limits and policy are those it has by default.

    Raises: InvalidValue naming the field that is unknown, missing, of the wrong type or out of its range.
    """
    fields = _Fields(document, "")
    request = _read(fields, limits, policy, frozenset())
    request = replace(request, property_id=fields.text("property", ""), start=fields.text("from", ""))
    fields.end()
    return request


def patched(subscription: Subscription, patch: object, *, limits: BatchLimits, policy: Policy) -> Subscription:
    """The subscription as it is after a merge patch; limits and policy are those that null brings back.

    Another `auth.scheme` begins with none of the fields of the one before. The source stays.
    Raises: InvalidValue naming the field that is unknown, of the wrong type or out of its range.
    Source: RFC 7396
    """
    if not isinstance(patch, dict):
        raise InvalidValue("a change is an object of the fields that change")
    _check_depth(patch)
    source = subscription.filter.source
    if (patch.get("source", source) or "sensors") != source:
        raise _wrong("source", f"cannot be changed: the subscription is to {source} for as long as it is")
    before = _document(subscription)
    auth = patch.get("auth")
    if {"kind", "database"} & patch.keys():
        before = _without_other_place(before, patch)
    if isinstance(auth, dict) and auth.get("scheme", before["auth"]["scheme"]) != before["auth"]["scheme"]:
        before["auth"] = {}
    fields = _Fields(merge_patch(before, patch), "")
    request = _read(fields, limits, policy, subscription.destination.egress_allow)
    fields.end()
    return replace(
        subscription,
        name=request.name,
        filter=request.filter,
        destination=request.destination,
        limits=request.limits,
        policy=request.policy,
        format=request.format,
        notify=request.notify,
    )


def _without_other_place(before: dict[str, Any], patch: Mapping[Any, Any]) -> dict[str, Any]:
    """The document before a change that leads from a database to a URL or back, without the place it led to."""
    leads_to = patch.get("kind") or ("postgres" if patch.get("database") else before["kind"])
    other = "url" if leads_to == "postgres" else "database"
    return {name: value for name, value in before.items() if name not in (other, "kind")} | {"kind": leads_to}


def merge_patch(target: object, patch: object) -> Any:
    """The document as the patch changes it. Source: RFC 7396 §2

    >>> merge_patch({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _check_depth(value: object, depth: int = 0) -> None:
    """Nothing of the document is nested deeply; a patch that is must not end in a RecursionError."""
    if depth > 8:
        raise InvalidValue("the document is nested too deeply")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


# --- reading ---


class _Fields:
    """The members of an object, each of which must be asked for; errors name the way to them, never a value."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(path, "is not an object")
        self._left: dict[object, Any] = dict(value)
        self.path = path

    def at(self, name: object) -> str:
        """The way to a member."""
        return f"{self.path}.{name}" if self.path else str(name)

    def take(self, name: str) -> Any:
        """The member, or None; null is the same as leaving it out."""
        return self._left.pop(name, None)

    def end(self) -> None:
        """Refuse what nobody asked for."""
        if self._left:
            raise _wrong(self.at(_shown(next(iter(self._left)))), "is not a field of a subscription")

    def object(self, name: str) -> _Fields:
        """A member that is an object itself; empty where it is left out."""
        value = self.take(name)
        return _Fields({} if value is None else value, self.at(name))

    def text(self, name: str, default: str | None = None, *, longest: int = TEXT_MAX) -> str:
        value = self.take(name)
        if value is None:
            if default is None:
                raise _wrong(self.at(name), "is missing")
            return default
        return _text(value, self.at(name), longest)

    def secret(self, name: str) -> Secret:
        return Secret(self.text(name))

    def optional_secret(self, name: str) -> Secret | None:
        text = self.text(name, "")
        return Secret(text) if text else None

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        text = self.text(name, default)
        if text not in choices:
            raise _wrong(self.at(name), f"is one of {', '.join(choices)}")
        return text

    def flag(self, name: str, default: bool) -> bool:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise _wrong(self.at(name), "is true or false")
        return value

    def whole(self, name: str, default: int) -> int:
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > AMOUNT_MAX:
            raise _wrong(self.at(name), "is a whole number")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.take(name)
        return default if value is None else _number(value, self.at(name))

    def numbers(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        value = self.take(name)
        if value is None:
            return default
        return tuple(_number(entry, path) for path, entry in _entries(value, self.at(name)))

    def ids(self, name: str) -> frozenset[str]:
        """A list of ids; empty where it is left out."""
        value = self.take(name)
        found = [] if value is None else [(path, _text(v, path)) for path, v in _entries(value, self.at(name))]
        for path, text in found:
            if not is_id(text):
                raise _wrong(path, "is not an id: 1 to 128 printable characters without outer blanks")
        return frozenset(text for _, text in found)

    def patterns(self, name: str) -> frozenset[str]:
        """A list of patterns of routing keys; empty where it is left out."""
        value = self.take(name)
        found = [] if value is None else [(path, _text(v, path)) for path, v in _entries(value, self.at(name))]
        if len(found) > PATTERNS_MAX:
            raise _wrong(self.at(name), f"holds more than {PATTERNS_MAX} patterns")
        for path, text in found:
            try:
                check_pattern(text)
            except InvalidValue as error:
                raise _wrong(path, f"is no pattern: {error.message}") from error
        return frozenset(text for _, text in found)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """An object of texts, in its order."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, dict):
            raise _wrong(self.at(name), "is an object of names and values")
        path = self.at(name)
        return tuple(
            (_text(key, f"a name in {path}"), _text(text, f"{path}.{_shown(key)}"))
            for key, text in value.items()
            if text is not None
        )


def _read(fields: _Fields, limits: BatchLimits, policy: Policy, egress_allow: frozenset[str]) -> SubscriptionRequest:
    wanted = fields.object("filter")
    form = fields.object("format")
    notify = fields.object("notify")
    source = cast(Source, fields.choice("source", SOURCES, "sensors"))
    kind, url = _read_place(fields)
    limits = DATABASE_LIMITS if kind == "postgres" else limits
    request = SubscriptionRequest(
        name=fields.text("name", "", longest=NAME_MAX),
        filter=_read_filter(wanted, source),
        destination=Destination(
            kind=kind,
            url=url,
            auth=_read_auth(fields.object("auth")),
            headers=tuple(Header(name=name, value=Secret(value)) for name, value in fields.pairs("headers")),
            ca_pem=_pem(fields.text("ca_pem", ""), "CERTIFICATE", "ca_pem"),
            client_certificate=_read_certificate(fields),
            framing=cast(Framing, fields.choice("framing", ("batch", "per_item"), "batch")),
            egress_allow=egress_allow,
        ),
        limits=BatchLimits(
            items=fields.whole("batch_items", limits.items), size_bytes=fields.whole("batch_bytes", limits.size_bytes)
        ),
        policy=_read_policy(fields.object("policy"), default_policy(policy, source, kind)),
        format=Format(
            body=cast(BodyFormat, form.choice("body", ("contract", "cloudevents"), "contract")),
            gzip=form.flag("gzip", False),
        ),
        notify=Notify(
            subscription_id=notify.text("subscription", ""),
            url=notify.text("url", ""),
            ca_pem=_pem(notify.text("ca_pem", ""), "CERTIFICATE", "notify.ca_pem"),
            secret=_signing_secret(notify.optional_secret("secret"), "notify.secret"),
        ),
    )
    for part in (wanted, form, notify):
        part.end()
    check_subscription(
        request.destination, request.limits, request.policy, request.format, request.notify, source=source
    )
    return request


def _read_place(fields: _Fields) -> tuple[Kind, str]:
    """The kind of a destination, and its URL or what stands in place of it."""
    database = fields.text("database", "")
    kind = cast(Kind, fields.choice("kind", KINDS, "postgres" if database else "https"))
    if kind != "postgres":
        if database:
            raise _wrong("database", f"is for the kind postgres, not for {kind}")
        return kind, fields.text("url")
    if fields.text("url", ""):
        raise _wrong("url", "is not for a database: it knows where it is")
    if not database:
        raise _wrong("database", "is missing: the id of a database, db_…")
    url = database_url(DatabaseId(database))
    try:
        database_of(url)
    except InvalidValue as error:
        raise _wrong("database", "is not the id of a database, which is like db_1f0e6a5233bb4b0e9d1c") from error
    return kind, url


def _read_filter(fields: _Fields, source: Source) -> Filter:
    wanted = Filter(
        source=source,
        patterns=fields.patterns("patterns"),
        buildings=frozenset(map(BuildingId, fields.ids("buildings"))),
        zones=frozenset(map(ZoneId, fields.ids("zones"))),
        devtypes=frozenset(map(canonical_devtype, fields.ids("devtypes"))),
    )
    if source == "sensors" and wanted.patterns:
        raise _wrong("filter.patterns", "are for events: a subscription to them has the source events")
    for name in ("buildings", "zones", "devtypes"):
        if source == "events" and getattr(wanted, name):
            raise _wrong(f"filter.{name}", "are for readings; events are chosen by filter.patterns")
    return wanted


def _read_auth(fields: _Fields) -> Auth:
    scheme = fields.choice("scheme", tuple(AUTH_SCHEMES), "none")
    auth: Auth
    match scheme:
        case "basic":
            auth = BasicAuth(user=fields.text("user"), password=fields.secret("password"))
        case "oauth2_client_credentials":
            auth = ClientCredentials(
                client_secret=fields.secret("client_secret"), audience=fields.text("audience", ""), **_client(fields)
            )
        case "oauth2_refresh_token":
            auth = RefreshToken(
                refresh_token=fields.secret("refresh_token"),
                client_secret=fields.optional_secret("client_secret"),
                **_client(fields),
            )
        case "azure_sas":
            auth = SharedAccessKey(key_name=fields.text("key_name"), key=fields.secret("key"))
        case "aws_sigv4":
            auth = SignatureV4(
                access_key_id=fields.text("access_key_id"),
                secret_access_key=fields.secret("secret_access_key"),
                session_token=fields.optional_secret("session_token"),
                region=fields.text("region", ""),
            )
        case _:
            auth = NoAuth()
    fields.end()
    return auth


def _client(fields: _Fields) -> dict[str, Any]:
    """What both schemes of OAuth 2.0 have."""
    return {
        "token_url": fields.text("token_url"),
        "client_id": fields.text("client_id"),
        "client_auth": fields.choice("client_auth", ("header", "body"), "header"),
        "scope": fields.text("scope", ""),
        "extra": fields.pairs("extra"),
    }


def _read_certificate(fields: _Fields) -> ClientCertificate | None:
    value = fields.take("client_certificate")
    if value is None:
        return None
    inner = _Fields(value, fields.at("client_certificate"))
    certificate = ClientCertificate(
        certificate_pem=_pem(inner.text("certificate_pem"), "CERTIFICATE", inner.at("certificate_pem")),
        key_pem=Secret(_pem(inner.text("key_pem"), "PRIVATE KEY", inner.at("key_pem"))),
    )
    inner.end()
    return certificate


def _read_policy(fields: _Fields, defaults: Policy) -> Policy:
    policy = Policy(
        retry_schedule_s=fields.numbers("retry_schedule_s", defaults.retry_schedule_s),
        retry_spread=fields.number("retry_spread", defaults.retry_spread),
        give_up_s=fields.number("give_up_s", defaults.give_up_s),
        connect_timeout_s=fields.number("connect_timeout_s", defaults.connect_timeout_s),
        total_timeout_s=fields.number("total_timeout_s", defaults.total_timeout_s),
        order=cast(Order, fields.choice("order", ORDERS, defaults.order)),
        in_flight=fields.whole("in_flight", defaults.in_flight),
        flush_s=fields.number("flush_s", defaults.flush_s),
        rate_per_s=fields.number("rate_per_s", defaults.rate_per_s),
        catch_up_per_s=fields.number("catch_up_per_s", defaults.catch_up_per_s),
    )
    fields.end()
    return policy


def _pem(text: str, what: str, path: str) -> str:
    if text and not ("-----BEGIN " in text and f"{what}-----" in text):
        raise _wrong(path, f"holds no {what.lower()} in PEM form")
    return text


def _signing_secret(secret: Secret | None, path: str) -> Secret | None:
    """The secret that signs, if it is one; with another text signatures would be made that anybody can make."""
    if secret is None:
        return None
    prefix, _, text = secret.reveal().partition("_")
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError:
        size = 0
    if prefix != "whsec" or not 24 <= size <= 64:
        raise _wrong(path, "is whsec_ with 24 to 64 bytes in base64 behind it")
    return secret


def _text(value: object, path: str, longest: int = TEXT_MAX) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "is not a text")
    if len(value) > longest:
        raise _wrong(path, f"is longer than {longest:,} signs")
    if "\x00" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise _wrong(path, "holds signs that are not text")
    return value


def _number(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= AMOUNT_MAX:
        raise _wrong(path, "is a number")
    return float(value)


def _entries(value: object, path: str) -> Iterator[tuple[str, object]]:
    if not isinstance(value, list):
        raise _wrong(path, "is a list")
    if len(value) > ENTRIES_MAX:
        raise _wrong(path, f"holds more than {ENTRIES_MAX:,} entries")
    return ((f"{path}[{number}]", entry) for number, entry in enumerate(value))


def _wrong(path: str, what: str) -> InvalidValue:
    """The error that a field makes."""
    return InvalidValue(f"{path or 'the document'} {what}", fields=((path, what),))


def _shown(name: object) -> str:
    """The name of a field for an error, which must not be long or break the line."""
    return repr(str(name)[:40])[1:-1]


# --- writing ---


def _document(subscription: Subscription) -> dict[str, Any]:
    """The subscription as the document that would ask for it, secrets included: never to be shown."""
    destination, notify, wanted = subscription.destination, subscription.notify, subscription.filter
    certificate = destination.client_certificate
    return {
        "name": subscription.name,
        "source": wanted.source,
        "filter": {
            "patterns": sorted(wanted.patterns),
            "buildings": sorted(wanted.buildings),
            "zones": sorted(wanted.zones),
            "devtypes": sorted(wanted.devtypes),
        },
        "kind": destination.kind,
        **_place_document(destination),
        "auth": _auth_document(destination.auth),
        "headers": {header.name: header.value.reveal() for header in destination.headers},
        "ca_pem": destination.ca_pem,
        "client_certificate": certificate
        and {"certificate_pem": certificate.certificate_pem, "key_pem": certificate.key_pem.reveal()},
        "framing": destination.framing,
        "format": {"body": subscription.format.body, "gzip": subscription.format.gzip},
        "batch_items": subscription.limits.items,
        "batch_bytes": subscription.limits.size_bytes,
        "policy": {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in dataclasses.fields(subscription.policy)
            for value in (getattr(subscription.policy, field.name),)
        },
        "notify": {
            "subscription": notify.subscription_id,
            "url": notify.url,
            "ca_pem": notify.ca_pem,
            "secret": notify.secret.reveal() if notify.secret else None,
        },
    }


def _place_document(destination: Destination) -> Mapping[str, str]:
    if destination.kind == "postgres":
        return {"database": database_of(destination.url)}
    return {"url": destination.url}


def _auth_document(auth: Auth) -> Mapping[str, Any]:
    document: dict[str, Any] = {}
    for field in dataclasses.fields(auth):
        value = getattr(auth, field.name)
        document[field.name] = value.reveal() if isinstance(value, Secret) else value
    if "extra" in document:
        document["extra"] = dict(document["extra"])
    return document
