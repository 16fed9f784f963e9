"""Options that several verbs share, so that they read and behave alike."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .completion import complete_model


class Format(StrEnum):
    """How objects are printed."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    NAME = "name"


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="The cluster's kubeconfig. Without it: KUBECONFIG, a running `kubeai up`, the cluster this runs in, "
        "~/.kube/config.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Data directory of `kubeai up`. Without it: KUBEAI_DATA_DIR, else ~/.local/share/kubeai.",
        show_default=False,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Namespace, if not the kubeconfig's.", show_default=False),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        envvar="KUBEAI_URL",
        help="The gateway's URL. Without it: the running `kubeai up`'s, else http://127.0.0.1:8000.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="CONFIG_PATH",
        help="The system configuration (system.yaml).",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name of the Model.", autocompletion=complete_model, show_default=False)
]
