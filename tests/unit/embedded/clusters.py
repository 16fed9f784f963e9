"""A cluster in memory, without a journal, for tests of its verbs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from kubeai.api.k8s.resources import Resource
from kubeai.embedded.builtin import builtin_catalog
from kubeai.embedded.cluster import Cluster, WriteOptions
from kubeai.embedded.deleting import DeleteOptions
from kubeai.embedded.kinds import Kind
from kubeai.embedded.store import Change, Key, Store
from tests.builders import NOW

WRITE = WriteOptions(NOW)
DELETE = DeleteOptions(NOW)


class Disk:
    """Keeps changes, or fails as a full disk does."""

    def __init__(self) -> None:
        self.kept: list[Change] = []
        self.full = False

    def __call__(self, change: Change) -> None:
        if self.full:
            raise OSError("no space left")
        self.kept.append(change)


def entropy() -> Callable[[int], bytes]:
    """Different bytes at each call, and the same ones in each test."""
    calls = 0

    def draw(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.sha256(str(calls).encode()).digest()[:size]

    return draw


def new_cluster(disk: Disk | None = None) -> Cluster:
    """With the first namespaces."""
    cluster = Cluster(Store(disk or Disk()), builtin_catalog(), entropy())
    cluster.found(NOW)
    return cluster


def kind_of(cluster: Cluster, resource: Resource) -> Kind:
    return cluster.kind(resource.group, resource.version, resource.plural)


def create(cluster: Cluster, resource: Resource, obj: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
    home = namespace if resource.namespaced else ""
    return cluster.create(kind_of(cluster, resource), home, obj, WRITE).entry.obj


def delete(cluster: Cluster, resource: Resource, name: str, options: DeleteOptions = DELETE) -> None:
    """Delete, and let everything follow that does."""
    home = "default" if resource.namespaced else ""
    cluster.delete(kind_of(cluster, resource), home, name, options)
    cluster.settle(NOW)


def names(cluster: Cluster, resource: Resource) -> list[str]:
    return [entry.key.name for entry in cluster.store.entries(resource.group_plural)]


def key(name: str = "a", resource: str = "configmaps", namespace: str = "default") -> Key:
    return Key(resource, namespace, name)


def thing(name: str = "a", **more: Any) -> dict[str, Any]:
    """A bare object for the store, which looks at metadata only."""
    return {"metadata": {"name": name, "uid": f"uid-of-{name}"} | more}
