"""Writes the charts' values.schema.json, by which Helm refuses wrong values before anything is installed.

That of charts/kubeai comes from values.yaml, its comments, and the schema of the system configuration; that of
charts/models from the schema of a Model. `scripts/helm_schema.py` writes the files, `--check` only says which differ
and fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from kubeai.api.crd import model_schema
from kubeai.api.schema import structural_schema
from kubeai.config.system import DEFAULT_IMAGES, System

Schema = dict[str, Any]

CHARTS = Path(__file__).resolve().parent.parent / "charts"
DRAFT = "http://json-schema.org/draft-07/schema#"

#: Keys of system.yaml that the chart sets by itself.
OWN_KEYS = {"modelServerPods": ("serviceAccountName", "imagePullSecrets")}
#: What keys a map may have.
NAMES: Mapping[str, Schema] = {"modelServers": {"propertyNames": {"enum": sorted(DEFAULT_IMAGES)}}}
#: Keys whose value is a piece of a Kubernetes object: the API server checks it.
FRAGMENTS = frozenset(
    (
        "affinity",
        "containerSecurityContext",
        "lifecycle",
        "livenessProbe",
        "podSecurityContext",
        "readinessProbe",
        "resources",
        "securityContext",
        "startupProbe",
        "strategy",
    )
)
TEXT_MAPS = frozenset(("annotations", "labels", "nodeSelector", "podAnnotations", "podLabels"))
TEXT_LISTS = frozenset(("command", "args", "fixedSelfMetricAddrs"))
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
NUMBER_OR_PERCENT = {"type": ["integer", "string"], "pattern": "^[0-9]+%$", "minimum": 0}
SERVICE_TYPE = {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}
PULL_POLICY = {"enum": ["Always", "IfNotPresent", "Never"]}
NATURAL = {"type": "integer", "minimum": 0}
POSITIVE = {"type": "integer", "minimum": 1}
#: What the default alone does not tell, by the end of the key's path; the longest that fits is taken.
DETAILS: Mapping[str, Schema] = {
    "autoscaling.maxReplicas": POSITIVE,
    "autoscaling.minReplicas": POSITIVE,
    "autoscaling.targetCPUUtilizationPercentage": POSITIVE,
    "image.pullPolicy": PULL_POLICY,
    "ollama.enabled": {"const": False},
    "openshift.securityContextConstraints": {"enum": ["auto", "always", "never"]},
    "pipelines.enabled": {"const": False},
    "podDisruptionBudget.maxUnavailable": NUMBER_OR_PERCENT | {"type": ["integer", "string", "null"]},
    "podDisruptionBudget.minAvailable": NUMBER_OR_PERCENT,
    "replicaCount": NATURAL,
    "service.nodePort": {"type": ["string", "integer"]},
    "service.port": PORT,
    "service.type": SERVICE_TYPE,
    "terminationGracePeriodSeconds": NATURAL,
}
JSON_TYPES = {str: "string", bool: "boolean", int: "integer"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the file is out of date")
    check = parser.parse_args().check
    stale = [path for path, render in SCHEMAS.items() if not _is_current(path, render())]
    for path in stale:
        chart = path.parent.name
        print(f"{chart}/{path.name} {'is out of date: run scripts/helm_schema.py' if check else 'written'}")
        if not check:
            path.write_text(SCHEMAS[path](), encoding="utf-8")
    return 1 if check and stale else 0


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def kubeai_values() -> str:
    text = (CHARTS / "kubeai" / "values.yaml").read_text(encoding="utf-8")
    return _document("kubeai", _Values(text).schema())


def models_values() -> str:
    spec = _config_schema(model_schema()["properties"]["spec"])
    # Helm has removed the nulls of an entry that the catalogue has; what is left of one must be a whole Model.
    model = spec | {"required": ["url", "features", "engine"]}
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    model["properties"] |= {
        "enabled": {"description": "Make this Model.", "type": "boolean"},
        "labels": {"description": "Labels of the Model.", **texts},
        "annotations": {"description": "Annotations of the Model.", **texts},
    }
    switch = {"description": "Make all Models of the catalogue.", "type": "boolean"}
    properties = {
        "all": {"type": "object", "additionalProperties": False, "properties": {"enabled": switch}},
        "catalog": {"type": "object", "additionalProperties": model},
    }
    return _document("models", {"type": "object", "additionalProperties": False, "properties": properties})


def _document(chart: str, schema: Schema) -> str:
    # Helm hands `global` to every chart that is part of another one.
    schema["properties"]["global"] = {"type": "object"}
    return json.dumps({"$schema": DRAFT, "title": f"Values of the chart {chart}"} | schema, indent=2) + "\n"


class _Values:
    """values.yaml with its comments."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._tree = yaml.compose(text, yaml.SafeLoader)
        self._values: dict[str, Any] = yaml.safe_load(text)
        self._config = structural_schema(System)["properties"]

    def schema(self) -> Schema:
        return self._mapping((), self._tree, self._values)

    def _mapping(self, path: tuple[str, ...], node: yaml.Node | None, values: Mapping[str, Any]) -> Schema:
        assert isinstance(node, yaml.MappingNode)
        properties = {
            key.value: self._comment(key) | self._key((*path, key.value), child, values[key.value])
            for key, child in node.value
        }
        return {"type": "object", "additionalProperties": False, "properties": properties}

    def _key(self, path: tuple[str, ...], node: yaml.Node, value: Any) -> Schema:
        if len(path) == 1 and path[0] in self._config:
            return _config_schema(self._config[path[0]], OWN_KEYS.get(path[0], ())) | NAMES.get(path[0], {})
        if details := _details(path):
            return details
        if (fragment := _fragment(path[-1], value)) is not None:
            return fragment
        if isinstance(node, yaml.MappingNode):
            return self._mapping(path, node, value)
        return {"type": JSON_TYPES[type(value)]}

    def _comment(self, key: yaml.Node) -> Schema:
        """The comment lines right above a key."""
        lines: list[str] = []
        for line in reversed(self._lines[: key.start_mark.line]):
            text = line.strip()
            if not text.startswith("#"):
                break
            lines.insert(0, text.removeprefix("#").strip())
        return {"description": " ".join(lines)} if lines else {}


