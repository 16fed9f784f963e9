"""Verbs that need neither a cluster nor a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Config

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Manifests; a directory's, or - for standard input.")]
Local = Annotated[bool, typer.Option("--local", help="As `kubeai up` on this machine would run it.")]


def validate(files: Files, config: Config = None) -> None:
    """Check manifests without a cluster.

    Says file, line, field and rule of every fault, and ends with code 1 if there is one. With --config it also
    checks that the system configuration has what the Models name.

    \b
    Examples:
      kubeai validate model.yaml
      kubeai validate examples/ --config system.yaml
    """
    from .checking import check_documents, load_system_if_any
    from .manifests import read_manifests

    documents = read_manifests(files)
    faults, summary = check_documents(documents, load_system_if_any(config))
    for fault in faults:
        typer.echo(fault, err=True)
    typer.echo(summary)
    if faults:
        raise typer.Exit(1)


def render(files: Files, config: Config = None, local: Local = False) -> None:
    """Print the Pods that Models would become.

    Without --config the built-in images are used and no resource profiles exist.

    \b
    Examples:
      kubeai render model.yaml --config system.yaml
      kubeai render --local examples/smollm2.yaml
    """
    from .checking import render_pods
    from .manifests import read_manifests
    from .output import as_yaml

    typer.echo(as_yaml(render_pods(read_manifests(files), config, local)), nl=False)


def crd() -> None:
    """Print the CustomResourceDefinition of Models.

    \b
    Example:
      kubeai crd | kubectl apply -f -
    """
    from kubeai.api.crd import crd_yaml

    typer.echo(crd_yaml(), nl=False)


def load(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="hf://, s3://, gs://, oss://, pypi:// or file:// URL.", show_default=False),
    ],
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DEST", help="A directory, or an hf://, s3://, gs:// or oss:// URL.", show_default=False
        ),
    ],
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="PATTERN", help="Only files like this (repeatable).", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="PATTERN", help="No files like this (repeatable).", show_default=False),
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            "--cache-dir",
            metavar="DIR",
            envvar="KUBEAI_CACHE_DIR",
            help="Keep downloads here, and link them into DEST.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Copy a model's weights into a directory or another store.

    What was interrupted goes on where it was when it is called again. Credentials and endpoints come from the
    variables of the providers' own tools (HF_TOKEN, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on).

    \b
    Examples:
      kubeai load hf://org/name ./weights --allow '*.safetensors' --allow '*.json'
      kubeai load hf://org/name s3://models/name
    """
    from kubeai.loader.fetch import load as load_model
    from kubeai.loader.fetch import with_patterns
    from kubeai.loader.progress import ProgressLines

    load_model(with_patterns(source, allow or (), ignore or ()), destination, ProgressLines(typer.echo), cache_dir)
    typer.echo(f"loaded {source} into {destination}")


def version() -> None:
    """Print the version."""
    from kubeai import __version__

    typer.echo(f"kubeai {__version__}")
