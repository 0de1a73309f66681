"""`matrixhub subscription`: what is pushed where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.balance import balance_document
from matrixhub.cli.fields import Given, file_document, options_document, takes_fields, unset_document
from matrixhub.cli.local import (
    EXIT_FAILED,
    DataOption,
    JsonOption,
    LimitOption,
    Operator,
    open_operator,
    open_operator_buses,
    print_json,
)
from matrixhub.cli.local import find_subscription as _find
from matrixhub.cli.local import run as run_command
from matrixhub.cli.signing import signing_keys
from matrixhub.cli.views import attempt_document, counting, overview_document, plan_document, replay_document
from matrixhub.databases.connecting import where
from matrixhub.deliveries.balance import Balance, subscription_balance
from matrixhub.deliveries.desk import (
    PlannedReplay,
    check_reach,
    first_position,
    parse_start,
    plan_replay,
    send_test,
)
from matrixhub.lifecycle import SystemClock
from matrixhub.model.database import database_of
from matrixhub.model.errors import InvalidValue
from matrixhub.model.health import health_of
from matrixhub.model.ids import PropertyId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.request import merge_patch, parse_request, patched
from matrixhub.model.subscription import CALLED, State, Subscription, public_view
from matrixhub.service import open_sender
from matrixhub.store.attempts import RecordedAttempt, record_attempt
from matrixhub.store.books import PostgresBooks
from matrixhub.store.databases import Databases
from matrixhub.store.replays import ReplayRecord, ask_replay, list_replays, shown_position, withdraw_replay
from matrixhub.store.sites import require_property
from matrixhub.store.subscriptions import (
    Overview,
    create_subscription,
    delete_subscription,
    list_subscriptions,
    set_state,
    subscribed_properties,
    update_subscription,
)

subscription = typer.Typer(no_args_is_help=True, help="What is pushed where, and how far it has come.")
subscription.add_typer(signing_keys, name="key")

IdArgument = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Id of the subscription, sub_…")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@subscription.command("create")
@takes_fields
def create(
    given: Given,
    property_id: Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")] = "",
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="now|beginning|TIME|POSITION", help="Where to begin; TIME is ISO 8601. Default: now."
        ),
    ] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Push the readings or the events of a property to an HTTPS endpoint or into a database, in order and in batches.

    The body of each push is a JSON array of strings, each a reading as JSON; with --events it is one of objects, each
    an event. Any 2xx means taken; anything else is sent again, the same bytes with the same X-Request-Id, until it is.

    With --database they are rows of matrix.sensor_data, or of matrix.events, each written once.

    Pushes go to the public internet; a host in a private network must be allowed first: matrixhub egress allow --help

    \b
    matrixhub subscription create --property P --url https://example.org/readings --basic hub
    matrixhub subscription create --property P --url https://example.org/events --events --pattern 'matrix.#.HIGH'
    matrixhub subscription create --property P --database warehouse
    matrixhub subscription create --from-file erp.yaml
    """
    document = merge_patch(file_document(given), options_document(given))

    async def work() -> Subscription:
        async with open_operator(data) as operator:
            named = await _with_database_id(operator, property_id or str(document.get("property") or ""), document)
            asked = parse_request(named, limits=_limits(operator), policy=operator.codec.policy)
            if not (property_id or asked.property_id):
                raise InvalidValue("say of which property: --property PROPERTY")
            owner = PropertyId(property_id or asked.property_id)
            await check_reach(
                operator.database,
                owner,
                asked.destination,
                asked.notify,
                allowed_to_all=operator.settings.deliveries.egress_allow,
            )
            async with open_operator_buses(data) as buses:
                position = await first_position(buses[asked.filter.source], start or asked.start)
            return await create_subscription(
                operator.database,
                operator.codec,
                owner,
                name=asked.name,
                wanted=asked.filter,
                destination=asked.destination,
                limits=asked.limits,
                position=position,
                policy=asked.policy,
                form=asked.format,
                notify=asked.notify,
            )

    made = run_command(work)
    if as_json:
        print_json(public_view(made))
    else:
        typer.echo(made.id)


