"""`matrixhub events`: the bus as it goes by, its log, and events of an application made by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, cast

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from matrixhub.bus import NatsBus
from matrixhub.cli.applications import platform_of
from matrixhub.cli.local import (
    DataOption,
    JsonOption,
    LimitOption,
    open_operator,
    open_operator_buses,
    parse_time,
    print_json,
)
from matrixhub.cli.local import run as run_command
from matrixhub.model.errors import InvalidValue
from matrixhub.model.event import Event, envelope
from matrixhub.model.event_log import EventPage
from matrixhub.model.ids import ApplicationId, PropertyId
from matrixhub.model.routing import check_pattern, matches
from matrixhub.modules.events import publish_events
from matrixhub.store.applications import find_application_property
from matrixhub.store.events import latest_events, list_events
from matrixhub.store.sites import require_property

events = typer.Typer(no_args_is_help=True, help="The event bus: follow it, look it up, publish on it.")

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]

_STYLES: Mapping[str, str] = {"HIGH": "bold red", "MEDIUM": "yellow", "NORMAL": "", "LOW": "dim"}


@events.command("tail")
def tail(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATTERN", help="Only events whose routing key matches one of them."),
    ] = None,
    property_id: Annotated[
        str, typer.Option("--property", metavar="PROPERTY", help="Only events of this property.")
    ] = "",
    start: Annotated[
        str, typer.Option("--from", metavar="WHERE", help="`now`, `beginning`, or an ISO 8601 time.")
    ] = "now",
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events; else with Ctrl-C.")] = None,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event whole, as JSON on one line.")] = False,
) -> None:
    """Follow the event bus: one line for each event, with its time, routing key and description.

    A routing key is matrix.<principal>.<module>.<event>.<priority>; the principal is a building or the property. In a
    pattern, `*` is any one word and `#` any number of words. Quote patterns, or the shell takes them for file names.

    \b
    matrixhub events tail                                     everything, from now on
    matrixhub events tail 'matrix.#.HIGH'                     what is urgent
    matrixhub events tail 'matrix.*.scgrids.#' --json         all about places, whole
    matrixhub events tail '#.INCIDENT_CREATED.*' --from beginning --count 10
    """
    wanted = patterns or []

    async def work() -> None:
        for pattern in wanted:
            check_pattern(pattern)
        async with open_operator_buses(data) as buses:
            await follow(buses["events"])

    async def follow(bus: NatsBus) -> None:
        left, first = count, await _first_seq(bus, start)
        typer.echo("Following the event bus. Ctrl-C ends it.", err=True)
        async with contextlib.aclosing(cast("Any", bus.follow(first))) as batches:
            async for batch in batches:
                for message in batch:
                    event = msgspec.json.decode(message.data)
                    if not is_wanted(event, wanted, property_id):
                        continue
                    _show(event, message.data.decode() if as_json else "")
                    left = None if left is None else left - 1
                    if left == 0:
                        return

    run_command(work)


def is_wanted(event: Mapping[str, Any], patterns: Sequence[str], property_id: str) -> bool:
    """Whether an event is of the property, '' for any, and matches one of the patterns, or there is none.

    >>> is_wanted({"Entity": "p1", "RoutingKey": "matrix.b1.scgrids.ZONE_CREATED.NORMAL"}, ["matrix.b1.#"], "p1")
    True
    """
    if property_id and event["Entity"] != property_id:
        return False
    return not patterns or any(matches(pattern, event["RoutingKey"]) for pattern in patterns)


async def _first_seq(bus: NatsBus, start: str) -> int:
    """Where in the stream to begin. Raises InvalidValue."""
    if start == "now":
        return (await bus.bounds()).last_seq + 1
    if start == "beginning":
        return (await bus.bounds()).first_seq
    instant = parse_time(start, "--from")
    if instant is None:
        raise InvalidValue("--from is `now`, `beginning`, or an ISO 8601 time")
    return await bus.first_seq_since(max(0, int(instant.timestamp() * 1000)))


@events.command("log")
def log(
    property_id: PropertyOption,
    principal: Annotated[str, typer.Option(help="Only those of this building, or of the property itself.")] = "",
    module: Annotated[str, typer.Option(help="Only those of this module or application.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="Only from this time (ISO 8601) on, oldest first.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Only before this time (ISO 8601).")] = "",
    limit: LimitOption = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List events of a property from the log, which has every event from its commit on.

    Without a time these are the newest ones; they are always shown in the order they happened.

    \b
    matrixhub events log --property P
    matrixhub events log --property P --module scworkforcemanagement --since 2024-03-10
    """

    owner = PropertyId(property_id)
    narrowed = {"principal": principal, "module": module}

    async def work() -> EventPage:
        start_at, end_at = parse_time(since, "--since"), parse_time(until, "--until")
        async with open_operator(data) as operator:
            await require_property(operator.database, owner)
            async with operator.database.connection() as connection:
                if start_at is None and end_at is None:
                    newest = await latest_events(connection, owner, **narrowed, count=limit)
                    return EventPage(events=list(reversed(newest)), last_key="")
                return await list_events(connection, owner, **narrowed, start_at=start_at, end_at=end_at, limit=limit)

    page = run_command(work)
    if as_json:
        print_json([dict(event.envelope) for event in page.events])
    elif not page.events:
        typer.echo("There are none.")
    else:
        for event in page.events:
            _show(event.envelope, "")
    if page.last_key:
        typer.echo(f"There are more than {limit:,}: --limit, or --since the last of these.", err=True)


