"""Secrets never come out: planted ones are looked for in all that a hub says, writes and keeps.

Receivers, token servers and channels of notices say back whatever they were sent, in every place an answer has. What
follows must not show in the log, metrics, commands, notices, tables or files. The only places where a secret is at
home are left out: the file `secrets.json` and the place of the engines' login, `running.json`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import psutil
import pytest
from aiohttp import web
from tests.acceptance.hub import DEADLINE_S, POLL_S, PROPERTY, Hub, send_some
from tests.acceptance.scanner import Hit, Scanner, printable, spellings
from tests.acceptance.schemes import CLIENT_ID, CLIENTS, PLANTED, SCHEMES, Made

from matrixhub.bus import open_bus
from matrixhub.config import load_settings
from matrixhub.model.destination import Destination, Header, RefreshToken
from matrixhub.model.ids import PropertyId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import AWS_IOT_BYTES_MAX, Filter, Notify, Position
from matrixhub.observe import ignore
from matrixhub.service import Endpoints, find_endpoints, stream_settings
from matrixhub.store import Database, open_database
from matrixhub.store.sealing import Sealer
from matrixhub.store.subscriptions import Codec, create_subscription
from matrixhub.testing.listener import serve_app
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.token_server import Fail, Issue, TokenBehaviour, TokenServer

AUTHORITY = LocalAuthority()
POLICY = Policy(retry_schedule_s=(0.0, 0.2, 30.0), connect_timeout_s=1, total_timeout_s=2)
QUERY = "qu3ry-s3cret-in-a-url"
NOTIFY_QUERY = "qu3ry-s3cret-of-a-webhook"
NOTIFY_SECRET = "whsec_" + base64.b64encode(b"planted secret of a webhook for notices").decode()
WRONG_KEY = "mhk_planted-but-not-a-key-of-this-hub"
MASTER_KEY = "5ec2e7" * 10 + "aaaa"
ENGINE_PASSWORD, ENGINE_TOKEN = "p0stgres-passw0rd-planted", "nats-t0ken-planted"

HOME = frozenset({"secrets.json", "running.json", "nats.conf"})
"""Files of the data directory, for the owner only, that hold secrets on purpose."""

ADDRESSES = frozenset({("subscriptions", "url"), ("subscriptions", "notify")})
"""Columns that hold a URL as it was given, query included. It is shown whole to whoever may see the configuration."""


# --- receivers that say back what they were sent ---


@dataclass
class Echo:
    """An HTTPS server that answers by the first part of the path, and repeats what it was sent in every place it can.

    `sent` has every header value and target that reached it, `bodies` the bodies.
    """

    sent: set[str] = field(default_factory=set)
    bodies: list[bytes] = field(default_factory=list)
    requests: int = 0
    base: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        self.bodies.append(await request.read())
        self.requests += 1
        said = [value for name, value in request.headers.items() if name not in _HARMLESS]
        self.sent.update(said)
        said += [request.raw_path, *(part for value in said for part in value.split())]
        text = " ".join([*said, *(vars(PLANTED)[name] for name in request.query.getall("own", []))])
        encoded = f"{base64.b64encode(text.encode()).decode()} {text.encode().hex()} {quote(text)} {html.escape(text)}"
        one = next((value for value in said if value.isascii() and value.isprintable()), "x")
        headers = {"Location": f"/?{quote(one)}", "Retry-After": one, "X-Echo": one, "WWW-Authenticate": one}
        kind = request.path.split("/")[1]
        if kind == "garbage":
            assert request.transport is not None
            request.transport.write(f"HTTP/9.9 {one} {one}\r\n{one}: {one}\r\n\r\n".encode())
            request.transport.close()
            return web.Response(status=500)
        if kind == "header":
            assert request.transport is not None
            request.transport.write(f"HTTP/1.1 500 {one}\r\n{one} {one}\r\nContent-Length: {one}\r\n\r\n".encode())
            request.transport.close()
            return web.Response(status=500)
        reason = f"{text} {encoded}"
        document = {"failed": [{"index": 0, "reason": reason}], "said": text, "encoded": encoded}
        if kind == "text":
            return web.Response(status=500, reason=f"No {one}"[:200], text=f"{text} {encoded}", headers=headers)
        return web.Response(status=int(kind), reason=f"No {one}"[:200], text=json.dumps(document), headers=headers)


_HARMLESS = {
    *("Host", "User-Agent", "Accept", "Accept-Encoding", "Content-Type", "Content-Length", "X-Request-Id"),
    *("traceparent", "webhook-id", "webhook-timestamp", "Content-Encoding", "x-sc-compression-enabled", "X-Amz-Date"),
    "webhook-signature",  # of no use to anybody but its receiver, and for that one push
}


@asynccontextmanager
async def echoing(client_ca_pem: str = "", name: str = "") -> AsyncIterator[Echo]:
    """A server that says back what it is sent."""
    echo = Echo()
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/{path:.*}", echo.answer)
    names = (name,) if name else ()
    async with serve_app(app, AUTHORITY.server_context(*names, client_ca_pem=client_ca_pem)) as port:
        echo.base = f"https://127.0.0.1:{port}"
        yield echo


KINDS = ("200", "207", "500", "text", "401", "403", "307", "429", "410", "422", "garbage", "header")


# --- the hub and what is planted ---


@dataclass
class Trial:
    """A hub, what is planted on it, and what was heard of it."""

    hub: Hub
    scanner: Scanner
    database: Database
    codec: Codec
    position: Position
    notices: Echo
    made: dict[str, str] = field(default_factory=dict)

    async def subscribe(self, name: str, made: Made, *, ca_pem: str = AUTHORITY.ca_pem, **changes: Any) -> None:
        """A subscription with this destination, which tells its troubles to the channel of notices."""
        destination = replace(made.destination, ca_pem=ca_pem)
        self.plant(name, replace(made, destination=destination))
        notify = Notify(
            url=f"{self.notices.base}/200?code={NOTIFY_QUERY}", ca_pem=AUTHORITY.ca_pem, secret=Secret(NOTIFY_SECRET)
        )
        subscription = await create_subscription(
            self.database,
            self.codec,
            PropertyId(PROPERTY),
            name=name,
            wanted=Filter(),
            destination=destination,
            limits=BatchLimits(size_bytes=AWS_IOT_BYTES_MAX),
            position=self.position,
            policy=POLICY,
            form=made.form,
            signing=made.signing,
            notify=notify,
        )
        self.made[subscription.id] = name

    def plant(self, name: str, made: Made) -> None:
        """Look for the secrets that are made anew for each subscription, too."""
        destination = made.destination
        if destination.client_certificate is not None:
            self.scanner.plant(f"client key of {name}", destination.client_certificate.key_pem.reveal())
        if isinstance(destination.auth, RefreshToken):
            self.scanner.plant(f"refresh token of {name}", destination.auth.refresh_token.reveal())
        for key in made.signing:
            text = key.secret.reveal()
            # A private key is followed by its public one, which may be seen.
            self.scanner.plant(f"signing key of {name}, {key.kind}", text[: 40 if key.kind == "v1a" else None])


@pytest.fixture(scope="module", params=["json", pytest.param("console", marks=pytest.mark.long)])
def hub(request: pytest.FixtureRequest) -> Iterator[Hub]:
    """A hub that logs all it can."""
    settings = {
        "MATRIXHUB_LOG__LEVEL": "debug",
        "MATRIXHUB_LOG__FORMAT": request.param,
        "MATRIXHUB_SECRETS__MASTER_KEY": MASTER_KEY,
    }
    with Hub.started(settings) as hub:
        yield hub


@asynccontextmanager
async def trial(hub: Hub) -> AsyncIterator[Trial]:
    """A trial on the hub, with what is always planted."""
    scanner = Scanner()
    for name, secret in vars(PLANTED).items():
        scanner.plant(name, secret)
    for name, secret in json.loads((hub.data / "secrets.json").read_text()).items():
        scanner.plant(f"the hub's {name}", secret)
    scanner.plant("ingest key", hub.key)
    scanner.plant("wrong ingest key", WRONG_KEY)
    scanner.plant("master key", MASTER_KEY)
    scanner.plant("password of an engine", ENGINE_PASSWORD)
    scanner.plant("token of an engine", ENGINE_TOKEN)
    scanner.plant("secret for notices", NOTIFY_SECRET)
    scanner.plant("query of a webhook", NOTIFY_QUERY)
    scanner.plant("query of a URL", QUERY)
    settings = load_settings(None, {})
    endpoints: Endpoints = find_endpoints(settings, hub.data)
    async with AsyncExitStack() as resources:
        database = await resources.enter_async_context(open_database(endpoints.postgres_dsn, connections_max=2))
        bus = await resources.enter_async_context(
            open_bus(endpoints.nats_url, stream_settings(settings), ignore, create=False)
        )
        yield Trial(
            hub=hub,
            scanner=scanner,
            database=database,
            codec=Codec(sealer=Sealer(MASTER_KEY)),
            position=Position(seq=(await bus.bounds()).last_seq + 1),
            notices=await resources.enter_async_context(echoing()),
        )


def echoing_token_faults(refresh_token: str) -> Mapping[str, TokenBehaviour]:
    """Answers of a token server that hold what it was sent."""
    basic = base64.b64encode(f"{quote(CLIENT_ID)}:{quote(PLANTED.client_secret)}".encode()).decode()
    text = f"{PLANTED.client_secret} {quote(PLANTED.client_secret, safe='')} Basic {basic}"
    text = refresh_token or text  # who shows a refresh token here is a public client
    headers = {"Retry-After": text, "WWW-Authenticate": text, "Location": f"/{quote(text)}"}
    return {
        "500": Fail(500, text, headers),
        "invalid_client": Fail(401, json.dumps({"error": "invalid_client", "error_description": text}), headers),
        "invalid_grant": Fail(400, json.dumps({"error": "invalid_grant", "error_description": text}), headers),
        "error itself": Fail(400, json.dumps({"error": text}), headers),
        "another kind": Issue({"token_type": text}),
        "unsendable": Issue({"access_token": f"{text}\r\n"}),
    }


# --- the test ---


@pytest.mark.timeout(300)
async def test_no_secret_comes_out(hub: Hub) -> None:
    async with trial(hub) as tried, AsyncExitStack() as resources:
        echo = await resources.enter_async_context(echoing())
        with_clients = await resources.enter_async_context(echoing(client_ca_pem=CLIENTS.ca_pem))
        servers: list[TokenServer] = []
        for name, scheme in SCHEMES.items():
            server = await resources.enter_async_context(TokenServer(scheme.issuer(), authority=AUTHORITY))
            servers.append(server)
            for kind in KINDS:
                base = (with_clients if "client_ca_pem" in scheme.make("https://x", server).receiver else echo).base
                made = scheme.make(f"{base}/{kind}", server)
                await tried.subscribe(f"{name} - {kind}", with_query(made))
        for name, scheme in SCHEMES.items():
            if scheme.tokens:
                for fault in echoing_token_faults(""):
                    server = await resources.enter_async_context(TokenServer(scheme.issuer(), authority=AUTHORITY))
                    servers.append(server)
                    made = scheme.make(f"{echo.base}/200", server)
                    auth = made.destination.auth
                    refresh = auth.refresh_token.reveal() if isinstance(auth, RefreshToken) else ""
                    server.behaviour = echoing_token_faults(refresh)[fault]
                    await tried.subscribe(f"{name} - {fault}", with_query(made))
        await subscribe_to_broken_tls(tried, resources)

        accepted = len(await send_some(hub, 6))
        await wait_settled(tried, accepted)
        plant_what_was_sent(tried.scanner, [echo, with_clients, tried.notices], servers)

        said = await asyncio.to_thread(rest, tried, echo.base)
        said |= await asyncio.to_thread(commands, hub, next(iter(tried.made)))
        hits = tried.scanner.look_at_all([place async for place in places(tried, said)])
        hits += tried.scanner.look_at_all([(f"notice {n}", body) for n, body in enumerate(tried.notices.bodies)])
        leaks = {(hit.where, hit.secret): hit for hit in hits if not is_address(hit)}
        assert not leaks, "\n".join(["leaks:", *map(str, leaks.values())])
        # It did look at something: the endpoints were reached by all, and the reasons are told with a gap.
        assert echo.requests + with_clients.requests > len(KINDS) * len(SCHEMES)
        assert tried.notices.bodies
        assert "[hidden]" in hub.program.log
        assert all(size > 0 for size in tried.scanner.looked_at.values())


def with_query(made: Made) -> Made:
    """The same with a secret in the query of its URL, and a header that holds one."""
    destination = made.destination
    mark = "&" if "?" in destination.url else "?"
    headers = destination.headers or (Header(name="X-Api-Key", value=Secret(PLANTED.header)),)
    own = {"oauth2_client_credentials": "client_secret", "azure_sas": "sas_key", "aws_sigv4": "aws_secret"}
    # So the receiver knows what it was not sent, and says that as well.
    query = f"{mark}code={QUERY}&own={own.get(destination.auth.scheme, 'header')}"
    return replace(made, destination=replace(destination, url=f"{destination.url}{query}", headers=headers))


async def subscribe_to_broken_tls(tried: Trial, resources: AsyncExitStack) -> None:
    """Endpoints that nothing can be sent to, for reasons that name what was planted."""
    named = await resources.enter_async_context(echoing(name=f"{PLANTED.header}.example.test"))
    made = {
        "wrong name": Destination(url=f"{named.base}/200"),
        "refused": Destination(url="https://127.0.0.1:9/200"),
        "no such name": Destination(url="https://something.invalid/200"),
        "not allowed": Destination(url="https://10.1.2.3/200"),
    }
    for name, destination in made.items():
        await tried.subscribe(name, with_query(Made(destination=destination, verify=lambda _: None)))
    destination = Destination(url=f"{named.base}/200")
    other = LocalAuthority().ca_pem
    await tried.subscribe("not trusted", with_query(Made(destination=destination, verify=lambda _: None)), ca_pem=other)


async def wait_settled(tried: Trial, accepted: int) -> None:
    """Wait until each subscription has come to its end, or failed for good measure; and each notice was tried."""
    unsettled: list[str] = ["?"]
    sql = """select p.subscription_id from subscription_progress p join subscriptions s on s.id = p.subscription_id
        where s.id = any($1) and s.state = 'active' and p.failures < 3 and p.delivered + p.parked < $2"""
    untold = "select count(*) from notices where attempts = 0 and delivered_at is null"
    async with asyncio.timeout(DEADLINE_S), tried.database.connection() as connection:
        while unsettled or not tried.notices.bodies:
            rows = await connection.fetch(sql, list(tried.made), accepted)
            unsettled = [tried.made[row["subscription_id"]] for row in rows]
            unsettled += ["notices"] * await connection.fetchval(untold)
            await asyncio.sleep(POLL_S)


def plant_what_was_sent(scanner: Scanner, echoes: list[Echo], servers: list[TokenServer]) -> None:
    """Look for all credentials that went out, too: tokens, pairs and signatures."""
    for echo in echoes:
        for value in echo.sent:
            for part in value.replace(",", " ").replace("&", " ").split():
                name, _, signature = part.partition("=")
                if name in ("sig", "Signature"):
                    scanner.plant(f"signature {signature[:6]}", signature)
                elif value.startswith(("Basic ", "Bearer ")) and part not in ("Basic", "Bearer"):
                    scanner.plant(f"credentials {part[:9]}", part)
    for number, server in enumerate(servers):
        issuer = server.issuer
        for kind, known in (("access", issuer._access), ("refresh", issuer._refresh), ("spent", issuer._spent)):
            for token in known:
                scanner.plant(f"{kind} token of server {number} {token[:6]}", token)


def ask(request: Request) -> str:
    """What the hub answers, head and body, whatever it is."""
    try:
        with urlopen(request, timeout=10) as answer:
            return f"{answer.headers}{answer.read().decode()}"
    except HTTPError as error:
        with error:
            return f"{error.headers}{error.read().decode()}"


async def places(tried: Trial, said: Mapping[str, str]) -> AsyncIterator[tuple[str, str | bytes]]:
    """All that the hub says, writes and keeps, but what is a secret's home; `said` is what commands print."""
    hub = tried.hub
    yield "output", json.dumps(hub.program.wait_told())
    yield "metrics", await asyncio.to_thread(ask, Request(f"{hub.url}/metrics"))
    wrong = Request(f"{hub.url}/hub/v1/readings", b"[]", {"Authorization": f"Bearer {WRONG_KEY}"}, method="POST")
    yield "answer to a wrong key", await asyncio.to_thread(ask, wrong)
    async for place in rows_of(tried.database):
        yield place
    yield "log", hub.program.log
    for name, text in said.items():
        yield name, without_addresses(text.encode())
    root = psutil.Process(hub.program.pid)
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield f"arguments of {process.name()}", "\0".join(process.cmdline()) or "none"
    texts: dict[str, set[bytes]] = defaultdict(set)
    for path in hub.data.rglob("*"):
        if path.is_file() and path.name not in HOME:
            with contextlib.suppress(FileNotFoundError):
                texts[path.relative_to(hub.data).parts[0]].update(printable(path.read_bytes()).splitlines())
    for top, lines in texts.items():
        if lines:
            yield f"files in {top}", without_addresses(b"\n".join(lines))


