"""Every scheme over real TLS against a receiver that checks it anew, and what becomes of each answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ThreadedResolver, web

from matrixhub.deliveries import connections
from matrixhub.deliveries.connections import tls_context
from matrixhub.deliveries.destinations.https import HttpsSender, open_https_sender
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import (
    Auth,
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
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import (
    DeliveryError,
    DestinationRefused,
    DestinationUnreachable,
    EgressRefused,
    ReauthorisationNeeded,
    TokenFault,
    TokenRefused,
)
from matrixhub.model.policy import Policy
from matrixhub.model.secret import Secret
from matrixhub.ports import Push, Sent
from matrixhub.testing import verifiers
from matrixhub.testing.listener import serve_app
from matrixhub.testing.receiver import Answer, Facts, HttpsReceiver
from matrixhub.testing.samples import sample_push
from matrixhub.testing.tls import LOCAL_NAMES, LocalAuthority
from matrixhub.testing.token_server import Fail, Flood, Issue, Stall, TokenBehaviour, TokenIssuer, TokenServer
from matrixhub.testing.tokens import MemoryTokens

AUTHORITY = LocalAuthority()
CLIENTS = LocalAuthority()
LOOPBACK = Allowance.of(["127.0.0.0/8"])
ITEM = json.dumps({"DEVID": "d", "DevType": "T", "unixT": 1, "v": {}})
BODY = json.dumps([ITEM]).encode()
JSON_TYPE = "application/json; charset=utf-8"

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SAS_KEY = "ZGVtby1ldmVudC1odWIta2V5LWZvci10ZXN0cw=="


@pytest.fixture
async def tokens() -> MemoryTokens:
    return MemoryTokens()


@pytest.fixture
async def sender(tokens: MemoryTokens) -> AsyncIterator[HttpsSender]:
    async with open_https_sender(LOOPBACK, tokens, SystemClock()) as sender:
        yield sender


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    issuer = TokenIssuer({"hub id": "s&cret+1", "public": None})
    async with TokenServer(issuer, authority=AUTHORITY) as server:
        yield server


def push_to(url: str, auth: Auth | None = None, *, policy: Policy | None = None, **destination: Any) -> Push:
    made = Destination(url=url, ca_pem=AUTHORITY.ca_pem, auth=auth or NoAuth(), **destination)
    return sample_push(made, BODY, policy=policy or Policy())


def client_credentials(server: TokenServer, **changes: Any) -> ClientCredentials:
    secret = Secret("s&cret+1")
    return replace(ClientCredentials(token_url=server.url, client_id="hub id", client_secret=secret), **changes)


def refresh_token(server: TokenServer) -> RefreshToken:
    first = Secret(server.issuer.agree())
    return RefreshToken(token_url=server.url, client_id="public", refresh_token=first)


def receiving(server: TokenServer) -> HttpsReceiver:
    return HttpsReceiver(authority=AUTHORITY, verify=verifiers.bearer(server.issuer.is_valid))


# --- Basic, headers, client certificate ---


async def test_basic_is_taken_and_a_wrong_password_is_not(sender: HttpsSender) -> None:
    async with HttpsReceiver(authority=AUTHORITY, verify=verifiers.basic("demo-user", "d3mo päss")) as receiver:
        good = BasicAuth(user="demo-user", password=Secret("d3mo päss"))
        assert (await sender.send(push_to(receiver.url, good))).http_status == 204
        with pytest.raises(DestinationRefused, match="wrong user or password") as refused:
            await sender.send(push_to(receiver.url, replace(good, password=Secret("other"))))
        assert refused.value.http_status == 401
        assert len(receiver.requests) == 2


async def test_static_headers_go_with_any_scheme(sender: HttpsSender) -> None:
    check = verifiers.all_of(verifiers.basic("u", "p"), verifiers.header("X-Api-Key", "k3y-1"))
    async with HttpsReceiver(authority=AUTHORITY, verify=check) as receiver:
        auth = BasicAuth(user="u", password=Secret("p"))
        headers = (Header(name="X-Api-Key", value=Secret("k3y-1")),)
        assert (await sender.send(push_to(receiver.url, auth, headers=headers))).http_status == 204
        with pytest.raises(DestinationRefused):
            await sender.send(push_to(receiver.url, auth))


@pytest.mark.parametrize("scheme", [NoAuth(), BasicAuth(user="u", password=Secret("p"))], ids=["alone", "with Basic"])
async def test_a_client_certificate_is_shown_in_the_handshake(sender: HttpsSender, scheme: Auth) -> None:
    check = verifiers.client_certificate("hub")
    async with HttpsReceiver(authority=AUTHORITY, client_ca_pem=CLIENTS.ca_pem, verify=check) as receiver:
        certificate = CLIENTS.client_certificate("hub")
        sent = await sender.send(push_to(receiver.url, scheme, client_certificate=certificate))
        assert sent.http_status == 204


@pytest.mark.parametrize("who", ["nobody", "a client of another authority"])
async def test_without_a_good_client_certificate_there_is_no_connection(sender: HttpsSender, who: str) -> None:
    certificate = None if who == "nobody" else LocalAuthority().client_certificate("hub")
    async with HttpsReceiver(authority=AUTHORITY, client_ca_pem=CLIENTS.ca_pem) as receiver:
        with pytest.raises(DestinationUnreachable):
            await sender.send(push_to(receiver.url, client_certificate=certificate))
        assert not receiver.requests


async def test_a_changed_client_certificate_uses_no_connection_of_the_one_before(sender: HttpsSender) -> None:
    seen: list[str] = []

    def note(facts: Facts) -> Answer | None:
        seen.append(facts.client_name)
        return None

    async with HttpsReceiver(authority=AUTHORITY, client_ca_pem=CLIENTS.ca_pem, verify=note) as receiver:
        first, second = CLIENTS.client_certificate("first"), CLIENTS.client_certificate("second")
        for certificate in (first, first, second, first, second):
            await sender.send(push_to(receiver.url, client_certificate=certificate))
        with pytest.raises(DestinationUnreachable):
            await sender.send(push_to(receiver.url))
    assert seen == ["first", "first", "second", "first", "second"]


async def test_a_changed_ca_uses_no_connection_of_the_one_before(sender: HttpsSender) -> None:
    async with HttpsReceiver(authority=AUTHORITY) as receiver:
        push = push_to(receiver.url)
        await sender.send(push)
        other = replace(push.subscription.destination, ca_pem=CLIENTS.ca_pem)
        with pytest.raises(DestinationUnreachable, match="TLS"):
            await sender.send(sample_push(other, BODY))
        assert (await sender.send(push)).http_status == 204


@pytest.mark.parametrize("trusts", ["the customer's CA", "the system's"])
async def test_tls_contexts_are_kept_for_so_many_certificates_and_no_more(
    monkeypatch: pytest.MonkeyPatch, trusts: str
) -> None:
    monkeypatch.setattr(connections, "CONTEXTS_MAX", 3)
    monkeypatch.setattr(connections, "SYSTEM_CONTEXTS_MAX", 3)
    made = connections.Connections(LOOPBACK, ThreadedResolver())
    ca_pem = AUTHORITY.ca_pem if trusts == "the customer's CA" else ""
    certificates = [CLIENTS.client_certificate(f"c{number}") for number in range(5)]
    first = [await made.tls(ca_pem, certificate) for certificate in certificates]
    assert await made.tls(ca_pem, certificates[2]) is first[2]
    assert await made.tls(ca_pem, certificates[0]) is not first[0]
    assert await made.tls(ca_pem, certificates[2]) is first[2]
    assert await made.tls(ca_pem, certificates[3]) is not first[3]
    assert len(made._contexts) + len(made._system_contexts) == 3
    await made.close()


ENCRYPTED_KEY = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi8Qj4vDlHIdgICCAAw
-----END ENCRYPTED PRIVATE KEY-----"""


