"""The fault matrix: every scheme with every fault, and what is stated to come of it.

A case has a building of its own, a receiver that checks every request anew, and a subscription of two readings a push.
Some readings are delivered, the fault begins, more are sent, the fault ends by itself or is mended, and a last one is
sent. Then all must be there in order, or parked with its reason; every attempt is on record as it was; and the balance
is exact at both moments: delivered + pending + parked + expired + skipped is what ingest said to have accepted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.acceptance.hub import DEADLINE_S, POLL_S, Customer, Hub, Reading, free_port, key_of, make_reading
from tests.acceptance.schemes import SCHEMES, Scheme, base_of

from matrixhub.bus import NatsBus, open_bus
from matrixhub.config import load_settings
from matrixhub.deliveries.pending import count_pending
from matrixhub.model.destination import Destination, RefreshToken
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import AWS_IOT_BYTES_MAX, Filter, Position, Subscription
from matrixhub.observe import ignore
from matrixhub.service import find_endpoints, stream_settings
from matrixhub.sources.client import HubClient
from matrixhub.store import Database, open_database
from matrixhub.store.sealing import Sealer
from matrixhub.store.subscriptions import (
    Codec,
    Overview,
    create_subscription,
    delete_subscription,
    set_state,
    show_subscription,
    update_subscription,
)
from matrixhub.testing.receiver import (
    Accept,
    Answer,
    Behaviour,
    CloseMidResponse,
    Dribble,
    Flood,
    Hang,
    Judge,
    ResetBeforeAnswer,
    TakeBut,
)
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.token_server import Fail, Issue, Stall, TokenBehaviour, TokenServer

AUTHORITY = LocalAuthority()
MATRIX = PropertyId("matrix")
BUILDINGS = 420
POLICY = Policy(retry_schedule_s=(0.0, 0.1, 0.3), connect_timeout_s=1, total_timeout_s=1)
ANSWER_BYTES = 100_000_000
READ_BYTES_MAX = 16_000_000
"""Of an answer of 100 MB no more is sent than lies in the buffers of both ends."""

REFUSED, UNREACHABLE, NO_TOKEN, NO_CLIENT, REAUTHORISE = "MH-D003", "MH-D002", "MH-D005", "MH-D006", "MH-D007"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong, and what comes of it.

    Shape:  `begin` starts it; `mend` ends it where it does not end by itself. `failed` is the status and code of every
            attempt that failed; exactly `times` did, or where that is None at least one. With `times` 0 and `failed`
            the code is told, but no attempt is charged. `statuses` are those of attempts that were taken, besides 204.
            `parked` is the status with which the poisoned reading is parked. `repeats` requests were taken twice.
            `same` says that after each failure the same request came again. `suspended`: the policy pauses, and a
            person resumes. `first_token`: it begins before there is a token. `granted` counts the tokens granted.
            `applies` is the rule by which schemes are left out, `also` what is looked at besides.
    """

    begin: Callable[[Case], Awaitable[None]]
    mend: Callable[[Case], Awaitable[None]] | None = None
    failed: tuple[int, str] | None = None
    times: int | None = 0
    parked: int | None = None
    repeats: int = 0
    same: bool = True
    suspended: bool = False
    first_token: bool = False
    statuses: frozenset[int] = frozenset()
    granted: int | None = None
    applies: Callable[[Scheme], bool] = lambda scheme: True
    also: Callable[[Case], None] = lambda case: None


