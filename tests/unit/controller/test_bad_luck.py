"""Bad input and bad luck: each ends in a condition with a reason, and goes away by itself when its cause does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, JOBS, MODELS, PERSISTENT_VOLUME_CLAIMS, PODS
from kubeai.api.model import Model
from kubeai.controller.execute import execute
from kubeai.kube.errors import APIError
from kubeai.planning.actions import Patch
from kubeai.planning.names import pod_name, shared_load_job
from kubeai.planning.pods.build import build_pod, hash_of
from tests.builders import system
from tests.unit.controller.conftest import Running, manifest, running
from tests.unit.controller.fake_cluster import FakeCluster, Write

pytestmark = pytest.mark.looptime

JSON = dict[str, Any]


async def becomes_ready(operator: Running, within_s: float = 65) -> None:
    """Retries have at most a minute between them; nothing else is done to help."""
    await operator.settle(within_s)
    operator.make_ready()
    await operator.settle()
    assert operator.condition()[:2] == ("True", "Ready")
    assert operator.condition("Progressing")[:2] == ("False", "Complete")
    assert operator.condition("Scheduled")[:2] == ("True", "Scheduled")


SHARED = {"sharedFilesystem": {"storageClassName": "rwx"}}
CACHE = {"cacheProfiles": {"fast": SHARED, "kept": SHARED | {"retain": True}}}
GPU: JSON = {"resourceProfiles": {"gpu": {"limits": {"nvidia.com/gpu": 1}}}}

#: The Model, a configuration that does not suit it, the reason.
CONFIGURATIONS: dict[str, tuple[JSON, JSON, str]] = {
    "a resource profile that was edited away": ({"resourceProfile": "gpu:1"}, {}, "UnknownResourceProfile"),
    "a patch that does not apply": (
        {"resourceProfile": "gpu:1"},
        GPU | {"modelServerPods": {"jsonPatches": [{"op": "remove", "path": "/spec/nothing"}]}},
        "InvalidPatch",
    ),
    "a template that does not fit": (
        {"resourceProfile": "gpu:1"},
        {"resourceProfiles": {"gpu": {"template": {"spec": {"containers": ["?"]}}}}},
        "InvalidPodTemplate",
    ),
}


@pytest.mark.parametrize(("spec", "bad", "reason"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
async def test_a_configuration_that_does_not_suit(spec: JSON, bad: JSON, reason: str) -> None:
    # fault O4
    cluster = FakeCluster()
    async with running(cluster, system(**GPU)) as operator:
        cluster.put(MODELS, manifest(replicas=1, **spec))
        await operator.settle()
        await becomes_ready(operator)
    async with running(cluster, system(**bad)) as operator:
        await operator.settle(60)
        assert len(operator.pods()) == 1, "what serves goes on serving"
        assert operator.condition()[:2] == ("True", "Ready")
        assert operator.condition("Progressing")[:2] == ("False", reason)
        cluster.remove(PODS, operator.pods()[0]["metadata"]["name"])
        await operator.settle()
        assert operator.condition()[:2] == ("False", reason)
    async with running(cluster, system(**GPU)) as operator:
        await becomes_ready(operator)


def forbidden(message: str, *causes: str) -> APIError:
    return APIError(403, "Forbidden", message, details={"causes": [{"reason": cause} for cause in causes]})


#: What the API server says to a new Pod, and the reason.
REFUSALS: dict[str, tuple[APIError, str]] = {
    "the quota is exceeded": (
        forbidden('pods "p" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1'),
        "QuotaExceeded",
    ),
    "RBAC forbids it": (
        forbidden('pods is forbidden: User "system:serviceaccount:a:b" cannot create resource "pods" in API group ""'),
        "Forbidden",
    ),
    "a policy denies it": (
        forbidden('pods "p" is forbidden: violates PodSecurity "restricted:latest"'),
        "AdmissionDenied",
    ),
    "a webhook denies it": (
        APIError(400, "BadRequest", 'admission webhook "w" denied the request: no'),
        "AdmissionDenied",
    ),
    "a webhook cannot be called": (
        APIError(500, "InternalError", 'Internal error occurred: failed calling webhook "w": connection refused'),
        "AdmissionDenied",
    ),
    "the Pod is not valid": (
        APIError(422, "Invalid", 'Pod "p" is invalid: spec.containers[0].volumeMounts[0].name: Not found: "x"'),
        "InvalidObject",
    ),
    "the namespace is being deleted": (
        forbidden("unable to create new content in namespace a because it is being terminated", "NamespaceTerminating"),
        "NamespaceTerminating",
    ),
    "something else": (APIError(405, "MethodNotAllowed", "not here"), "Refused"),
}


@pytest.mark.parametrize(("error", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_the_api_server_refuses(error: APIError, reason: str) -> None:
    # fault O4
    cluster = FakeCluster()

    def refuse(write: Write) -> None:
        # In a namespace that goes nothing new is taken, Events neither.
        if write.method == "POST" and (write.kind == "pods" or reason == "NamespaceTerminating"):
            raise error

    cluster.refuse = refuse
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle(120)
        assert operator.condition()[:2] == ("False", reason)
        assert error.message in operator.condition()[2]
        assert operator.condition("Progressing")[:2] == ("False", reason)
        assert operator.condition("Scheduled")[:2] == ("False", reason)
        assert operator.reconciles("bug") == 0
        cluster.refuse = lambda write: None
        await becomes_ready(operator)


async def test_an_api_server_that_would_drop_the_volume_with_the_weights() -> None:
    cluster = FakeCluster()

    def without_image_volumes(obj: JSON) -> JSON:
        if obj["kind"] != "Pod":
            return obj
        kept = [volume for volume in obj["spec"].get("volumes", ()) if "image" not in volume]
        return obj | {"spec": obj["spec"] | {"volumes": kept}}

    cluster.admit = without_image_volumes
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1, url="oci://registry.example.com/m:v1"))
        await operator.settle(120)
        assert operator.pods() == [], "none that would look for its weights in vain"
        for condition in ("Ready", "Progressing", "Scheduled"):
            assert operator.condition(condition)[:2] == ("False", "FeatureDisabled")
        assert "ImageVolume" in operator.condition()[2]
        cluster.admit = lambda obj: obj
        await becomes_ready(operator)


def no_node(message: str) -> JSON:
    return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}


def container(**state: JSON) -> JSON:
    return {"phase": "Pending", "containerStatuses": [{"name": "server", "ready": False, "restartCount": 3, **state}]}


def waiting(reason: str, message: str = "") -> JSON:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


DIED = {"lastState": {"terminated": {"exitCode": 1, "message": "out of memory"}}}

#: What becomes of the Pod, the reason, and what is told.
PODS_IN_TROUBLE: dict[str, tuple[JSON, str, str]] = {
    "no node has room": (no_node("0/3 nodes have a GPU."), "Unschedulable", "0/3 nodes have a GPU."),
    "a claim that never binds": (
        no_node("pod has unbound immediate PersistentVolumeClaims."),
        "Unschedulable",
        "unbound immediate PersistentVolumeClaims",
    ),
    "the image cannot be pulled": (
        container(**waiting("ImagePullBackOff", "no such image")),
        "ImagePullFailed",
        "no such image",
    ),
    "a Secret is missing": (
        container(**waiting("CreateContainerConfigError", 'secret "x" not found')),
        "ContainerConfigError",
        'secret "x" not found',
    ),
    "the server crashes again and again": (
        container(**waiting("CrashLoopBackOff"), **DIED),
        "CrashLoop",
        "out of memory",
    ),
}


@pytest.mark.parametrize(("status", "reason", "message"), PODS_IN_TROUBLE.values(), ids=PODS_IN_TROUBLE.keys())
async def test_a_pod_does_not_get_on(status: JSON, reason: str, message: str) -> None:
    # fault O4
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle()
        (pod,) = operator.pods()
        node = {} if reason == "Unschedulable" else {"nodeName": "n"}
        cluster.put(PODS, pod | {"spec": pod["spec"] | node, "status": status})
        await operator.settle(120)
        assert operator.condition()[:2] == ("False", reason)
        assert message in operator.condition()[2]
        assert operator.condition("Progressing")[:2] == ("False", reason)
        assert operator.condition("Scheduled")[0] == ("False" if reason == "Unschedulable" else "True")
        assert len(cluster.of(PODS)) == 1, "it is waited for, not replaced"
        await becomes_ready(operator, within_s=0)


async def test_a_cache_volume_that_never_binds() -> None:
    # fault C3
    cluster = FakeCluster()
    async with running(cluster, system(**CACHE)) as operator:
        cluster.put(MODELS, manifest(replicas=1, cacheProfile="fast"))
        await operator.settle()
        job = cluster.get(JOBS, "load-cache-m")
        owner = {"kind": "Job", "name": "load-cache-m", "uid": job["metadata"]["uid"], "controller": True}
        status = no_node("pod has unbound immediate PersistentVolumeClaims.")
        cluster.put(PODS, {"metadata": {"name": "loader", "ownerReferences": [owner]}, "status": status})
        await operator.settle(120)
        for type in ("Ready", "CacheLoaded"):
            assert operator.condition(type)[:2] == ("False", "CacheLoadFailed")
            assert "unbound immediate PersistentVolumeClaims" in operator.condition(type)[2]
        claim = cluster.of(PERSISTENT_VOLUME_CLAIMS)[0]
        cluster.put(PERSISTENT_VOLUME_CLAIMS, claim | {"status": {"phase": "Bound"}})
        cluster.remove(PODS, "loader")
        cluster.put(JOBS, job | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}})
        await becomes_ready(operator)


async def test_a_claim_that_is_deleted_in_the_moment_of_a_write_is_no_refusal() -> None:
    cluster = FakeCluster()
    cluster.lag_s = 0.5
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}
    async with running(cluster, system(**CACHE)) as operator:
        cluster.put(MODELS, manifest(replicas=1, cacheProfile="fast"))
        await operator.settle(3)
        cluster.put(JOBS, cluster.get(JOBS, "load-cache-m") | {"status": complete})
        await operator.settle(0.4)
        cluster.remove(PERSISTENT_VOLUME_CLAIMS, "shared-model-cache-fast")
        await operator.settle(30)
        assert "PATCH persistentvolumeclaims" in cluster.written()
        assert operator.condition()[1] != "Refused"
        assert "Refused" not in [write.body["reason"] for write in cluster.writes if write.kind == "events"]


async def test_a_pod_that_is_gone_needs_no_new_label() -> None:
    patch = Patch(PODS, "default", "gone", {"metadata": {"labels": {"a": "b"}}})
    assert await execute(FakeCluster().client(), patch) is None


FOREIGN = {"kind": "Deployment", "name": "theirs", "uid": "theirs", "controller": True}
FILES = [{"path": "/a", "content": "x"}]


def name_of_pod(cluster: FakeCluster, config: Any) -> str:
    stored = Model.model_validate(cluster.get(MODELS, "m"))
    return pod_name(stored, hash_of(build_pod(stored, config)), 0)


#: What somebody else has under a name of ours, and the Model that needs the name.
NAMES: dict[str, tuple[Any, Callable[[FakeCluster], str], JSON]] = {
    "a ConfigMap": (CONFIG_MAPS, lambda _: "model-m-files", {"files": FILES}),
    "a Pod": (PODS, lambda cluster: name_of_pod(cluster, system(**CACHE)), {}),
    "a Job that loads": (JOBS, lambda _: "load-cache-m", {"cacheProfile": "fast"}),
    "a Job that loads for all": (
        JOBS,
        lambda cluster: shared_load_job(Model.model_validate(cluster.get(MODELS, "m"))),
        {"cacheProfile": "kept"},
    ),
}


@pytest.mark.parametrize("owners", [[], [FOREIGN]], ids=["nobody's", "another owner's"])
@pytest.mark.parametrize(("resource", "name", "spec"), NAMES.values(), ids=NAMES.keys())
async def test_an_object_with_our_name_that_somebody_else_has(
    resource: Any, name: Callable[[FakeCluster], str], spec: JSON, owners: list[JSON]
) -> None:
    cluster = FakeCluster()
    async with running(cluster, system(**CACHE)) as operator:
        cluster.put(MODELS, manifest(replicas=0) | {"metadata": {"name": "m", "uid": "uid-of-m"}})
        await operator.settle()
        foreign = {"metadata": {"name": name(cluster), "ownerReferences": owners}, "data": {"their": "own"}}
        cluster.put(resource, foreign)
        cluster.put(MODELS, manifest(replicas=1, **spec))
        await operator.settle(120)
        assert operator.condition()[:2] == ("False", "NameConflict")
        assert name(cluster) in operator.condition()[2]
        there = cluster.get(resource, name(cluster))
        assert (there["data"], there["metadata"]["ownerReferences"]) == ({"their": "own"}, owners), "it was touched"
        cluster.remove(resource, name(cluster))
        await operator.settle(65)
        if resource is JOBS:
            loaded = {"conditions": [{"type": "Complete", "status": "True"}]}
            cluster.put(JOBS, cluster.get(JOBS, name(cluster)) | {"status": loaded})
        await becomes_ready(operator)


async def test_a_job_with_the_name_of_ours_does_not_pass_for_the_end_of_an_eviction() -> None:
    cluster = FakeCluster()
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}
    async with running(cluster, system(**CACHE)) as operator:
        cluster.put(MODELS, manifest(replicas=0, cacheProfile="fast"))
        await operator.settle()
        cluster.put(JOBS, cluster.get(JOBS, "load-cache-m") | {"status": complete})
        claim = cluster.of(PERSISTENT_VOLUME_CLAIMS)[0]
        cluster.put(PERSISTENT_VOLUME_CLAIMS, claim | {"status": {"phase": "Bound"}})
        await operator.settle()
        cluster.put(JOBS, {"metadata": {"name": "evict-cache-m", "ownerReferences": [FOREIGN]}, "status": complete})
        cluster.put(MODELS, manifest(metadata={"deletionTimestamp": "2026-01-02T03:04:05Z"}))
        await operator.settle(120)
        assert operator.condition()[:2] == ("False", "NameConflict")
        assert cluster.of(PERSISTENT_VOLUME_CLAIMS)[0]["metadata"]["annotations"] != {}
        cluster.remove(JOBS, "evict-cache-m")
        await operator.settle()
        cluster.put(JOBS, cluster.get(JOBS, "evict-cache-m") | {"status": complete})
        await operator.settle()
        assert cluster.of(MODELS) == []


async def test_pods_that_were_made_under_a_name_of_ours_by_an_answer_that_was_lost_are_ours() -> None:
    cluster = FakeCluster()

    def make_first(write: Write) -> None:
        if str(write) == "POST pods":
            cluster._create(write)

    async with running(cluster) as operator:
        cluster.refuse = make_first
        cluster.put(MODELS, manifest(replicas=2))
        await operator.settle(5)
        cluster.refuse = lambda write: None
        await becomes_ready(operator)
        assert len(cluster.of(PODS)) == 2