@subscription.command("update")
@takes_fields
def update(
    given: Given,
    subscription_id: IdArgument,
    unset: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Back to the default, e.g. policy.give_up_s or headers.X-Key; may repeat."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a subscription. What is not named stays as it is, secrets too; deliveries go on with the change at once.

    A list replaces the one before, headers are added. --from-file takes a merge patch (RFC 7396).

    \b
    matrixhub subscription update sub_… --url https://example.org/new --unset policy.give_up_s
    """
    if not given and not unset:
        raise typer.BadParameter("nothing to change: give at least one option")

    async def look() -> Subscription:
        async with open_operator(data) as operator:
            return (await _find(operator, subscription_id)).subscription

    async def work() -> Subscription:
        async with open_operator(data) as operator:
            after = before
            for patch in patches:
                named = await _with_database_id(operator, before.property_id, patch)
                after = patched(after, named, limits=_limits(operator), policy=operator.codec.policy)
            await check_reach(
                operator.database,
                before.property_id,
                after.destination,
                after.notify,
                allowed_to_all=operator.settings.deliveries.egress_allow,
                own_id=before.id,
            )
            return await update_subscription(operator.database, operator.codec, after)

    before = run_command(look)
    options = options_document(given, scheme=before.destination.auth.scheme)
    patches = (file_document(given), unset_document(unset or []), options)
    changed = run_command(work)
    if as_json:
        print_json(public_view(changed))
    else:
        typer.echo(f"{changed.id} is changed, now version {changed.version}")


@subscription.command("delete")
def delete(subscription_id: IdArgument, yes: YesOption = False, data: DataOption = None) -> None:
    """Forget a subscription with all that was kept of it: progress, attempts, parked readings. See `pause` first.

    \b
    matrixhub subscription delete sub_… --yes
    """

    async def look() -> Overview:
        async with open_operator(data) as operator:
            return await _find(operator, subscription_id)

    async def work() -> None:
        async with open_operator(data) as operator:
            await delete_subscription(operator.database, found.subscription.property_id, found.subscription.id)

    found = run_command(look)
    if not yes:
        parked = f" and {found.progress.parked:,} parked {_called(found.subscription)}" if found.progress.parked else ""
        typer.confirm(f"Forget {subscription_id} {found.subscription.name}{parked}?", abort=True, err=True)
    run_command(work)
    typer.echo(f"{subscription_id} is deleted")


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
                await require_property(operator.database, PropertyId(property_id))
                owners: Sequence[PropertyId] = [PropertyId(property_id)]
            else:
                owners = await subscribed_properties(operator.database)
            return [o for p in owners for o in await list_subscriptions(operator.database, operator.codec, p)]

    found, now = run_command(work), datetime.now(UTC)
    if as_json:
        print_json([overview_document(overview, now) for overview in found])
        return
    if not found:
        typer.echo("No subscription yet. Make one: matrixhub subscription create --help")
        return
    table = Table(
        "subscription", "name", "source", "health", "delivered", "parked", "last error", box=None, pad_edge=False
    )
    for overview in found:
        made, progress = overview.subscription, overview.progress
        table.add_row(
            made.id,
            made.name,
            made.filter.source,
            health_of(made, progress, now),
            f"{progress.delivered:,}",
            f"{progress.parked:,}",
            progress.last_error[:60],
        )
    Console(highlight=False).print(table)


@subscription.command("show")
def show(subscription_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show one subscription: what it wants, where it goes, how far it has come and what waits."""

    async def work() -> tuple[Overview, Balance, str]:
        async with open_operator(data) as operator, open_operator_buses(data) as buses:
            overview = await _find(operator, subscription_id)
            books = PostgresBooks(operator.database)
            called = await _database_called(operator, overview.subscription)
            return overview, await subscription_balance(buses, books, overview.subscription.id), called

    overview, balance, called = run_command(work)
    document = {**overview_document(overview, datetime.now(UTC)), **balance_document(balance)}
    if as_json:
        print_json(document)
        return
    document["database"] = called
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for key, value in document.items():
        table.add_row(key.replace("_", " "), _shown(value))
    Console(highlight=False).print(table)


@subscription.command("pause")
def pause(subscription_id: IdArgument, data: DataOption = None) -> None:
    """Stop pushing. Nothing is lost: readings and events wait in the stream until it is resumed."""
    _change_state(subscription_id, "paused", data)


@subscription.command("resume")
def resume(
    subscription_id: IdArgument,
    catch_up_rate: Annotated[
        float | None,
        typer.Option(help="Most readings or events a second while the backlog is worked off; 0 is no limit."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Push again, beginning with the first reading or event that was not delivered.

    \b
    matrixhub subscription resume sub_… --catch-up-rate 500
    """
    patch = None if catch_up_rate is None else {"policy": {"catch_up_per_s": catch_up_rate}}
    _change_state(subscription_id, "active", data, patch)


async def _with_database_id(operator: Operator, property_id: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document, with the id of a database of the property in place of its name."""
    name = document.get("database")
    if not isinstance(name, str) or name.startswith("db_"):
        return document
    databases = Databases(operator.database, operator.codec.sealer)
    for record in await databases.list(PropertyId(property_id)) if name and property_id else ():
        if record.name == name:
            return {**document, "database": record.id}
    return document


async def _database_called(operator: Operator, found: Subscription) -> str:
    """The database that a subscription leads to, as people know it; '' where it leads to none."""
    if found.destination.kind != "postgres":
        return ""
    databases = Databases(operator.database, operator.codec.sealer)
    record = await databases.show(database_of(found.destination.url), found.property_id)
    return f"{record.name} ({record.id}, {where(record.server)})"


def _change_state(
    subscription_id: str, state: State, data: Path | None, patch: Mapping[str, object] | None = None
) -> None:
    async def work() -> None:
        async with open_operator(data) as operator:
            found = (await _find(operator, subscription_id)).subscription
            if patch is not None:
                after = patched(found, patch, limits=_limits(operator), policy=operator.codec.policy)
                await update_subscription(operator.database, operator.codec, after)
            await set_state(operator.database, found.property_id, found.id, state)

    run_command(work)
    typer.echo(f"{subscription_id} is {state}")


@subscription.command("test")
def try_(subscription_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Send one made-up reading or event on the very way of all pushes, and tell what came of it; exit code 1 if not
    taken.

    The DEVID of a reading is `matrixhub-test`, the Event of an event is TEST. Nothing of the subscription changes, and
    it may be paused. Into a database nothing is written: it is tried and taken back.

    \b
    matrixhub subscription test sub_…
    """

    async def work() -> RecordedAttempt:
        async with open_operator(data) as operator:
            found = (await _find(operator, subscription_id)).subscription
            async with open_sender(operator.settings, operator.database, operator.codec) as sender:
                result = await send_test(sender, found, SystemClock())
            await record_attempt(operator.database, found.property_id, found.id, result.attempt)
            return RecordedAttempt(subscription_id=found.id, attempt=result.attempt)

    recorded = run_command(work)
    attempt = recorded.attempt
    if as_json:
        print_json(attempt_document(recorded))
    else:
        status = f"HTTP {attempt.http_status}" if attempt.http_status else attempt.answer
        outcome = f"not taken: {attempt.code}  {attempt.error}" if attempt.code else f"taken: {status}"
        typer.echo(f"{outcome} ({attempt.seconds:.3f} s, request {attempt.request_id})")
    if attempt.code:
        raise typer.Exit(EXIT_FAILED)


@subscription.command("replay")
def replay(
    subscription_id: IdArgument,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME|POSITION|ID",
            help="ISO 8601 time, position such as 1200.7, id of an attempt or request, or `beginning`.",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would come again.")] = False,
    yes: YesOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deliver readings or events again from an earlier place on, with new request ids; first it counts how many.

    \b
    matrixhub subscription replay sub_… --from 2024-03-10T08:00+08:00 --dry-run
    """

    async def plan() -> tuple[Overview, PlannedReplay]:
        begin = parse_start(start)
        async with open_operator(data) as operator, open_operator_buses(data) as buses:
            found = await _find(operator, subscription_id)
            with counting(found.progress.position.seq) as seen:
                bus = buses[found.subscription.filter.source]
                return found, await plan_replay(operator.database, bus, found, begin, seen)

    async def work() -> ReplayRecord:
        async with open_operator(data) as operator:
            made = found.subscription
            return await ask_replay(operator.database, made.property_id, made.id, planned.position)

    found, planned = run_command(plan)
    if planned.note:
        typer.echo(planned.note, err=True)
    called = _called(found.subscription)
    span = f"from {shown_position(planned.position)} up to {shown_position(planned.until)}"
    if dry_run:
        if as_json:
            print_json(plan_document(planned))
        else:
            typer.echo(f"{planned.items:,} {called} would come again, {span}")
        return
    if not yes:
        typer.confirm(f"Deliver {planned.items:,} {called} again, {span}?", abort=True, err=True)
    asked = run_command(work)
    if as_json:
        print_json({**replay_document(asked), "planned": plan_document(planned)})
    else:
        typer.echo(f"{asked.id}: {planned.items:,} {called} come again, {span}")


@subscription.command("replays")
def replays(
    subscription_id: IdArgument,
    withdraw: Annotated[str, typer.Option(metavar="REPLAY", help="Forget this one, which has not begun.")] = "",
    limit: LimitOption = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the replays of a subscription, newest first: waiting, running or done.

    \b
    matrixhub subscription replays sub_… --withdraw rpl_…
    """

    async def work() -> Sequence[ReplayRecord]:
        async with open_operator(data) as operator:
            found = (await _find(operator, subscription_id)).subscription
            if withdraw:
                await withdraw_replay(operator.database, found.property_id, found.id, withdraw)
            return await list_replays(operator.database, found.property_id, subscription_id=found.id, limit=limit)

    records = run_command(work)
    if as_json:
        print_json([replay_document(record) for record in records])
        return
    if not records:
        typer.echo("No replay.")
        return
    table = Table("replay", "state", "from", "up to", "items", "asked for", box=None, pad_edge=False)
    for record in records:
        table.add_row(
            record.id,
            record.state,
            shown_position(record.position),
            shown_position(record.ended_by) if record.ended_by else "",
            "" if record.items is None else f"{record.items:,}",
            f"{record.requested_at:%Y-%m-%d %H:%M:%S}",
        )
    Console(highlight=False).print(table)


def _called(subscription: Subscription) -> str:
    """What it delivers, for people."""
    return CALLED[subscription.filter.source]


def _limits(operator: Operator) -> BatchLimits:
    """The limits where a subscription names none of its own."""
    defaults = operator.settings.deliveries
    return BatchLimits(items=defaults.batch_items, size_bytes=defaults.batch_bytes)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items() if v not in ([], "", None)) or "all"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
