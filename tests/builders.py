"""Objects for tests, with sensible defaults: name only what the test is about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kubeai.api.k8s.objects import Pod
from kubeai.api.model import Model
from kubeai.config.load import parse_system
from kubeai.config.system import System
from kubeai.routing.endpoint import Endpoint


def endpoint(name: str = "e1", *adapters: str) -> Endpoint:
    """An endpoint that serves these adapters."""
    return Endpoint(name, "10.0.0.1", 8000, frozenset(adapters))


#: The moment at which tests take place.
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def model(name: str = "m", *, status: Mapping[str, Any] | None = None, **spec: Any) -> Model:
    """A Model as the API server returns it; spec's fields in camelCase. `metadata` adds to its metadata."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "generation": 1, "resourceVersion": "7"}
    metadata |= spec.pop("metadata", {})
    spec = {"url": "hf://org/name", "engine": "VLLM", "features": ["TextGeneration"]} | spec
    return Model.model_validate({"metadata": metadata, "spec": spec, "status": dict(status or {})})


def system(**sections: Any) -> System:
    """A system configuration with one resource profile; sections by their keys in the file."""
    data: dict[str, Any] = {
        "modelAutoscaling": {"stateConfigMapName": "state"},
        "resourceProfiles": {"cpu": {"requests": {"cpu": 1, "memory": "2Gi"}}},
    }
    return parse_system(data | sections, "test")


def pod(
    name: str = "p",
    *,
    of: Model | None = None,
    hash: str = "current",
    ready: bool = True,
    age_s: float = 60,
    node: str | None = "node",
    status: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Pod:
    """A Pod that runs, of the Model `of`; `status` and `metadata` add to what it says."""
    owner = {"kind": "Model", "name": of.name, "uid": of.uid, "controller": True} if of else None
    made = NOW - timedelta(seconds=age_s)
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": f"uid-of-{name}",
                "creationTimestamp": made.isoformat(),
                "labels": {"app": "model", "model": of.name if of else "m", "pod-hash": hash},
                "ownerReferences": [owner] if owner else [],
            }
            | dict(metadata or {}),
            "spec": {"nodeName": node},
            "status": {
                "phase": "Running",
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            }
            | dict(status or {}),
        },
        Pod,
    )


def container(name: str = "server", **fields: Any) -> dict[str, Any]:
    """A container as a Pod has it; fields in camelCase."""
    return {"name": name, "image": "local/process", "command": ["serve"], **fields}


def pod_body(name: str = "p", *containers: dict[str, Any], uid: str = "", **spec: Any) -> dict[str, Any]:
    """A whole Pod as the API server gives it to the node; spec's fields in camelCase."""
    meta = {"name": name, "namespace": "default", "uid": uid or f"uid-of-{name}"}
    return {"metadata": meta, "spec": {"containers": list(containers) or [container()], **spec}}


def model_manifest(name: str = "m", *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Model as a user writes it; spec's fields in camelCase, `metadata` adds to its metadata."""
    spec = {"url": "hf://org/name", "engine": "VLLM", "features": ["TextGeneration"]} | spec
    head = {"apiVersion": "kubeai.org/v1", "kind": "Model", "metadata": {"name": name} | dict(metadata or {})}
    return head | {"spec": spec}


def pod_manifest(name: str = "p", *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Pod with one container as a user writes it."""
    spec = {"containers": [{"name": "server", "image": "local/echo"}]} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name} | dict(metadata or {}), "spec": spec}


def job_manifest(name: str = "j", *, restart: str = "Never", **spec: Any) -> dict[str, Any]:
    """A Job whose Pods have one container."""
    template = {"spec": {"restartPolicy": restart, "containers": [{"name": "work", "image": "local/echo"}]}}
    head = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
    return head | {"spec": {"template": template} | spec}


def config_map(name: str = "c", *, metadata: Mapping[str, Any] | None = None, **data: str) -> dict[str, Any]:
    """A ConfigMap as a user writes it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name} | dict(metadata or {}),
        "data": data,
    }


def owner_of(obj: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An owner reference to this object."""
    head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    return head | {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]} | more


def definition(schema: Mapping[str, Any], *, plural: str = "gadgets", **version: Any) -> dict[str, Any]:
    """A CustomResourceDefinition in the group test.dev, whose objects have this schema for their spec."""
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    whole = {"type": "object", "properties": {"spec": dict(schema), "status": status}}
    kind = plural.removesuffix("s").capitalize()
    served = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": whole}} | version
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.test.dev"},
        "spec": {
            "group": "test.dev",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [served],
        },
    }
