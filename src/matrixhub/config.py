"""The settings: defaults, overridden by a file, overridden by the environment; read once and checked whole.

The defaults and their manual are `config.default.toml` beside this file.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import msgspec

from matrixhub.model.access import Rate
from matrixhub.model.application import Quota
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import ConfigurationError, InvalidValue
from matrixhub.model.policy import Policy, check_policy

ENVIRONMENT_PREFIX = "MATRIXHUB_"
NOT_SETTINGS = frozenset({"MATRIXHUB_CONFIG", "MATRIXHUB_DATABASE_PASSWORD", "MATRIXHUB_KEY", "MATRIXHUB_URL"})
"""Variables of ours that the commands read themselves."""

HIDDEN = "…"
_SECRET_PATHS = frozenset({"secrets.master_key"})
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9_.\-\[\]:]+(?:/[A-Za-z0-9_.~/-]*)?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_CREDENTIALS = re.compile(r"(?<=://)[^/,\s]*(?=@)|(?<=[?&]password=)[^&,\s]*")


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the settings."""


class Data(Frozen, frozen=True):
    """Where things are kept."""

    dir: str


class PostgresEngine(Frozen, frozen=True):
    """The PostgreSQL server."""

    dsn: str
    bin_dir: str
    port: int
    run_as: str
    connections_max: int


class NatsEngine(Frozen, frozen=True):
    """The NATS server."""

    url: str
    bin: str
    port: int


class Engines(Frozen, frozen=True):
    """Both engines."""

    postgres: PostgresEngine
    nats: NatsEngine


class DatabaseSettings(Frozen, frozen=True):
    """The databases that the hub hosts for customers."""

    listen: tuple[str, ...]
    host: str
    ca_file: str


class Streams(Frozen, frozen=True):
    """The durable streams."""

    replicas: int
    size_bytes_max: int
    retention_s: float
    retention_pending_s: float


class Http(Frozen, frozen=True):
    """The HTTP faces."""

    listen: str
    public_url: str
    tls_listen: str
    tls_certificate: str
    tls_key: str
    trusted_proxies: tuple[str, ...]
    connections_max: int
    head_wait_s: float
    body_silence_s: float
    body_wait_s: float
    read_wait_s: float
    head_bytes_max: int
    requests_per_s: float
    requests_burst: int
    wrong_credentials_max: int
    dangerously_allow_unsigned: bool


class Ingest(Frozen, frozen=True):
    """Limits of what is taken in."""

    body_bytes_max: int
    body_unpacked_bytes_max: int
    request_items_max: int
    dedup_window_s: float
    dedup_readings_max: int
    time_oldest: str
    time_ahead_max_s: float
    message_items_max: int
    message_bytes_max: int
    write_wait_s: float


class Devices(Frozen, frozen=True):
    """How devices are judged."""

    unhealthy_after_s: float


class MediaSettings(Frozen, frozen=True):
    """Pictures and videos that go with incidents and audits."""

    property_bytes_max: int


class Deliveries(Frozen, frozen=True):
    """How pushes are sent."""

    batch_items: int
    batch_bytes: int
    connect_timeout_s: float
    total_timeout_s: float
    retry_schedule_s: tuple[float, ...]
    retry_spread: float
    give_up_s: float
    attempts_retention_s: float
    parked_retention_s: float
    lease_s: float
    buffer_bytes_max: int
    memory_bytes_max: int
    read_bytes_max: int
    egress_allow: tuple[str, ...]
    dangerously_allow_plain_http: bool


class EventSettings(Frozen, frozen=True):
    """The event log, and what applications may publish."""

    log_retention_s: float
    publish_per_minute: int
    publish_burst: int
    publish_per_day: int


class StoreSettings(Frozen, frozen=True):
    """The table of past data."""

    readings_retention_s: float
    rollups_retention_s: float
    niceness: int
    batch_readings: int
    batch_bytes: int


class Secrets(Frozen, frozen=True):
    """What encrypts secrets at rest."""

    master_key: str