def is_address(hit: Hit) -> bool:
    """Whether it is a URL as it was given, in the files of the database, where it cannot be told from what is near."""
    return hit.where == "files in postgres" and hit.secret.startswith("query of")


def without_addresses(content: bytes) -> bytes:
    """The content without the URLs as they were given, which are no secret in the configuration."""
    return content.replace(f"code={QUERY}".encode(), b"").replace(f"code={NOTIFY_QUERY}".encode(), b"")


async def rows_of(database: Database) -> AsyncIterator[tuple[str, str | bytes]]:
    """Every column of every table, partitions with their table, as text, and as bytes what is bytes."""
    async with database.connection() as connection:
        columns = await connection.fetch(
            """select table_name, column_name, data_type from information_schema.columns
            join pg_class on relname = table_name and relkind in ('r', 'p') and not relispartition
            where table_schema = 'public'"""
        )
        for table, column, kind in map(tuple, columns):
            rows = await connection.fetch(f'select "{column}" as value, "{column}"::text as text from "{table}"')
            text = "\n".join(row["text"] for row in rows if row["text"])
            if (table, column) in ADDRESSES:
                text = without_addresses(text.encode()).decode()
            if text:
                yield f"{table}.{column}", text
            if text and kind == "bytea":
                yield f"{table}.{column}, bytes", b"\n".join(row["value"] for row in rows if row["value"])


