"""`matrixhub subscription key`: the keys that pushes are signed with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.fields import ask_secret
from matrixhub.cli.local import DataOption, JsonOption, find_subscription, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.deliveries.signing import imported_key, new_signing_key, public_key, rotated
from matrixhub.model.errors import InvalidValue, NotFound
from matrixhub.model.subscription import SigningKey
from matrixhub.store.subscriptions import update_subscription

GRACE_S = 86_400.0

signing_keys = typer.Typer(no_args_is_help=True, help="The keys that pushes of a subscription are signed with.")

SubscriptionArgument = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Id of the subscription, sub_…")]


@signing_keys.command("add")
def add(
    subscription_id: SubscriptionArgument,
    kind: Annotated[str, typer.Option(metavar="v1|v1a", help="HMAC-SHA256 (v1) or ed25519 (v1a).")] = "v1",
    import_file: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, allow_dash=True, help="A key you have, whsec_… or whsk_…; `-` asks for it."
        ),
    ] = None,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long the keys it replaces go on signing beside it.")
    ] = GRACE_S,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign pushes with a new key (Standard Webhooks); the one of its kind before signs on for the grace period.

    What a receiver verifies with is printed here and, for v1, never again.

    \b
    matrixhub subscription key add sub_… --kind v1a
    """
    now = datetime.now(UTC)
    made = _imported(import_file, now) if import_file is not None else _new(kind, now)
    run_command(lambda: _change(subscription_id, data, lambda keys: rotated(keys, made, now, grace)))
    verified_with = public_key(made) if made.kind == "v1a" else made.secret.reveal()
    if as_json:
        name = "public_key" if made.kind == "v1a" else "secret"
        print_json({"id": made.id, "kind": made.kind, name: verified_with})
    else:
        typer.echo(f"{made.id}\n{verified_with}")


@signing_keys.command("list")
def list_(subscription_id: SubscriptionArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the signing keys of a subscription, newest first, without their secrets.

    \b
    matrixhub subscription key list sub_…
    """

    async def work() -> Sequence[SigningKey]:
        async with open_operator(data) as operator:
            return (await find_subscription(operator, subscription_id)).subscription.signing

    found = run_command(work)
    if as_json:
        print_json([_document(key) for key in found])
        return
    if not found:
        typer.echo("No key: pushes are not signed. Make one: matrixhub subscription key add --help")
        return
    table = Table("key", "kind", "created", "signs until", "public key", box=None, pad_edge=False)
    for key in found:
        until = f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else ""
        table.add_row(key.id, key.kind, f"{key.created_at:%Y-%m-%d %H:%M}", until, public_key(key))
    Console(highlight=False).print(table)


@signing_keys.command("retire")
def retire(
    subscription_id: SubscriptionArgument,
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the signing key.")],
    data: DataOption = None,
) -> None:
    """Sign with a key no longer, at once. Receivers that know only this one take nothing from then on.

    \b
    matrixhub subscription key retire sub_… sig_…
    """

    def without(keys: tuple[SigningKey, ...]) -> tuple[SigningKey, ...]:
        left = tuple(key for key in keys if key.id != key_id)
        if len(left) == len(keys):
            raise NotFound(f"{subscription_id} has no signing key {key_id}")
        return left

    run_command(lambda: _change(subscription_id, data, without))
    typer.echo(f"{key_id} is retired")


async def _change(
    subscription_id: str, data: Path | None, change: Callable[[tuple[SigningKey, ...]], tuple[SigningKey, ...]]
) -> None:
    async with open_operator(data) as operator:
        found = (await find_subscription(operator, subscription_id)).subscription
        await update_subscription(operator.database, operator.codec, replace(found, signing=change(found.signing)))


def _new(kind: str, now: datetime) -> SigningKey:
    if kind == "v1":
        return new_signing_key("v1", now)
    if kind == "v1a":
        return new_signing_key("v1a", now)
    raise InvalidValue("--kind is v1 or v1a")


def _imported(path: Path, now: datetime) -> SigningKey:
    try:
        text = ask_secret("Signing key") if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} cannot be read as text") from error
    return imported_key(text, now)


def _document(key: SigningKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "kind": key.kind,
        "public_key": public_key(key),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
