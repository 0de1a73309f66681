"""`matrixhub subscription`: what is pushed where."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.balance import balance_document
from matrixhub.cli.local import DataOption, JsonOption, Operator, open_operator, open_operator_bus, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.deliveries.balance import Balance, subscription_balance
from matrixhub.deliveries.egress import check_url
from matrixhub.model.destination import Auth, BasicAuth, Destination, NoAuth, check_destination
from matrixhub.model.devices import canonical_devtype
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, ZoneId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Position, State, Subscription, public_view
from matrixhub.store.books import PostgresBooks
from matrixhub.store.egress import list_egress
from matrixhub.store.subscriptions import (
    Overview,
    create_subscription,
    find_property,
    list_subscriptions,
    set_state,
    show_subscription,
    subscribed_properties,
)

subscription = typer.Typer(no_args_is_help=True, help="What is pushed where, and how far it has come.")

IdArgument = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Id of the subscription, sub_…")]


@subscription.command("create")
def create(
    property_id: Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")],
    url: Annotated[str, typer.Option(help="Where readings are posted to: https://…")],
    name: Annotated[str, typer.Option(help="What it is for, for people.")] = "",
    building: Annotated[list[str] | None, typer.Option(help="Only this building; may be repeated.")] = None,
    zone: Annotated[list[str] | None, typer.Option(help="Only this zone; may be repeated.")] = None,
    devtype: Annotated[
        list[str] | None, typer.Option("--type", help="Only this slot type, e.g. SMARTCLEAN#UM; may be repeated.")
    ] = None,
    basic: Annotated[
        str,
        typer.Option(metavar="USER[:PASSWORD]", help="HTTP Basic; without password it is read from standard input."),
    ] = "",
    ca: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Certificates to trust instead of the system's (PEM)."),
    ] = None,
    batch_items: Annotated[int | None, typer.Option(help="Most readings in one push.")] = None,
    batch_bytes: Annotated[int | None, typer.Option(help="Most bytes in one push.")] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="now|beginning|TIME", help="Where to begin; TIME is ISO 8601.")
    ] = "now",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Push the readings of a property to an HTTPS endpoint, in order and in batches.

    The body of each push is a JSON array of strings, each a reading as JSON. Any 2xx means taken; anything else is
    sent again, the same bytes with the same X-Request-Id, until it is.

    Pushes go to the public internet; a host in a private network must be allowed first: matrixhub egress allow --help

    \b
    matrixhub subscription create --property P --url https://example.org/readings --basic hub
    """

    async def work() -> Subscription:
        async with open_operator(data) as operator:
            defaults = operator.settings.deliveries
            destination = Destination(url=url, auth=_auth(basic), ca_pem=_ca(ca))
            check_destination(destination)
            await _check_egress(operator, PropertyId(property_id), url)
            return await create_subscription(
                operator.database,
                operator.codec,
                PropertyId(property_id),
                name=name,
                wanted=Filter(
                    buildings=frozenset(map(BuildingId, building or ())),
                    zones=frozenset(map(ZoneId, zone or ())),
                    devtypes=frozenset(map(canonical_devtype, devtype or ())),
                ),
                destination=destination,
                limits=BatchLimits(
                    items=defaults.batch_items if batch_items is None else batch_items,
                    size_bytes=defaults.batch_bytes if batch_bytes is None else batch_bytes,
                ),
                position=await _position(start, data),
            )

    made = run_command(work)
    if as_json:
        print_json(public_view(made))
    else:
        typer.echo(made.id)


