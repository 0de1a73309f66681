"""The commands that run the hub, as their help tells them."""

from __future__ import annotations

from typer.testing import CliRunner

from matrixhub.cli.app import app
from matrixhub.service import ROLES


def test_the_help_of_run_names_every_role() -> None:
    said = CliRunner().invoke(app, ["run", "--help"]).output
    assert ", ".join(ROLES) in " ".join(said.split())
