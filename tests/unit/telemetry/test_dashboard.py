"""The dashboard asks for metrics that exist, by labels that they have, and Grafana can load it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kubeai.telemetry.dashboard import dashboard_json
from kubeai.telemetry.names import ALL

FILE = Path(__file__).parents[3] / "charts" / "kubeai" / "files" / "grafana-dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = {f"{p['title']}: {t['legendFormat']}": t for p in PANELS for t in p.get("targets", [])}
#: What Prometheus itself says of a series.
TARGET_LABELS = {"namespace", "pod", "job", "instance"}
SERIES = {
    spec.name + suffix: set(spec.labels) | ({"le"} if suffix == "_bucket" else set())
    for spec in ALL
    for suffix in (("_bucket", "_sum", "_count") if spec.kind == "histogram" else ("",))
} | {name: set() for name in ("process_cpu_seconds_total", "process_resident_memory_bytes")}


def test_the_file_is_the_generated_one() -> None:
    assert FILE.read_text(encoding="utf-8") == dashboard_json()


@pytest.mark.parametrize("target", QUERIES.values(), ids=QUERIES.keys())
def test_a_query_asks_for_what_there_is(target: dict[str, Any]) -> None:
    query = target["expr"]
    (series,) = re.findall(r"\b(\w+)\{", query)
    assert series in SERIES
    known = SERIES[series] | TARGET_LABELS
    selected = re.findall(r'(\w+)=~?"', query)
    grouped = [label for group in re.findall(r"by \(([^)]*)\)", query) for label in re.split(r",\s*", group)]
    assert set(selected + grouped) <= known
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert shown <= (set(grouped) or known)
    assert all(query.count(left) == query.count(right) for left, right in ("()", "{}", "[]"))


@pytest.mark.parametrize("target", QUERIES.values(), ids=QUERIES.keys())
def test_a_counter_is_asked_for_its_rate_and_a_gauge_is_not(target: dict[str, Any]) -> None:
    counted = re.search(r"_(total|bucket|count|sum)\{", target["expr"]) is not None
    assert ("rate(" in target["expr"]) == counted


def test_every_metric_of_requests_is_on_it() -> None:
    shown = {name.removesuffix("_bucket") for name in re.findall(r"kubeai_\w+", json.dumps(PANELS))}
    asked = {spec.name for spec in ALL if spec.name.startswith(("kubeai_inference", "kubeai_endpoint", "kubeai_usage"))}
    assert {name for name in asked - shown if "hash_lookup" not in name} == set()


def test_grafana_can_load_it() -> None:
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= DASHBOARD.keys()
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["type"] in ("row", "timeseries")
        assert panel["type"] == "row" or panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(references)) == len(references)


def test_variables_that_are_used_are_there() -> None:
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - {"__rate_interval", "__all"} == defined


def test_no_panels_lie_on_each_other() -> None:
    cells = [
        (x, y)
        for panel in PANELS
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
