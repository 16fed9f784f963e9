"""Runs the real Helm on the charts and reads what it makes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubeai.config.load import parse_system
from kubeai.config.system import System

ROOT = Path(__file__).resolve().parents[2]
KUBEAI = ROOT / "charts" / "kubeai"
MODELS = ROOT / "charts" / "models"

JSON = dict[str, Any]


class HelmError(Exception):
    """What Helm says on standard error."""


def helm(*arguments: str | Path, values: Mapping[str, Any] | None = None) -> str:
    """Helm's output. `values` is given as a values file. Raises `HelmError`."""
    more = ["--values", "-"] if values is not None else []
    text = yaml.safe_dump(dict(values)) if values is not None else None
    command = [str(ROOT / "scripts" / "helm"), *map(str, arguments), *more]
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise HelmError(ended.stderr)
    return ended.stdout


@dataclass(frozen=True)
class Rendered:
    """The objects that a release would have."""

    objects: Sequence[JSON]

    def of(self, kind: str) -> list[JSON]:
        return [obj for obj in self.objects if obj["kind"] == kind]

    def one(self, kind: str, name: str = "kubeai") -> JSON:
        (found,) = [obj for obj in self.of(kind) if obj["metadata"]["name"] == name]
        return found

    @property
    def pod(self) -> JSON:
        """The template of KubeAI's own Pods."""
        template: JSON = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def container(self) -> JSON:
        container: JSON = self.pod["spec"]["containers"][0]
        return container

    @property
    def system_yaml(self) -> JSON:
        data: JSON = yaml.safe_load(self.one("ConfigMap", "kubeai-config")["data"]["system.yaml"])
        return data

    @property
    def system(self) -> System:
        return parse_system(self.system_yaml, "the chart's system.yaml")


def render(chart: Path, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> Rendered:
    """What `helm install` would apply. Raises `HelmError`."""
    text = helm("template", "release", chart, "--namespace", "ns", *arguments, values=values)
    return Rendered([obj for obj in yaml.safe_load_all(text) if obj])
