import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrixhub.model.destination import BasicAuth, ClientCertificate, ClientCredentials, Destination, Header
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.notice import (
    PARKED_EVERY_S,
    REASON_MAX,
    RECOVERED_AFTER_S,
    Concern,
    Expiry,
    NoticeKind,
    Standing,
    Told,
    due_notices,
    notice_body,
    safe_text,
    secret_texts,
)
from matrixhub.model.policy import BatchLimits
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Notify, Position, Progress, SigningKey, Subscription

NOW = datetime(2024, 3, 10, 8, 5, 9, tzinfo=UTC)
ID = UUID(int=7)
DAY_S = 86_400.0


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def standing(**fields: Any) -> Standing:
    return Standing(
        **{
            "subscription_id": SubscriptionId("sub_1"),
            "state": "active",
            "paused_by": "",
            "failures": 0,
            "failing_since": None,
            "delivered": 100,
            "parked": 0,
            "told": Told(),
            **fields,
        }
    )


FAILING = standing(failures=5, failing_since=after(-40))
SUSPENDED = standing(state="paused", paused_by="policy", failures=1)
PAUSED = standing(state="paused", paused_by="hand")


class Story:
    """A subscription over time, and what is told of it."""

    def __init__(self) -> None:
        self.told = Told()
        self.now = NOW

    def then(
        self, seen: Standing, seconds: float = 5.0, expiry: Expiry | None = None, *, parked: int = 0
    ) -> tuple[NoticeKind, ...]:
        """What is told of it as it stands, after so many readings were parked meanwhile."""
        self.told = replace(self.told, parked_untold=self.told.parked_untold + parked)
        self.now += timedelta(seconds=seconds)
        self.told, kinds = due_notices(replace(seen, told=self.told), self.now, expiry)
        return kinds


@pytest.mark.parametrize("seen", [standing(), standing(failures=4, failing_since=after(-299)), PAUSED])
def test_what_is_healthy_degraded_or_paused_by_hand_is_not_told(seen: Standing) -> None:
    assert due_notices(seen, NOW) == (seen.told, ())


@pytest.mark.parametrize("seen,kind", [(FAILING, "failing"), (SUSPENDED, "suspended")])
def test_trouble_is_told_once(seen: Standing, kind: str) -> None:
    story = Story()
    assert [story.then(seen) for _ in range(3)] == [(kind,), (), ()]


def test_a_few_failures_over_a_long_time_are_told_as_failing() -> None:
    story = Story()
    few = standing(failures=2, failing_since=NOW)
    assert [story.then(few, 100) for _ in range(4)] == [(), (), ("failing",), ()]


def test_recovery_is_told_once_something_was_taken() -> None:
    story = Story()
    story.then(FAILING)
    assert story.then(standing(delivered=101), RECOVERED_AFTER_S) == ("recovered",)
    assert story.then(standing(delivered=500), 1000) == ()
    assert story.then(replace(FAILING, delivered=500)) == ("failing",)


def test_recovery_is_not_told_right_after_the_trouble() -> None:
    story = Story()
    story.then(FAILING)
    assert story.then(standing(delivered=101), RECOVERED_AFTER_S - 1) == ()
    assert story.then(standing(delivered=101), 1) == ("recovered",)


def test_what_fails_again_before_its_recovery_was_told_is_the_same_trouble() -> None:
    story = Story()
    story.then(FAILING)
    flapping = [story.then(standing(delivered=100 + n) if n % 2 else FAILING, 5) for n in range(1, 10)]
    assert flapping == [()] * 9


def test_a_degraded_subscription_has_not_recovered() -> None:
    story = Story()
    story.then(FAILING)
    assert story.then(standing(delivered=200, failures=1), 1000) == ()


def test_what_was_only_made_active_again_has_not_recovered() -> None:
    story = Story()
    story.then(SUSPENDED)
    assert story.then(standing(), 1000) == ()
    assert story.then(standing(delivered=101)) == ("recovered",)


def test_what_is_suspended_again_after_it_was_made_active_is_told_again() -> None:
    story = Story()
    assert [story.then(seen) for seen in (SUSPENDED, standing(), SUSPENDED)] == [("suspended",), (), ("suspended",)]


def test_what_is_suspended_again_after_a_delivery_is_told_again() -> None:
    story = Story()
    story.then(SUSPENDED)
    assert story.then(standing(delivered=101, failures=1)) == ()
    assert story.then(replace(SUSPENDED, delivered=101)) == ("suspended",)


def test_what_fails_after_it_was_suspended_is_told_as_failing() -> None:
    story = Story()
    story.then(SUSPENDED)
    story.then(standing())
    assert story.then(FAILING) == ("failing",)


def test_what_is_suspended_while_it_fails_is_told() -> None:
    story = Story()
    assert [story.then(FAILING), story.then(SUSPENDED)] == [("failing",), ("suspended",)]


def test_pausing_by_hand_is_no_recovery() -> None:
    story = Story()
    story.then(FAILING)
    assert story.then(replace(PAUSED, delivered=200), 1000) == ()
    assert story.then(standing(delivered=200)) == ("recovered",)


