"""`python -m benchmarks.control_plane`: measure the operator on a real kube-apiserver and on the embedded one."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.control_plane import latency, scale
from benchmarks.control_plane.servers import api_server
from benchmarks.tables import Figure, markdown, show
from scripts.kubernetes.api_server import NoKubernetesError

T = TypeVar("T")

SERVERS = {"real": "On a real kube-apiserver", "embedded": "On the embedded API server"}
_INTRODUCTION = """\
# How fast the operator acts, and what it costs

This page is written by `make bench-operator`. One `kubeai manager` runs against an API server on the same machine; the
benchmark plays the node, which makes Pods ready at once, and the model server. Times are taken when a watch of the
benchmark shows the change, so that the API server's own share is in them; where there are two figures, the bar is for
the 99th percentile. A real API server takes some 7 ms from a write to its watch event.
"""


def main(argv: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control_plane", description=__doc__)
    parser.add_argument("--only", choices=("latency", "scale"), help="one half")
    parser.add_argument("--write", metavar="DIR", help="write the report and its picture there")
    arguments = parser.parse_args(argv)
    latencies = {} if arguments.only == "scale" else _on_each_server(_latency)
    scales = {} if arguments.only == "latency" else _on_each_server(scale.measure)
    if arguments.write:
        _write(Path(arguments.write), latencies, scales)


def _on_each_server(measure: Callable[[Path, Path], T]) -> dict[str, T]:
    measured: dict[str, T] = {}
    for kind, title in SERVERS.items():
        print(f"\n-- {title}")
        with tempfile.TemporaryDirectory() as directory:
            try:
                with api_server(kind, Path(directory)) as kubeconfig:
                    measured[kind] = measure(kubeconfig, Path(directory))
            except NoKubernetesError as error:
                print(f"could not run: {error}")
    return measured


def _latency(kubeconfig: Path, directory: Path) -> list[Figure]:
    figures = latency.measure(kubeconfig, directory)
    show(figures)
    return figures


def _write(directory: Path, latencies: dict[str, list[Figure]], scales: dict[str, list[scale.Figures]]) -> None:
    """`operator.md` and `operator.svg`."""
    parts = [
        _INTRODUCTION,
        f"Measured with Python {platform.python_version()} on one machine with {os.cpu_count()} cores.\n",
    ]
    for kind, figures in latencies.items():
        parts += [f"## {SERVERS[kind]}, {latency.MODEL_COUNT} Models\n", *markdown(figures), ""]
    if scales:
        parts += [
            f"## Up to {max(scale.SIZES):,} Models with {scale.REPLICAS} Pods each\n",
            "![Cost of one change over the number of Models](operator.svg)\n",
            "One Model's arguments change, its Pods are replaced one after the other. The cost of that has to be the",
            "same among few Models and many. A new leader finds everything as it should be, and writes nothing.\n",
        ]
    for kind, sizes in scales.items():
        for figures_of in sizes:
            pods = figures_of.models * scale.REPLICAS
            parts += [
                f"### {SERVERS[kind]}, {figures_of.models:,} Models, {pods:,} Pods\n",
                *markdown(figures_of.table()),
                "",
            ]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "operator.md").write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    if scales:
        (directory / "operator.svg").write_text(scale.picture(scales), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
