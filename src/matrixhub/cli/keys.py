"""`matrixhub key`: keys that send readings, that manage over REST, that sign operations, and those of applications."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.applications import platform_of
from matrixhub.cli.fields import ask_secret
from matrixhub.cli.local import DataOption, JsonOption, Operator, open_operator, parse_time, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.model.access import PROPERTY_ADMINS, check_rate, check_role
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import ApplicationId, KeyId, PropertyId
from matrixhub.model.key import Key
from matrixhub.model.secret import Secret
from matrixhub.modules.access.keys import (
    OVERLAP_S,
    AccessKeyDraft,
    alter_key,
    drop_key,
    make_access_key,
    make_bearer_key,
    rotate_key,
)
from matrixhub.store.access_keys import page_keys
from matrixhub.store.sites import require_property

LISTED_MAX = 10_000

T = TypeVar("T")

keys = typer.Typer(no_args_is_help=True, help="Keys that devices, gateways and clients show or sign with.")

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Id of the key, key_…")]
NameOption = Annotated[str, typer.Option(help="What the key is for, for people.")]
RoleOption = Annotated[str, typer.Option(metavar="ROLE", help="Its role, such as SMARTCLEAN#PropertyAdmins.")]
RateOption = Annotated[
    float | None,
    typer.Option("--rate", metavar="N", help="Requests a second in the long run; else as the settings say."),
]
BurstOption = Annotated[int | None, typer.Option("--burst", metavar="N", help="Requests at once; else twice the rate.")]
ProtectedOption = Annotated[
    bool, typer.Option("--replay-protected", help="Take each signed request once; clients that repeat one are refused.")
]
ExpiresOption = Annotated[
    str, typer.Option("--expires", metavar="TIME", help="It is good until then, e.g. 2031-01-01T00:00Z; else for ever.")
]


@keys.command("create")
def create(
    property_id: PropertyOption,
    name: NameOption = "",
    access: Annotated[
        bool, typer.Option("--access", help="A pair of access key and secret, for clients of Matrix Web Services.")
    ] = False,
    manage: Annotated[bool, typer.Option("--manage", help="It may also manage the property's subscriptions.")] = False,
    application: Annotated[
        str, typer.Option(metavar="ID", help="It publishes the events of this application, and does nothing else.")
    ] = "",
    role: RoleOption = "",
    rate: RateOption = None,
    burst: BurstOption = None,
    replay_protected: ProtectedOption = False,
    expires: ExpiresOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a property. It is shown once, here; the hub keeps only its digest, or its secret encrypted.

    Send readings with it:  Authorization: Bearer mhk_…
    With --manage it is good for the REST face besides: /hub/v1/subscriptions and what belongs to them.
    With --application it is good for POST /hub/v1/events only; see: matrixhub application --help
    With --access it is a pair, which clients of Matrix Web Services sign with (SCHMAC_V1) or send as Basic.
    With --role it may do what the role allows, whatever it is for.

    \b
    matrixhub key create --property P --access --name "BI of the owner"
    """
    if access and (manage or application):
        raise typer.BadParameter("--access goes with neither --manage nor --application; give it a --role")
    if not access and (replay_protected or expires):
        raise typer.BadParameter("--replay-protected and --expires go with --access")

    async def work(operator: Operator) -> dict[str, Any]:
        platform = platform_of(operator)
        if access:
            draft = AccessKeyDraft(
                name=name,
                role_id=check_role(role) if role else PROPERTY_ADMINS,
                replay_protected=replay_protected,
                rate=check_rate(rate, burst),
                expires_at=parse_time(expires, "--expires"),
            )
            return _pair(
                *await make_access_key(platform_of(operator), operator.codec.sealer, PropertyId(property_id), draft)
            )
        key, token = await make_bearer_key(
            platform,
            PropertyId(property_id),
            name=name,
            manages=manage,
            application_id=ApplicationId(application) if application else None,
            role_id=check_role(role) if role else None,
            rate=check_rate(rate, burst),
        )
        return {**key_document(key), "property": property_id, "key": token.reveal()}

    made = _on_hub(data, work)
    if as_json:
        print_json(made)
    elif access:
        _tell_pair(made)
    else:
        typer.echo(f"{made['id']}  {made['key']}")