def rest(tried: Trial, base: str) -> dict[str, str]:
    """What the REST face answers, of success and of failure; but for the one answer in which a new key is shown."""
    hub = tried.hub
    key = hub.ask("key", "create", "--property", PROPERTY, "--manage")["key"]
    tried.scanner.plant("key that manages", key)
    found: dict[str, str] = {}

    def say(method: str, path: str, body: object = None, **headers: str) -> str:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
        answered = ask(Request(f"{hub.url}/hub/v1/{path}", data, sent, method=method))
        found[f"{method} {path} {len(found)}"] = answered
        return answered

    once = {"Idempotency-Key": "planted once"}
    wanted = {
        "url": f"{base}/text?code={QUERY}",
        "ca_pem": AUTHORITY.ca_pem,
        "auth": {"scheme": "basic", "user": "hub", "password": PLANTED.password},
        "headers": {"X-Api-Key": PLANTED.header},
        "notify": {"url": f"{tried.notices.base}/200?code={NOTIFY_QUERY}", "secret": NOTIFY_SECRET},
    }
    made = json.loads(body_of(say("POST", "subscriptions", wanted, **once)))["id"]
    say("POST", "subscriptions", wanted, **once)
    say("POST", f"subscriptions/{made}/test")
    shown = say("POST", f"subscriptions/{made}/signing-keys", {"kind": "v1"}, **{"Idempotency-Key": "a new key"})
    found.popitem()
    tried.scanner.plant("signing key that was shown once", json.loads(body_of(shown))["secret"])
    pair = json.loads(body_of(say("POST", "keys", {"name": "a pair"}, **{"Idempotency-Key": "a new pair"})))
    found.popitem()
    tried.scanner.plant("secret of a pair that was shown once", pair["secret"])
    shown = say("POST", f"keys/{pair['id']}/rotate", {}, **{"Idempotency-Key": "rotated"})
    found.popitem()
    tried.scanner.plant("secret of a pair that was rotated", json.loads(body_of(shown))["secret"])
    brought = {"access_key": "brought/along", "secret": PLANTED.client_secret}
    say("POST", "keys", {**brought, "access_key": "a;b"})
    say("POST", "keys", {**brought, "kind": "bearer"})
    say("POST", "keys", {**brought, "secret": [PLANTED.client_secret]})
    say("POST", "keys", brought)
    found.popitem()
    say("POST", "keys", brought)
    say("PATCH", f"subscriptions/{made}", {"name": "changed"})
    all_wrong: tuple[object, ...] = (
        json.dumps(wanted)[:-1],
        {**wanted, "auth": {**wanted["auth"], "user": "a:b"}},  # type: ignore[dict-item]
        {**wanted, "auth": {"scheme": "basic", "password": PLANTED.password}},
        {**wanted, "auth": {"scheme": "none", "password": PLANTED.password}},
        {**wanted, "auth": PLANTED.password},
        {**wanted, "headers": {"X-Api-Key": f"{PLANTED.header}\n"}},
        {**wanted, "headers": [PLANTED.header]},
        {**wanted, "url": f"https://[127.0.0.1/?code={QUERY}"},
        {**wanted, "url": f"https:///?code={QUERY}"},
        {**wanted, "url": f"https://hub:{PLANTED.header}@127.0.0.1/"},
        {**wanted, "url": f"http://127.0.0.1/?code={QUERY}"},
        {**wanted, "client_certificate": {"certificate_pem": "", "key_pem": PLANTED.sas_key}},
        {**wanted, "notify": {"url": "https://127.0.0.1/", "secret": PLANTED.client_secret}},
    )
    answers = [(wrong, body_of(say("POST", "subscriptions", wrong))) for wrong in all_wrong]
    assert [wrong for wrong, answered in answers if not 400 <= json.loads(answered).get("status", 0) < 500] == []
    say("POST", f"subscriptions/{made}/signing-keys", {"kind": "v1", "secret": f"whsec_{PLANTED.client_secret}"})
    for path in ("subscriptions", "attempts", "parked", "replays", "balance", "parked/export", "keys"):
        say("GET", path)
    return found