def _details(path: tuple[str, ...]) -> Schema | None:
    for start in range(len(path)):
        if details := DETAILS.get(".".join(path[start:])):
            return details
    return None


def _fragment(key: str, value: Any) -> Schema | None:
    """The schema of what is not described in values.yaml itself; None for a plain value or a section."""
    if key in TEXT_LISTS:
        return {"type": "array", "items": {"type": "string"}}
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "object"}}
    if key in TEXT_MAPS:
        return {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
    if key in FRAGMENTS:
        return {"type": "object"}
    return None


def _config_schema(schema: Schema, own: tuple[str, ...] = ()) -> Schema:
    """A section of system.yaml. Every value may be null, which is how one values file unsets what another sets."""
    result: Schema = {"type": [schema["type"], "null"] if "type" in schema else None}
    if schema.get("format") in ("quantity", "duration"):
        result["type"] = ["string", "number", "null"]
    result |= {key: schema[key] for key in ("description", "enum", "minimum", "maximum") if key in schema}
    if "properties" in schema:
        properties = {key: _config_schema(field) for key, field in schema["properties"].items() if key not in own}
        result |= {"properties": properties, "additionalProperties": False}
    elif isinstance(others := schema.get("additionalProperties"), dict):
        result["additionalProperties"] = _config_schema(others)
    if "items" in schema:
        # Lists are replaced as a whole, so an item has to be complete.
        result["items"] = _config_schema(schema["items"]) | _required(schema["items"])
    return {key: value for key, value in result.items() if value is not None}


def _required(schema: Schema) -> Schema:
    return {"required": schema["required"]} if "required" in schema else {}


SCHEMAS: Mapping[Path, Callable[[], str]] = {
    CHARTS / "kubeai" / "values.schema.json": kubeai_values,
    CHARTS / "models" / "values.schema.json": models_values,
}

if __name__ == "__main__":
    sys.exit(main())
