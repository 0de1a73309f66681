"""`matrixhub config`, `matrixhub openapi` and `matrixhub migrate`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from matrixhub.cli.local import DataOption, JsonOption, open_operator, print_json, settings_for
from matrixhub.cli.local import run as run_command
from matrixhub.config import data_directory, default_text, public_settings
from matrixhub.observe import ignore
from matrixhub.store.pool import migrate as migrate_database


def config(
    default: Annotated[bool, typer.Option("--default", help="Print the commented defaults instead.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the settings in force, with secrets hidden.

    Settings come from the defaults, then a file (--config FILE or MATRIXHUB_CONFIG), then the environment:
    MATRIXHUB_HTTP__LISTEN=0.0.0.0:8080 sets `listen` in the section `http`.
    """
    if default:
        typer.echo(default_text(), nl=False)
        return
    settings = settings_for(data)
    document = public_settings(settings)
    document["data"]["dir"] = str(data_directory(settings))
    if as_json:
        print_json(document)
    else:
        typer.echo("\n".join(_toml(document)))


def _toml(tree: dict[str, object], path: str = "") -> list[str]:
    lines: list[str] = []
    sections: list[str] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            sections += _toml(value, f"{path}.{key}".strip("."))
        elif isinstance(value, bool):
            lines.append(f"{key} = {str(value).lower()}")
        elif isinstance(value, str):
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'{key} = "{quoted}"')
        else:
            lines.append(f"{key} = {list(value) if isinstance(value, tuple) else value}")
    head = ["", f"[{path}]"] if lines and path else []
    return head + lines + sections


_FileArgument = Annotated[Path | None, typer.Argument(dir_okay=False, help="Where to write it; else standard output.")]


def openapi(file: _FileArgument = None) -> None:
    """Write the OpenAPI document of the HTTP faces; a running hub serves it at /hub/v1/openapi/openapi.json."""
    from matrixhub.api.openapi import openapi_text  # no other command should wait for it

    _write(openapi_text(), file)


def asyncapi(file: _FileArgument = None) -> None:
    """Write the AsyncAPI document of the pushes; a running hub serves it at /hub/v1/openapi/asyncapi.json."""
    from matrixhub.api.asyncapi import asyncapi_text

    _write(asyncapi_text(), file)


def operations(file: _FileArgument = None) -> None:
    """Write the page of the operations of Matrix Web Services: what each takes and answers."""
    from matrixhub.api.actions.document import operations_text

    _write(operations_text(), file)


def _write(text: str, file: Path | None) -> None:
    if file is None:
        typer.echo(text, nl=False)
    else:
        file.write_text(text, encoding="utf-8")


def migrate(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Bring the database up to date. `up` and `run` do it by themselves; doing it again changes nothing."""

    async def work() -> list[str]:
        async with open_operator(data) as operator, asyncio.timeout(600):
            return await migrate_database(operator.database, ignore)

    applied = run_command(work)
    if as_json:
        print_json({"applied": applied})
    else:
        typer.echo("\n".join(f"applied {name}" for name in applied) or "The database is up to date.")
