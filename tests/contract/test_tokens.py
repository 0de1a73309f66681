"""The port `TokenStore`, in memory and on PostgreSQL: one renews at a time, and nothing granted is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from tests.engines import SharedEngines

from matrixhub.deliveries.auth.oauth2 import Granted
from matrixhub.deliveries.auth.tokens import Tokens
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import ClientCredentials, Destination, RefreshToken, TokenAuth
from matrixhub.model.errors import LeaseLost, ReauthorisationNeeded, TokenFault
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Position, Subscription
from matrixhub.ports import TokenStore
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription, delete_subscription
from matrixhub.store.tokens import PostgresTokens
from matrixhub.testing.samples import sample_subscription
from matrixhub.testing.tokens import MemoryTokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEALER = Sealer("0f" * 32)
AUTH = RefreshToken(
    token_url="https://login.example.test/token", client_id="c", refresh_token=Secret("first-refresh-token")
)
FAR_MS = 4_000_000_000_000
LIMITS = Policy(connect_timeout_s=1, total_timeout_s=1)

NewStore = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn(shared_engines: SharedEngines) -> str:
    return (await shared_engines.new_database()).socket


@pytest_asyncio.fixture(loop_scope="module")
async def database(dsn: str) -> AsyncIterator[Database]:
    async with open_database(dsn, connections_max=5) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def subscription(database: Database) -> Subscription:
    """A subscription that is in the database."""
    site = make_site(3)
    await apply_site(database, site, remove=False)
    return await create_subscription(
        database,
        Codec(sealer=SEALER, policy=LIMITS),
        site.property.id,
        name="n",
        wanted=Filter(),
        destination=Destination(url="https://example.test/in", auth=AUTH),
        limits=BatchLimits(),
        position=Position(seq=1),
    )


@pytest_asyncio.fixture(params=["memory", "postgres"], loop_scope="module")
async def new_store(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[NewStore]:
    """Makes stores as several workers have them: each its own, all with the same rows."""
    made: list[PostgresTokens] = []
    memory: dict[float, MemoryTokens] = {}

    def new(slack_s: float = 10.0) -> TokenStore:
        if request.param == "memory":
            return memory.setdefault(slack_s, MemoryTokens(slack_s=slack_s))
        made.append(PostgresTokens(dsn, SEALER, slack_s=slack_s))
        return made[-1]

    yield new
    for store in made:
        await store.close()


def configured(subscription: Subscription, auth: TokenAuth, version: int) -> Subscription:
    return replace(subscription, version=version, destination=replace(subscription.destination, auth=auth))


async def renew(store: TokenStore, subscription: Subscription, seen: int = 0, name: str = "a1") -> int:
    async with store.renewing(subscription, seen) as renewal:
        assert renewal.mine
        saved = await renewal.save(Secret(name), FAR_MS, Secret(f"refresh-{name}"))
    return saved.version


async def test_there_is_no_token_before_one_is_saved(new_store: NewStore, subscription: Subscription) -> None:
    store = new_store()
    assert await store.current(subscription) is None
    async with store.renewing(subscription, 0) as renewal:
        assert (renewal.token, renewal.mine, renewal.lapsed) == (None, True, False)
    assert await store.current(subscription) is None


async def test_what_was_saved_is_there_for_every_worker(new_store: NewStore, subscription: Subscription) -> None:
    one, other = new_store(), new_store()
    version = await renew(one, subscription)
    token = await other.current(subscription)
    assert token is not None
    assert (token.access_token, token.refresh_token) == (Secret("a1"), Secret("refresh-a1"))
    assert (token.expires_at_ms, token.version) == (FAR_MS, version)
    assert await renew(other, subscription, version, "a2") == version + 1


async def test_one_renews_and_the_others_are_told_what_came_of_it(
    new_store: NewStore, subscription: Subscription
) -> None:
    stores = [new_store() for _ in range(8)]
    renewed = 0

    async def one(store: TokenStore) -> str:
        nonlocal renewed
        async with store.renewing(subscription, 0) as renewal:
            if renewal.mine:
                renewed += 1
                await asyncio.sleep(0.05)
                token = await renewal.save(Secret("a1"), FAR_MS, None)
            else:
                assert renewal.token is not None
                token = renewal.token
        return token.access_token.reveal()

    assert await asyncio.gather(*map(one, stores)) == ["a1"] * 8
    assert renewed == 1


async def test_a_right_that_is_given_back_unused_goes_to_the_next(
    new_store: NewStore, subscription: Subscription
) -> None:
    one, other = new_store(), new_store()
    async with one.renewing(subscription, 0):
        waiting = asyncio.create_task(renew(other, subscription))
        await asyncio.sleep(0)
    assert await waiting == 1


async def test_a_right_lapses_with_its_holder_and_the_next_is_told_so(
    new_store: NewStore, subscription: Subscription
) -> None:
    one = new_store(slack_s=-0.9)
    lost = one.renewing(subscription, 0)
    await lost.__aenter__()  # a worker that is killed gives nothing back
    async with one.renewing(subscription, 0) as renewal:
        assert renewal.mine
        assert renewal.lapsed
        await renewal.save(Secret("a1"), FAR_MS, None)
    await lost.__aexit__(None, None, None)
    token = await one.current(subscription)
    assert token is not None
    assert token.access_token == Secret("a1")


async def test_what_was_granted_may_be_saved_after_the_right_has_lapsed_unless_another_has_saved(
    new_store: NewStore, subscription: Subscription
) -> None:
    store = new_store(slack_s=-0.9)
    async with store.renewing(subscription, 0) as slow, store.renewing(subscription, 0) as quick:
        saved = await slow.save(Secret("slow"), FAR_MS, None)
        with pytest.raises(LeaseLost):
            await quick.save(Secret("quick"), FAR_MS, None)
    token = await store.current(subscription)
    assert token == saved


async def test_a_new_configuration_starts_anew_and_the_one_before_may_write_nothing(
    new_store: NewStore, subscription: Subscription
) -> None:
    store = new_store()
    await renew(store, subscription)
    anew = configured(subscription, replace(AUTH, refresh_token=Secret("second-refresh-token")), 2)
    assert await store.current(anew) is None
    async with store.renewing(subscription, 1) as old:
        assert old.mine
        await renew(store, anew, name="b1")
        with pytest.raises(LeaseLost):
            await old.save(Secret("late"), FAR_MS, None)
    assert await store.current(subscription) is None
    with pytest.raises(LeaseLost, match="anew"):
        async with store.renewing(subscription, 1):
            pass
    token = await store.current(anew)
    assert token is not None
    assert token.access_token == Secret("b1")


async def test_a_change_of_something_else_keeps_the_token(new_store: NewStore, subscription: Subscription) -> None:
    store = new_store()
    version = await renew(store, subscription)
    renamed = replace(subscription, name="other", version=9)
    token = await store.current(renamed)
    assert token is not None
    assert await renew(store, renamed, version, "a2") == version + 1
    assert await store.current(subscription) is not None


async def test_every_part_of_the_configuration_counts(new_store: NewStore, subscription: Subscription) -> None:
    store = new_store()
    await renew(store, subscription)
    changes: list[dict[str, Any]] = [
        {"token_url": "https://other.test/"},
        {"client_id": "d"},
        {"client_secret": Secret("s")},
        {"scope": "s"},
        {"extra": (("a", "b"),)},
        {"client_auth": "body"},
    ]
    for change in changes:
        assert await store.current(configured(subscription, replace(AUTH, **change), 2)) is None


async def test_a_subscription_that_is_gone_has_no_token(database: Database, dsn: str) -> None:
    store = PostgresTokens(dsn, SEALER)
    with pytest.raises(LeaseLost, match="no subscription"):
        async with store.renewing(sample_subscription(destination=Destination(url="", auth=AUTH)), 0):
            pass
    await store.close()


async def test_tokens_go_with_their_subscription(database: Database, dsn: str, subscription: Subscription) -> None:
    store = PostgresTokens(dsn, SEALER)
    await renew(store, subscription)
    await delete_subscription(database, subscription.property_id, subscription.id)
    assert await store.current(subscription) is None
    await store.close()


async def test_no_token_is_in_the_database_unsealed(database: Database, dsn: str, subscription: Subscription) -> None:
    store = PostgresTokens(dsn, SEALER)
    await renew(store, subscription, name="access-token-1")
    await store.close()
    async with database.connection() as connection:
        rows = str([dict(row) for row in await connection.fetch("select * from tokens")])
    for secret in ("access-token-1", "first-refresh-token"):
        assert secret not in rows
        assert secret.encode().hex() not in rows


# --- Tokens, on both ---


class Asked:
    """A token server as a function: what it was asked with, and a refresh token that is good once."""

    def __init__(self, *, lifetime_ms: int = FAR_MS) -> None:
        self.with_tokens: list[str | None] = []
        self.lifetime_ms = lifetime_ms
        self.fault: Exception | None = None
        self.gate, self.waiting = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def __call__(self, subscription: Subscription, refresh_token: Secret | None) -> Granted:
        self.with_tokens.append(refresh_token.reveal() if refresh_token else None)
        if not self.gate.is_set():
            self.waiting.set()
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        number = len(self.with_tokens)
        return Granted(
            access_token=Secret(f"a{number}"),
            expires_at_ms=self.lifetime_ms,
            refresh_token=Secret(f"r{number}") if refresh_token else None,
        )


async def test_a_restarted_worker_goes_on_with_the_token_that_is_kept(
    new_store: NewStore, subscription: Subscription
) -> None:
    asked = Asked()
    first = await Tokens(new_store(), asked, SystemClock()).get(subscription, AUTH)
    again = await Tokens(new_store(), asked, SystemClock()).get(subscription, AUTH)
    assert again == first
    assert asked.with_tokens == ["first-refresh-token"]


async def test_a_worker_whose_token_was_refused_takes_that_of_another_who_renewed_meanwhile(
    new_store: NewStore, subscription: Subscription
) -> None:
    asked = Asked()
    one, other = (Tokens(new_store(), asked, SystemClock()) for _ in range(2))
    old = await one.get(subscription, AUTH)
    assert await other.get(subscription, AUTH) == old
    new = await one.get(subscription, AUTH, refused=old)
    assert await other.get(subscription, AUTH, refused=old) == new
    assert asked.with_tokens == ["first-refresh-token", "r1"]


async def test_a_refused_token_is_not_used_again_though_no_new_one_could_be_had(
    new_store: NewStore, subscription: Subscription
) -> None:
    asked = Asked()
    tokens = Tokens(new_store(), asked, SystemClock())
    old = await tokens.get(subscription, AUTH)
    asked.fault = TokenFault("down")
    with pytest.raises(TokenFault, match="down"):
        await tokens.get(subscription, AUTH, refused=old)
    assert tokens.at_hand(subscription, AUTH) is None
    with pytest.raises(TokenFault, match="down"):
        await tokens.get(subscription, AUTH)


async def test_a_refusal_of_an_old_token_renews_nothing(new_store: NewStore, subscription: Subscription) -> None:
    asked = Asked()
    tokens = Tokens(new_store(), asked, SystemClock())
    old = await tokens.get(subscription, AUTH)
    new = await tokens.get(subscription, AUTH, refused=old)
    assert await tokens.get(subscription, AUTH, refused=old) == new
    assert len(asked.with_tokens) == 2


async def test_invalid_grant_is_not_believed_after_a_holder_who_never_came_back(
    new_store: NewStore, subscription: Subscription
) -> None:
    store, asked = new_store(slack_s=-0.9), Asked()
    tokens = Tokens(store, asked, SystemClock())
    lost = store.renewing(subscription, 0)
    await lost.__aenter__()
    asked.fault = ReauthorisationNeeded()
    with pytest.raises(TokenFault) as fault:
        await tokens.get(subscription, AUTH)
    assert not isinstance(fault.value, ReauthorisationNeeded)
    with pytest.raises(ReauthorisationNeeded):
        await tokens.get(subscription, AUTH)
    await lost.__aexit__(None, None, None)


async def test_invalid_grant_is_not_believed_when_another_has_renewed_meanwhile(
    new_store: NewStore, subscription: Subscription
) -> None:
    store, asked = new_store(), Asked()
    tokens = Tokens(store, asked, SystemClock())
    old = await tokens.get(subscription, AUTH)
    asked.gate.clear()
    asked.fault = ReauthorisationNeeded()
    getting = asyncio.create_task(tokens.get(subscription, AUTH, refused=old))
    await asked.waiting.wait()
    if isinstance(store, MemoryTokens):
        store._rows[subscription.id].held_until = 0
    else:
        await store._row("give_back", subscription.id, await holder(store, subscription))
    await renew(store, subscription, old.version, "by another")
    asked.gate.set()
    with pytest.raises(TokenFault) as fault:
        await getting
    assert not isinstance(fault.value, ReauthorisationNeeded)
    assert (await tokens.get(subscription, AUTH)).access_token == Secret("by another")


async def holder(store: PostgresTokens, subscription: Subscription) -> str:
    rows = await store._connection.fetch("select renewing_by from tokens where subscription_id = $1", [subscription.id])
    return str(rows[0]["renewing_by"])


async def test_a_fault_is_told_to_all_who_wait_and_the_next_asks_again(
    new_store: NewStore, subscription: Subscription
) -> None:
    asked = Asked()
    asked.fault = TokenFault("down")
    tokens = Tokens(new_store(), asked, SystemClock())
    results = await asyncio.gather(*(tokens.get(subscription, AUTH) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, TokenFault) for result in results)
    assert len(asked.with_tokens) == 1
    asked.fault = None
    assert (await tokens.get(subscription, AUTH)).access_token == Secret("a2")


async def test_a_new_configuration_asks_with_its_own_refresh_token(
    new_store: NewStore, subscription: Subscription
) -> None:
    asked = Asked()
    tokens = Tokens(new_store(), asked, SystemClock())
    await tokens.get(subscription, AUTH)
    auth = replace(AUTH, refresh_token=Secret("second-refresh-token"))
    anew = configured(subscription, auth, 2)
    await tokens.get(anew, auth)
    assert asked.with_tokens == ["first-refresh-token", "second-refresh-token"]
    with pytest.raises(TokenFault, match="configured anew"):
        await tokens.get(subscription, AUTH)
    assert len(asked.with_tokens) == 2


async def test_a_token_of_another_scheme_is_none(new_store: NewStore, subscription: Subscription) -> None:
    asked = Asked()
    tokens = Tokens(new_store(), asked, SystemClock())
    await tokens.get(subscription, AUTH)
    auth = ClientCredentials(token_url=AUTH.token_url, client_id="c", client_secret=Secret("s"))
    assert tokens.at_hand(configured(subscription, auth, 2), auth) is None
    await tokens.get(configured(subscription, auth, 2), auth)
    assert asked.with_tokens == ["first-refresh-token", None]