@pytest.mark.parametrize("key", ["", "no key", ENCRYPTED_KEY, CLIENTS.client_certificate("x").key_pem.reveal()])
def test_a_key_that_does_not_fit_is_explained_and_not_shown(key: str) -> None:
    pem = CLIENTS.client_certificate("hub").certificate_pem
    with pytest.raises(DestinationUnreachable, match="client certificate or its key") as fault:
        tls_context("", ClientCertificate(certificate_pem=pem, key_pem=Secret(key)))
    assert not key or key not in fault.value.message


async def test_a_header_of_the_customer_replaces_that_of_the_hub(sender: HttpsSender) -> None:
    async with HttpsReceiver(authority=AUTHORITY) as receiver:
        headers = (Header(name="accept", value=Secret("application/json")),)
        await sender.send(push_to(receiver.url, headers=headers))
        sent = receiver.requests[-1].headers
        assert [value for name, value in sent.items() if name.lower() == "accept"] == ["application/json"]


async def test_a_changed_policy_counts_from_the_next_push_on(sender: HttpsSender) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with answering(saying(204)) as good, answering(never) as url:
        await sender.send(push_to(good, policy=Policy(total_timeout_s=60)))
        with pytest.raises(DestinationUnreachable):
            await sender.send(push_to(url, policy=Policy(connect_timeout_s=1, total_timeout_s=1)))


