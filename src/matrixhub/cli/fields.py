"""The fields of a subscription as options: a table, read into the document that REST takes as well.

Secrets come from a file, or from standard input where their value is `-`; they need not stand on a command line.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer
import yaml

from matrixhub.model.errors import InvalidValue
from matrixhub.model.request import merge_patch

Document = dict[str, Any]

What = Literal["text", "whole", "number", "numbers", "flag", "list", "pairs", "file", "secret", "secret_file"]
"""How an option is read. `pairs` are NAME=VALUE, `numbers` are divided by commas."""

_TYPES: Mapping[What, Any] = {
    "text": str | None,
    "whole": int | None,
    "number": float | None,
    "numbers": str | None,
    "flag": bool | None,
    "list": list[str] | None,
    "pairs": list[str] | None,
    "file": Path | None,
    "secret": str | None,
    "secret_file": Path | None,
}
_METAVARS: Mapping[What, str] = {
    "text": "TEXT",
    "whole": "N",
    "number": "N",
    "list": "ID",
    "file": "FILE",
    "secret_file": "FILE",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """An option, and where its value stands in the document.

    `family` is the kind of authentication it belongs to, `puts` the text that a flag stands for.
    """

    flag: str
    path: str
    help: str
    what: What = "text"
    metavar: str = ""
    family: str = ""
    puts: str = ""

    @property
    def name(self) -> str:
        """The name of the parameter."""
        return self.flag.split("/")[0].removeprefix("--").replace("-", "_")


def _secret(flag: str, path: str, help_text: str, family: str = "") -> tuple[Field, Field]:
    """A secret as text, and as a file."""
    what = f"{help_text} `-` asks for it, or reads a line of standard input."
    return (
        Field(flag=flag, path=path, help=what, what="secret", metavar="TEXT", family=family),
        Field(flag=f"{flag}-file", path=path, help="The same, from a file.", what="secret_file", family=family),
    )


FIELDS: tuple[Field, ...] = (
    Field(flag="--url", path="url", help="Where readings or events are posted to: https://…"),
    Field(flag="--name", path="name", help="What it is for, for people."),
    Field(
        flag="--database",
        path="database",
        metavar="DATABASE",
        help="Database that rows are written to, in place of a URL: its id (db_…) or name.",
    ),
    Field(flag="--building", path="filter.buildings", what="list", help="Only this building; may be repeated."),
    Field(flag="--zone", path="filter.zones", what="list", help="Only this zone; may be repeated."),
    Field(
        flag="--type",
        path="filter.devtypes",
        what="list",
        help="Only this slot type, e.g. SMARTCLEAN#UM; may be repeated.",
    ),
    Field(
        flag="--events",
        path="source",
        what="flag",
        puts="events",
        help="Events instead of readings; cannot be changed later.",
    ),
    Field(
        flag="--pattern",
        path="filter.patterns",
        what="list",
        metavar="PATTERN",
        help="Only events whose routing key matches, e.g. 'matrix.*.*.INCIDENT_CREATED.*'; may be repeated.",
    ),
    Field(flag="--kind", path="kind", help="https (default), azure_event_hub, aws_iot, or postgres."),
    Field(flag="--framing", path="framing", help="What an event of an Event Hub holds: batch (default) or per_item."),
    Field(flag="--ca", path="ca_pem", what="file", help="Certificates to trust instead of the system's (PEM)."),
    Field(
        flag="--client-cert",
        path="client_certificate.certificate_pem",
        what="file",
        help="What the hub shows of itself (mutual TLS, PEM); with --client-key.",
    ),
    Field(flag="--client-key", path="client_certificate.key_pem", what="secret_file", help="Its private key (PEM)."),
    Field(flag="--oauth-token-url", path="auth.token_url", family="oauth", help="Token server of OAuth 2.0."),
    Field(flag="--oauth-client-id", path="auth.client_id", family="oauth", help="Id of the client."),
    *_secret("--oauth-client-secret", "auth.client_secret", "Secret of the client.", "oauth"),
    *_secret(
        "--oauth-refresh-token", "auth.refresh_token", "With it, refresh token; else client credentials.", "oauth"
    ),
    Field(
        flag="--oauth-client-auth",
        path="auth.client_auth",
        family="oauth",
        help="Where the client shows its secret: header (default) or body.",
    ),
    Field(flag="--oauth-scope", path="auth.scope", family="oauth", help="Scope to ask for."),
    Field(flag="--oauth-audience", path="auth.audience", family="oauth", help="Audience to ask for."),
    Field(
        flag="--oauth-extra",
        path="auth.extra",
        what="pairs",
        metavar="NAME=VALUE",
        family="oauth",
        help="A further field for the token server; may be repeated.",
    ),
    Field(flag="--sas-key-name", path="auth.key_name", family="azure_sas", help="Name of an Event Hub's key."),
    *_secret("--sas-key", "auth.key", "The key itself.", "azure_sas"),
    Field(flag="--aws-access-key-id", path="auth.access_key_id", family="aws_sigv4", help="Id of an AWS access key."),
    *_secret("--aws-secret", "auth.secret_access_key", "Its secret.", "aws_sigv4"),
    *_secret("--aws-session-token", "auth.session_token", "Session token, for temporary keys.", "aws_sigv4"),
    Field(flag="--aws-region", path="auth.region", family="aws_sigv4", help="Region; else that of the host name."),
    Field(flag="--format", path="format.body", help="contract (default) or cloudevents."),
    Field(flag="--gzip/--no-gzip", path="format.gzip", what="flag", help="Compress bodies."),
    Field(flag="--batch-items", path="batch_items", what="whole", help="Most readings or events in one push."),
    Field(flag="--batch-bytes", path="batch_bytes", what="whole", help="Most bytes in one push."),
    Field(
        flag="--order",
        path="policy.order",
        help="strict (default); for readings per_device or latest_first, for events priority.",
    ),
    Field(flag="--in-flight", path="policy.in_flight", what="whole", help="Most requests at a time; for per_device."),
    Field(
        flag="--flush",
        path="policy.flush_s",
        what="number",
        metavar="SECONDS",
        help="How long a push may wait to be filled.",
    ),
    Field(
        flag="--rate", path="policy.rate_per_s", what="number", help="Most readings or events a second; 0 is no limit."
    ),
    Field(
        flag="--catch-up-rate",
        path="policy.catch_up_per_s",
        what="number",
        help="Most readings or events a second while a backlog is worked off; 0 is no limit.",
    ),
    Field(
        flag="--retry-schedule",
        path="policy.retry_schedule_s",
        what="numbers",
        metavar="SECONDS,…",
        help="Waits before the retries, e.g. 0,1,5,30,120; the last repeats.",
    ),
    Field(
        flag="--retry-spread",
        path="policy.retry_spread",
        what="number",
        help="By which part a wait may be longer, e.g. 0.1.",
    ),
    Field(
        flag="--give-up",
        path="policy.give_up_s",
        what="number",
        metavar="SECONDS",
        help="What fails for so long is parked.",
    ),
    Field(
        flag="--connect-timeout",
        path="policy.connect_timeout_s",
        what="number",
        metavar="SECONDS",
        help="Longest wait for a connection.",
    ),
    Field(
        flag="--total-timeout",
        path="policy.total_timeout_s",
        what="number",
        metavar="SECONDS",
        help="Longest attempt as a whole.",
    ),
    Field(flag="--notify-url", path="notify.url", help="Webhook for notices about its health."),
    Field(
        flag="--notify-subscription",
        path="notify.subscription",
        help="Notices go to the destination of this other subscription.",
    ),
    Field(flag="--notify-ca", path="notify.ca_pem", what="file", help="Certificates to trust for the webhook (PEM)."),
    *_secret("--notify-secret", "notify.secret", "What notices to the webhook are signed with (whsec_…)."),
)

_BASIC = Annotated[
    str | None,
    typer.Option(metavar="USER[:PASSWORD]", help="HTTP Basic; without password it is asked for, or read from stdin."),
]
_HEADER = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[:VALUE]", help="A header of your own; without value it is asked for. May be repeated."),
]
_FROM_FILE = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        allow_dash=True,
        help="The same as a document (YAML or JSON); options win.",
    ),
]

Given = Mapping[str, Any]
"""The options that were given, by name."""


def takes_fields(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for every field besides its own; they reach it as the argument `given`."""
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "given"]
    ours = [
        _parameter("from_file", _FROM_FILE),
        *(_parameter(field.name, Annotated[_TYPES[field.what], _option(field)]) for field in FIELDS[:2]),
        _parameter("basic", _BASIC),
        _parameter("header", _HEADER),
        *(_parameter(field.name, Annotated[_TYPES[field.what], _option(field)]) for field in FIELDS[2:]),
    ]
    names = {parameter.name for parameter in ours}

    def run(**values: Any) -> None:
        given = {name: value for name, value in values.items() if name in names and value not in (None, [], ())}
        command(**{name: value for name, value in values.items() if name not in names}, given=given)

    first = [p for p in own if p.default is inspect.Parameter.empty]
    rest = [p for p in own if p.default is not inspect.Parameter.empty]
    made = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*first, *ours, *rest)]
    run.__signature__ = inspect.Signature(made)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in made}
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    return run


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _option(field: Field) -> Any:
    files: dict[str, Any] = {"exists": True, "dir_okay": False} if field.what.endswith("file") else {}
    return typer.Option(field.flag, metavar=field.metavar or _METAVARS.get(field.what), help=field.help, **files)