@subscription.command("list")
def list_(
    property_id: Annotated[
        str | None, typer.Option("--property", metavar="PROPERTY", help="Only those of this property.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List subscriptions with what they delivered."""

    async def work() -> list[Overview]:
        async with open_operator(data) as operator:
            if property_id is not None:
                owners: Sequence[PropertyId] = [PropertyId(property_id)]
            else:
                owners = await subscribed_properties(operator.database)
            return [o for p in owners for o in await list_subscriptions(operator.database, operator.codec, p)]

    found = run_command(work)
    if as_json:
        print_json([_document(overview) for overview in found])
        return
    if not found:
        typer.echo("No subscription yet. Make one: matrixhub subscription create --help")
        return
    table = Table("subscription", "name", "state", "delivered", "last error", box=None, pad_edge=False)
    for overview in found:
        made = overview.subscription
        table.add_row(
            made.id, made.name, made.state, f"{overview.progress.delivered:,}", overview.progress.last_error[:60]
        )
    Console(highlight=False).print(table)


@subscription.command("show")
def show(subscription_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show one subscription: what it wants, where it goes, how far it has come and what waits."""

    async def work() -> tuple[Overview, Balance]:
        async with open_operator(data) as operator, open_operator_bus(data) as bus:
            overview = await _find(operator, subscription_id)
            books = PostgresBooks(operator.database)
            return overview, await subscription_balance(bus, books, SubscriptionId(subscription_id))

    overview, balance = run_command(work)
    document = {**_document(overview), **balance_document(balance)}
    if as_json:
        print_json(document)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for key, value in document.items():
        table.add_row(key.replace("_", " "), _shown(value))
    Console(highlight=False).print(table)


@subscription.command("pause")
def pause(subscription_id: IdArgument, data: DataOption = None) -> None:
    """Stop pushing. Nothing is lost: readings wait in the stream until it is resumed."""
    _change_state(subscription_id, "paused", data)


@subscription.command("resume")
def resume(subscription_id: IdArgument, data: DataOption = None) -> None:
    """Push again, beginning with the first reading that was not delivered."""
    _change_state(subscription_id, "active", data)


def _change_state(subscription_id: str, state: State, data: Path | None) -> None:
    async def work() -> None:
        async with open_operator(data) as operator:
            overview = await _find(operator, subscription_id)
            await set_state(
                operator.database, overview.subscription.property_id, SubscriptionId(subscription_id), state
            )

    run_command(work)
    typer.echo(f"{subscription_id} is {state}")


async def _find(operator: Operator, subscription_id: str) -> Overview:
    property_id = await find_property(operator.database, SubscriptionId(subscription_id))
    return await show_subscription(operator.database, operator.codec, property_id, SubscriptionId(subscription_id))


async def _check_egress(operator: Operator, property_id: PropertyId, url: str) -> None:
    """Refuse a URL that no push could go to. Raises: InvalidValue, NotFound, StoreError."""
    own = [allowed.target for allowed in await list_egress(operator.database, property_id)]
    check_url(url, Allowance.of([*operator.settings.deliveries.egress_allow, *own]), property_id)


async def _position(start: str, data: Path | None) -> Position:
    if start == "beginning":
        return Position(seq=1)
    async with open_operator_bus(data) as bus:
        if start == "now":
            return Position(seq=(await bus.bounds()).last_seq + 1)
        try:
            moment = datetime.fromisoformat(start).astimezone()
        except ValueError as error:
            raise InvalidValue(f"--from is now, beginning or an ISO 8601 time, not {start!r}") from error
        return Position(seq=await bus.first_seq_since(int(moment.timestamp() * 1000)))


def _auth(basic: str) -> Auth:
    if not basic:
        return NoAuth()
    user, colon, password = basic.partition(":")
    if not colon:
        password = (
            typer.prompt("Password", hide_input=True, err=True)
            if sys.stdin.isatty()
            else sys.stdin.readline().rstrip("\n")
        )
    return BasicAuth(user=user, password=Secret(password))


def _ca(path: Path | None) -> str:
    if path is None:
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    if "BEGIN CERTIFICATE" not in text:
        raise InvalidValue(f"{path} holds no certificate in PEM form")
    return text


def _document(overview: Overview) -> dict[str, Any]:
    progress = overview.progress
    return {
        **public_view(overview.subscription),
        "delivered": progress.delivered,
        "parked": progress.parked,
        "expired": progress.expired,
        "attempts_failed": progress.attempts_failed,
        "last_error": progress.last_error,
        "last_delivered_at": progress.last_delivered_at.isoformat() if progress.last_delivered_at else None,
        "position": {"seq": progress.position.seq, "item": progress.position.item},
        "owner": overview.owner,
    }


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items() if v not in ([], "", None)) or "all"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
