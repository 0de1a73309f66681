from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from matrixhub.model.destination import Destination
from matrixhub.model.health import FAILING_ATTEMPTS, FAILING_S, Health, health_of
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Filter, PausedBy, Position, Progress, State, Subscription

NOW = datetime(2024, 3, 10, 8, 5, 9, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def health(state: State, paused_by: PausedBy, failures: int, since: datetime | None) -> Health:
    subscription = Subscription(
        id=SubscriptionId("sub_1"),
        property_id=PropertyId("p"),
        name="n",
        filter=Filter(),
        destination=Destination(url="https://example.test/in"),
        limits=BatchLimits(),
        state=state,
        paused_by=paused_by,
        created_at=NOW,
    )
    return health_of(subscription, Progress(position=Position(seq=1), failures=failures, failing_since=since), NOW)


@pytest.mark.parametrize(
    "failures,since,expected",
    [
        (0, None, "healthy"),
        (0, ago(FAILING_S * 9), "healthy"),
        (1, None, "degraded"),
        (1, ago(0), "degraded"),
        (1, ago(-60), "degraded"),
        (1, ago(FAILING_S - 0.001), "degraded"),
        (1, ago(FAILING_S), "failing"),
        (1, ago(FAILING_S + 1), "failing"),
        (FAILING_ATTEMPTS - 1, ago(1), "degraded"),
        (FAILING_ATTEMPTS - 1, None, "degraded"),
        (FAILING_ATTEMPTS - 1, ago(FAILING_S), "failing"),
        (FAILING_ATTEMPTS, ago(0), "failing"),
        (FAILING_ATTEMPTS, None, "failing"),
        (FAILING_ATTEMPTS + 1, ago(-60), "failing"),
        (10_000, ago(1e6), "failing"),
    ],
)
def test_an_active_subscription_is_as_its_last_attempts_were(
    failures: int, since: datetime | None, expected: Health
) -> None:
    assert health("active", "", failures, since) == expected


@pytest.mark.parametrize("failures,since", list(product([0, 1, FAILING_ATTEMPTS], [None, ago(0), ago(FAILING_S)])))
@pytest.mark.parametrize("paused_by,expected", [("", "paused"), ("hand", "paused"), ("policy", "suspended")])
def test_a_paused_subscription_is_paused_however_it_fared_before(
    paused_by: PausedBy, expected: Health, failures: int, since: datetime | None
) -> None:
    assert health("paused", paused_by, failures, since) == expected
