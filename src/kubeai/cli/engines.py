"""Verbs for the model servers of one machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from .options import DataDir

app = typer.Typer(help="Model servers on this machine: list, install, remove.", no_args_is_help=True)

EngineName = Annotated[str, typer.Argument(metavar="ENGINE", help="As `kubeai engines list` names it.")]


class EnginesFormat(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.command("list")
def list_engines(
    output: Annotated[EnginesFormat, typer.Option("--output", "-o", help="How to print.")] = EnginesFormat.TABLE,
    data_dir: DataDir = None,
) -> None:
    """Show which model servers there are, and where.

    \b
    Example:
      kubeai engines list
    """
    from .installing import engine_rows
    from .output import as_json, table
    from .target import data_directory

    rows = engine_rows(data_directory(data_dir))
    if output is EnginesFormat.JSON:
        typer.echo(as_json(rows), nl=False)
    else:
        typer.echo(table([key.upper() for key in rows[0]], [list(row.values()) for row in rows]), nl=False)


@app.command()
def install(engine: EngineName, data_dir: DataDir = None) -> None:
    """Install a model server into an environment of its own under the data directory.

    It is done by itself when a Model needs it; this does it before.

    \b
    Example:
      kubeai engines install infinity
    """
    from .installing import install_engine
    from .target import data_directory

    typer.echo(install_engine(data_directory(data_dir), engine))


@app.command()
def remove(engine: EngineName, data_dir: DataDir = None) -> None:
    """Delete the environment of an installed model server. What is on PATH stays.

    \b
    Example:
      kubeai engines remove infinity
    """
    from .installing import remove_engine
    from .target import data_directory

    typer.echo(remove_engine(data_directory(data_dir), engine))
