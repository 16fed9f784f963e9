"""The CustomResourceDefinition of Models, made of the Python types and the table of rules."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import yaml

from kubeai.api.k8s.resources import CUSTOM_RESOURCE_DEFINITIONS, MODELS
from kubeai.api.model import Model
from kubeai.api.rules import RULES, Rule
from kubeai.api.schema import Schema, structural_schema

_COLUMNS = (
    ("Engine", "string", ".spec.engine", "The model server."),
    ("Features", "string", ".spec.features", "What the model can do."),
    ("Ready", "integer", ".status.replicas.ready", "Pods that are ready to serve."),
    ("All", "integer", ".status.replicas.all", "Pods that exist."),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready, or why it is not."),
    ("URL", "string", ".spec.url", "Where the weights come from."),
    ("Age", "date", ".metadata.creationTimestamp", "When the Model was created."),
)
_API_VERSION = (
    "The version of this representation of the object: kubeai.org/v1. "
    "See https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "The kind of the object: Model. "
    "See https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)


@cache
def model_schema() -> Schema:
    """The structural schema of a Model, with the rules. Not to be changed by whoever asks for it."""
    schema = structural_schema(Model)
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": _API_VERSION},
        "kind": {"type": "string", "description": _KIND},
        # The API server knows the rest of it.
        "metadata": {"type": "object"},
        "spec": schema["properties"]["spec"],
        "status": schema["properties"]["status"],
    }
    for rule in RULES:
        _at(schema, rule.path).setdefault("x-kubernetes-validations", []).append(_validation(rule))
    return schema


def _at(schema: Schema, path: str) -> Schema:
    for step in path.split(".") if path else ():
        name, each, _ = step.partition("[]")
        schema = schema["properties"][name]
        if each:
            schema = schema["items"]
    return schema


def _validation(rule: Rule) -> dict[str, str]:
    validation = {"rule": rule.cel, "message": rule.message}
    # `metadata` has no fields in the schema that a path could name.
    if rule.field and rule.path:
        validation["fieldPath"] = f".{rule.field}"
    return validation


def model_crd() -> dict[str, Any]:
    """What is applied to a cluster before any Model; a copy that is the caller's own."""
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": {"name": MODELS.group_plural},
        "spec": {
            "group": MODELS.group,
            "names": {
                "kind": MODELS.kind,
                "listKind": f"{MODELS.kind}List",
                "plural": MODELS.plural,
                "singular": MODELS.singular,
                "shortNames": list(MODELS.short_names),
                "categories": list(MODELS.categories),
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": MODELS.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": name, "type": type_, "jsonPath": path, "description": description}
            for name, type_, path, description in _COLUMNS
        ],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas.all",
            },
        },
        "schema": {"openAPIV3Schema": deepcopy(model_schema())},
    }


class _Dumper(yaml.SafeDumper):
    """Writes everything out: anchors would be right, but nobody reads them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Several lines stay several lines."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def crd_yaml() -> str:
    """`manifests/crds/kubeai.org_models.yaml`."""
    text: str = yaml.dump(model_crd(), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return "# Generated from src/kubeai/api by scripts/generate.py: do not edit.\n" + text
