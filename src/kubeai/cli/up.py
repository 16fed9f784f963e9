"""Verbs that run KubeAI itself."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import Config, DataDir, LogFormat, Namespace

MAX_WORKERS = 64


def parse_workers(text: str) -> str:
    """`auto`, or a number of processes."""
    if text != "auto" and not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MAX_WORKERS):
        raise typer.BadParameter(f"write a number from 1 to {MAX_WORKERS}, or auto")
    return text


def worker_count(text: str) -> int:
    from kubeai.app.cpus import usable_cpus

    return min(usable_cpus(), MAX_WORKERS) if text == "auto" else int(text)


Workers = Annotated[
    str,
    typer.Option(
        "--workers",
        metavar="N|auto",
        envvar="KUBEAI_WORKERS",
        callback=parse_workers,
        help="Processes that serve requests, all on the same port; auto: one for each processor within the quota.",
    ),
]


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Level = Annotated[LogLevel, typer.Option("--log-level", help="What is worth a line.")]


def up(
    data_dir: DataDir = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where the gateway listens; 0.0.0.0 for everybody.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Its port; 0 takes a free one.")] = 8000,
    api_port: Annotated[
        int, typer.Option("--api-port", min=0, max=65535, help="Port of the Kubernetes API; 0: as last time.")
    ] = 0,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            metavar="FILE",
            help="Apply these Models, and install and download what they need before being ready (repeatable).",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    log_format: Annotated[LogFormat, typer.Option("--log-format", help="How to log.")] = LogFormat.CONSOLE,
    log_level: Level = LogLevel.WARNING,
    workers: Workers = "1",
) -> None:
    """Run KubeAI on this machine, until Ctrl-C.

    It needs no cluster and no containers: model servers run as processes, which stop with it. Models, logs, engines
    and downloads are kept in the data directory.

    \b
    Examples:
      kubeai up
      kubeai up --model examples/smollm2.yaml --port 8080
    """
    from kubeai.app.local import LocalOptions

    from .running import run_up
    from .target import data_directory

    options = LocalOptions(
        data_directory(data_dir),
        host,
        port,
        api_port,
        config,
        tuple(model or ()),
        log_format.value,
        log_level.value,
        worker_count(workers),
    )
    run_up(options)


Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="The cluster's kubeconfig.", show_default=False),
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where the gateway listens.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Its port; 0 takes a free one.")]
Format = Annotated[LogFormat, typer.Option("--log-format", help="How to log.")]


def manager(
    config: Config = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    host: Host = "0.0.0.0",
    port: Port = 8000,
    log_format: Format = LogFormat.JSON,
    log_level: Level = LogLevel.INFO,
    workers: Workers = "1",
) -> None:
    """Run KubeAI for a Kubernetes cluster: operator, gateway and autoscaler.

    It is what the container runs. Without options the configuration is CONFIG_PATH's (else ./config.yaml), the
    namespace POD_NAMESPACE's (else the kubeconfig's), and the cluster the one that it runs in, or KUBECONFIG's.

    \b
    Example:
      kubeai manager --config system.yaml --namespace kubeai
    """
    from kubeai.app.run import ManagerOptions, run_manager

    count = worker_count(workers)
    run_manager(ManagerOptions(config, namespace, kubeconfig, host, port, log_format.value, log_level.value, count))


def operator(
    config: Config = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    log_format: Format = LogFormat.JSON,
    log_level: Level = LogLevel.INFO,
) -> None:
    """Run the operator and the autoscaler alone, beside `kubeai gateway`.

    It takes no requests. Of several, one leads. Configuration, namespace and cluster are found as by `kubeai manager`.

    \b
    Example:
      kubeai operator --config system.yaml --namespace kubeai
    """
    from kubeai.app.run import ManagerOptions, run_manager

    options = ManagerOptions(config, namespace, kubeconfig, log_format=log_format.value, log_level=log_level.value)
    run_manager(options, "operator")


def gateway(
    config: Config = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    host: Host = "0.0.0.0",
    port: Port = 8000,
    log_format: Format = LogFormat.JSON,
    log_level: Level = LogLevel.INFO,
    workers: Workers = "1",
) -> None:
    """Run the gateway alone, beside `kubeai operator`.

    It serves requests and wakes Models that sleep. Configuration, namespace and cluster are found as by `kubeai
    manager`.

    \b
    Example:
      kubeai gateway --config system.yaml --namespace kubeai
    """
    from kubeai.app.run import ManagerOptions, run_manager

    count = worker_count(workers)
    options = ManagerOptions(config, namespace, kubeconfig, host, port, log_format.value, log_level.value, count)
    run_manager(options, "gateway")