@keys.command("import")
def import_(
    access_key: Annotated[str, typer.Argument(metavar="ACCESS_KEY", help="The access key as clients have it.")],
    property_id: PropertyOption,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            "--secret-file", exists=True, dir_okay=False, allow_dash=True, help="File with its secret; else asked for."
        ),
    ] = None,
    name: NameOption = "",
    role: RoleOption = PROPERTY_ADMINS,
    rate: RateOption = None,
    burst: BurstOption = None,
    replay_protected: ProtectedOption = False,
    expires: ExpiresOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring along a pair that clients have already, such as one of the original platform: they change nothing.

    \b
    matrixhub key import demo-key/0001 --property P --secret-file secret.txt
    """

    async def work(operator: Operator) -> dict[str, Any]:
        draft = AccessKeyDraft(
            name=name,
            role_id=check_role(role),
            replay_protected=replay_protected,
            rate=check_rate(rate, burst),
            expires_at=parse_time(expires, "--expires"),
            access_key=access_key,
            secret=_secret_of(secret_file),
        )
        key, _ = await make_access_key(platform_of(operator), operator.codec.sealer, PropertyId(property_id), draft)
        return key_document(key)

    made = _on_hub(data, work)
    if as_json:
        print_json(made)
    else:
        typer.echo(f"{made['id']}  {made['access_key']}")


@keys.command("list")
def list_(property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the keys of a property, without the keys themselves."""

    async def work(operator: Operator) -> Sequence[Key]:
        await require_property(operator.database, PropertyId(property_id))
        return await page_keys(operator.database, PropertyId(property_id), limit=LISTED_MAX)

    found = _on_hub(data, work)
    if as_json:
        print_json([key_document(key) for key in found])
        return
    table = Table(box=None, pad_edge=False)
    for title in ("key", "access key"):
        table.add_column(title, no_wrap=True)  # to be copied
    for title in ("kind", "name", "role", "created", "good until"):
        table.add_column(title, overflow="fold")
    for key in found:
        table.add_row(
            *(key.id, key.access_key or "", key.kind, key.name, key.role_id),
            f"{key.created_at:%Y-%m-%d %H:%M}",
            _good_until(key),
        )
    Console(highlight=False, markup=False).print(table)


@keys.command("rotate")
def rotate(
    key_id: KeyArgument,
    property_id: PropertyOption,
    overlap: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long the secret of before stays good. 0: no longer.")
    ] = OVERLAP_S,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an access key another secret, which is shown once, here. The one of before stays good for the overlap.

    \b
    matrixhub key rotate key_… --property P --overlap 3600
    """

    async def work(operator: Operator) -> dict[str, Any]:
        return _pair(
            *await rotate_key(
                platform_of(operator), operator.codec.sealer, PropertyId(property_id), KeyId(key_id), overlap_s=overlap
            )
        )

    made = _on_hub(data, work)
    if as_json:
        print_json(made)
    else:
        _tell_pair(made)


@keys.command("update")
def update(
    key_id: KeyArgument,
    property_id: PropertyOption,
    name: Annotated[str | None, typer.Option(help="What the key is for, for people.")] = None,
    role: RoleOption = "",
    rate: RateOption = None,
    burst: BurstOption = None,
    replay_protected: Annotated[
        bool | None, typer.Option("--replay-protected/--no-replay-protected", help="Take each signed request once.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the name, role or rate of a key; what is not given stays. It counts from the next request on.

    \b
    matrixhub key update key_… --property P --rate 50 --burst 200
    """

    async def work(operator: Operator) -> dict[str, Any]:
        changed = await alter_key(
            platform_of(operator),
            PropertyId(property_id),
            KeyId(key_id),
            name=name,
            role_id=check_role(role) if role else None,
            rate=check_rate(rate, burst),
            replay_protected=replay_protected,
        )
        return key_document(changed)

    changed = _on_hub(data, work)
    if as_json:
        print_json(changed)
    else:
        typer.echo(f"{key_id} is changed")


@keys.command("revoke")
def revoke(key_id: KeyArgument, property_id: PropertyOption, data: DataOption = None) -> None:
    """Make a key invalid, at once."""

    async def work(operator: Operator) -> None:
        await drop_key(platform_of(operator), PropertyId(property_id), KeyId(key_id))

    _on_hub(data, work)
    typer.echo(f"{key_id} is revoked")


def key_document(key: Key) -> dict[str, Any]:
    """A key as JSON, without what is secret."""
    instants = {
        "created_at": key.created_at,
        "rotated_at": key.rotated_at,
        "previous_until": key.previous_until,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
    return {
        "id": key.id,
        "kind": key.kind,
        "name": key.name,
        "role": key.role_id,
        "access_key": key.access_key,
        "application": key.application_id,
        "manages": key.role_id == PROPERTY_ADMINS,
        "replay_protected": key.replay_protected,
        "rate_per_s": key.rate.per_s if key.rate else None,
        "burst": key.rate.burst if key.rate else None,
        **{name: at.isoformat() if at is not None else None for name, at in instants.items()},
    }


def _on_hub(data: Path | None, work: Callable[[Operator], Coroutine[Any, Any, T]]) -> T:
    async def on_hub() -> T:
        async with open_operator(data) as operator:
            return await work(operator)

    return run_command(on_hub)


def _pair(key: Key, secret: Secret) -> dict[str, Any]:
    return {**key_document(key), "secret": secret.reveal()}


def _tell_pair(made: dict[str, Any]) -> None:
    typer.echo(f"{made['id']}\naccess key  {made['access_key']}\nsecret      {made['secret']}")


def _good_until(key: Key) -> str:
    if key.revoked_at:
        return f"revoked {key.revoked_at:%Y-%m-%d %H:%M}"
    return f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else ""


def _secret_of(path: Path | None) -> Secret:
    if path is None or str(path) == "-":
        return Secret(ask_secret("Secret"))
    try:
        return Secret(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} cannot be read as text") from error
