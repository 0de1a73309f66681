"""`matrixhub iam`: roles, groups of users, and why something is allowed or not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
import yaml
from rich.console import Console
from rich.table import Table

from matrixhub.cli.applications import platform_of
from matrixhub.cli.local import DataOption, JsonOption, open_operator, parse_time, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.model.access import RoleId
from matrixhub.model.errors import InvalidValue
from matrixhub.model.iam import Considered, Explanation, GroupDocument, Role, RoleDocument, explanation_document
from matrixhub.model.iam_documents import read_document
from matrixhub.model.ids import KeyId, PropertyId
from matrixhub.modules.access import roles as acts
from matrixhub.modules.access.explaining import Question, explain_access
from matrixhub.modules.access.roles import Shown
from matrixhub.store.iam import Change, Group, KeptRole
from matrixhub.store.sites import require_property

ACTOR = "operator"
"""Who does what commands on this machine do."""

T = TypeVar("T")

iam = typer.Typer(no_args_is_help=True, help="Roles, groups of users, and why something is allowed or not.")
role = typer.Typer(no_args_is_help=True, help="A role: what it allows and denies, and whom it trusts.")
group = typer.Typer(no_args_is_help=True, help="A group of users: its members have its role.")
iam.add_typer(role, name="role")
iam.add_typer(group, name="group")

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]
RoleArgument = Annotated[str, typer.Argument(metavar="ROLE", help="Name of the role.")]
GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", help="Name of the group.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON; - is stdin.")]


@iam.command("roles")
def roles(property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the roles that can be given in a property: its own by name, then those that every property has.

    \b
    matrixhub iam roles --property P
    matrixhub key create --property P --role GridsViewer
    """

    async def work() -> Sequence[Shown]:
        async with open_operator(data) as operator:
            await require_property(operator.database, PropertyId(property_id))
            return await acts.list_roles(operator.database, PropertyId(property_id))

    found, now = run_command(work), datetime.now(UTC)
    if as_json:
        print_json([role_document(one, now) for one in found])
        return
    table = Table("role", "of", "status", "version", "for", box=None, pad_edge=False)
    for one in found:
        kept, plain = _parts(one)
        whose, version = ("property", str(kept.version)) if kept is not None else ("system", "")
        table.add_row(plain.id, whose, plain.status_at(now), version, plain.document.description)
    Console(highlight=False, markup=False).print(table)