async def test_gzip_is_told(sender: HttpsSender) -> None:
    import gzip

    check = verifiers.header("x-sc-compression-enabled", "true")
    async with HttpsReceiver(authority=AUTHORITY, verify=check) as receiver:
        push = replace(push_to(receiver.url), body=gzip.compress(BODY), content_encoding="gzip")
        assert (await sender.send(push)).http_status == 204
        assert receiver.ledger.summary().items == 1


# --- Azure ---


def per_item(body: bytes) -> list[str]:
    return [entry["Body"] for entry in json.loads(body)]


async def test_a_push_to_an_event_hub_is_signed(sender: HttpsSender) -> None:
    content_type = "application/atom+xml"
    keys: dict[str, str] = {}
    async with HttpsReceiver(authority=AUTHORITY, content_type=content_type, verify=lambda f: check(f)) as receiver:
        hub = receiver.url.replace("/readings", "/matrix-hub")
        keys["sendOnly"] = SAS_KEY
        check = verifiers.shared_access_signature(keys, hub.removeprefix("https://"))
        auth = SharedAccessKey(key_name="sendOnly", key=Secret(SAS_KEY))
        push = push_to(hub, auth, kind="azure_event_hub")
        assert (await sender.send(push)).http_status == 204
        headers = receiver.requests[-1].headers
        assert headers["Content-Type"] == "application/atom+xml;type=entry;charset=utf-8"
        with pytest.raises(DestinationRefused, match="wrong signature"):
            await sender.send(push_to(hub, replace(auth, key=Secret("other")), kind="azure_event_hub"))
        with pytest.raises(DestinationRefused, match="unknown key"):
            await sender.send(push_to(hub, replace(auth, key_name="other"), kind="azure_event_hub"))
        assert receiver.ledger.summary().items == 1


async def test_a_push_of_single_readings_to_an_event_hub_says_so(sender: HttpsSender) -> None:
    content_type = "application/vnd.microsoft.servicebus.json"
    async with HttpsReceiver(authority=AUTHORITY, content_type=content_type, read_body=per_item) as receiver:
        auth = SharedAccessKey(key_name="sendOnly", key=Secret(SAS_KEY))
        push = push_to(receiver.url, auth, kind="azure_event_hub", framing="per_item")
        sent = await sender.send(replace(push, body=json.dumps([{"Body": ITEM}]).encode()))
        assert sent.http_status == 204
        assert receiver.requests[-1].path == "/readings/messages"


async def test_an_event_hub_takes_tokens_of_entra_id(sender: HttpsSender, server: TokenServer) -> None:
    check = verifiers.bearer(server.issuer.is_valid)
    async with HttpsReceiver(authority=AUTHORITY, content_type="application/atom+xml", verify=check) as receiver:
        auth = client_credentials(server, scope="https://eventhubs.azure.net/.default")
        assert (await sender.send(push_to(receiver.url, auth, kind="azure_event_hub"))).http_status == 204
        assert server.issuer.calls[-1].form["scope"] == "https://eventhubs.azure.net/.default"


# --- AWS ---


