import logging
from datetime import UTC, datetime

import pytest

from matrixhub.model.destination import BasicAuth, Destination, check_destination
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.policy import BatchLimits, check_limits
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Position, Subscription, public_view

PASSWORD = "d3mo pass"


def subscription() -> Subscription:
    return Subscription(
        id=SubscriptionId("sub_1"),
        property_id=PropertyId("p"),
        name="n",
        filter=Filter(devtypes=frozenset({"B", "A"})),
        destination=Destination(
            url="https://example.test/in", auth=BasicAuth(user="demo-user", password=Secret(PASSWORD)), ca_pem="PEM"
        ),
        limits=BatchLimits(),
        state="active",
        created_at=datetime(2024, 3, 10, tzinfo=UTC),
    )


@pytest.mark.parametrize("url", ["https://example.test", "https://example.test:8443/in?a=b", "https://[::1]:9/x"])
def test_https_urls_with_a_host_are_destinations(url: str) -> None:
    check_destination(Destination(url=url))


@pytest.mark.parametrize(
    "url,message",
    [
        ("http://example.test/", "must begin with https"),
        ("HTTP://example.test/", "must begin with https"),
        ("ftp://example.test/", "must begin with https"),
        ("example.test", "must begin with https"),
        ("https://", "names no host"),
        ("https://:443/x", "names no host"),
        ("https://example.test:0/", "names no host"),
        ("https://example.test:99999/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("https://user:pass@example.test/", "holds a user or password"),
        ("https://example.test/#part", "#fragment"),
        ("https://example.test/a b", "blanks or control characters"),
        ("https://example.test/\nX-Evil: 1", "blanks or control characters"),
    ],
)
def test_a_url_that_could_never_work_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        check_destination(Destination(url=url))


@pytest.mark.parametrize("user", ["", "a:b"])
def test_a_user_name_that_basic_cannot_carry_is_refused(user: str) -> None:
    destination = Destination(url="https://example.test", auth=BasicAuth(user=user, password=Secret("x")))
    with pytest.raises(InvalidValue, match="colon"):
        check_destination(destination)


@pytest.mark.parametrize("items,size_bytes", [(0, 1024), (10_001, 1024), (1, 1023), (1, 16 * 1024 * 1024 + 1)])
def test_limits_outside_their_ranges_are_refused(items: int, size_bytes: int) -> None:
    with pytest.raises(InvalidValue, match="batch"):
        check_limits(BatchLimits(items=items, size_bytes=size_bytes))


def test_limits_at_the_ends_of_their_ranges_are_taken() -> None:
    check_limits(BatchLimits(items=1, size_bytes=1024))
    check_limits(BatchLimits(items=10_000, size_bytes=16 * 1024 * 1024))


def test_a_secret_is_seen_by_nobody_but_who_asks_for_it(caplog: pytest.LogCaptureFixture) -> None:
    whole = subscription()
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").warning("%s %r %s", whole, whole, whole.destination.auth)
    for text in (str(whole), repr(whole), f"{whole}", caplog.text, str(public_view(whole))):
        assert PASSWORD not in text
    assert isinstance(whole.destination.auth, BasicAuth)
    assert whole.destination.auth.password.reveal() == PASSWORD


def test_secrets_are_equal_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_the_public_view_says_what_is_configured_without_secrets_or_certificates() -> None:
    view = public_view(subscription())
    assert view["auth"] == {"scheme": "basic", "user": "demo-user"}
    assert view["private_ca"] is True
    assert view["source"] == "sensors"
    assert view["filter"] == {"patterns": [], "buildings": [], "zones": [], "devtypes": ["A", "B"]}
    assert view["created_at"] == "2024-03-10T00:00:00+00:00"


def test_positions_are_ordered_by_message_then_line() -> None:
    assert Position(seq=1, item=9) < Position(seq=2) < Position(seq=2, item=1)


def test_plain_http_is_allowed_by_the_dangerous_switch_alone() -> None:
    destination = Destination(url="http://example.test/")
    with pytest.raises(InvalidValue, match="https://"):
        check_destination(destination)
    check_destination(destination, plain_http=True)
    with pytest.raises(InvalidValue):
        check_destination(Destination(url="ftp://example.test/"), plain_http=True)