def body_of(answered: str) -> str:
    """The body behind the head."""
    return answered.partition("\n\n")[2]


def commands(hub: Hub, subscription: str) -> Mapping[str, str]:
    """What commands say, of success and of failure."""
    found: dict[str, str] = {}

    def say(*args: str, settings: Mapping[str, str] | None = None) -> None:
        done = hub.run(*args, settings=settings)
        found[" ".join(["matrixhub", *args])] = done.out + done.err or "nothing"

    for extra in ((), ("--json",)):
        say("subscription", "list", *extra)
        say("config", *extra)
        say("doctor", *extra)
        say("key", "list", "--property", PROPERTY, *extra)
        say("subscription", "show", subscription, *extra)
        say("balance", *extra)
        say("attempts", "list", subscription, *extra)
        say("parked", "list", subscription, *extra)
    for name, dsn in {
        "away": f"postgresql://hub:{ENGINE_PASSWORD}@127.0.0.1:9/hub",
        "wrong": f"postgresql://hub:{ENGINE_PASSWORD}@127.0.0.1:port/hub",
    }.items():
        engines = {
            "MATRIXHUB_ENGINES__POSTGRES__DSN": dsn,
            "MATRIXHUB_ENGINES__NATS__URL": f"nats://{ENGINE_TOKEN}@127.0.0.1:9",
        }
        for args in (("config",), ("doctor",), ("subscription", "list"), ("run", "deliveries")):
            done = hub.run(*args, settings=engines)
            found[f"{' '.join(args)} with an engine that is {name}"] = done.out + done.err
    done = hub.run("config", settings={"MATRIXHUB_SECRETS__MASTER_KEY": MASTER_KEY[:-1] + "-"})
    found["config with a wrong master key"] = done.out + done.err or "nothing"
    return found


