"""Verbs for objects of the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .completion import complete_model
from .options import DataDir, Format, Kubeconfig, ModelName, Namespace, Output
from .target import Target

Manifests = Annotated[
    list[Path],
    typer.Option("--filename", "-f", metavar="FILE", help="A manifest, a directory of them, or - (repeatable)."),
]
Selector = Annotated[
    str, typer.Option("--selector", "-l", metavar="SELECTOR", help="Only objects with these labels (a=b,c!=d,...).")
]


def apply(
    filename: Manifests, kubeconfig: Kubeconfig = None, data_dir: DataDir = None, namespace: Namespace = None
) -> None:
    """Create or change objects as manifests say.

    \b
    Examples:
      kubeai apply -f examples/smollm2.yaml
      kubeai apply -f models/
    """
    from .applying import apply_manifests
    from .cluster import with_cluster
    from .manifests import read_manifests

    documents = read_manifests(filename)
    with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: apply_manifests(client, documents))


def get(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TYPE|NAME",
            help="models (if left out), pods, events, jobs, ... or a Model's name.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = None,
    output: Output = Format.TABLE,
    selector: Selector = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and print each change.")] = False,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
    namespace: Namespace = None,
) -> None:
    """Show Models, or other objects.

    \b
    Examples:
      kubeai get                         all Models
      kubeai get smollm2 -o yaml         one Model as it is stored
      kubeai get models -w               watch them start and stop
      kubeai get pods -l model=smollm2
      kubeai get events
    """
    from .cluster import with_cluster
    from .getting import get_objects, watch_objects

    work = watch_objects if watch else get_objects
    with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: work(client, what or [], output, selector))


def describe(
    model: ModelName, kubeconfig: Kubeconfig = None, data_dir: DataDir = None, namespace: Namespace = None
) -> None:
    """Tell all about a Model: conditions, Pods, Events, and why it does not start.

    \b
    Example:
      kubeai describe smollm2
    """
    from .cluster import with_cluster
    from .describing import describe_model

    typer.echo(with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: describe_model(client, model)))


def scale(
    model: ModelName,
    replicas: Annotated[int, typer.Option("--replicas", "-r", min=0, help="How many.", show_default=False)],
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
    namespace: Namespace = None,
) -> None:
    """Set how many replicas a Model has now.

    Unless autoscalingDisabled is set, the autoscaler goes on from there.

    \b
    Examples:
      kubeai scale smollm2 --replicas 1      start it before the first request
      kubeai scale smollm2 --replicas 0
    """
    from .applying import scale_model
    from .cluster import with_cluster

    with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: scale_model(client, model, replicas))


def delete(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TYPE|NAME",
            help="Models, or objects of the type.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = None,
    filename: Annotated[
        list[Path] | None,
        typer.Option("--filename", "-f", metavar="FILE", help="Delete what these manifests name.", show_default=False),
    ] = None,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
    namespace: Namespace = None,
) -> None:
    """Delete Models (their servers stop), or other objects.

    \b
    Examples:
      kubeai delete smollm2
      kubeai delete pod model-smollm2-7c9d5-x2x4q
      kubeai delete -f examples/smollm2.yaml
    """
    from .applying import delete_objects
    from .cluster import with_cluster
    from .manifests import read_manifests

    if not what and not filename:
        raise typer.BadParameter("name what to delete, or give a manifest with -f")
    documents = read_manifests(filename or [])
    with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: delete_objects(client, what or [], documents))


def logs(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|POD",
            help="All Pods of a Model, or one Pod.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, also from new Pods.")] = False,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of the container's last run.")] = False,
    container: Annotated[
        str | None,
        typer.Option("--container", "-c", metavar="NAME", help="Not the server, but this one.", show_default=False),
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, metavar="LINES", help="Only the last ones.", show_default=False)
    ] = None,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
    namespace: Namespace = None,
) -> None:
    """Print what a Model's servers say.

    While a server has not started yet, the download of its weights is shown.

    \b
    Examples:
      kubeai logs smollm2 -f
      kubeai logs smollm2 --previous --tail 20     why it crashed
    """
    from .cluster import with_cluster
    from .logs import LogOptions, print_logs

    options = LogOptions(follow, previous, container, tail)
    with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: print_logs(client, name, options))
