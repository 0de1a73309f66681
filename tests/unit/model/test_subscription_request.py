"""The document that asks for a subscription: what it takes, what it refuses, and what a change of it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from matrixhub.model.destination import (
    BasicAuth,
    ClientCertificate,
    ClientCredentials,
    Destination,
    Header,
    NoAuth,
    RefreshToken,
    SharedAccessKey,
    SignatureV4,
)
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.policy import DATABASE_LIMITS, BatchLimits, Order, Policy
from matrixhub.model.request import SubscriptionRequest, parse_request, patched
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Format, Notify, SigningKey, Subscription, public_view

URL = "https://example.org/in"
LIMITS = BatchLimits(items=77, size_bytes=7_777)
DEFAULTS = Policy(give_up_s=777.0)
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"
PLANTED = "pl4nted-s3cret"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def parsed(**fields: Any) -> SubscriptionRequest:
    return parse_request({"url": URL, **fields}, limits=LIMITS, policy=DEFAULTS)


def changed(subscription: Subscription, patch: object) -> Subscription:
    return patched(subscription, patch, limits=LIMITS, policy=DEFAULTS)


def existing(**destination: Any) -> Subscription:
    return Subscription(
        id=SubscriptionId("sub_1"),
        property_id=PropertyId("p"),
        name="old",
        filter=Filter(devtypes=frozenset({"A#B"})),
        destination=Destination(
            **{
                "url": URL,
                "auth": BasicAuth(user="hub", password=Secret(PLANTED)),
                "headers": (Header(name="X-Key", value=Secret(PLANTED)), Header(name="X-Other", value=Secret("o"))),
                "client_certificate": ClientCertificate(certificate_pem=CERTIFICATE, key_pem=Secret(KEY)),
                "egress_allow": frozenset({"10.0.0.0/8"}),
                **destination,
            }
        ),
        limits=BatchLimits(items=10, size_bytes=10_000),
        state="active",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        policy=Policy(total_timeout_s=9.0, give_up_s=99.0),
        signing=(SigningKey(id="k", kind="v1", secret=Secret("s"), created_at=datetime(2024, 1, 1, tzinfo=UTC)),),
        notify=Notify(url="https://ops.example.org/", secret=Secret(WEBHOOK_SECRET)),
        version=4,
    )


def test_a_url_is_all_that_is_needed_and_the_rest_is_as_the_settings_say() -> None:
    assert parsed() == SubscriptionRequest(
        name="",
        filter=Filter(),
        destination=Destination(url=URL),
        limits=LIMITS,
        policy=DEFAULTS,
        format=Format(),
        notify=Notify(),
    )


def test_null_is_the_same_as_leaving_out() -> None:
    nothing = dict.fromkeys(("name", "filter", "auth", "headers", "policy", "batch_items", "client_certificate"))
    assert parsed(**nothing) == parsed()


def test_everything_can_be_said() -> None:
    request = parsed(
        property="p",
        name="erp",
        filter={"buildings": ["b"], "zones": ["z"], "devtypes": ["ODRDTR"]},
        kind="https",
        headers={"X-Key": "k"},
        ca_pem=CERTIFICATE,
        client_certificate={"certificate_pem": CERTIFICATE, "key_pem": KEY},
        format={"body": "cloudevents", "gzip": True},
        batch_items=5,
        batch_bytes=5_000,
        policy={"order": "per_device", "in_flight": 3, "retry_schedule_s": [0, 2.5], "rate_per_s": 10},
        notify={"url": "https://ops.example.org/", "secret": WEBHOOK_SECRET},
        **{"from": "beginning"},
    )
    assert (request.property_id, request.start, request.name) == ("p", "beginning", "erp")
    assert request.filter.devtypes == {"SMARTCLEAN#ODRDTR"}
    assert request.destination.headers == (Header(name="X-Key", value=Secret("k")),)
    assert request.limits == BatchLimits(items=5, size_bytes=5_000)
    assert request.policy.retry_schedule_s == (0.0, 2.5)
    assert (request.policy.in_flight, request.policy.give_up_s) == (3, 777.0)
    assert request.format == Format(body="cloudevents", gzip=True)
    assert request.notify.secret == Secret(WEBHOOK_SECRET)


@pytest.mark.parametrize("secret", ["a secret", "whsec_", "whsec_x", "whsec_c2hvcnQ=", WEBHOOK_SECRET + "!", "whsk_x"])
def test_a_secret_of_notices_that_could_not_sign_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(InvalidValue, match="secret is whsec_") as refused:
        parsed(url=URL, notify={"url": "https://ops.example.org/", "secret": secret})
    assert secret == "whsec_" or secret not in refused.value.message


OAUTH = {"token_url": "https://id.example.org/token", "client_id": "c"}
SCHEMES: dict[str, tuple[dict[str, Any], dict[str, Any], object]] = {
    "none": ({}, {"scheme": "none"}, NoAuth()),
    "basic": (
        {},
        {"scheme": "basic", "user": "u", "password": "p"},
        BasicAuth(user="u", password=Secret("p")),
    ),
    "client credentials": (
        {},
        {
            "scheme": "oauth2_client_credentials",
            "client_secret": "s",
            "client_auth": "body",
            "scope": "a b",
            "audience": "x",
            "extra": {"resource": "r"},
            **OAUTH,
        },
        ClientCredentials(
            token_url=OAUTH["token_url"],
            client_id="c",
            client_secret=Secret("s"),
            client_auth="body",
            scope="a b",
            audience="x",
            extra=(("resource", "r"),),
        ),
    ),
    "refresh token of a public client": (
        {},
        {"scheme": "oauth2_refresh_token", "refresh_token": "r", **OAUTH},
        RefreshToken(token_url=OAUTH["token_url"], client_id="c", refresh_token=Secret("r")),
    ),
    "shared access key": (
        {"kind": "azure_event_hub", "framing": "per_item"},
        {"scheme": "azure_sas", "key_name": "n", "key": "k"},
        SharedAccessKey(key_name="n", key=Secret("k")),
    ),
    "signature v4": (
        {"kind": "aws_iot"},
        {"scheme": "aws_sigv4", "access_key_id": "a", "secret_access_key": "s", "session_token": "t", "region": "r"},
        SignatureV4(access_key_id="a", secret_access_key=Secret("s"), session_token=Secret("t"), region="r"),
    ),
}


@pytest.mark.parametrize(("around", "auth", "made"), SCHEMES.values(), ids=SCHEMES.keys())
def test_every_scheme_is_read(around: dict[str, Any], auth: dict[str, Any], made: object) -> None:
    assert parsed(auth=auth, **around).destination.auth == made


REFUSED: dict[str, tuple[object, str]] = {
    "a list": ([], "the document is not an object"),
    "a text": ("x", "the document is not an object"),
    "no URL": ({}, "url is missing"),
    "an empty URL": ({"url": ""}, "https://"),
    "plain HTTP": ({"url": "http://example.org/"}, "https://"),
    "a URL that is a number": ({"url": 5}, "url is not a text"),
    "an unknown field": ({"url": URL, "urls": 1}, "urls is not a field"),
    "a read-only field": ({"url": URL, "version": 3}, "version is not a field"),
    "an unknown field within": ({"url": URL, "policy": {"retries": 1}}, "policy.retries is not a field"),
    "a field of another scheme": (
        {"url": URL, "auth": {"scheme": "none", "user": "u"}},
        "auth.user is not a field",
    ),
    "an unknown scheme": ({"url": URL, "auth": {"scheme": "digest"}}, "auth.scheme is one of none, basic"),
    "auth that is a text": ({"url": URL, "auth": "basic"}, "auth is not an object"),
    "no password": ({"url": URL, "auth": {"scheme": "basic", "user": "u"}}, "auth.password is missing"),
    "a password that is a number": (
        {"url": URL, "auth": {"scheme": "basic", "user": "u", "password": 5}},
        "auth.password is not a text",
    ),
    "a filter entry of the wrong type": ({"url": URL, "filter": {"zones": ["a", 5]}}, "filter.zones[1] is not a text"),
    "an empty id": ({"url": URL, "filter": {"buildings": [""]}}, "filter.buildings[0] is not an id"),
    "a filter that is a text": ({"url": URL, "filter": {"devtypes": "A#B"}}, "filter.devtypes is a list"),
    "true for a number": ({"url": URL, "batch_items": True}, "batch_items is a whole number"),
    "a fraction for a whole number": ({"url": URL, "batch_items": 1.5}, "batch_items is a whole number"),
    "a huge number": ({"url": URL, "batch_items": 10**40}, "batch_items is a whole number"),
    "a number out of range": ({"url": URL, "batch_items": 0}, "batch items are 1 to"),
    "not a number": ({"url": URL, "policy": {"flush_s": float("nan")}}, "policy.flush_s is a number"),
    "without end": ({"url": URL, "policy": {"retry_schedule_s": [float("inf")]}}, "retry_schedule_s[0] is a number"),
    "a huge integer for a number": ({"url": URL, "policy": {"flush_s": 10**400}}, "policy.flush_s is a number"),
    "a schedule without entries": ({"url": URL, "policy": {"retry_schedule_s": []}}, "at least one wait"),
    "1 for true": ({"url": URL, "format": {"gzip": 1}}, "format.gzip is true or false"),
    "a header without value": ({"url": URL, "headers": {"X-Key": 7}}, "headers.X-Key is not a text"),
    "headers as a list": ({"url": URL, "headers": ["X-Key"]}, "headers is an object"),
    "a header of the hub": ({"url": URL, "headers": {"Host": "x"}}, "the hub's own"),
    "half a certificate": (
        {"url": URL, "client_certificate": {"certificate_pem": CERTIFICATE}},
        "client_certificate.key_pem is missing",
    ),
    "a CA that is none": ({"url": URL, "ca_pem": "x"}, "ca_pem holds no certificate"),
    "framing of a web service": ({"url": URL, "framing": "per_item"}, "framing"),
    "a NUL": ({"url": URL, "name": "a\x00b"}, "name holds signs that are not text"),
    "half a character": ({"url": URL, "name": "\ud800"}, "name holds signs that are not text"),
    "a long name": ({"url": URL, "name": "n" * 201}, "name is longer"),
    "two ways for notices": (
        {"url": URL, "notify": {"url": "https://o.example.org/", "subscription": "sub_2"}},
        "not to both",
    ),
    "a name of a field that is none": ({"url": URL, 5: 1}, "5 is not a field"),
}


@pytest.mark.parametrize(("document", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_refused_with_the_way_to_it(document: object, said: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_request(document, limits=LIMITS, policy=DEFAULTS)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "document",
    [
        {"url": URL, "auth": {"scheme": "basic", "user": "a:b", "password": PLANTED}},
        {"url": URL, "auth": {"scheme": "basic", "user": "a", "password": [PLANTED]}},
        {"url": URL, "auth": {"scheme": "none", "password": PLANTED}},
        {"url": URL, "auth": {"scheme": PLANTED}},
        {"url": URL, "headers": {"X-Key": PLANTED + "\n"}},
        {"url": URL, "headers": {"X-Key": [PLANTED]}},
        {"url": URL, "client_certificate": {"certificate_pem": CERTIFICATE, "key_pem": PLANTED}},
        {"url": URL, "notify": {"secret": {"a": PLANTED}}},
    ],
)
def test_no_error_quotes_a_value(document: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_request(document, limits=LIMITS, policy=DEFAULTS)
    assert PLANTED not in caught.value.message


# --- changes ---


def test_an_empty_change_changes_nothing() -> None:
    assert changed(existing(), {}) == existing()


@pytest.mark.parametrize(("around", "auth", "_made"), SCHEMES.values(), ids=SCHEMES.keys())
def test_an_empty_change_keeps_every_scheme_with_its_secrets(
    around: dict[str, Any], auth: dict[str, Any], _made: object
) -> None:
    made = parsed(auth=auth, headers={"X-A": "b"}, **around).destination
    before = existing(auth=made.auth, kind=made.kind, framing=made.framing, headers=made.headers)
    assert changed(before, {}) == before


def test_a_change_of_one_thing_leaves_the_others_and_their_secrets() -> None:
    after = changed(existing(), {"url": "https://new.example.org/", "auth": {"user": "other"}})
    assert after.destination.url == "https://new.example.org/"
    assert after.destination.auth == BasicAuth(user="other", password=Secret(PLANTED))
    assert after.destination.headers == existing().destination.headers
    assert after.destination.client_certificate == existing().destination.client_certificate
    assert after.destination.egress_allow == {"10.0.0.0/8"}
    assert (after.policy, after.limits, after.notify) == (existing().policy, existing().limits, existing().notify)
    assert (after.version, after.signing, after.id) == (4, existing().signing, "sub_1")


def test_null_brings_the_default_back() -> None:
    patch = {
        "auth": None,
        "headers": {"X-Key": None},
        "client_certificate": None,
        "policy": {"give_up_s": None},
        "batch_items": None,
        "filter": None,
        "notify": {"secret": None},
    }
    after = changed(existing(), patch)
    assert after.destination.auth == NoAuth()
    assert [header.name for header in after.destination.headers] == ["X-Other"]
    assert after.destination.client_certificate is None
    assert (after.policy.give_up_s, after.policy.total_timeout_s) == (777.0, 9.0)
    assert after.limits == BatchLimits(items=77, size_bytes=10_000)
    assert after.filter == Filter()
    assert after.notify == Notify(url="https://ops.example.org/")


def test_lists_are_replaced_whole() -> None:
    assert changed(existing(), {"filter": {"devtypes": ["C#D"]}}).filter.devtypes == {"C#D"}


def test_another_scheme_begins_anew() -> None:
    patch = {"auth": {"scheme": "oauth2_client_credentials", "client_secret": "s", **OAUTH}}
    assert isinstance(changed(existing(), patch).destination.auth, ClientCredentials)
    with pytest.raises(InvalidValue, match="client_secret is missing"):
        changed(existing(), {"auth": {"scheme": "oauth2_client_credentials"}})


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ([], "an object of the fields that change"),
        ({"state": "paused"}, "state is not a field"),
        ({"property": "p"}, "property is not a field"),
        ({"url": None}, "url is missing"),
        ({"auth": {"password": None}}, "auth.password is missing"),
        ({"headers": {"x-key": "v"}}, "there twice"),
        ({"filter": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}}}, "nested too deeply"),
    ],
)
def test_a_change_that_cannot_be_is_refused(patch: object, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        changed(existing(), patch)


def test_what_a_view_names_can_be_asked_for_by_the_same_name() -> None:
    view = public_view(existing())
    told = {"id", "property", "state", "paused_by", "paused_reason", "signing", "version", "created_at"}
    said_otherwise = {"headers", "private_ca", "client_certificate"}
    request = {name: value for name, value in view.items() if name not in told | said_otherwise}
    request["auth"] = {**request["auth"], "password": "p"}  # type: ignore[dict-item]
    request["notify"] = {k: v for k, v in request["notify"].items() if k != "signed"}  # type: ignore[attr-defined]
    made = parse_request(request, limits=LIMITS, policy=DEFAULTS)
    assert (made.policy, made.limits, made.filter) == (existing().policy, existing().limits, existing().filter)


# --- events ---


def event_subscription(**parts: Any) -> Subscription:
    return replace(existing(), filter=Filter(source="events", patterns=frozenset({"matrix.#"})), **parts)


# --- databases ---

DATABASE = "db_1f0e6a5233bb4b0e9d1c"


def test_a_database_is_asked_for_by_its_id_alone() -> None:
    made = parse_request({"database": DATABASE}, limits=LIMITS, policy=DEFAULTS)
    assert made.destination == Destination(kind="postgres", url=f"database:{DATABASE}")
    assert made == parse_request({"database": DATABASE, "kind": "postgres"}, limits=LIMITS, policy=DEFAULTS)
    assert made.limits == DATABASE_LIMITS
    assert made.policy.retry_schedule_s[-1] == 60.0
    assert made.policy.give_up_s == DEFAULTS.give_up_s


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "postgres"}, "database is missing"),
        ({"database": "warehouse"}, "database is not the id of a database"),
        ({"database": DATABASE, "url": URL}, "url is not for a database"),
        ({"database": DATABASE, "kind": "https", "url": URL}, "database is for the kind postgres"),
        ({"database": DATABASE, "auth": {"scheme": "basic", "user": "u", "password": "p"}}, "no authentication"),
        ({"database": DATABASE, "headers": {"X-Key": "k"}}, "no authentication, headers"),
        ({"database": DATABASE, "framing": "per_item"}, "no authentication, headers, certificates or framing"),
        ({"database": DATABASE, "format": {"gzip": True}}, "gzip is for web services"),
        ({"database": DATABASE, "format": {"body": "cloudevents"}}, "rows, not CloudEvents"),
    ],
)
def test_what_a_database_has_no_use_for_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_request(fields, limits=LIMITS, policy=DEFAULTS)
    assert said in refused.value.message


def leading_to_database() -> Subscription:
    return existing(kind="postgres", url=f"database:{DATABASE}", auth=NoAuth(), headers=(), client_certificate=None)


def test_a_view_names_the_database_and_no_url() -> None:
    view = public_view(leading_to_database())
    assert (view["kind"], view["database"], view["url"]) == ("postgres", DATABASE, "")
    assert public_view(existing())["database"] == ""


def test_a_subscription_can_be_led_to_another_database_to_a_url_and_back() -> None:
    before = leading_to_database()
    assert changed(before, {}) == before
    assert changed(before, {"name": "new"}).destination == before.destination
    assert changed(before, {"database": "db_2"}).destination == replace(before.destination, url="database:db_2")
    web = changed(before, {"kind": "https", "url": URL})
    assert (web.destination.kind, web.destination.url) == ("https", URL)
    assert changed(web, {"database": DATABASE}).destination == before.destination
    with pytest.raises(InvalidValue, match="url is not for a database"):
        changed(before, {"url": URL})


# --- events ---


def test_events_are_asked_for_by_their_patterns() -> None:
    asked = parsed(source="events", filter={"patterns": ["matrix.b1.#", "#.HIGH"]})
    assert asked.filter == Filter(source="events", patterns=frozenset({"matrix.b1.#", "#.HIGH"}))
    assert parsed(source="events").filter == Filter(source="events")
    assert parsed(source="sensors").filter == parsed().filter == Filter()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "readings"}, "source is one of sensors, events"),
        ({"filter": {"patterns": ["#"]}}, "filter.patterns are for events"),
        ({"source": "events", "filter": {"buildings": ["b"]}}, "filter.buildings are for readings"),
        ({"source": "events", "filter": {"zones": ["z"]}}, "filter.zones are for readings"),
        ({"source": "events", "filter": {"devtypes": ["T"]}}, "filter.devtypes are for readings"),
        ({"source": "events", "filter": {"patterns": ["a.b"]}}, r"filter.patterns\[0\] is no pattern: no routing key"),
        ({"source": "events", "filter": {"patterns": ["#", "b*.#"]}}, r"filter.patterns\[1\] is no pattern"),
        ({"source": "events", "filter": {"patterns": ["#"] * 101}}, "holds more than 100 patterns"),
        ({"source": "events", "filter": {"patterns": "#"}}, "filter.patterns is a list"),
        ({"source": "events", "filter": {"patterns": [1]}}, r"filter.patterns\[0\] is not a text"),
        ({"source": "events", "policy": {"order": "per_device"}}, "order per_device is not for events; .* strict"),
        ({"source": "events", "policy": {"order": "latest_first"}}, "order latest_first is not for events"),
        ({"policy": {"order": "priority"}}, "order priority is not for readings"),
        ({"source": "events", "policy": {"in_flight": 2}}, "in_flight above 1 needs the order per_device"),
    ],
)
def test_what_is_of_the_other_source_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        parsed(**fields)


@pytest.mark.parametrize("order", ["per_device", "latest_first"])
def test_events_come_in_order_where_the_settings_have_an_order_of_readings(order: Order) -> None:
    defaults = Policy(order=order, in_flight=4 if order == "per_device" else 1, give_up_s=777.0)
    asked = parse_request({"url": URL, "source": "events"}, limits=LIMITS, policy=defaults)
    assert asked.policy == Policy(give_up_s=777.0)
    assert parse_request({"url": URL}, limits=LIMITS, policy=defaults).policy == defaults


@pytest.mark.parametrize("source", ["sensors", None, "x", ""])
def test_a_subscription_to_events_stays_one(source: object) -> None:
    with pytest.raises(InvalidValue, match="source cannot be changed"):
        changed(event_subscription(), {"source": source})


def test_a_subscription_to_readings_stays_one() -> None:
    with pytest.raises(InvalidValue, match="source cannot be changed"):
        changed(existing(), {"source": "events", "filter": {"devtypes": None, "patterns": ["#"]}})
    assert changed(existing(), {"source": None}) == changed(existing(), {"source": "sensors"}) == existing()


def test_the_patterns_of_a_subscription_to_events_can_be_changed() -> None:
    made = event_subscription()
    assert changed(made, {"name": "new"}).filter == made.filter
    after = changed(made, {"source": "events", "filter": {"patterns": ["#.HIGH"]}})
    assert after == replace(made, filter=Filter(source="events", patterns=frozenset({"#.HIGH"})))
    assert changed(made, {"filter": {"patterns": None}}).filter == Filter(source="events")
    view = public_view(after)
    assert view["source"] == "events"
    assert view["filter"] == {"patterns": ["#.HIGH"], "buildings": [], "zones": [], "devtypes": []}
