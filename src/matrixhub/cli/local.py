"""What the commands share: settings, the hub on this machine, and how an error is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from matrixhub.bus import NatsBus, open_buses
from matrixhub.config import Settings, data_directory, load_settings
from matrixhub.engines import read_running, read_secrets
from matrixhub.model.errors import ConfigurationError, InvalidValue, MatrixHubError
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.subscription import Source
from matrixhub.observe import ignore
from matrixhub.service import find_endpoints, make_codec, stream_settings
from matrixhub.store import Database, open_database
from matrixhub.store.subscriptions import Codec, Overview, find_property, show_subscription

EXIT_FAILED = 1
EXIT_USAGE = 2

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Data directory of the hub (see `matrixhub config`).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="Most entries to list.")]

UrlOption = Annotated[
    str | None, typer.Option(envvar="MATRIXHUB_URL", help="Base URL of the hub; else the one running here.")
]
KeyOption = Annotated[
    str | None, typer.Option(envvar="MATRIXHUB_KEY", help="Key of the property, mhk_…; else one of the hub here.")
]
RequestItemsOption = Annotated[int, typer.Option(min=1, max=10_000, help="Most readings in one request.")]
GzipOption = Annotated[bool, typer.Option("--gzip", help="Compress the requests.")]

config_file: ContextVar[Path | None] = ContextVar("config_file", default=None)
"""The file given with --config, set by the command `matrixhub` itself."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Operator:
    """The engines of the hub, for a command that works on them directly."""

    database: Database
    codec: Codec
    settings: Settings


def settings_for(data: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings in force for a command. Raises ConfigurationError."""
    changes = dict(overrides or {})
    if data is not None:
        changes["data.dir"] = str(data)
    return load_settings(config_file.get(), os.environ, changes)


def resolve_hub(url: str | None, key: str | None, data: Path | None) -> tuple[str, str]:
    """Base URL and key to send readings with: as given, or those of the hub that runs on this machine.

    Raises: HubNotRunning, ConfigurationError.
    """
    if url and not key:
        raise ConfigurationError("with --url, give the key too: --key mhk_… or MATRIXHUB_KEY")
    if url and key:
        return url.rstrip("/"), key
    path = data_directory(settings_for(data))
    return str(read_running(path)["url"]), key or read_secrets(path).local_key


@asynccontextmanager
async def open_operator(data: Path | None) -> AsyncIterator[Operator]:
    """The database of the hub. Raises HubNotRunning, EngineError, ConfigurationError."""
    settings = settings_for(data)
    endpoints = find_endpoints(settings, data_directory(settings))
    async with open_database(endpoints.postgres_dsn, connections_max=2) as database:
        yield Operator(database, make_codec(settings, endpoints), settings)


async def find_subscription(operator: Operator, subscription_id: str) -> Overview:
    """A subscription of whichever property. Raises NotFound, StoreError."""
    property_id = await find_property(operator.database, SubscriptionId(subscription_id))
    return await show_subscription(operator.database, operator.codec, property_id, SubscriptionId(subscription_id))


def parse_time(text: str, option: str) -> datetime | None:
    """The instant an option names, None where it is empty; without offset it is local. Raises InvalidValue."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidValue(f"{option} is an ISO 8601 time, not {text!r}") from error


def parse_uuid(text: str) -> UUID:
    """The id of an attempt or parked reading. Raises InvalidValue."""
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidValue(f"{text!r} is not the id of an attempt or parked reading (a UUID)") from error


@asynccontextmanager
async def open_operator_buses(data: Path | None) -> AsyncIterator[Mapping[Source, NatsBus]]:
    """The streams of the hub. Raises HubNotRunning, EngineError, ConfigurationError, BusError."""
    settings = settings_for(data)
    endpoints = find_endpoints(settings, data_directory(settings))
    async with open_buses(endpoints.nats_url, stream_settings(settings), ignore, create=False) as buses:
        yield buses


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work; an error of ours ends it with one clear line and exit code 1, or 2 for a wrong setting."""
    try:
        return asyncio.run(work())
    except* MatrixHubError as group:
        error = first_error(group)
    except* KeyboardInterrupt:
        raise typer.Exit(130) from None
    fail(error)
    raise AssertionError("unreachable")


def first_error(group: BaseExceptionGroup[MatrixHubError]) -> MatrixHubError:
    """The first error inside groups of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MatrixHubError)
    return error


def fail(error: MatrixHubError) -> None:
    """Tell the error and end."""
    Console(stderr=True, highlight=False).print(
        Text.assemble((f"{error.code}  ", "red"), error.message), soft_wrap=True
    )
    raise typer.Exit(EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_FAILED)


def print_json(document: object) -> None:
    """One JSON document on standard output."""
    typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