@pytest.mark.parametrize("token", ["", "session/token+=="])
async def test_a_push_to_aws_iot_is_signed(sender: HttpsSender, token: str) -> None:
    check = verifiers.signature_v4({ACCESS_KEY: SECRET_KEY}, "eu-west-1", "iotdata", token=token)
    async with HttpsReceiver(authority=AUTHORITY, verify=check) as receiver:
        url = receiver.url.replace("/readings", "/topics/matrix%2Fsensor%20a?qos=1")
        auth = SignatureV4(
            access_key_id=ACCESS_KEY,
            secret_access_key=Secret(SECRET_KEY),
            session_token=Secret(token) if token else None,
            region="eu-west-1",
        )
        assert (await sender.send(push_to(url, auth, kind="aws_iot"))).http_status == 204
        wrong = replace(auth, secret_access_key=Secret("other-key"))
        with pytest.raises(DestinationRefused, match="wrong signature") as refused:
            await sender.send(push_to(url, wrong, kind="aws_iot"))
        assert refused.value.http_status == 403


async def test_aws_iot_takes_a_client_certificate(sender: HttpsSender) -> None:
    check = verifiers.client_certificate("thing")
    async with HttpsReceiver(authority=AUTHORITY, client_ca_pem=CLIENTS.ca_pem, verify=check) as receiver:
        url = receiver.url.replace("/readings", "/topics/a?qos=1")
        push = push_to(url, kind="aws_iot", client_certificate=CLIENTS.client_certificate("thing"))
        assert (await sender.send(push)).http_status == 204


# --- OAuth 2.0 ---


async def test_one_token_serves_many_pushes(sender: HttpsSender, server: TokenServer) -> None:
    async with receiving(server) as receiver:
        push = push_to(receiver.url, client_credentials(server))
        await asyncio.gather(*(sender.send(push) for _ in range(20)))
        await sender.send(push)
        assert receiver.ledger.summary().requests == 21
    assert len(server.issuer.calls) == 1
    assert server.issuer.calls[0].form == {"grant_type": "client_credentials"}


async def test_the_secret_may_be_shown_in_the_body(sender: HttpsSender, server: TokenServer) -> None:
    server.issuer._client_auth = "body"
    async with receiving(server) as receiver:
        auth = client_credentials(server, client_auth="body", audience="https://api", extra=(("resource", "r"),))
        assert (await sender.send(push_to(receiver.url, auth))).http_status == 204
        assert {"audience": "https://api", "resource": "r"}.items() <= server.issuer.calls[0].form.items()


@pytest.mark.parametrize("grant", ["client_credentials", "refresh_token"])
async def test_a_401_renews_the_token_once_and_sends_again(
    sender: HttpsSender, server: TokenServer, grant: str
) -> None:
    async with receiving(server) as receiver:
        auth = client_credentials(server) if grant == "client_credentials" else refresh_token(server)
        push = push_to(receiver.url, auth)
        await sender.send(push)
        for calls in (2, 3):
            server.issuer.expire_all()
            assert (await sender.send(push)).http_status == 204
            assert server.issuer.granted == calls
        assert [request.status for request in receiver.requests] == [204, 401, 204, 401, 204]
    assert server.issuer.reused == 0


async def test_many_pushes_that_meet_a_401_share_one_renewal(sender: HttpsSender, server: TokenServer) -> None:
    async with receiving(server) as receiver:
        push = push_to(receiver.url, refresh_token(server))
        await sender.send(push)
        server.issuer.expire_all()
        await asyncio.gather(*(sender.send(push) for _ in range(10)))
    assert server.issuer.granted == 2


async def test_a_second_401_is_a_refusal(sender: HttpsSender, server: TokenServer) -> None:
    async with HttpsReceiver(authority=AUTHORITY, behaviour=Answer(401, body="not you")) as receiver:
        with pytest.raises(DestinationRefused, match="not you"):
            await sender.send(push_to(receiver.url, client_credentials(server)))
        assert len(receiver.requests) == 2
    assert len(server.issuer.calls) == 2


async def test_a_403_renews_nothing(sender: HttpsSender, server: TokenServer) -> None:
    async with HttpsReceiver(authority=AUTHORITY, behaviour=Answer(403)) as receiver:
        with pytest.raises(DestinationRefused):
            await sender.send(push_to(receiver.url, client_credentials(server)))
    assert len(server.issuer.calls) == 1