# --- the scanner itself ---


@pytest.mark.parametrize("spelling", spellings('pässw0rd +/&"<of> a secret').keys())
def test_the_scanner_sees_every_spelling(spelling: str) -> None:
    secret = 'pässw0rd +/&"<of> a secret'
    scanner = Scanner()
    scanner.plant("planted", secret)
    content = b"a line before\n... " + spellings(secret)[spelling] + b" ...\nand one behind"
    assert {hit.secret for hit in scanner.look("somewhere", content)} == {"planted"}
    assert scanner.look("somewhere", b"a line without it") == []


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_the_scanner_sees_a_secret_within_a_longer_text_in_base64(before: str) -> None:
    scanner = Scanner()
    scanner.plant("planted", "the planted secret")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        content = encode(f"{before}the planted secret, and more".encode())
        assert scanner.look("somewhere", content)
        assert scanner.look("somewhere", content.rstrip(b"="))


async def test_a_leak_is_found_wherever_it_is_planted(hub: Hub) -> None:
    leak = "a l3ak that was planted"
    async with trial(hub) as tried:
        tried.scanner.plant("leak", leak)
        await tried.subscribe(
            f"named {leak}", Made(destination=Destination(url="https://127.0.0.1:9/in"), verify=lambda _: None)
        )
        path = Path(hub.data) / "leak.bin"
        path.write_bytes(b"\0\1" + leak.encode().hex().encode())
        try:
            said = {"list": hub.run("subscription", "list").out}
            hits = tried.scanner.look_at_all([place async for place in places(tried, said)])
        finally:
            path.unlink()
            async with tried.database.connection() as connection:
                await connection.execute("delete from subscriptions where id = any($1)", list(tried.made))
    found = {hit.where for hit in hits if hit.secret == "leak"}
    assert {"subscriptions.name", "files in leak.bin", "list"} <= found
