"""The dashboard by the types of Grafana's own front end, as it publishes them for TypeScript."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT

from .conftest import SOURCES

pytestmark = pytest.mark.clients

FILE = ROOT / "charts/kubeai/files/grafana-dashboard.json"


def errors(dashboard: dict[str, Any], modules: Path, directory: Path) -> str:
    """What the compiler says; nothing if the types fit and no key is one that Grafana does not know."""
    shutil.copy(SOURCES / "grafana.ts", directory)
    (directory / "node_modules").symlink_to(modules)
    file = directory / "dashboard.ts"
    declared = 'import type { DashboardFile } from "./grafana";\nexport const dashboard: DashboardFile = '
    file.write_text(f"{declared}{json.dumps(dashboard, indent=2)};\n")
    command = [str(modules / ".bin/tsc"), "--noEmit", "--strict", "--module", "preserve", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False).stdout


def first_panel(change: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda dashboard: dashboard["panels"][1].update(change)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "as it is": (lambda dashboard: None, ""),
    "with a key that Grafana does not know": (first_panel({"titel": "Requests"}), "'\"titel\"' does not exist"),
    "with a place that is a text": (first_panel({"gridPos": {"h": "8", "w": 12, "x": 0, "y": 0}}), "not assignable"),
    "with a legend of no known form": (
        lambda dashboard: dashboard["panels"][1]["options"]["legend"].update(displayMode="rows"),
        "not assignable",
    ),
    "without a version": (lambda dashboard: dashboard.pop("schemaVersion"), "'schemaVersion' is missing"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_the_dashboard_has_grafanas_types(
    modules: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    dashboard = json.loads(FILE.read_text())
    change(dashboard)
    found = errors(dashboard, modules, tmp_path)
    assert said in found if said else found == ""