# --- reading ---


def file_document(given: Given) -> Document:
    """The document of --from-file, {} without it. Raises: InvalidValue if it is not YAML or JSON."""
    path: Path | None = given.get("from_file")
    if path is None:
        return {}
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        found = _parsed(text)
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        # The text around the fault is left out: it may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise InvalidValue(f"{path}{where}: this is neither YAML nor JSON") from error
    if not isinstance(found, dict):
        raise InvalidValue(f"{path} holds no object of fields")
    return found


def options_document(given: Given, *, scheme: str = "none") -> Document:
    """The document of the options; `scheme` is that of the subscription which is changed, if it is one.

    Asks for secrets that were not given. Raises: InvalidValue.
    """
    document: Document = {}
    for field in FIELDS:
        if field.name in given:
            _put(document, field.path, _value(field, given[field.name]))
    families = {field.family for field in FIELDS if field.family and field.name in given}
    if "basic" in given:
        families.add("basic")
    if len(families) > 1:
        raise InvalidValue("the options are of more than one way of authentication")
    for family in families:
        _put(document, "auth.scheme", _scheme(family, document, scheme))
    if "basic" in given:
        user, colon, password = given["basic"].partition(":")
        _put(document, "auth.user", user)
        _put(document, "auth.password", password if colon else ask_secret("Password"))
    for header in given.get("header", ()):
        name, colon, value = header.partition(":")
        _put(document, "headers", {name.strip(): value.strip() if colon else ask_secret(f"Value of {name.strip()}")})
    return document