@events.command("publish")
def publish(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="What happened, such as LIFT_STUCK.")],
    application_id: Annotated[
        str, typer.Option("--application", metavar="ID", help="Whose event it is: a registered application.")
    ],
    property_id: Annotated[
        str,
        typer.Option("--property", metavar="PROPERTY", help="Its property, where several have this application."),
    ] = "",
    priority: Annotated[str, typer.Option(help="HIGH, MEDIUM, NORMAL or LOW.")] = "NORMAL",
    description: Annotated[str, typer.Option(help="What happened, for people.")] = "",
    meta: Annotated[str, typer.Option(metavar="JSON", help="More about it, as a JSON object.")] = "{}",
    principal: Annotated[
        str, typer.Option(metavar="ID", help="The building it happened in; else it is one of the property.")
    ] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish an event in the name of an application; it counts for the application's quota.

    It is recorded when this command ends, and on the bus a moment later. Applications themselves publish with a key of
    theirs: POST /hub/v1/events.

    \b
    matrixhub events publish --application lift-monitor LIFT_STUCK --priority HIGH --meta '{"Lift": 2}'
    """

    async def work() -> Event:
        item: dict[str, Any] = {"Event": event, "Priority": priority, "Description": description, "Meta": _parsed(meta)}
        if principal:
            item["Principal"] = principal
        async with open_operator(data) as operator:
            speaker = ApplicationId(application_id)
            async with operator.database.connection() as connection:
                owner = PropertyId(property_id) or await find_application_property(connection, speaker)
            done = await publish_events(platform_of(operator), owner, speaker, [item])
            for rejected in done.rejected:
                raise rejected.error
            return done.accepted[0]

    made = envelope(run_command(work))
    if as_json:
        print_json(made)
    else:
        typer.echo(f"{made['RoutingKey']}  {made['ATTR']}")


def _parsed(text: str) -> object:
    """The document of an option. Raises InvalidValue."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidValue("--meta is a JSON object, such as '{\"Lift\": 2}'") from error


def _show(event: Mapping[str, Any], line: str) -> None:
    """One event on one line: `line` as it is, or the most important of it for people."""
    if line:
        typer.echo(line)
        return
    at = datetime.fromtimestamp(event["UnixTimeInt"]).astimezone()
    shown = Text.assemble(
        (f"{at:%Y-%m-%d %H:%M:%S}  ", "dim"),
        (event["RoutingKey"], _STYLES.get(event["Status"], "")),
        "  " + "".join(c if c.isprintable() else " " for c in event["Description"]),
    )
    Console(highlight=False).print(shown, soft_wrap=True)