class Log(Frozen, frozen=True):
    """What is written about what happens."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["console", "json"]


class Stop(Frozen, frozen=True):
    """How the hub ends."""

    grace_s: float


class Settings(Frozen, frozen=True):
    """All settings, checked."""

    data: Data
    engines: Engines
    databases: DatabaseSettings
    streams: Streams
    http: Http
    ingest: Ingest
    devices: Devices
    media: MediaSettings
    deliveries: Deliveries
    events: EventSettings
    store: StoreSettings
    secrets: Secrets
    log: Log
    stop: Stop


def load_settings(
    file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Settings:
    """The settings in force.

    Shape:  overrides maps dotted paths to values, e.g. {"http.listen": "127.0.0.1:0"}; they win over everything.
    Raises: ConfigurationError naming the setting that is unknown or wrong.
    """
    tree = tomllib.loads(default_text())
    if file is not None:
        _merge(tree, _read_file(file), str(file))
    for name, value in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and name not in NOT_SETTINGS:
            path = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _set(tree, path, _from_text(value, _get(tree, path, name)), name)
    for dotted, override in (overrides or {}).items():
        _set(tree, dotted.split("."), override, dotted)
    try:
        settings = msgspec.convert(tree, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"settings: {error}") from error
    _check(settings)
    return settings


def default_text() -> str:
    """The commented defaults."""
    return (files("matrixhub") / "config.default.toml").read_text(encoding="utf-8")


def data_directory(settings: Settings) -> Path:
    """Where the embedded engines keep everything, as an absolute path."""
    if settings.data.dir:
        return Path(settings.data.dir).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/matrixhub")
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser().absolute() / "matrixhub"


def listen_address(settings: Settings) -> tuple[str, int]:
    """Host and port of the HTTP faces."""
    return _address(settings.http.listen)


def tls_listen_address(settings: Settings) -> tuple[str, int] | None:
    """Host and port of the same faces behind TLS, None where there is to be none. Raises ConfigurationError."""
    http = settings.http
    if not http.tls_listen:
        return None
    if not http.tls_certificate or not http.tls_key:
        raise ConfigurationError("http.tls_listen needs http.tls_certificate and http.tls_key")
    return _address(http.tls_listen)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def policy_defaults(settings: Settings) -> Policy:
    """The policy of a subscription where it names none of its own."""
    deliveries = settings.deliveries
    return Policy(
        retry_schedule_s=deliveries.retry_schedule_s,
        retry_spread=deliveries.retry_spread,
        give_up_s=deliveries.give_up_s,
        connect_timeout_s=deliveries.connect_timeout_s,
        total_timeout_s=deliveries.total_timeout_s,
    )


def quota_defaults(settings: Settings) -> Quota:
    """The quota of an application where it is given none of its own."""
    events = settings.events
    return Quota(per_minute=events.publish_per_minute, burst=events.publish_burst, per_day=events.publish_per_day)


def rate_defaults(settings: Settings) -> Rate:
    """How often a key may ask where it was given no rate of its own."""
    return Rate(per_s=settings.http.requests_per_s, burst=settings.http.requests_burst)


def public_settings(settings: Settings) -> dict[str, Any]:
    """The settings as they may be printed: secrets and the credentials in addresses hidden."""
    return {key: _hide(value, key) for key, value in msgspec.to_builtins(settings).items()}


def _hide(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _hide(inner, f"{path}.{key}") for key, inner in value.items()}
    if path in _SECRET_PATHS:
        return HIDDEN if value else ""
    return _CREDENTIALS.sub(HIDDEN, value) if isinstance(value, str) else value


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: not TOML: {error}") from error


def _merge(tree: dict[str, Any], changes: Mapping[str, Any], source: str, path: tuple[str, ...] = ()) -> None:
    for key, value in changes.items():
        here = (*path, key)
        if key not in tree:
            raise ConfigurationError(f"{source}: there is no setting {'.'.join(here)}")
        if isinstance(tree[key], dict):
            if not isinstance(value, dict):
                raise ConfigurationError(f"{source}: {'.'.join(here)} is a section, not a value")
            _merge(tree[key], value, source, here)
        else:
            tree[key] = value


def _get(tree: dict[str, Any], path: list[str], name: str) -> Any:
    node: Any = tree
    for key in path:
        if not isinstance(node, dict) or key not in node:
            raise ConfigurationError(f"{name}: there is no setting {'.'.join(path)}")
        node = node[key]
    if isinstance(node, dict):
        raise ConfigurationError(f"{name}: {'.'.join(path)} is a section, not a value")
    return node


def _set(tree: dict[str, Any], path: list[str], value: object, name: str) -> None:
    _get(tree, path, name)
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = value


def _from_text(text: str, default: Any) -> object:
    """The text of an environment variable as the type of the default; what does not fit is left for the check."""
    if isinstance(default, str):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


_POSITIVE = (
    "http.connections_max",
    "http.head_wait_s",
    "http.body_silence_s",
    "http.body_wait_s",
    "http.read_wait_s",
    "http.head_bytes_max",
    "ingest.body_bytes_max",
    "ingest.body_unpacked_bytes_max",
    "ingest.request_items_max",
    "ingest.message_items_max",
    "ingest.message_bytes_max",
    "ingest.write_wait_s",
    "media.property_bytes_max",
    "deliveries.batch_items",
    "deliveries.batch_bytes",
    "deliveries.attempts_retention_s",
    "deliveries.parked_retention_s",
    "deliveries.memory_bytes_max",
    "streams.retention_s",
    "streams.retention_pending_s",
    "deliveries.lease_s",
    "deliveries.buffer_bytes_max",
    "deliveries.read_bytes_max",
    "events.log_retention_s",
    "store.readings_retention_s",
    "store.rollups_retention_s",
    "store.batch_readings",
    "store.batch_bytes",
    "events.publish_per_minute",
    "events.publish_burst",
    "events.publish_per_day",
    "engines.postgres.connections_max",
    "streams.replicas",
    "http.requests_per_s",
    "http.requests_burst",
    "http.wrong_credentials_max",
)
"""Settings that are more than 0."""

_NOT_NEGATIVE = (
    "ingest.dedup_window_s",
    "ingest.time_ahead_max_s",
    "devices.unhealthy_after_s",
    "stop.grace_s",
)
"""Settings that are 0 or more."""


def _check(settings: Settings) -> None:
    """What a type cannot say."""
    _check_http(settings)
    _check_databases(settings)
    for path in (*_POSITIVE, *_NOT_NEGATIVE):
        value = attrgetter(path)(settings)
        if not 0 <= value < float("inf") or (value == 0 and path in _POSITIVE):
            least = "more than 0" if path in _POSITIVE else "0 or more"
            raise ConfigurationError(f"{path} is {least}, not {value}")
    if not 0 <= settings.store.niceness <= 19:
        raise ConfigurationError(f"store.niceness is 0 to 19, not {settings.store.niceness}")
    try:
        check_policy(policy_defaults(settings))
    except InvalidValue as error:
        raise ConfigurationError(f"deliveries.{error.message}") from error
    try:
        Allowance.of(settings.deliveries.egress_allow)
    except InvalidValue as error:
        raise ConfigurationError(f"deliveries.egress_allow: {error.message}") from error
    if settings.secrets.master_key and not re.fullmatch(r"[0-9a-fA-F]{64}", settings.secrets.master_key):
        raise ConfigurationError("secrets.master_key is 64 hexadecimal digits")
    if bool(settings.engines.postgres.dsn) != bool(settings.engines.nats.url):
        raise ConfigurationError("engines.postgres.dsn and engines.nats.url: give both or neither")


def _check_databases(settings: Settings) -> None:
    databases = settings.databases
    for address in databases.listen:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise ConfigurationError(f"databases.listen has addresses such as 0.0.0.0, not {address!r}") from error
    if databases.host and not _HOST.fullmatch(databases.host):
        raise ConfigurationError(f"databases.host is a host name or an address, not {databases.host!r}")
    if settings.engines.postgres.dsn and databases.listen:
        raise ConfigurationError("databases.listen is for the embedded PostgreSQL; engines.postgres.dsn names another")


def _check_http(settings: Settings) -> None:
    http = settings.http
    for path, listen in {"http.listen": http.listen, "http.tls_listen": http.tls_listen or "none:0"}.items():
        host, _, port = listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ConfigurationError(f"{path} is host:port, not {listen!r}")
    tls_listen_address(settings)
    for proxy in http.trusted_proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError as error:
            raise ConfigurationError(f"http.trusted_proxies: {error}") from error
    if http.public_url and not _PUBLIC_URL.fullmatch(http.public_url):
        raise ConfigurationError(f"http.public_url is like https://matrix.example.org, not {http.public_url!r}")
