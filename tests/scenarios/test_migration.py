"""What another implementation has left behind: its servers go on, its caches, finalizers and Lease count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubeai.api.k8s.resources import JOBS, LEASES, MODELS, PERSISTENT_VOLUME_CLAIMS, PODS, SERVICE_ACCOUNTS
from kubeai.api.model import Model
from kubeai.app.run import LEASE
from kubeai.app.wiring import ControlPlane
from kubeai.config.system import LeaderElection
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.lease import LeaderElection as Election
from kubeai.planning.pods.build import build_pod
from kubeai.telemetry.registry import Metrics
from tests.builders import model_manifest, system

from .kubelet import READY

JSON = dict[str, Any]
DEADLINE_S = 60.0
SYSTEM = system(
    modelServerPods={"serviceAccountName": "models", "securityContext": {"allowPrivilegeEscalation": False}},
    cacheProfiles={"nfs": {"sharedFilesystem": {"storageClassName": "nfs"}}},
    resourceProfiles={"gpu": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "1500m"}}},
)
#: One for each engine, with what changes a Pod.
KINDS: dict[str, JSON] = {
    "vllm": {"engine": "VLLM", "url": "s3://bucket/path", "resourceProfile": "gpu:2", "env": {"A": "1"}},
    "cached": {"engine": "VLLM", "cacheProfile": "nfs"},
    "infinity": {"engine": "Infinity", "features": ["TextEmbedding"], "args": ["--a"]},
    "whisper": {"engine": "FasterWhisper", "features": ["SpeechToText"], "priorityClassName": "system-node-critical"},
    "llama": {"engine": "LlamaCpp", "url": "hf://o/m?model=m.gguf", "resourceProfile": "gpu:1"},
}
FOREIGN = "5d4f8c7b6f"


async def leave_behind(client: Client, name: str) -> str:
    """A Model of the other implementation, with its server; returns the Pod's uid."""
    manifest = model_manifest(name, minReplicas=1, replicas=1, **KINDS[name])
    if name == "cached":
        manifest["metadata"]["finalizers"] = ["kubeai.org/cache-eviction"]
    model = Model.model_validate(await client.create(MODELS, manifest))
    pod = build_pod(model, SYSTEM)
    metadata = {k: v for k, v in pod["metadata"].items() if k != "generateName"}
    metadata |= {"name": f"model-{name}-{FOREIGN}-x2x4q", "labels": metadata["labels"] | {"pod-hash": FOREIGN}}
    made = await client.create(PODS, pod | {"metadata": metadata})
    await client.patch(PODS, metadata["name"], {"status": READY}, subresource="status")
    if name == "cached":
        record = {f"models.kubeai.org/{name}": json.dumps({"uid": model.uid, "timestamp": "2026-01-01T00:00:00Z"})}
        spec = {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "10Gi"}},
            "storageClassName": "nfs",
        }
        claim = {"metadata": {"name": "shared-model-cache-nfs", "annotations": record}, "spec": spec}
        await client.create(PERSISTENT_VOLUME_CLAIMS, claim)
    return str(made["metadata"]["uid"])


async def service_account(client: Client) -> None:
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "models"}})


async def hashes(client: Client) -> set[str]:
    return {pod["metadata"]["labels"]["pod-hash"] for pod in await client.list(PODS)}


@pytest.fixture
async def client(access: ClusterAccess) -> AsyncIterator[Client]:
    async with Client(access) as connected:
        yield connected


@pytest.fixture
async def kubeais(own_access: ClusterAccess) -> AsyncIterator[Client]:
    """What KubeAI itself may do: it has to write to Pods that it did not make."""
    async with Client(own_access) as connected:
        yield connected


async def test_servers_are_taken_over_without_a_restart(client: Client, kubeais: Client) -> None:
    await service_account(client)
    uids = {await leave_behind(client, name) for name in KINDS}
    plane = ControlPlane(kubeais, SYSTEM, Metrics(), instance="test", metric_addresses=tuple)
    running = asyncio.create_task(plane.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while FOREIGN in await hashes(client):  # noqa: ASYNC110 - nobody watches here
                await asyncio.sleep(0.05)
            while not all(model.condition("Ready") for model in plane.models.all()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await plane.gateway.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {pod["metadata"]["uid"] for pod in await client.list(PODS)} == uids
    assert await client.list(JOBS) == []  # nothing is downloaded again
    assert {model.name: model.status.replicas.ready for model in plane.models.all()} == dict.fromkeys(KINDS, 1)


async def test_a_lease_that_nobody_renews_is_taken_over(client: Client, kubeais: Client) -> None:
    times = {"acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z"}
    gone = {"holderIdentity": "kubeai-5d4f8c7b6f-x2x4q", "leaseDurationSeconds": 1, "leaseTransitions": 3} | times
    await client.create(LEASES, {"metadata": {"name": LEASE}, "spec": gone})
    timing = LeaderElection(lease_duration_s=3, renew_deadline_s=2, retry_period_s=0.1)
    leading = asyncio.Event()

    async def work() -> None:
        leading.set()

    async with asyncio.timeout(DEADLINE_S):
        await Election(kubeais, LEASE, "ours", timing).run(work)
    assert leading.is_set()
    assert (await client.get(LEASES, LEASE))["spec"]["leaseTransitions"] == 4