FAULTS: dict[str, tuple[TokenBehaviour, type[TokenFault], str]] = {
    "500": (Fail(500, "oops"), TokenFault, "HTTP 500"),
    "429": (Fail(429, "", {"Retry-After": "17"}), TokenFault, "HTTP 429"),
    "a redirect": (Fail(302, "", {"Location": "https://127.0.0.1:1/"}), TokenFault, "HTTP 302"),
    "nonsense": (Fail(200, "<html>sign in</html>"), TokenFault, "no access token"),
    "no token": (Issue({"access_token": None}), TokenFault, "no access token"),
    "another kind": (Issue({"token_type": "mac"}), TokenFault, "another kind"),
    "silence": (Stall(60), TokenFault, "no answer in time"),
    "100 MB": (Flood(100_000_000), TokenFault, "longer than"),
    "invalid_client": (Fail(401, '{"error":"invalid_client"}'), TokenRefused, "invalid_client"),
    "invalid_scope": (Fail(400, '{"error":"invalid_scope"}'), TokenRefused, "invalid_scope"),
    "invalid_grant": (Fail(400, '{"error":"invalid_grant"}'), TokenRefused, "invalid_grant"),
}


@pytest.mark.parametrize("behaviour, kind, says", FAULTS.values(), ids=FAULTS)
async def test_the_receiver_is_not_asked_while_the_token_server_gives(
    sender: HttpsSender, server: TokenServer, behaviour: TokenBehaviour, kind: type[TokenFault], says: str
) -> None:
    server.behaviour = behaviour
    policy = Policy(connect_timeout_s=1, total_timeout_s=1)
    async with receiving(server) as receiver:
        push = push_to(receiver.url, client_credentials(server), policy=policy)
        with pytest.raises(TokenFault, match=says) as fault:
            await sender.send(push)
        assert type(fault.value) is kind
        assert fault.value.retry_after_s == (17 if says == "HTTP 429" else None)
        assert not receiver.requests
        server.behaviour = Issue()
        assert (await sender.send(push)).http_status == 204


async def test_a_wrong_client_secret_is_refused_by_the_token_server(sender: HttpsSender, server: TokenServer) -> None:
    async with receiving(server) as receiver:
        with pytest.raises(TokenRefused, match="unknown client or wrong secret"):
            await sender.send(push_to(receiver.url, client_credentials(server, client_secret=Secret("0ther-one"))))
        assert not receiver.requests


async def test_a_token_server_that_is_down_comes_back(sender: HttpsSender, server: TokenServer) -> None:
    async with receiving(server) as receiver:
        push = push_to(receiver.url, refresh_token(server))
        await server.stop_listening()
        with pytest.raises(TokenFault, match="token server"):
            await sender.send(push)
        await server.start_listening()
        assert (await sender.send(push)).http_status == 204
        assert len(receiver.requests) == 1


async def test_a_rotated_refresh_token_is_used_from_then_on(sender: HttpsSender, server: TokenServer) -> None:
    server.issuer.expires_in = 0.000_001
    async with receiving(server) as receiver:
        receiver._verify = None  # the tokens are over at once
        push = push_to(receiver.url, refresh_token(server))
        for _ in range(5):
            await sender.send(push)
    shown = [call.form["refresh_token"] for call in server.issuer.calls]
    assert len(set(shown)) == 5
    assert server.issuer.granted == 5
    assert server.issuer.reused == 0


async def test_a_refresh_token_that_is_no_longer_good_asks_for_a_new_one(
    sender: HttpsSender, server: TokenServer
) -> None:
    async with receiving(server) as receiver:
        push = push_to(receiver.url, refresh_token(server))
        await sender.send(push)
        server.issuer.revoke()
        server.issuer.expire_all()
        with pytest.raises(ReauthorisationNeeded, match="set a new one"):
            await sender.send(push)
        again = replace(push.subscription.destination, auth=refresh_token(server))
        anew = replace(push, subscription=replace(push.subscription, destination=again, version=2))
        assert (await sender.send(anew)).http_status == 204


