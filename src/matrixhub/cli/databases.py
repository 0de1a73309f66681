"""`matrixhub database`: databases of customers, which the hub fills."""

from __future__ import annotations

import typer

database = typer.Typer(no_args_is_help=True, help="Databases of customers, which the hub fills.")