def test_parked_readings_are_told_with_one_notice_in_a_while() -> None:
    story = Story()
    assert story.then(standing(parked=1), parked=1) == ("parked",)
    assert story.then(standing(parked=40), PARKED_EVERY_S - 1, parked=39) == ()
    assert story.told.parked_untold == 39
    assert story.then(standing(parked=50), 1, parked=10) == ("parked",)
    assert story.then(standing(parked=50), PARKED_EVERY_S) == ()


def test_readings_parked_after_others_were_sent_again_are_told() -> None:
    story = Story()
    story.then(standing(parked=5), parked=5)
    story.then(standing(parked=0))
    assert story.then(standing(parked=2), PARKED_EVERY_S, parked=2) == ("parked",)


def test_readings_that_are_no_longer_parked_are_not_told() -> None:
    story = Story()
    assert story.then(standing(parked=0), parked=5) == ()
    assert story.told.parked_untold == 0
    assert story.then(standing(parked=1), parked=1) == ("parked",)


def test_trouble_and_parked_readings_are_told_together() -> None:
    assert Story().then(replace(FAILING, parked=3), parked=3) == ("failing", "parked")


@pytest.mark.parametrize("seen", [PAUSED, replace(SUSPENDED, told=Told(trouble="suspended", at=NOW))])
def test_expiry_is_told_at_four_fifths_and_with_every_further_tenth(seen: Standing) -> None:
    story = Story()
    story.told = seen.told
    expiry = Expiry(at=after(100 * DAY_S), retention_s=100 * DAY_S)
    told_on = [day for day in range(1, 125) if story.then(seen, DAY_S, expiry)]
    assert told_on == [80, 90, 100, 110, 120]


def test_expiry_of_an_active_subscription_is_not_told() -> None:
    assert Story().then(standing(), expiry=Expiry(at=NOW, retention_s=DAY_S)) == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([standing(), FAILING, SUSPENDED, PAUSED, standing(failures=1)]),
            st.integers(0, 3),
            st.integers(0, 3),
            st.floats(0, 2000),
        )
    )
)
def test_trouble_of_one_kind_is_never_told_twice_without_its_end(steps: list[tuple[Standing, int, int, float]]) -> None:
    story = Story()
    delivered = parked = counted = 0
    last = ""
    for seen, taken, set_aside, seconds in steps:
        delivered += taken
        parked += set_aside
        before = story.told
        waiting = before.parked_untold + set_aside
        seen = replace(seen, delivered=delivered, parked=parked)
        kinds = story.then(seen, seconds, parked=set_aside)
        unchanged = replace(before, parked_untold=waiting)
        assert kinds or story.told in (unchanged, replace(unchanged, trouble="resumed"))
        assert story.then(seen, 0.0) == ()
        if "parked" in kinds:
            counted += waiting
        assert counted + story.told.parked_untold == parked
        for kind in (kind for kind in kinds if kind != "parked"):
            assert kind != last or before.trouble == "resumed"
            assert kind != "recovered" or (last and delivered > before.delivered)
            last = "" if kind == "recovered" else kind


# --- the body ---

PASSWORD = 'p4ss/w"ord+1'
SECRETS = {
    "password": PASSWORD,
    "header": "key-of-the-gateway",
    "signing": "whsec_c2lnbmluZy1rZXktb2YtdGhlLXRlc3Q=",
    "notify": "whsec_bm90aWZ5LWtleS1vZi10aGUtdGVzdA==",
    "pem": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n",
}


def subscription(**fields: Any) -> Subscription:
    return Subscription(
        **{
            "id": SubscriptionId("sub_1"),
            "property_id": PropertyId("p"),
            "name": "To the ERP",
            "filter": Filter(),
            "destination": Destination(
                url="https://example.test/in?code=code-in-the-url",
                auth=BasicAuth(user="demo-user", password=Secret(PASSWORD)),
                headers=(Header(name="x-api-key", value=Secret(SECRETS["header"])),),
                client_certificate=ClientCertificate(certificate_pem="PEM", key_pem=Secret(SECRETS["pem"])),
            ),
            "limits": BatchLimits(),
            "state": "active",
            "created_at": NOW,
            "signing": (SigningKey(id="key_1", kind="v1", secret=Secret(SECRETS["signing"]), created_at=NOW),),
            "notify": Notify(url="https://notices.test/", secret=Secret(SECRETS["notify"])),
            **fields,
        }
    )


def concern(seen: Standing, **fields: Any) -> Concern:
    progress = Progress(
        position=Position(seq=9),
        delivered=100,
        parked=7,
        failing_since=seen.failing_since,
        last_error=fields.pop("last_error", "HTTP 500"),
        last_delivered_at=after(-10),
    )
    return Concern(subscription=fields.pop("subscription", subscription()), progress=progress, standing=seen, **fields)