async def test_nothing_is_sent_with_a_token_that_could_not_be_saved_and_none_is_lost(
    sender: HttpsSender, server: TokenServer, tokens: MemoryTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(server) as receiver:
        push = push_to(receiver.url, refresh_token(server))
        await sender.send(push)
        server.issuer.expire_all()
        answer = server.issuer.answer

        def and_the_database_goes_away(*asked: Any) -> Any:
            tokens.down = True
            return answer(*asked)

        monkeypatch.setattr(server.issuer, "answer", and_the_database_goes_away)
        with pytest.raises(TokenFault, match="cannot be read or saved"):
            await sender.send(push)
        assert [request.status for request in receiver.requests] == [204, 401]
        tokens.down = False
        assert (await sender.send(push)).http_status == 204
    assert server.issuer.granted == 2
    assert server.issuer.reused == 0


async def test_a_token_url_in_a_private_network_is_not_asked(tokens: MemoryTokens, server: TokenServer) -> None:
    async with receiving(server) as receiver, open_https_sender(Allowance(), tokens, SystemClock()) as guarded:
        push = push_to(receiver.url, client_credentials(server))
        with pytest.raises(EgressRefused, match=r"127\.0\.0\.1"):
            await guarded.send(push)
        assert not server.issuer.calls
        leave = replace(push.subscription.destination, egress_allow=frozenset({"127.0.0.1"}))
        assert (await guarded.send(sample_push(leave, BODY))).http_status == 204


async def test_a_private_ca_is_trusted_for_the_token_url_too(sender: HttpsSender) -> None:
    issuer = TokenIssuer({"hub id": "s&cret+1"})
    async with TokenServer(issuer, authority=LocalAuthority()) as stranger, receiving(stranger) as receiver:
        with pytest.raises(TokenFault, match="TLS"):
            await sender.send(push_to(receiver.url, client_credentials(stranger)))
    assert not issuer.calls


async def test_a_push_that_is_given_up_leaves_the_renewal_to_end(
    sender: HttpsSender, server: TokenServer, tokens: MemoryTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(server) as receiver:
        auth = refresh_token(server)
        push = push_to(receiver.url, auth)
        answer, asked = server.issuer.answer, asyncio.Event()

        def and_tell(*parts: Any) -> Any:
            asked.set()
            return answer(*parts)

        monkeypatch.setattr(server.issuer, "answer", and_tell)
        sending = asyncio.create_task(sender.send(push))
        await asked.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await sender.send(push)).http_status == 204
    assert server.issuer.granted == 1
    assert await tokens.current(push.subscription) is not None


# --- answers ---

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """The URL of a server that answers with the handler."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/{path:.*}", handler)
    async with serve_app(app, AUTHORITY.server_context(*LOCAL_NAMES), handler_cancellation=True) as port:
        yield f"https://127.0.0.1:{port}/in"


def saying(status: int, body: str | bytes = "", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        content = body.encode() if isinstance(body, str) else body
        return web.Response(status=status, body=content, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


async def sent_or_refused(sender: HttpsSender, push: Push) -> Sent | DeliveryError:
    try:
        return await sender.send(push)
    except DeliveryError as error:
        return error


NAMED = json.dumps({"failed": [{"index": 0, "reason": "too old"}, {"index": 7, "reason": "x"}]})


async def test_a_207_names_the_items_that_are_wrong(sender: HttpsSender) -> None:
    async with answering(saying(207, NAMED)) as url:
        sent = await sender.send(push_to(url))
    assert (sent.http_status, sent.failed) == (207, {0: "too old"})
    assert sent.answer.startswith('{"failed"')


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refusal_may_name_the_items_that_are_wrong(sender: HttpsSender, status: int) -> None:
    async with answering(saying(status, NAMED)) as url:
        with pytest.raises(DestinationRefused) as refused:
            await sender.send(push_to(url))
    assert (refused.value.http_status, refused.value.failed) == (status, {0: "too old"})


async def test_a_207_that_is_cut_off_is_not_taken_for_granted(sender: HttpsSender) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(status=207)
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b'{"failed":[')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with answering(cut) as url:
        with pytest.raises(DestinationUnreachable):
            await sender.send(push_to(url))


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_of_100_mb_is_not_read(sender: HttpsSender, status: int) -> None:
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        await request.read()
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for _ in range(1600):
            await response.write(b"x" * 65_536)
            written += 65_536
        return response

    async with answering(flood) as url:
        result = await sent_or_refused(sender, push_to(url))
        assert result.http_status == status  # type: ignore[union-attr]
        assert (await sent_or_refused(sender, push_to(url))).http_status == status  # type: ignore[union-attr]
    assert written < 100_000_000


async def test_a_push_that_was_taken_does_not_wait_long_for_the_rest_of_the_answer(sender: HttpsSender) -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        await response.write(b"ok")
        await asyncio.sleep(60)
        return response

    async with answering(slowly) as url:
        async with asyncio.timeout(30):
            sent = await sender.send(push_to(url, policy=Policy(total_timeout_s=60)))
    assert sent.http_status == 200


async def test_an_attempt_takes_no_longer_than_the_policy_says(sender: HttpsSender) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with answering(never) as url:
        with pytest.raises(DestinationUnreachable, match="no answer in time"):
            await sender.send(push_to(url, policy=Policy(connect_timeout_s=1, total_timeout_s=1)))


async def test_a_redirect_is_a_refusal_and_not_followed(sender: HttpsSender) -> None:
    async with answering(saying(307, "", Location="https://127.0.0.1:1/secret")) as url:
        with pytest.raises(DestinationRefused) as refused:
            await sender.send(push_to(url))
    assert refused.value.http_status == 307


async def test_retry_after_is_told(sender: HttpsSender) -> None:
    async with answering(saying(429, "", Retry_After="42")) as url:
        with pytest.raises(DestinationRefused) as refused:
            await sender.send(push_to(url))
    assert refused.value.retry_after_s == 42


SECRETS: dict[str, Auth] = {
    "none": NoAuth(),
    "basic": BasicAuth(user="demo-user", password=Secret('d3mo "pass"/+')),
    "sas": SharedAccessKey(key_name="n", key=Secret(SAS_KEY)),
    "sigv4": SignatureV4(
        access_key_id=ACCESS_KEY,
        secret_access_key=Secret(SECRET_KEY),
        session_token=Secret("session-token-1"),
        region="eu-west-1",
    ),
}


@pytest.mark.parametrize("status", [200, 207, 400, 401, 500])
@pytest.mark.parametrize("auth", [*SECRETS.values(), None], ids=[*SECRETS, "oauth2"])
async def test_an_answer_that_says_back_what_it_was_sent_shows_no_secret(
    sender: HttpsSender, server: TokenServer, auth: Auth | None, status: int
) -> None:
    sent_headers: list[str] = []

    async def echo(request: web.Request) -> web.StreamResponse:
        await request.read()
        said = [request.headers.get("Authorization", ""), request.headers["X-Api-Key"], request.path_qs]
        said.append(request.headers.get("X-Amz-Security-Token", ""))
        sent_headers[:] = said
        text = " ".join(said)
        document = {"failed": [{"index": 0, "reason": text}], "said": text}
        return web.Response(status=status, reason=f"No {said[1]}", text=json.dumps(document))

    kinds = {"azure_sas": "azure_event_hub", "aws_sigv4": "aws_iot"}
    used = auth or client_credentials(server)
    headers = (Header(name="X-Api-Key", value=Secret("k3y-of-ours")),)
    async with answering(echo) as url:
        push = push_to(f"{url}?code=qu3ry-secret", used, headers=headers, kind=kinds.get(used.scheme, "https"))
        result = await sent_or_refused(sender, push)
    assert isinstance(result, Sent | DestinationRefused)
    shown = f"{result.answer} {dict(result.failed)} {getattr(result, 'message', '')}"
    assert "[hidden]" in shown
    planted = ["k3y-of-ours", "qu3ry-secret", "session-token-1", SAS_KEY, SECRET_KEY, "d3mo", "s&cret+1"]
    _, _, credentials = sent_headers[0].partition(" ")
    if used.scheme in ("basic", "oauth2_client_credentials"):
        planted.append(credentials)
    if used.scheme == "azure_sas":
        planted.append(credentials.split("sig=")[1].split("&")[0])
    if used.scheme == "aws_sigv4":
        planted.append(credentials.split("Signature=")[1])
    for secret in planted:
        assert secret[:8] not in shown


async def test_a_fault_shows_no_secret_of_the_url(sender: HttpsSender) -> None:
    for url in ("https://127.0.0.1:1/in?code=qu3ry-secret", "https://receiver.invalid:1/in?code=qu3ry-secret"):
        with pytest.raises(DestinationUnreachable) as fault:
            await sender.send(push_to(url))
        assert "qu3ry" not in fault.value.message