def unset_document(paths: list[str]) -> Document:
    """A patch that brings the defaults of these fields back: `policy.give_up_s`, `headers.X-Key`, `auth`."""
    document: Document = {}
    for path in paths:
        for names in ("headers.", "auth.extra."):
            if path.startswith(names):  # what follows is a name, which may hold dots
                inner: Document = {path.removeprefix(names): None}
                document = _with(document, names[:-1], {**_at(document, names[:-1]), **inner})
                break
        else:
            document = _with(document, path, None)
    return document


def ask_secret(prompt: str) -> str:
    """A secret from the person, or else a line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def _parsed(text: str) -> Any:
    """JSON is tried first: YAML reads some of its numbers as text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return yaml.safe_load(text)


def _scheme(family: str, document: Document, present: str) -> str:
    if family != "oauth":
        return family
    if "refresh_token" in document["auth"]:
        return "oauth2_refresh_token"
    return present if present.startswith("oauth2_") else "oauth2_client_credentials"


def _value(field: Field, given: Any) -> Any:
    match field.what:
        case "numbers":
            try:
                return [float(part) for part in given.split(",")]
            except ValueError as error:
                raise InvalidValue(f"{field.flag} is numbers divided by commas, such as 0,1,5,30") from error
        case "pairs":
            pairs = [text.partition("=") for text in given]
            if not all(equals for _, equals, _ in pairs):
                raise InvalidValue(f"{field.flag} is NAME=VALUE")
            return {name: value for name, _, value in pairs}
        case "list":
            return list(given)
        case "flag" if field.puts:
            return field.puts
        case "file":
            return _file_text(given)
        case "secret_file":
            text = _file_text(given)
            return text if "\n" in text.strip() else text.strip()
        case "secret":
            return ask_secret(field.help.split(".")[0]) if given == "-" else given
        case _:
            return given


def _file_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} cannot be read as text") from error


def _put(document: Document, path: str, value: Any) -> None:
    document.update(merge_patch(document, _with({}, path, value)))


def _at(document: Document, path: str) -> Document:
    """The object at a path, {} where there is none."""
    found: Any = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _with(document: Document, path: str, value: Any) -> Document:
    """The document with a value at a path, nulls kept."""
    name, dot, rest = path.partition(".")
    if not dot:
        return {**document, name: value}
    inner = document.get(name)
    return {**document, name: _with(inner if isinstance(inner, dict) else {}, rest, value)}
