"""Why there is no connection to a customer's database, in words that say what to do: pure.

Source: docs/contract/dedicated-db.md §5
"""

from __future__ import annotations

import shlex
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from matrixhub.databases.connecting import said_by, where
from matrixhub.databases.verdict import Checked, Verdict, in_order, quoted
from matrixhub.model.database import CustomerDatabase, Server, Step
from matrixhub.model.errors import DatabaseFault, EgressRefused

Failure = DatabaseFault | EgressRefused

_EXPIRED, _NOT_YET, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64
"""How OpenSSL numbers what is wrong with a certificate. Source: openssl-verification-options(1), x509_vfy.h"""


def judge_failure(record: CustomerDatabase, failure: Failure) -> Checked:
    """What a connection that could not be made says: steps before it are right, those behind were not looked at."""
    known = _advice(record, failure)
    hidden = _hider(record.server)
    verdict = Verdict(
        step=known.step,
        grade="wrong",
        found=hidden(known.found),
        to_do=hidden(known.to_do),
        run=tuple(map(hidden, known.run)),
    )
    passed = [judge_tls(record.server)] if known.step in ("login", "rights", "schema") else []
    return in_order([*passed, verdict])


def judge_tls(server: Server, spoken: str = "") -> Verdict:
    """What is to be said of TLS where it is no hindrance; `spoken` is its version and cipher, as far as known."""
    with_what = f"TLS{f' ({spoken})' if spoken else ''}"
    if not server.host:
        return Verdict(step="tls", grade="ok", found="the hub's own server")
    if server.tls == "verify-full":
        return Verdict(step="tls", grade="ok", found=f"{with_what}; the certificate is good for {server.host}")
    if server.tls == "disable":
        return Verdict(
            step="tls",
            grade="warning",
            found="none: whoever is between here and there reads what is written, and may change it",
            to_do="turn TLS on at the server, and use --tls verify-full",
        )
    missing = "its name is not asked for" if server.tls == "verify-ca" else "the certificate is not looked at"
    return Verdict(
        step="tls",
        grade="warning",
        found=f"{with_what}; {missing}, so another server could stand in for it",
        to_do="use --tls verify-full, with --ca FILE where the certificate is not of a public authority",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Advice:
    step: Step
    found: str
    to_do: str
    run: tuple[str, ...] = ()


def _advice(record: CustomerDatabase, failure: Failure) -> _Advice:
    if isinstance(failure, EgressRefused):
        return _egress(record, failure)
    cause = failure.__cause__
    for kinds, advise in _ADVICE:
        if isinstance(cause, kinds):
            found = advise(record, cause)
            if found is not None:
                return found
    step: Step = failure.step  # type: ignore[assignment]
    return _Advice(step=step, found=failure.message, to_do=f"look into the log of {where(record.server)}")


def _egress(record: CustomerDatabase, failure: EgressRefused) -> _Advice:
    target = failure.address or record.server.host
    return _Advice(
        step="reach",
        found=f"the hub may not connect to {_named(failure.host or record.server.host, target)} ({failure.reason})"
        if failure.reason
        else failure.message,
        to_do="an operator of the hub allows it, where it is meant",
        run=(f"matrixhub egress allow --property {shlex.quote(record.property_id)} {shlex.quote(target)}",),
    )


def _named(host: str, address: str) -> str:
    return address if host == address else f"{host} at {address}"


def _no_name(record: CustomerDatabase, cause: BaseException) -> _Advice:
    return _Advice(
        step="reach",
        found=f"the name {record.server.host} leads nowhere: {said_by(cause)}",
        to_do="look at the spelling, and whether the name is known where the hub runs (DNS)",
        run=(f"getent hosts {shlex.quote(record.server.host)}",),
    )


def _refused(record: CustomerDatabase, cause: BaseException) -> _Advice:
    server = record.server
    return _Advice(
        step="reach",
        found=f"nothing listens at {where(server)}: the connection is refused",
        to_do="look at the port, whether PostgreSQL runs, and whether it listens beyond its own machine; "
        "the setting takes a restart",
        run=("show port;", "show listen_addresses;", "alter system set listen_addresses = '*';"),
    )


def _silent(record: CustomerDatabase, cause: BaseException) -> _Advice:
    return _Advice(
        step="reach",
        found=f"no answer from {where(record.server)} in time",
        to_do=f"let the hub's address through the firewalls before it, to TCP port {record.server.port}",
    )


def _reset(record: CustomerDatabase, cause: BaseException) -> _Advice | None:
    if "SSL" in str(cause):
        return _no_tls(record, cause)
    return _Advice(
        step="reach",
        found=f"{where(record.server)} took the connection and cut it off: {said_by(cause)}",
        to_do="look whether PostgreSQL listens at that port, or a proxy that knows nothing of it",
    )


def _no_tls(record: CustomerDatabase, cause: BaseException) -> _Advice:
    return _Advice(
        step="tls",
        found=f"the server at {where(record.server)} does not speak TLS",
        to_do="turn it on, with a certificate of the server in server.crt and server.key; "
        "or give up TLS (--tls disable), where nobody can listen between here and there",
        run=("alter system set ssl = on;", "select pg_reload_conf();"),
    )


def _certificate(record: CustomerDatabase, cause: BaseException) -> _Advice:
    assert isinstance(cause, ssl.SSLCertVerificationError)
    host = record.server.host
    if cause.verify_code in (_EXPIRED, _NOT_YET):
        when = "has expired" if cause.verify_code == _EXPIRED else "is not good yet"
        return _Advice(
            step="tls",
            found=f"the certificate of {host} {when}",
            to_do="put a new one in place and have it read; else look at the clocks of both machines",
            run=("select pg_reload_conf();",),
        )
    if cause.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
        return _Advice(
            step="tls",
            found=f"the certificate is not good for {host}: {cause.verify_message}",
            to_do=f"name the host as in its certificate, have one made with {host} in it, or ask for no name "
            "(--tls verify-ca)",
        )
    trusted = "those given with --ca" if record.server.ca_pem else "the public ones, for none were given with --ca"
    return _Advice(
        step="tls",
        found=f"the certificate of {host} is of no authority that is trusted ({trusted}): {cause.verify_message}",
        to_do="give the certificate of the authority that issued it: often root.crt, or a bundle of the provider's",
        run=(f"matrixhub database update {record.id} --ca FILE",),
    )


def _other_tls(record: CustomerDatabase, cause: BaseException) -> _Advice:
    return _Advice(
        step="tls",
        found=f"TLS with {where(record.server)} fails: {said_by(cause)}",
        to_do="look whether --ca names certificates in PEM, and whether the server speaks TLS 1.2 or later",
        run=("show ssl_min_protocol_version;", "show ssl_max_protocol_version;"),
    )


def _password(record: CustomerDatabase, cause: BaseException) -> _Advice:
    user = quoted(record.server.user)
    return _Advice(
        step="login",
        found=f"the server does not take user {record.server.user} with this password",
        to_do="PostgreSQL does not say which is wrong: look at the name, its letters upper and lower; make the user, "
        "or set its password, without a date on which that ends; then tell the hub",
        run=(
            f"create role {user} login password '…';",
            f"alter role {user} password '…' valid until 'infinity';",
            f"matrixhub database update {record.id} --password-prompt",
        ),
    )


def _not_let_in(record: CustomerDatabase, cause: BaseException) -> _Advice:
    server, said = record.server, said_by(cause)
    if "not permitted to log in" in said:
        return _Advice(
            step="login",
            found=f"user {server.user} may not log in",
            to_do="allow it, or name a user that may",
            run=(f"alter role {quoted(server.user)} login;",),
        )
    if "pg_hba.conf" in said:
        kind = "host" if server.tls == "disable" else "hostssl"
        tls = "; it may be that it takes only TLS: --tls verify-full" if server.tls == "disable" else ""
        return _Advice(
            step="login",
            found=f"the server lets nobody in this way: {said}",
            to_do=f"add the line to pg_hba.conf, with the address that the hub comes from{tls}; then have it read",
            run=(
                f"{kind} {quoted(server.database)} {quoted(server.user)} ADDRESS/32 scram-sha-256",
                "select pg_reload_conf();",
            ),
        )
    return _Advice(
        step="login",
        found=f"no login as {server.user}: {said}",
        to_do="let the user log in with a password (scram-sha-256)",
    )


def _no_database(record: CustomerDatabase, cause: BaseException) -> _Advice:
    server = record.server
    return _Advice(
        step="login",
        found=f"there is no database {server.database}",
        to_do="look at the name, its letters upper and lower, or make it",
        run=(f"create database {quoted(server.database)} owner {quoted(server.user)};",),
    )


def _no_connect(record: CustomerDatabase, cause: BaseException) -> _Advice | None:
    server = record.server
    if "database" not in said_by(cause):
        return None
    return _Advice(
        step="rights",
        found=f"user {server.user} may not connect to database {server.database}",
        to_do="grant it",
        run=(f"grant connect on database {quoted(server.database)} to {quoted(server.user)};",),
    )


def _too_many(record: CustomerDatabase, cause: BaseException) -> _Advice:
    user, database = quoted(record.server.user), quoted(record.server.database)
    return _Advice(
        step="login",
        found=f"too many connections: {said_by(cause)}",
        to_do="leave the hub some 4 connections: look at the limits of the user, of the database and of the server",
        run=(
            f"alter role {user} connection limit -1;",
            f"alter database {database} connection limit -1;",
            "show max_connections;",
        ),
    )


def _not_now(record: CustomerDatabase, cause: BaseException) -> _Advice:
    return _Advice(
        step="reach",
        found=f"PostgreSQL at {where(record.server)} takes no connections now: {said_by(cause)}",
        to_do="wait until it has started; a standby takes them with hot_standby on, but cannot be written to",
    )


def _not_postgresql(record: CustomerDatabase, cause: BaseException) -> _Advice:
    return _Advice(
        step="reach",
        found=f"what answers at {where(record.server)} is no PostgreSQL server, or an unusual one: {said_by(cause)}",
        to_do="look at host and port",
    )


def _no_way(record: CustomerDatabase, cause: BaseException) -> _Advice:
    return _Advice(
        step="reach",
        found=f"there is no way to {where(record.server)}: {said_by(cause)}",
        to_do="look at host and port, and at the network between",
    )


_Advise = Callable[[CustomerDatabase, BaseException], _Advice | None]
_ADVICE: Sequence[tuple[tuple[type[BaseException], ...], _Advise]] = (
    # The first that fits; narrow before wide.
    ((socket.gaierror,), _no_name),
    ((ssl.SSLCertVerificationError,), _certificate),
    ((ssl.SSLError,), _other_tls),
    ((ConnectionRefusedError,), _refused),
    ((asyncpg.InvalidPasswordError,), _password),
    ((asyncpg.InvalidAuthorizationSpecificationError,), _not_let_in),
    ((asyncpg.InvalidCatalogNameError,), _no_database),
    ((asyncpg.InsufficientPrivilegeError,), _no_connect),
    ((asyncpg.TooManyConnectionsError,), _too_many),
    ((asyncpg.CannotConnectNowError,), _not_now),
    ((asyncpg.PostgresError,), lambda record, cause: None),
    ((asyncpg.InterfaceError, asyncpg.InternalClientError), _not_postgresql),
    ((TimeoutError,), _silent),
    ((ConnectionError,), _reset),
    ((OSError,), _no_way),
)


def _hider(server: Server) -> Callable[[str], str]:
    """What takes the password out of a text, should a server have said it."""
    password = server.password.reveal()
    return lambda text: text.replace(password, "…") if password else text
