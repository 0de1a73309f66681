"""`matrixhub identity-application`: whose users a property lets in, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.local import DataOption, JsonOption, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.deliveries.jwks import check_keys_reach
from matrixhub.lifecycle import SystemClock
from matrixhub.model.federation import PROVIDERS, IdentityApplication
from matrixhub.model.ids import IdentityApplicationId, PropertyId
from matrixhub.modules.federation import (
    NewIdentityApplication,
    change_identity_application,
    register_identity_application,
)
from matrixhub.modules.federation import remove as remove_application
from matrixhub.modules.work import Platform
from matrixhub.store.identity_applications import list_identity_applications
from matrixhub.store.sites import require_property

identity_application = typer.Typer(
    no_args_is_help=True, help="Identity applications: users of another identity provider, let in with its tokens."
)

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]
QuidArgument = Annotated[str, typer.Argument(metavar="QUID", help="Id of the identity application, quid_….")]


@identity_application.command("create")
def create(
    property_id: PropertyOption,
    issuer: Annotated[str, typer.Option(help="iss of its tokens, an https:// URL.")],
    audience: Annotated[str, typer.Option(help="The client that its tokens are for: aud, or client_id with cognito.")],
    role: Annotated[str, typer.Option(help="The role its users get, such as SMARTCLEAN#PropertyAdmins.")],
    provider: Annotated[str, typer.Option(help=f"What it is: {', '.join(PROVIDERS)}.")] = "other",
    boundary_role: Annotated[
        str, typer.Option(help="A role whose explicit denials hold for its users, whatever role they have.")
    ] = "",
    user_claim: Annotated[str, typer.Option(help="The claim that tells users apart: sub, email, oid….")] = "sub",
    jwks_url: Annotated[str, typer.Option(help="Where its keys are, if not where such a provider has them.")] = "",
    token: Annotated[str, typer.Option(help="With other: identity or access tokens; each provider has its own.")] = "",
    ca_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Authorities to trust, PEM; else the system's.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is, for people.")] = "",
    disabled: Annotated[bool, typer.Option("--disabled", help="Let nobody in yet.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let users of another identity provider in to a property, with tokens that it has signed.

    It gets a QUID. Requests carry the token in Authorization, bare or behind Bearer, and the QUID in x-sc-auth. Taken
    are identity tokens of azure_ad, auth0 and firebase, access tokens of cognito; signed with RS256, by a key that the
    provider publishes. What its users may do is said by the role.

    \b
    matrixhub identity-application create --property P --provider azure_ad \\
      --issuer https://login.microsoftonline.com/TENANT/v2.0 --audience CLIENT_ID \\
      --role SMARTCLEAN#IAMViewOnly
    curl -H "Authorization: $TOKEN" -H "x-sc-auth: quid_…" …
    """
    asked = NewIdentityApplication(
        name=name,
        provider=provider,
        issuer=issuer,
        audience=audience,
        role_id=role,
        boundary_id=boundary_role or None,
        user_claim=user_claim,
        jwks_url=jwks_url,
        token_kind=token,
        ca_pem=ca_file.read_text(encoding="utf-8") if ca_file else "",
        enabled=not disabled,
    )

    async def work() -> IdentityApplication:
        async with open_operator(data) as operator, operator.database.joined() as database:
            platform = Platform(database=database, clock=SystemClock())
            made = await register_identity_application(platform, PropertyId(property_id), asked)
            await check_keys_reach(database, made, allowed_to_all=operator.settings.deliveries.egress_allow)
            return made

    made = run_command(work)
    if as_json:
        print_json(_document(made))
        return
    typer.echo(f"{made.id}  {made.issuer}")
    typer.echo(f"its keys are read from {made.jwks_url}", err=True)


@identity_application.command("list")
def list_(property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the identity applications of a property."""

    async def work() -> Sequence[IdentityApplication]:
        async with open_operator(data) as operator:
            await require_property(operator.database, PropertyId(property_id))
            async with operator.database.connection() as connection:
                return await list_identity_applications(connection, PropertyId(property_id))

    found = run_command(work)
    if as_json:
        print_json([_document(one) for one in found])
        return
    if not found:
        typer.echo("There are none. See: matrixhub identity-application create --help")
        return
    table = Table("QUID", "name", "provider", "issuer", "for", "user", "role", "enabled", box=None, pad_edge=False)
    for one in found:
        role = f"{one.role_id} within {one.boundary_id}" if one.boundary_id else one.role_id
        enabled = "yes" if one.enabled else "no"
        table.add_row(one.id, one.name, one.provider, one.issuer, one.audience, one.user_claim, role, enabled)
    Console(highlight=False, markup=False).print(table)


@identity_application.command("disable")
def disable(
    quid: QuidArgument, property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Let nobody in with its tokens, from the next request on."""
    _set_enabled(quid, property_id, False, data, as_json)


@identity_application.command("enable")
def enable(
    quid: QuidArgument, property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Let its users in again."""
    _set_enabled(quid, property_id, True, data, as_json)


@identity_application.command("remove")
def remove(quid: QuidArgument, property_id: PropertyOption, data: DataOption = None) -> None:
    """Remove it. Its QUID never comes again; to let nobody in for a while: disable."""

    async def work() -> None:
        async with open_operator(data) as operator:
            platform = Platform(database=operator.database, clock=SystemClock())
            await remove_application(platform, PropertyId(property_id), IdentityApplicationId(quid))

    run_command(work)
    typer.echo(f"{quid} is removed")


def _set_enabled(quid: str, property_id: str, enabled: bool, data: Path | None, as_json: bool) -> None:
    async def work() -> IdentityApplication:
        async with open_operator(data) as operator:
            return await change_identity_application(
                Platform(database=operator.database, clock=SystemClock()),
                PropertyId(property_id),
                IdentityApplicationId(quid),
                {"enabled": enabled},
            )

    changed = run_command(work)
    if as_json:
        print_json(_document(changed))
    else:
        typer.echo(f"{changed.id} is {'enabled' if changed.enabled else 'disabled'}")


def _document(found: IdentityApplication) -> dict[str, Any]:
    """As REST has it."""
    from matrixhub.api.rest.identity_documents import identity_application_view  # takes long to import

    shown: dict[str, Any] = msgspec.to_builtins(identity_application_view(found))
    return shown
