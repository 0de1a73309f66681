"""`matrixhub attempts`: what was sent, when, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.local import (
    DataOption,
    JsonOption,
    LimitOption,
    find_subscription,
    open_operator,
    open_operator_buses,
    parse_time,
    parse_uuid,
    print_json,
)
from matrixhub.cli.local import run as run_command
from matrixhub.cli.views import attempt_document
from matrixhub.deliveries.desk import RemadeBody, remake_body
from matrixhub.model.errors import InvalidValue, NotFound
from matrixhub.store.attempts import OUTCOMES, Outcome, RecordedAttempt, list_attempts, show_attempt

attempts = typer.Typer(no_args_is_help=True, help="What was sent, when, and what came of it.")

SubscriptionArgument = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Id of the subscription, sub_…")]


@attempts.command("list")
def list_(
    subscription_id: SubscriptionArgument,
    outcome: Annotated[str, typer.Option(metavar="any|taken|failed", help="Only those with this outcome.")] = "any",
    since: Annotated[str, typer.Option(metavar="TIME", help="Not before this time (ISO 8601).")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Before this time (ISO 8601).")] = "",
    request: Annotated[str, typer.Option(metavar="ID", help="Only those of this push (X-Request-Id).")] = "",
    limit: LimitOption = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the attempts of a subscription, newest first.

    \b
    matrixhub attempts list sub_… --outcome failed --since 2024-03-10T08:00
    """

    async def work() -> Sequence[RecordedAttempt]:
        span = parse_time(since, "--since"), parse_time(until, "--until")
        async with open_operator(data) as operator:
            found = (await find_subscription(operator, subscription_id)).subscription
            return await list_attempts(
                operator.database,
                found.property_id,
                subscription_id=found.id,
                outcome=_outcome(outcome),
                since=span[0],
                until=span[1],
                request_id=request,
                limit=limit,
            )

    found = run_command(work)
    if as_json:
        print_json([attempt_document(recorded) for recorded in found])
        return
    if not found:
        typer.echo("No attempt.")
        return
    table = Table("at", "attempt", "kind", "items", "status", "seconds", "outcome", box=None, pad_edge=False)
    for recorded in found:
        attempt = recorded.attempt
        table.add_row(
            f"{attempt.at:%Y-%m-%d %H:%M:%S}",
            str(attempt.id),
            attempt.kind,
            f"{attempt.items:,}",
            str(attempt.http_status or ""),
            f"{attempt.seconds:.3f}",
            f"{attempt.code} {attempt.error[:60]}" if attempt.code else "taken",
        )
    Console(highlight=False).print(table)


@attempts.command("show")
def show(
    subscription_id: SubscriptionArgument,
    attempt_id: Annotated[str, typer.Argument(metavar="ATTEMPT", help="Id of the attempt.")],
    body: Annotated[bool, typer.Option("--body", help="Print the body instead, made again from the stream.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one attempt: time, status, seconds, size, reason and the first signs of the answer.

    \b
    matrixhub attempts show sub_… 0190163d-8694-739b-aea5-966c26f8ad91 --body
    """

    async def work() -> tuple[RecordedAttempt, RemadeBody | None]:
        named = parse_uuid(attempt_id)
        async with open_operator(data) as operator:
            overview = await find_subscription(operator, subscription_id)
            recorded = await show_attempt(operator.database, overview.subscription.property_id, named)
            if recorded.subscription_id != overview.subscription.id:
                raise NotFound(f"{subscription_id} has no attempt {attempt_id}")
            if not body:
                return recorded, None
            async with open_operator_buses(data) as buses:
                bus = buses[overview.subscription.filter.source]
                return recorded, await remake_body(operator.database, bus, overview, recorded.attempt)

    recorded, remade = run_command(work)
    if remade is not None:
        if not remade.whole:
            said = f"{remade.items:,} of {recorded.attempt.items:,} items that were sent"
            typer.echo(f"This is not exactly what was sent: {said}", err=True)
        sys.stdout.buffer.write(remade.body + b"\n")
        return
    document = attempt_document(recorded)
    if as_json:
        print_json(document)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for key, value in document.items():
        shown = f"{value['seq']}.{value['item']}" if isinstance(value, dict) else "" if value is None else str(value)
        table.add_row(key.replace("_", " "), shown)
    Console(highlight=False, markup=False).print(table)


def _outcome(text: str) -> Outcome:
    for outcome in OUTCOMES:
        if outcome == text:
            return outcome
    raise InvalidValue(f"--outcome is one of {', '.join(OUTCOMES)}")
