"""Helm itself installs, changes and removes the charts on a real API server, which judges every object.

There is no node, so nothing runs: what is tested is that the objects are valid and what becomes of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubeai.api.k8s.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    MODELS,
    NAMESPACES,
    PODS,
    SECRETS,
    Resource,
)
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import load_kubeconfig
from scripts.kubernetes.api_server import running
from scripts.kubernetes.models import models_are_served

from .api_calls import Permission, permissions
from .helm import KUBEAI, helm, render
from .helm import MODELS as CATALOGUE
from .test_objects import EVERYTHING

pytestmark = pytest.mark.kubernetes

JSON = dict[str, Any]

#: Kinds that a plain API server does not have.
NOT_HERE: JSON = {"metrics": {"prometheusOperator": {}}, "openshift": {"securityContextConstraints": "never"}}

DEADLINE_S = 60
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)


@dataclass(frozen=True)
class Cluster:
    client: Client
    kubeconfig: Path

    def helm(self, *arguments: str | Path, values: JSON | None = None) -> str:
        return helm("--kubeconfig", self.kubeconfig, "--namespace", self.client.namespace, *arguments, values=values)

    async def names(self, resource: Resource) -> set[str]:
        return {obj["metadata"]["name"] for obj in await self.client.list(resource)}


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running(tmp_path_factory.mktemp("kubernetes")) as server:
        yield server.kubeconfig


@pytest.fixture
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with Client(load_kubeconfig(kubeconfig)) as client:
        yield Cluster(client, kubeconfig)


async def test_the_life_of_a_release(cluster: Cluster) -> None:
    cluster.helm("install", "kubeai", KUBEAI)
    await models_are_served(cluster.client)
    data = {"data": {"models": '{"models": {"m": {"averageActiveRequests": 3.0}}}'}}
    await cluster.client.patch(CONFIG_MAPS, "kubeai-autoscaler-state", data)
    cluster.helm("install", "models", CATALOGUE, values={"all": {"enabled": True}})
    models = await cluster.names(MODELS)
    assert len(models) > 50

    cluster.helm("upgrade", "kubeai", KUBEAI, values=EVERYTHING | NOT_HERE | {"secrets": {"aws": {"create": False}}})
    state = await cluster.client.get(CONFIG_MAPS, "kubeai-autoscaler-state")
    assert state["data"] == data["data"], "an upgrade leaves the autoscaler's averages alone"
    assert "kubeai-aws" not in await cluster.names(SECRETS)

    cluster.helm("uninstall", "kubeai")
    assert await cluster.names(MODELS) == models, "the Models outlive the release"
    cluster.helm("install", "kubeai", KUBEAI)
    cluster.helm("uninstall", "kubeai", "models")
    assert await cluster.names(MODELS) == set()
    assert "models.kubeai.org" in await cluster.names(CUSTOM_RESOURCE_DEFINITIONS)


async def test_a_second_release_has_its_own_namespace_and_no_rights_in_others(cluster: Cluster) -> None:
    for namespace in ("one", "two"):
        new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await cluster.client.create(NAMESPACES, new)
    # The CRD may still be here, from a release that is gone.
    cluster.helm("install", "kubeai", KUBEAI, "--namespace", "one", "--take-ownership")
    cluster.helm("install", "kubeai", KUBEAI, "--namespace", "two", values={"crds": {"enabled": False}})
    everything = sorted(permissions())
    async with asyncio.timeout(DEADLINE_S):  # the authoriser learns of new roles by watches of its own
        while True:
            if await may(cluster.client, "system:serviceaccount:two:kubeai", everything[0], "two"):
                break
            await asyncio.sleep(0.05)
    for needed in everything:
        assert await may(cluster.client, "system:serviceaccount:two:kubeai", needed, "two")
        assert not await may(cluster.client, "system:serviceaccount:two:kubeai", needed, "one")
        assert not await may(cluster.client, "system:serviceaccount:two:kubeai-models", needed, "two")


async def test_its_pods_are_allowed_where_security_is_strict(cluster: Cluster) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    strict = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}}
    await cluster.client.create(NAMESPACES, strict)
    cluster.helm("install", "kubeai", KUBEAI, "--namespace", "strict", values={"crds": {"enabled": False}})
    template = render(KUBEAI).pod
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kubeai"}, "spec": template["spec"]}
    made = await cluster.client.create(PODS, pod, "strict")
    assert made["spec"]["serviceAccountName"] == "kubeai"


async def may(client: Client, user: str, permission: Permission, namespace: str) -> bool:
    """Asks the server's own authoriser."""
    group, resource, verb = permission
    resource, _, subresource = resource.partition("/")
    name = {"name": "kubeai-api-keys"} if resource == "secrets" else {}  # the only one that it may see
    asked = name | {
        "namespace": namespace,
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "verb": verb,
    }
    review = await client.create(ACCESS_REVIEWS, {"spec": {"user": user, "resourceAttributes": asked}})
    return bool(review["status"]["allowed"])
