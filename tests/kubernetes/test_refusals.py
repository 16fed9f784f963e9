"""What a real API server says when it refuses a Pod becomes the right reason, and goes when its cause does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kubeai.api.k8s.resources import MODELS, NAMESPACES, PODS, Resource
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.builders import model_manifest, pod_manifest
from tests.scenarios.operator_life_test import DEADLINE_S, Cluster, operator

pytestmark = pytest.mark.kubernetes

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
LIMITS = Resource("", "v1", "limitranges", "LimitRange")
ENFORCED = "pod-security.kubernetes.io/enforce"

Change = Callable[[Client], Awaitable[Any]]


def label(level: str | None) -> Change:
    return lambda client: client.patch(NAMESPACES, client.namespace, {"metadata": {"labels": {ENFORCED: level}}})


async def restrict(client: Client) -> None:
    await label("restricted")(client)
    async with asyncio.timeout(DEADLINE_S):  # who checks Pods learns of the label by a watch of its own
        while True:
            try:
                await client.create(PODS, pod_manifest(), dry_run=True)
            except APIError as refusal:
                if not refusal.forbidden:
                    raise
                return
            await asyncio.sleep(0.02)


async def spend_quota(client: Client) -> None:
    spec = {"hard": {"pods": "0"}}
    await client.create(QUOTAS, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": spec})
    # What a controller would count, where none runs.
    status = {"hard": {"pods": "0"}, "used": {"pods": "0"}}
    await client.patch(QUOTAS, "q", {"status": status}, subresource="status")


async def limit(client: Client) -> None:
    spec = {"limits": [{"type": "Container", "min": {"memory": "4Gi"}}]}
    await client.create(LIMITS, {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": spec})


def edit(**spec: Any) -> Change:
    return lambda client: client.patch(MODELS, "m", {"spec": spec})


async def nothing(client: Client) -> None:
    return None


#: The Model, what makes the server refuse, what mends it, the reason, and what is told.
REFUSALS: dict[str, tuple[dict[str, Any], Change, Change, str, str]] = {
    "Pod security": ({}, restrict, label(None), "AdmissionDenied", "violates PodSecurity"),
    "a quota": (
        {},
        spend_quota,
        lambda client: client.delete(QUOTAS, "q"),
        "QuotaExceeded",
        "exceeded quota: q",
    ),
    "a limit range": (
        {"resourceProfile": "cpu:1"},
        limit,
        lambda client: client.delete(LIMITS, "l"),
        "AdmissionDenied",
        "memory",
    ),
    "a field that is wrong": (
        {"pods": {"template": {"spec": {"hostname": "not a host"}}}},
        nothing,
        edit(pods=None),
        "InvalidObject",
        "spec.hostname",
    ),
    "image volumes, where they are switched off": (
        {"url": "oci://registry.example.com/m:v1"},
        nothing,
        edit(url="hf://org/name"),
        "FeatureDisabled",
        "ImageVolume",
    ),
}


@pytest.mark.parametrize(("spec", "spoil", "mend", "reason", "message"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_refusal_is_told_and_passes(
    access: ClusterAccess, spec: dict[str, Any], spoil: Change, mend: Change, reason: str, message: str
) -> None:
    # fault O4
    async with operator(access, access) as cluster:
        await spoil(cluster.client)
        await cluster.client.create(MODELS, model_manifest(minReplicas=1, **spec))
        await cluster.until(lambda: cluster.condition() == ("False", reason))
        assert message in _told(cluster)
        await mend(cluster.client)
        await cluster.until(lambda: cluster.condition() == ("True", "Ready"))


def _told(cluster: Cluster) -> str:
    (model,) = cluster.models.all()
    condition = model.condition("Ready")
    return condition.message if condition else ""


async def test_a_namespace_that_is_deleted_under_a_model(access: ClusterAccess) -> None:
    async with operator(access, access) as cluster:
        await cluster.client.create(MODELS, model_manifest(minReplicas=0))
        await cluster.until(lambda: cluster.condition() == ("False", "ScaledToZero"))
        await cluster.client.patch(MODELS, "m", {"metadata": {"finalizers": ["test.dev/hold"]}})
        await cluster.client.delete(NAMESPACES, cluster.client.namespace)
        await cluster.client.patch(MODELS, "m", {"spec": {"replicas": 1}}, subresource="scale")
        await cluster.until(
            lambda: cluster.condition() in [("False", "NamespaceTerminating"), ("False", "Terminating")]
        )
        await cluster.client.patch(MODELS, "m", {"metadata": {"finalizers": None}})