@role.command("show")
def show_role(
    name: RoleArgument, property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show a role as it can be written, and who changed it when.

    \b
    matrixhub iam role show SMARTCLEAN#HOUSEKEEPING --property P
    matrixhub iam role show ORCHARD#Guards --property P > guards.yaml
    """

    async def work() -> tuple[Shown, Sequence[Change]]:
        async with open_operator(data) as operator:
            found = await acts.show_role(operator.database, PropertyId(property_id), RoleId(name))
            return found, await acts.list_role_changes(operator.database, PropertyId(property_id), RoleId(name))

    found, changes = run_command(work)
    if as_json:
        print_json({**role_document(found, datetime.now(UTC)), "changes": [_change_document(one) for one in changes]})
        return
    _, plain = _parts(found)
    _print_yaml(plain.document)
    _print_changes(changes)


@role.command("set")
def set_role(
    file: FileArgument, property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Make a role of a property, or change the one of that name, as a file says. It holds from the next request on.

    \b
    name: ORCHARD#Guards
    policy_sets:
      - name: at work
        statements:
          - effect: allow
            operations: ["scgrids.read*", "scteams.createIncidentWithoutAssignee"]
            when:
              ip_in: ["192.0.2.0/24"]
              hours: {start: "07:00", end: "19:00", days: [1, 2, 3, 4, 5], time_zone: Asia/Singapore}
    trust:
      - {effect: allow, principals: ["srn:sciam:*:KEY/*"]}

    \b
    matrixhub iam role set guards.yaml --property P
    matrixhub iam explain --property P --role ORCHARD#Guards --operation scgrids.readZone --ip 192.0.2.7
    """

    async def work() -> KeptRole:
        document = _read(file, RoleDocument)
        async with open_operator(data) as operator:
            return await acts.set_role(platform_of(operator), PropertyId(property_id), document, actor=ACTOR)

    kept = run_command(work)
    if as_json:
        print_json(role_document(kept, datetime.now(UTC)))
    else:
        typer.echo(f"{kept.role.id} is kept, version {kept.version}")


@role.command("remove")
def remove_role(name: RoleArgument, property_id: PropertyOption, data: DataOption = None) -> None:
    """Remove a role of a property, unless a group of users, a key or an identity application has it.

    One that is to work for nobody from the next request on is set to the status DEPRECATED: matrixhub iam role set
    """

    async def work() -> None:
        async with open_operator(data) as operator:
            await acts.remove_role(platform_of(operator), PropertyId(property_id), RoleId(name), actor=ACTOR)

    run_command(work)
    typer.echo(f"{name} is removed")


@iam.command("groups")
def groups(property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the groups of users of a property: which role each gives, and to how many seats, users and keys."""

    async def work() -> Sequence[Group]:
        async with open_operator(data) as operator:
            await require_property(operator.database, PropertyId(property_id))
            return await acts.list_groups(operator.database, PropertyId(property_id))

    found = run_command(work)
    if as_json:
        print_json([group_document(one) for one in found])
        return
    if not found:
        typer.echo("There are none. See: matrixhub iam group set --help")
        return
    table = Table("group", "role", "seats", "users", "keys", "version", box=None, pad_edge=False)
    for one in found:
        counts = (len(one.members.seats), len(one.members.users), len(one.members.keys), one.version)
        table.add_row(one.name, one.role_id, *map(str, counts))
    Console(highlight=False, markup=False).print(table)


@group.command("show")
def show_group(
    name: GroupArgument, property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show a group of users with its members, as it can be written.

    \b
    matrixhub iam group show cleaners --property P > cleaners.yaml
    """

    async def work() -> Group:
        async with open_operator(data) as operator:
            return await acts.show_group(operator.database, PropertyId(property_id), name)

    found = run_command(work)
    if as_json:
        print_json(group_document(found))
    else:
        _print_yaml(acts.group_document(found))


@group.command("set")
def set_group(
    file: FileArgument, property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Make a group of users, or change the one of that name, as a file says. It holds from the next request on.

    A user is named by the subject or the e-mail address of the token; nobody is in two groups.

    \b
    name: cleaners
    role: SMARTCLEAN#HOUSEKEEPING
    members:
      seats: [5b1e0c7a9d2f4e63a8b4c1d09e77f210_004]
      users: [ann.lee@orchard.example]
    """

    async def work() -> Group:
        document = _read(file, GroupDocument)
        async with open_operator(data) as operator:
            return await acts.set_group(platform_of(operator), PropertyId(property_id), document, actor=ACTOR)

    found = run_command(work)
    if as_json:
        print_json(group_document(found))
    else:
        typer.echo(f"{found.name} is kept, version {found.version}")


@group.command("remove")
def remove_group(name: GroupArgument, property_id: PropertyOption, data: DataOption = None) -> None:
    """Remove a group of users; from the next request on, its members have no role by it any more."""

    async def work() -> None:
        async with open_operator(data) as operator:
            await acts.remove_group(platform_of(operator), PropertyId(property_id), name, actor=ACTOR)

    run_command(work)
    typer.echo(f"{name} is removed")


@iam.command("explain")
def explain(
    property_id: PropertyOption,
    operation: Annotated[str, typer.Option(help="Name of the operation, such as scgrids.readZone.")],
    key: Annotated[str, typer.Option(metavar="KEY", help="Id of the key that asks, key_….")] = "",
    role_name: Annotated[str, typer.Option("--role", metavar="ROLE", help="Or the name of a role.")] = "",
    principal: Annotated[str, typer.Option(metavar="SRN", help="Who has the role, for its trust.")] = "",
    boundary: Annotated[str, typer.Option(metavar="ROLE", help="Name of a role that narrows.")] = "",
    ip: Annotated[str, typer.Option(metavar="ADDRESS", help="Address of the client; else it is not known.")] = "",
    at: Annotated[str, typer.Option(metavar="TIME", help="When, e.g. 2031-01-01T22:00Z; else now.")] = "",
    building: Annotated[str, typer.Option(metavar="ID", help="Building that it is about; else it is not known.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell whether a key, or whoever has a role, may do something: what decides, and what came of every condition.

    It is the decision that the hub itself makes; nothing is done. What cannot be judged, such as the address of a
    client that is not given, is shown as ?: it opens nothing, and a denial holds in spite of it.

    \b
    matrixhub iam explain --property P --key key_1f0e6a52 --operation scgrids.readZone --ip 192.0.2.7
    matrixhub iam explain --property P --role PropertyViewer --operation scteams.createShift --json
    """

    from matrixhub.api.actions.registry import known_building  # takes long to import

    async def work() -> Explanation:
        question = Question(
            operation=operation,
            key_id=KeyId(key) if key else None,
            role_id=RoleId(role_name) if role_name else None,
            principal=principal,
            boundary_id=RoleId(boundary) if boundary else None,
            building_id=known_building(operation, building),
            address=ip,
            at=parse_time(at, "--at"),
        )
        async with open_operator(data) as operator:
            return await explain_access(platform_of(operator), PropertyId(property_id), question)

    found = run_command(work)
    if as_json:
        print_json(explanation_document(found))
    else:
        typer.echo("\n".join(explanation_lines(found)))


def explanation_lines(found: Explanation) -> list[str]:
    """An explanation for people."""
    decision = found.decision
    lines = [f"{'allowed' if decision.allowed else 'denied'}  {decision.code}", decision.why]
    lines += ["", *(f"asked by {name}" for name in found.principals)]
    for what, considered in (("", found.trust), ("", found.statements), ("boundary, ", found.boundary)):
        for one in considered:
            lines += _considered_lines(what, one)
    return lines


def _considered_lines(what: str, one: Considered) -> list[str]:
    counts = "counts" if one.counts else "does not count"
    marks = {True: "yes", False: "no", None: "?"}
    return [
        f"{what}{one.where}: {one.effect}, {counts}",
        *(f"  {marks[check.holds]:<4}{check.what}" for check in one.checks),
    ]


def role_document(shown: Shown, now: datetime) -> dict[str, Any]:
    """A role as JSON."""
    kept, plain = _parts(shown)
    document: dict[str, Any] = msgspec.to_builtins(plain.document)
    document |= {"status": plain.status_at(now), "system": kept is None}
    if kept is not None:
        document |= {
            "version": kept.version,
            "created_by": kept.created_by,
            "created_at": kept.created_at.isoformat(),
            "updated_by": kept.updated_by,
            "updated_at": kept.updated_at.isoformat(),
        }
    return document


def group_document(found: Group) -> dict[str, Any]:
    """A group of users as JSON."""
    document: dict[str, Any] = msgspec.to_builtins(acts.group_document(found))
    return document | {"version": found.version, "updated_by": found.updated_by}


def _change_document(one: Change) -> dict[str, Any]:
    return {"act": one.act, "version": one.version, "actor": one.actor, "at": one.at.isoformat()}


def _parts(shown: Shown) -> tuple[KeptRole | None, Role]:
    return (None, shown) if isinstance(shown, Role) else (shown, shown.role)


def _read(file: Path, kind: type[T]) -> T:
    """A document from a file. All scalars are read as text, for YAML takes 18:00 for a number. Raises: InvalidValue."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        raw = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise InvalidValue(f"{file} cannot be read as YAML: {error}") from error
    return read_document(kind, raw)


def _print_yaml(document: RoleDocument | GroupDocument) -> None:
    typer.echo(yaml.safe_dump(msgspec.to_builtins(document), sort_keys=False, allow_unicode=True), nl=False)


def _print_changes(changes: Sequence[Change]) -> None:
    for one in changes:
        typer.echo(f"# {one.at:%Y-%m-%d %H:%M} {one.act} by {one.actor}, version {one.version}")