@dataclass(kw_only=True)
class Case:
    """A scheme with its receiver, token server and subscription on a running hub."""

    hub: Hub
    scheme: Scheme
    customer: Customer
    server: TokenServer
    database: Database
    codec: Codec
    bus: NatsBus
    client: HubClient
    devices: Sequence[str]
    subscription: Subscription
    poisoned: Reading | None = None

    async def send(self, count: int) -> list[Reading]:
        """Send so many readings of both devices in one request, all of which are new."""
        readings = [
            make_reading(device) for device, _ in zip(itertools.cycle(self.devices), range(count), strict=False)
        ]
        return await self.send_these(readings)

    async def send_these(self, readings: Sequence[Mapping[str, Any]]) -> list[Reading]:
        """Send these readings, all of which are new."""
        receipt = await self.client.send(list(readings))
        assert (receipt.accepted, receipt.repeated, receipt.refused) == (len(readings), 0, ())
        return [key_of(reading) for reading in readings]

    async def show(self) -> Overview:
        """The subscription as it is now."""
        return await show_subscription(self.database, self.codec, MATRIX, self.subscription.id)

    async def wait(self, condition: Callable[[Overview], bool], what: str) -> Overview:
        """Wait until the state of the subscription is as wished."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition(shown := await self.show()):
            requests = [(request.status, request.items) for request in self.customer.receiver.requests]
            assert time.monotonic() < deadline, f"not in time: {what}; {shown.progress}, requests: {requests}"
            await asyncio.sleep(POLL_S)
        return shown

    async def balance(self, accepted: int) -> Overview:
        """The subscription, after its balance was found exact."""
        shown = await self.show()
        progress = shown.progress
        pending = await count_pending(self.bus, shown.subscription, progress.position)
        parts = (progress.delivered, pending, progress.parked, progress.expired, progress.skipped)
        assert sum(parts) == accepted, f"delivered, pending, parked, expired, skipped: {parts}, accepted {accepted}"
        return shown

    async def configure(self, destination: Destination) -> None:
        """Change the destination, as an operator does, while nothing is sent."""
        shown = await self.show()
        await set_state(self.database, MATRIX, self.subscription.id, "paused")
        await self.wait(lambda shown: shown.owner is None, "the worker lets go")
        await update_subscription(
            self.database, self.codec, replace((await self.show()).subscription, destination=destination)
        )
        if shown.subscription.state == "active":
            await set_state(self.database, MATRIX, self.subscription.id, "active")

    async def rows(self, table: str, order: str) -> list[Any]:
        """What is on record of the subscription."""
        async with self.database.connection() as connection:
            wanted = f"select * from {table} where subscription_id = $1 order by {order}"
            return list(await connection.fetch(wanted, self.subscription.id))


# --- how faults begin and end ---


def behaving(behaviour: Behaviour, *, requests: int | None = None) -> Callable[[Case], Awaitable[None]]:
    """The receiver behaves like this for so many requests."""

    async def begin(case: Case) -> None:
        case.customer.receiver.behave(behaviour, requests=requests)

    return begin


async def well(case: Case) -> None:
    """The receiver is well again."""
    case.customer.receiver.behave(Accept())


async def gone(case: Case) -> None:
    """Nobody listens."""
    await case.customer.receiver.stop_listening()


async def back(case: Case) -> None:
    """Somebody listens again."""
    await case.customer.receiver.start_listening()


async def another_name(case: Case) -> None:
    """The certificate is for somewhere else."""
    await case.customer.receiver.show_certificate("elsewhere.example.test")


async def expired(case: Case) -> None:
    """The certificate was good until yesterday."""
    await case.customer.receiver.show_certificate(expired=True)


async def good_certificate(case: Case) -> None:
    """The certificate is good again."""
    await case.customer.receiver.show_certificate()


async def unknown_name(case: Case) -> None:
    """The host name of the URL does not resolve."""
    url = case.subscription.destination.url.replace("127.0.0.1", "something.invalid")
    await case.configure(replace(case.subscription.destination, url=url))


async def known_name(case: Case) -> None:
    """The URL is mended."""
    await case.configure(case.subscription.destination)


async def redirecting(case: Case) -> None:
    """The receiver is elsewhere, it says."""
    elsewhere = f"{base_of(case.customer.receiver.url)}/elsewhere"
    case.customer.receiver.behave(Answer(307, {"Location": elsewhere}), requests=2)


async def small_only(case: Case) -> None:
    """Only one reading at a time is taken."""
    case.customer.receiver.behave(Judge(lambda items: Accept() if len(items) == 1 else Answer(413)))


def poisoned(answer: Callable[[int], Answer | TakeBut]) -> Callable[[Case], Awaitable[None]]:
    """A request with the poisoned reading is answered so, given the place of it."""

    async def begin(case: Case) -> None:
        def decide(items: Sequence[str]) -> Accept | Answer | TakeBut:
            keys = [key_of(json.loads(item)) for item in items]
            return answer(keys.index(case.poisoned)) if case.poisoned in keys else Accept()

        case.customer.receiver.behave(Judge(decide))

    return begin


def tokens(behaviour: TokenBehaviour) -> Callable[[Case], Awaitable[None]]:
    """The token server behaves like this."""

    async def begin(case: Case) -> None:
        case.server.behaviour = behaviour

    return begin


async def no_token_server(case: Case) -> None:
    """Nobody listens where tokens are to be had."""
    await case.server.stop_listening()


async def token_server(case: Case) -> None:
    """The token server is back."""
    await case.server.start_listening()


async def revoked(case: Case) -> None:
    """The refresh token is no longer good."""
    case.server.issuer.revoke()


async def agreed_again(case: Case) -> None:
    """A person has agreed once more."""
    destination = case.subscription.destination
    assert isinstance(destination.auth, RefreshToken)
    auth = replace(destination.auth, refresh_token=Secret(case.server.issuer.agree()))
    await case.configure(replace(destination, auth=auth))


# --- what is looked at besides ---


def not_followed(case: Case) -> None:
    """No request went where a redirect pointed to."""
    assert {request.path for request in case.customer.receiver.requests if "elsewhere" in request.path} == set()


def obeyed(case: Case) -> None:
    """The retry came no earlier than Retry-After had asked for."""
    requests = list(case.customer.receiver.requests)
    [refused] = [number for number, request in enumerate(requests) if request.status == 429]
    assert requests[refused + 1].at_ms - requests[refused].at_ms >= 1_000


def not_read(case: Case) -> None:
    """Of a very long answer only the beginning was read."""
    assert 0 < case.customer.receiver.flooded_bytes < READ_BYTES_MAX


# --- the table ---

FAULTS: Mapping[str, Fault] = {
    # Nobody can be reached: everything waits, with the reason, until that is mended.
    "connection refused": Fault(begin=gone, mend=back, failed=(0, UNREACHABLE), times=None),
    "DNS failure": Fault(begin=unknown_name, mend=known_name, failed=(0, UNREACHABLE), times=None),
    "bad TLS name": Fault(begin=another_name, mend=good_certificate, failed=(0, UNREACHABLE), times=None),
    "expired certificate": Fault(begin=expired, mend=good_certificate, failed=(0, UNREACHABLE), times=None),
    # No answer, or none that says anything: the same request again. One that was taken comes twice, under its id.
    "reset": Fault(begin=behaving(ResetBeforeAnswer(), requests=2), failed=(0, UNREACHABLE), times=2),
    "hang": Fault(begin=behaving(Hang(20), requests=1), failed=(0, UNREACHABLE), times=1),
    "slow body of a 503": Fault(begin=behaving(Dribble(503, 20), requests=1), failed=(503, REFUSED), times=1),
    "truncated answer": Fault(
        begin=behaving(CloseMidResponse("head"), requests=2), failed=(0, UNREACHABLE), times=2, repeats=2
    ),
    # A 2xx means taken, whatever happens to the rest of the answer: no attempt fails, nothing is repeated.
    "slow body of a 200": Fault(begin=behaving(Dribble(200, 20), requests=1), statuses=frozenset({200})),
    "truncated body of a 200": Fault(begin=behaving(CloseMidResponse("body"), requests=2), statuses=frozenset({200})),
    "100 MB with a 200": Fault(
        begin=behaving(Flood(200, ANSWER_BYTES), requests=1), statuses=frozenset({200}), also=not_read
    ),
    # Answers that say no for now: the same request again.
    "100 MB with a 500": Fault(
        begin=behaving(Flood(500, ANSWER_BYTES), requests=2), failed=(500, REFUSED), times=2, also=not_read
    ),
    "500": Fault(begin=behaving(Answer(500, body="out of order"), requests=3), failed=(500, REFUSED), times=3),
    "429 + Retry-After": Fault(
        begin=behaving(Answer(429, {"Retry-After": "1"}), requests=1), failed=(429, REFUSED), times=1, also=obeyed
    ),
    "403": Fault(begin=behaving(Answer(403), requests=2), failed=(403, REFUSED), times=2),
    "redirect": Fault(begin=redirecting, failed=(307, REFUSED), times=2, also=not_followed),
    "401": Fault(
        begin=behaving(Answer(401), requests=2),
        failed=(401, REFUSED),
        times=2,
        applies=lambda scheme: not scheme.tokens,
    ),
    # With OAuth 2.0 a 401 renews the token within the attempt: the second one of the same attempt is a failure.
    "401, new token taken": Fault(
        begin=behaving(Answer(401), requests=1), granted=2, applies=lambda scheme: scheme.tokens
    ),
    "401, new token refused": Fault(
        begin=behaving(Answer(401), requests=3),
        failed=(401, REFUSED),
        times=1,
        granted=3,
        applies=lambda scheme: scheme.tokens,
    ),
    # It wants no more: paused by policy, everything kept, and delivered once resumed.
    "410": Fault(begin=behaving(Answer(410)), mend=well, failed=(410, REFUSED), times=1, suspended=True),
    # The content is to blame: smaller pushes, and a reading that is refused alone, or named, is parked.
    "413 above one reading": Fault(begin=small_only, failed=(413, REFUSED), times=None, same=False),
    "422 on one reading": Fault(
        begin=poisoned(lambda index: Answer(422, body="cannot be right")),
        failed=(422, REFUSED),
        times=None,
        parked=422,
        same=False,
    ),
    "422 naming one reading": Fault(
        begin=poisoned(
            lambda index: Answer(422, body=json.dumps({"failed": [{"index": index, "reason": "cannot be"}]}))
        ),
        failed=(422, REFUSED),
        times=1,
        parked=422,
        same=False,
    ),
    "207 naming one reading": Fault(
        begin=poisoned(lambda index: TakeBut({index: "cannot be"})), parked=207, statuses=frozenset({207})
    ),
    # No token: the receiver is not asked and no attempt is charged to it.
    "token server down": Fault(
        begin=no_token_server, mend=token_server, failed=(0, NO_TOKEN), first_token=True, applies=lambda s: s.tokens
    ),
    "token server answers 500": Fault(
        begin=tokens(Fail(500)),
        mend=tokens(Issue()),
        failed=(0, NO_TOKEN),
        first_token=True,
        applies=lambda s: s.tokens,
    ),
    "token server hangs": Fault(
        begin=tokens(Stall(20)),
        mend=tokens(Issue()),
        failed=(0, NO_TOKEN),
        first_token=True,
        applies=lambda s: s.tokens,
    ),
    "invalid_client": Fault(
        begin=tokens(Fail(401, '{"error": "invalid_client"}')),
        mend=tokens(Issue()),
        failed=(0, NO_CLIENT),
        first_token=True,
        applies=lambda scheme: scheme.tokens and not scheme.refresh,
    ),
    "invalid_grant": Fault(
        begin=revoked,
        mend=agreed_again,
        failed=(0, REAUTHORISE),
        suspended=True,
        first_token=True,
        applies=lambda scheme: scheme.refresh,
    ),
}

EVERY = 5
"""Of all schemes but the first, one case in so many runs in each suite: every scheme and every fault is in it. The
others are long."""

MATRIX_CASES = [
    pytest.param(
        scheme,
        fault,
        id=f"{scheme_name} - {fault_name}",
        marks=[pytest.mark.long] if row and (row + column) % EVERY else [],
    )
    for row, (scheme_name, scheme) in enumerate(SCHEMES.items())
    for column, (fault_name, fault) in enumerate(FAULTS.items())
    if fault.applies(scheme)
]


# --- the cases ---


@dataclass(frozen=True)
class Site:
    """The property of the matrix on the hub: its key, and buildings that no case has used yet."""

    hub: Hub
    key: str
    buildings: Iterator[int]


@pytest.fixture(scope="module")
def site(hub: Hub) -> Site:
    lines = [
        f"organisation: {{id: {MATRIX}-owner, name: Owner}}",
        f"property: {{id: {MATRIX}, name: Matrix}}",
        "buildings:",
    ]
    for number in range(BUILDINGS):
        lines += [
            f"  - {{name: B{number}, id: {MATRIX}-b{number}, time_zone: Asia/Singapore, levels: [{{name: L1, zones: [",
            f"      {{name: Z, id: {MATRIX}-z{number}, slots: [",
            f'        {{id: {MATRIX}-{6 * number}, name: a, type: "SMARTCLEAN#PPLCTR"}},',
            f'        {{id: {MATRIX}-{6 * number + 1}, name: b, type: "SMARTCLEAN#UM"}}]}}]}}]}}',
        ]
    hub.ask("site", "apply", str(hub.write("matrix.yaml", "\n".join(lines) + "\n")))
    key = hub.ask("key", "create", "--property", MATRIX)["key"]
    return Site(hub, key, iter(range(BUILDINGS)))


@asynccontextmanager
async def prepared(site: Site, scheme: Scheme) -> AsyncIterator[Case]:
    """A case whose subscription is made; the subscription is gone afterwards."""
    settings = load_settings(None, {})
    endpoints = find_endpoints(settings, site.hub.data)
    codec = Codec(sealer=Sealer(endpoints.master_key))
    number, port = next(site.buildings), free_port()
    async with AsyncExitStack() as resources:
        server = await resources.enter_async_context(TokenServer(scheme.issuer(), authority=AUTHORITY))
        made = scheme.make(f"https://127.0.0.1:{port}", server)
        customer = Customer(AUTHORITY, port=port, verify=made.verify, **made.receiver)
        await resources.enter_async_context(customer.receiver)
        database = await resources.enter_async_context(open_database(endpoints.postgres_dsn, connections_max=1))
        bus = await resources.enter_async_context(
            open_bus(endpoints.nats_url, stream_settings(settings), ignore, create=False)
        )
        client = await resources.enter_async_context(HubClient(site.hub.url, site.key, give_up_s=20))
        subscription = await create_subscription(
            database,
            codec,
            MATRIX,
            name=f"case {number}",
            wanted=Filter(buildings=frozenset({BuildingId(f"{MATRIX}-b{number}")})),
            destination=replace(made.destination, ca_pem=AUTHORITY.ca_pem),
            limits=BatchLimits(items=3, size_bytes=AWS_IOT_BYTES_MAX),
            position=Position(seq=(await bus.bounds()).last_seq + 1),
            policy=POLICY,
            form=made.form,
            signing=made.signing,
        )
        try:
            yield Case(
                hub=site.hub,
                scheme=scheme,
                customer=customer,
                server=server,
                database=database,
                codec=codec,
                bus=bus,
                client=client,
                devices=[f"{MATRIX}-{6 * number}", f"{MATRIX}-{6 * number + 1}"],
                subscription=subscription,
            )
        finally:
            await delete_subscription(database, MATRIX, subscription.id)


@pytest.mark.parametrize(("scheme", "fault"), MATRIX_CASES)
async def test_nothing_is_lost(site: Site, scheme: Scheme, fault: Fault) -> None:
    async with prepared(site, scheme) as case:
        sent = [] if fault.first_token else await case.send(2)
        before = len(sent)
        await case.wait(lambda shown: shown.progress.delivered == before, "the first readings are delivered")

        readings = [make_reading(device) for device in case.devices for _ in range(4)]
        case.poisoned = key_of(readings[1]) if fault.parked else None
        await fault.begin(case)
        sent += await case.send_these(readings)
        if fault.mend is not None:
            await check_waiting(case, fault, before, len(sent))
            await fault.mend(case)
            if fault.suspended:
                await set_state(case.database, MATRIX, case.subscription.id, "active")
        sent += await case.send(1)

        await case.wait(
            lambda shown: shown.progress.delivered + shown.progress.parked >= len(sent), f"{len(sent)} are settled"
        )
        await check_settled(case, fault, sent)
        await check_attempts(case, fault)
        fault.also(case)


async def check_waiting(case: Case, fault: Fault, delivered: int, accepted: int) -> None:
    """While the fault lasts nothing is delivered, the reason is shown, and nothing is missing in the balance."""
    assert fault.failed is not None
    _, code = fault.failed
    least = 1 if fault.first_token else 2
    await case.wait(
        lambda shown: shown.subscription.state == "paused" or shown.progress.failures >= least, "it has failed"
    )
    shown = await case.balance(accepted)
    assert (shown.progress.delivered, shown.progress.parked) == (delivered, 0)
    assert shown.progress.last_error != ""
    paused = ("paused", "policy", shown.progress.last_error) if fault.suspended else ("active", "", "")
    found = shown.subscription
    assert (found.state, found.paused_by, found.paused_reason) == paused
    logged = [fact for fact in case.hub.program.facts("DeliveryFailed") if fact["subscription"] == case.subscription.id]
    assert {fact["code"] for fact in logged} == {code}


async def check_settled(case: Case, fault: Fault, sent: Sequence[Reading]) -> None:
    """All has come in order but for what is parked, with its reason; the balance says so."""
    shown = await case.balance(len(sent))
    progress = shown.progress
    parked = await case.rows("parked", "parked_at, id")
    lines = [key_of(json.loads(row["line"])) for row in parked]
    assert lines == ([case.poisoned] if fault.parked else [])
    assert [(row["code"], row["http_status"]) for row in parked] == [("refused", fault.parked)] * len(lines)
    assert all("cannot be" in row["reason"] for row in parked)
    assert (progress.delivered, progress.parked, progress.expired, progress.skipped) == (
        len(sent) - len(lines),
        len(lines),
        0,
        0,
    )
    assert (progress.failures, progress.last_error, progress.retry_at) == (0, "", None)
    assert shown.subscription.state == "active"
    case.customer.check([reading for reading in sent if reading not in lines], repeats=fault.repeats)
    assert len(case.customer.taken) - len({taken.request_id for taken in case.customer.taken}) == fault.repeats
    if fault.granted is not None:
        assert case.server.issuer.granted == fault.granted
    assert case.server.issuer.reused == 0


async def check_attempts(case: Case, fault: Fault) -> None:
    """Each attempt is on record as it was, and none that was not made."""
    attempts = await case.rows("attempts", "at, id")
    failed = [row for row in attempts if row["code"]]
    charged = fault.failed if fault.times != 0 else None
    assert {(row["http_status"], row["code"]) for row in failed} == ({charged} if charged else set())
    assert fault.times is None or len(failed) == fault.times
    assert fault.times is not None or len(failed) >= 1
    progress = (await case.show()).progress
    assert progress.attempts_failed == len(failed)
    assert {row["http_status"] for row in attempts if not row["code"]} == {204} | fault.statuses
    assert all((row["error"] != "") == (row["code"] != "") for row in attempts)
    # Numbered for each request, anew only where the subscription was changed; tries without a token count as well.
    numbers: dict[str, int] = {}
    for row in attempts:
        expected = {numbers.get(row["request_id"], 0) + 1} | ({1} if fault.mend is not None else set())
        assert row["attempt"] in expected or fault.first_token
        numbers[row["request_id"]] = row["attempt"]
    # Those that reached the receiver are just those that it saw: same id, same content, same size unpacked.
    reached = [row for row in attempts if not (fault.mend is not None and row["code"] == UNREACHABLE)]
    assert [(row["request_id"], row["items"]) for row in reached] == [(seen.id, seen.items) for seen in asked(case)]
    if not case.subscription.format.gzip:
        assert [row["size_bytes"] for row in reached] == [seen.size_bytes for seen in asked(case)]
    if fault.same and fault.mend is None and charged:
        case.customer.check_retries()


@dataclass(frozen=True)
class Asked:
    """An attempt as the receiver saw it."""

    id: str
    items: int
    size_bytes: int


def asked(case: Case) -> list[Asked]:
    """The attempts that the receiver saw; one with a renewed token is two requests."""
    found: list[Asked] = []
    renewed = False
    for request in case.customer.receiver.requests:
        if not renewed:
            found.append(Asked(request.headers["X-Request-Id"], request.items, request.size_bytes))
        renewed = case.scheme.tokens and request.status == 401 and not renewed
    return found
