"""The Grafana dashboard of the chart, made from a table of questions: `charts/kubeai/files/grafana-dashboard.json`.

Written by scripts/generate.py. Where Prometheus runs is chosen in Grafana (the variable `datasource`); `namespace` and
`model` narrow it down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import names
from .names import MetricSpec

JSONObject = dict[str, Any]

_WIDTH, _HEIGHT = 12, 8
_MODELS = 'namespace=~"$namespace", request_model=~"$model"'
_ALL = 'namespace=~"$namespace"'
_RATE = "$__rate_interval"


@dataclass(frozen=True)
class Panel:
    """One picture: lines over time, each with a query and a legend."""

    title: str
    unit: str
    lines: dict[str, str]
    help: str = ""
    stacked: bool = False


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...] = field(default=())


def _rate(metric: MetricSpec, by: str, where: str = _MODELS) -> str:
    return f"sum by ({by}) (rate({metric.name}{{{where}}}[{_RATE}]))"


def _max(metric: MetricSpec) -> str:
    """For what each gateway, or only the leader, says of the same thing."""
    return f"max by (request_model) ({metric.name}{{{_MODELS}}})"


def _quantiles(metric: MetricSpec, by: str = "request_model") -> dict[str, str]:
    return {f"p{q} {{{{{by}}}}}": _quantile(metric, q, by) for q in (50, 95)}


def _quantile(metric: MetricSpec, percent: int, by: str) -> str:
    buckets = f"sum by (le, {by}) (rate({metric.name}_bucket{{{_MODELS}}}[{_RATE}]))"
    return f"histogram_quantile({percent / 100:g}, {buckets})"


ROWS = (
    Row(
        "Requests",
        (
            Panel(
                "Requests by model",
                "reqps",
                {"{{request_model}}": _rate(names.REQUESTS, "request_model")},
                stacked=True,
            ),
            Panel(
                "Answers that are errors",
                "reqps",
                {
                    "{{status}} {{request_model}}": _rate(
                        names.REQUESTS, "status, request_model", f'{_MODELS}, status=~"[45].."'
                    )
                },
                "499: the client went away. 429: the queue is full or a key's limit is reached.",
            ),
            Panel(
                "Requests that are waiting or being answered",
                "short",
                {"{{request_model}}": f"sum by (request_model) ({names.REQUESTS_ACTIVE.name}{{{_MODELS}}})"},
                "What the autoscaler reads.",
            ),
            Panel(
                "Retries",
                "reqps",
                {"{{reason}} {{request_model}}": _rate(names.RETRIES, "reason, request_model")},
            ),
        ),
    ),
    Row(
        "Times",
        (
            Panel("Time to first byte", "s", _quantiles(names.TIME_TO_FIRST_BYTE)),
            Panel("Time of the whole answer", "s", _quantiles(names.REQUEST_DURATION)),
            Panel(
                "Time between the pieces of streams",
                "s",
                _quantiles(names.INTER_CHUNK),
                "Near to the time for each token.",
            ),
            Panel(
                "Waiting for a replica",
                "s",
                _quantiles(names.QUEUE_WAIT),
                "Of the requests that had to wait.",
            ),
            Panel("Cold starts", "s", _quantiles(names.COLD_START)),
        ),
    ),
    Row(
        "Tokens",
        (
            Panel(
                "Tokens by model",
                "short",
                {"{{kind}} {{request_model}}": _rate(names.TOKENS, "kind, request_model")},
                "A second, as model servers tell them in usage.",
            ),
            Panel(
                "Tokens by API key",
                "short",
                {"{{kind}} {{key}}": _rate(names.USAGE_TOKENS, "kind, key")},
                "A second.",
                stacked=True,
            ),
            Panel("Requests by API key", "reqps", {"{{key}}": _rate(names.USAGE_REQUESTS, "key")}, stacked=True),
        ),
    ),
    Row(
        "Replicas",
        (
            Panel(
                "Endpoints that can take requests",
                "short",
                {"{{request_model}}": _max(names.ENDPOINTS)},
            ),
            Panel(
                "Requests in flight by endpoint",
                "short",
                {"{{endpoint}}": f"sum by (endpoint) ({names.ENDPOINT_REQUESTS_IN_FLIGHT.name}{{{_MODELS}}})"},
            ),
            Panel(
                "Requests that wait for an endpoint",
                "short",
                {"{{request_model}}": f"sum by (request_model) ({names.REQUESTS_WAITING.name}{{{_MODELS}}})"},
            ),
            Panel(
                "Autoscaling",
                "short",
                {
                    "average {{request_model}}": _max(names.AUTOSCALER_AVERAGE),
                    "replicas {{request_model}}": _max(names.AUTOSCALER_REPLICAS),
                },
                "Averaged requests, and how many replicas they ask for.",
            ),
        ),
    ),
    Row(
        "KubeAI itself",
        (
            Panel("Processor", "short", {"{{pod}}": f"rate(process_cpu_seconds_total{{{_ALL}}}[{_RATE}])"}, "Cores."),
            Panel("Memory", "bytes", {"{{pod}}": f"process_resident_memory_bytes{{{_ALL}}}"}),
            Panel("Passes over Models", "ops", {"{{result}}": _rate(names.RECONCILES, "result", _ALL)}),
        ),
    ),
)


def dashboard_json() -> str:
    dashboard = {
        "uid": "kubeai",
        "title": "KubeAI",
        "tags": ["kubeai"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [_datasource(), _variable("namespace"), _variable("model", "request_model")]},
        "panels": list(_panels()),
    }
    return json.dumps(dashboard, indent=2) + "\n"


def _panels() -> Iterator[JSONObject]:
    number, y = 0, 0
    for row in ROWS:
        number += 1
        place = {"x": 0, "y": y, "w": 2 * _WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        y += 1
        for index, panel in enumerate(row.panels):
            number += 1
            place = {"x": index % 2 * _WIDTH, "y": y + index // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            yield _panel(number, panel, place)
        y += (len(row.panels) + 1) // 2 * _HEIGHT


def _panel(number: int, panel: Panel, place: JSONObject) -> JSONObject:
    stacking = {"group": "A", "mode": "normal" if panel.stacked else "none"}
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if panel.stacked else 5, "stacking": stacking}
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _SOURCE,
            "expr": query,
            "legendFormat": legend,
            "editorMode": "code",
            "range": True,
        }
        for index, (legend, query) in enumerate(panel.lines.items())
    ]
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": targets,
    }


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _datasource() -> JSONObject:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(name: str, label: str = "") -> JSONObject:
    query = f"label_values(kubeai_inference_requests_total, {label or name})"
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "variable"},
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
    }
