"""All commands, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matrixhub import __version__
from matrixhub.cli.applications import application
from matrixhub.cli.attempts import attempts
from matrixhub.cli.balance import balance
from matrixhub.cli.demo import demo
from matrixhub.cli.devices import devices
from matrixhub.cli.doctor import doctor
from matrixhub.cli.egress import egress
from matrixhub.cli.events import events
from matrixhub.cli.hub import run, up
from matrixhub.cli.iam import iam
from matrixhub.cli.identity_applications import identity_application
from matrixhub.cli.keys import keys
from matrixhub.cli.local import config_file, fail
from matrixhub.cli.parked import parked
from matrixhub.cli.receive import receive
from matrixhub.cli.replay import replay
from matrixhub.cli.retention import retention
from matrixhub.cli.settings import asyncapi, config, migrate, openapi, operations
from matrixhub.cli.simulate import simulate
from matrixhub.cli.sites import site
from matrixhub.cli.subscriptions import subscription
from matrixhub.model.errors import MatrixHubError

app = typer.Typer(
    name="matrixhub",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help keeps the examples as they are written
    pretty_exceptions_show_locals=False,  # they would show secrets
    add_completion=False,
    context_settings={"max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"matrixhub {__version__}")
        raise typer.Exit


@app.callback()
def root(
    config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, envvar="MATRIXHUB_CONFIG", help="File with settings (TOML)."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Matrix Hub: readings of a building in, ordered and provable delivery out.

    \b
    See it work, with nothing set up:     matrixhub demo
    Run it:                               matrixhub up
    Tell it about your building:          matrixhub site apply site.yaml
    Receive its readings over HTTPS:      matrixhub receive     (prints the next command)
    Try it with a simulated building:     matrixhub simulate
    See what happens in it:               matrixhub events tail
    """
    config_file.set(config)


for command in (
    demo,
    up,
    run,
    simulate,
    replay,
    receive,
    balance,
    devices,
    config,
    openapi,
    asyncapi,
    operations,
    migrate,
    doctor,
):
    app.command()(command)
app.add_typer(site, name="site")
app.add_typer(keys, name="key")
app.add_typer(subscription, name="subscription")
app.add_typer(attempts, name="attempts")
app.add_typer(parked, name="parked")
app.add_typer(egress, name="egress")
app.add_typer(retention, name="retention")
app.add_typer(events, name="events")
app.add_typer(application, name="application")
app.add_typer(identity_application, name="identity-application")
app.add_typer(iam, name="iam")


def main() -> None:
    """Run the command; an error of ours that no command has told is told here."""
    try:
        app()
    except MatrixHubError as error:
        try:
            fail(error)
        except typer.Exit as end:
            raise SystemExit(end.exit_code) from error