def test_the_notice_of_a_failing_subscription_says_since_when_and_why() -> None:
    assert notice_body("failing", ID, concern(FAILING, failed_code="MH-D003"), NOW) == {
        "id": "00000000-0000-0000-0000-000000000007",
        "type": "matrixhub.subscription.failing",
        "at": "2024-03-10T08:05:09.000+00:00",
        "subscription": "sub_1",
        "property": "p",
        "name": "To the ERP",
        "health": "failing",
        "since": "2024-03-10T08:04:29.000+00:00",
        "reason_code": "MH-D003",
        "reason": "HTTP 500",
        "delivered": 100,
        "parked": 7,
    }


def test_the_notice_of_a_suspended_subscription_gives_the_reason_of_the_policy() -> None:
    paused = subscription(state="paused", paused_by="policy", paused_reason="410 Gone")
    body = notice_body("suspended", ID, concern(SUSPENDED, subscription=paused), NOW)
    assert (body["health"], body["reason"], body["since"]) == ("suspended", "410 Gone", body["at"])


def test_the_notice_of_recovery_says_since_when() -> None:
    body = notice_body("recovered", ID, concern(standing()), NOW)
    assert (body["health"], body["reason"], body["since"]) == ("healthy", "", "2024-03-10T08:04:59.000+00:00")


def test_the_notice_of_parked_readings_counts_those_since_the_last_one() -> None:
    seen = standing(parked=7, told=Told(parked_untold=2))
    body = notice_body("parked", ID, concern(seen, parked_code="MH-D003", parked_reason="422: v.count"), NOW)
    assert (body["parked_new"], body["parked"]) == (2, 7)
    assert (body["reason_code"], body["reason"]) == ("MH-D003", "422: v.count")


def test_the_notice_of_expiry_says_when() -> None:
    expiry = Expiry(at=after(DAY_S), retention_s=DAY_S)
    body = notice_body("expiring", ID, concern(PAUSED), NOW, expiry)
    assert (body["expires_at"], body["reason"]) == ("2024-03-11T08:05:09.000+00:00", "the subscription is paused")


@pytest.mark.parametrize("kind", ["failing", "suspended", "recovered", "parked", "expiring"])
@pytest.mark.parametrize("name", SECRETS)
def test_planted_secrets_are_in_no_notice(kind: NoticeKind, name: str) -> None:
    secret = SECRETS[name]
    quoted = f"HTTP 500: you sent {secret} to https://example.test/in?code=code-in-the-url ({json.dumps(secret)})"
    made = subscription(paused_reason=quoted)
    expiry = Expiry(at=NOW, retention_s=DAY_S)
    seen = concern(FAILING, subscription=made, last_error=quoted, parked_reason=quoted)
    text = json.dumps(notice_body(kind, ID, seen, NOW, expiry))
    for part in (secret, json.dumps(secret)[1:-1], secret.removeprefix("whsec_"), *secret.splitlines()[1:2]):
        assert part not in text
    assert "code-in-the-url" not in text


def test_secrets_are_found_wherever_they_are_and_in_every_spelling() -> None:
    found = secret_texts(subscription())
    basic = "ZGVtby11c2VyOnA0c3MvdyJvcmQrMQ=="
    assert {PASSWORD, "p4ss%2Fw%22ord%2B1", basic, SECRETS["header"], SECRETS["signing"], SECRETS["notify"]} <= found
    auth = ClientCredentials(token_url="https://t.test", client_id="c", client_secret=Secret("the-client-secret"))
    assert "the-client-secret" in secret_texts(auth)


@pytest.mark.parametrize(
    "text,safe",
    [
        ("HTTP 503 Service Unavailable", "HTTP 503 Service Unavailable"),
        ("invalid_grant: the token has expired", "invalid_grant: the token has expired"),
        ("TLS: certificate has expired (key usage)", "TLS: certificate has expired (key usage)"),
        ("line one\r\n\tline\x00two", "line one line two"),
        ("GET https://user:pa/ss@host.test/p?sig=abc&x=1 failed", "GET https://host.test/p?… failed"),
        ("to /in?sig=abc", "to /in?…"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc", "Authorization: Bearer …"),
        ("Authorization: SharedAccessSignature sr=a&sig=b%3D", "Authorization: SharedAccessSignature sr=a?…"),
        ("key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw.", "key …"),
        ('{"access_token":"2YotnFZFEjr1zCsicMWpAA","x":1}', '{"access_token":…,"x":1}'),
        ("client_secret=abcdef wrong", "client_secret=… wrong"),
        ("password = abc", "password = …"),
    ],
)
def test_what_looks_like_a_credential_is_cut_out(text: str, safe: str) -> None:
    assert safe_text(text) == safe


@pytest.mark.parametrize("length", range(4, len(PASSWORD) + 1))
def test_a_secret_that_someone_cut_is_hidden_as_well(length: int) -> None:
    assert safe_text(f"HTTP 500: you sent {PASSWORD[:length]}", [PASSWORD]) == "HTTP 500: you sent …"


def test_a_long_reason_is_cut() -> None:
    assert len(safe_text("x" * 10_000)) == REASON_MAX


@given(st.text(), st.text(min_size=4, max_size=20))
@example("ab", "abab")
def test_a_secret_is_nowhere_in_a_safe_text(around: str, secret: str) -> None:
    shown = safe_text(f"{around}{secret}{around}{secret}", [secret])
    assert secret not in shown or "…" in secret
