"""What all Pods share: profiles, patches, files, annotations, the hash."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.model import Model
from kubeai.config.system import System
from kubeai.planning.errors import PlanningError
from kubeai.planning.files import file_keys
from kubeai.planning.pods.build import build_pod, hash_of
from kubeai.planning.reasons import Reason
from tests.builders import model, system

PROFILE: dict[str, Any] = {
    "resourceProfiles": {
        "gpu": {
            "imageName": "cuda",
            "requests": {"cpu": "500m"},
            "limits": {"nvidia.com/gpu": "1", "memory": "24Gi"},
            "nodeSelector": {"gpu": "l4"},
            "affinity": {"nodeAffinity": {}},
            "tolerations": [{"key": "gpu"}],
            "schedulerName": "other",
            "runtimeClassName": "nvidia",
        }
    },
    "modelServers": {"VLLM": {"images": {"default": "vllm:1", "cuda": "vllm:1-cuda"}}},
    "modelServerPods": {
        "serviceAccountName": "models",
        "podSecurityContext": {"fsGroup": 1},
        "securityContext": {"runAsNonRoot": True},
        "imagePullSecrets": [{"name": "pull"}],
    },
}

BOTH = {"cpu": {"requests": {"cpu": 1, "memory": "2Gi"}}, **PROFILE["resourceProfiles"]}

CACHE = {"cacheProfiles": {"fast": {"sharedFilesystem": {"storageClassName": "rwx"}}}}


def patched(*patches: dict[str, Any]) -> System:
    return system(modelServerPods={"jsonPatches": list(patches)})


def server_of(pod: dict[str, Any]) -> dict[str, Any]:
    server: dict[str, Any] = pod["spec"]["containers"][0]
    return server


@pytest.mark.parametrize("engine", ["VLLM", "OLlama", "FasterWhisper", "Infinity", "LlamaCpp", "SGLang", "TEI"])
def test_every_engine_gets_the_common_settings(engine: str) -> None:
    # fault O7
    url = {"OLlama": "ollama://m", "LlamaCpp": "hf://o/r?model=m.gguf"}.get(engine, "hf://org/name")
    pod = build_pod(model(engine=engine, url=url, resourceProfile="gpu:2", priorityClassName="high"), system(**PROFILE))
    spec = pod["spec"]
    assert {key: spec[key] for key in spec if key not in ("containers", "initContainers", "volumes")} == {
        "nodeSelector": {"gpu": "l4"},
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{"key": "gpu"}],
        "schedulerName": "other",
        "runtimeClassName": "nvidia",
        "priorityClassName": "high",
        "serviceAccountName": "models",
        "securityContext": {"fsGroup": 1},
        "imagePullSecrets": [{"name": "pull"}],
        "restartPolicy": "Always",
    }
    for container in spec["containers"] + spec.get("initContainers", []):
        assert container["securityContext"] == {"runAsNonRoot": True}
    assert server_of(pod)["resources"]["limits"] == {"memory": "48Gi", "nvidia.com/gpu": "2"}


def test_requests_that_are_not_given_are_the_limits() -> None:
    resources = server_of(build_pod(model(resourceProfile="gpu:2"), system(**PROFILE)))["resources"]
    assert resources["requests"] == {"cpu": "1", "memory": "48Gi", "nvidia.com/gpu": "2"}


def test_a_model_without_a_resource_profile_asks_for_nothing() -> None:
    assert server_of(build_pod(model(), system()))["resources"] == {}


IMAGES = {
    "the Model's own": (model(image="own:1", resourceProfile="gpu:1"), "own:1"),
    "the one that the profile names": (model(resourceProfile="gpu:1"), "vllm:1-cuda"),
    "the engine's default": (model(), "vllm:1"),
}


@pytest.mark.parametrize(("m", "image"), IMAGES.values(), ids=IMAGES.keys())
def test_the_image_is(m: Model, image: str) -> None:
    assert server_of(build_pod(m, system(**PROFILE)))["image"] == image


def test_an_image_name_that_the_engine_does_not_have_falls_back_to_its_default() -> None:
    pod = build_pod(model(engine="Infinity", resourceProfile="gpu:1"), system(**PROFILE))
    assert server_of(pod)["image"] == system().model_servers["Infinity"].images["default"]


MISTAKES = {
    "an unknown profile": (
        {"resourceProfile": "tpu:1"},
        Reason.UNKNOWN_RESOURCE_PROFILE,
        "'tpu' is not in the system configuration; it has cpu.",
    ),
    "a profile without a count": ({"resourceProfile": "cpu"}, Reason.INVALID_RESOURCE_PROFILE, "PROFILE:COUNT"),
    "a profile with no count": ({"resourceProfile": "cpu:0"}, Reason.INVALID_RESOURCE_PROFILE, "PROFILE:COUNT"),
    "a negative count": ({"resourceProfile": "cpu:-1"}, Reason.INVALID_RESOURCE_PROFILE, "PROFILE:COUNT"),
    "an unknown cache profile": (
        {"cacheProfile": "fast"},
        Reason.UNKNOWN_CACHE_PROFILE,
        "'fast' is not in the system configuration; it has none of this kind.",
    ),
    "a bad url": ({"url": "pypi://package"}, Reason.INVALID_URL, "pypi://PACKAGE@VERSION"),
}


@pytest.mark.parametrize(("spec", "reason", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named(spec: dict[str, Any], reason: Reason, message: str) -> None:
    with pytest.raises(PlanningError) as raised:
        build_pod(model(**spec), system())
    assert raised.value.reason == reason
    assert message in raised.value.message


def test_patches_reach_the_whole_pod() -> None:
    pod = build_pod(
        model(),
        patched(
            {"op": "add", "path": "/metadata/annotations/mesh", "value": "off"},
            {"op": "replace", "path": "/spec/containers/0/livenessProbe/periodSeconds", "value": 60},
        ),
    )
    assert pod["metadata"]["annotations"]["mesh"] == "off"
    assert server_of(pod)["livenessProbe"]["periodSeconds"] == 60


BAD_PATCHES = {
    "a path that is not there": {"op": "remove", "path": "/spec/tolerations/0"},
    "a test that fails": {"op": "test", "path": "/kind", "value": "Job"},
    "an index into an object": {"op": "replace", "path": "/spec/containers/x", "value": 1},
    "a value without a place": {"op": "add", "path": "/spec/restartPolicy/x", "value": 1},
    "the whole spec": {"op": "remove", "path": "/spec"},
    "all containers": {"op": "replace", "path": "/spec/containers", "value": []},
    "the Model's label": {"op": "remove", "path": "/metadata/labels/model"},
    "no Pod at all": {"op": "replace", "path": "", "value": []},
}


@pytest.mark.parametrize("patch", BAD_PATCHES.values(), ids=BAD_PATCHES.keys())
def test_a_patch_that_does_not_fit_is_the_models_problem(patch: dict[str, Any]) -> None:
    with pytest.raises(PlanningError, match="jsonPatches") as raised:
        build_pod(model(), patched(patch))
    assert raised.value.reason == Reason.INVALID_PATCH


PINNED = {
    "the least": (model(image="vllm:1", resourceProfile="cpu:1"), "bp4lc2kz"),
    "vLLM with all there is": (
        model(
            image="vllm:1",
            resourceProfile="gpu:2",
            args=["--x"],
            env={"A": "1"},
            files=[{"path": "/a", "content": "text"}],
            priorityClassName="high",
        ),
        "vg8cwx4k",
    ),
    "vLLM with adapters": (model(image="vllm:1", adapters=[{"name": "a", "url": "hf://org/a"}]), "hvsnblwd"),
    "vLLM from a cache": (model(image="vllm:1", cacheProfile="fast"), "964v78vz"),
    "vLLM from S3": (model(image="vllm:1", url="s3://bucket/path"), "jgw6fklx"),
    "vLLM from a claim": (model(image="vllm:1", url="pvc://claim/path"), "phg9tr49"),
    "Ollama": (model(image="ollama:1", engine="OLlama", url="ollama://m:1"), "qm7kdhjh"),
    "Infinity": (model(image="infinity:1", engine="Infinity", features=["TextEmbedding"]), "j7n7m7ll"),
    "FasterWhisper": (model(image="whisper:1", engine="FasterWhisper", features=["SpeechToText"]), "rxsdjdwd"),
    "LlamaCpp": (model(image="llama:1", engine="LlamaCpp", url="pypi://p@1/m.gguf"), "dhz28ndl"),
}


@pytest.mark.parametrize(("m", "expected"), PINNED.values(), ids=PINNED.keys())
def test_the_hash_is_the_same_in_every_release(m: Model, expected: str) -> None:
    # When this fails an upgrade restarts these servers. If that is meant, say so in the changelog.
    config = system(modelLoading={"image": "loader:1"}, resourceProfiles=BOTH, **CACHE)
    assert hash_of(build_pod(m, config)) == expected


@pytest.mark.parametrize("engine", ["OLlama", "LlamaCpp", "VLLM"])
def test_another_version_of_the_loader_restarts_no_server(engine: str) -> None:
    # An upgrade of the operator brings one.
    adapters = [{"name": "a", "url": "hf://org/a"}] if engine == "VLLM" else None
    url = {"OLlama": "ollama://m", "LlamaCpp": "hf://o/r?model=m.gguf"}.get(engine, "hf://org/name")
    m = model(engine=engine, url=url, image="server:1", adapters=adapters)
    one, two = (build_pod(m, system(modelLoading={"image": image})) for image in ("loader:1", "loader:2"))
    assert hash_of(one) == hash_of(two)
    assert "loader:2" in str(two["spec"])
    assert two["metadata"]["annotations"]["kubeai.org/loader-image"] == "loader:2"


@pytest.mark.parametrize("limit", ["1Gi", "2Gi"])
def test_an_edited_limit_of_the_cache_restarts_no_server(limit: str) -> None:
    m = model(engine="LlamaCpp", url="hf://o/r?model=m.gguf")
    assert build_pod(m, system(modelLoading={"cacheLimit": limit})) == build_pod(m, system())


def test_the_servers_own_image_counts_even_if_it_is_the_loaders() -> None:
    one, two = (build_pod(model(image=image), system()) for image in ("a", "b"))
    assert hash_of(one) != hash_of(two)


SAME = {
    "labels and annotations of the Model": model(metadata={"labels": {"a": "b"}, "annotations": {"a": "b"}}),
    "replicas and scaling": model(replicas=3, minReplicas=1, maxReplicas=5, targetRequests=7),
    "balancing and owner": model(owner="me", loadBalancing={"strategy": "PrefixHash"}),
    "the Model's version": model(metadata={"resourceVersion": "99", "generation": 12}),
    "how Pods are replaced": model(rollout={"strategy": "Recreate", "drainTimeoutSeconds": 1}),
    "settings that say nothing": model(pods={"probes": {"startup": {}}, "template": {"metadata": {}}}),
    "features that the server is not told": model(features=["TextEmbedding"]),
}


@pytest.mark.parametrize("m", SAME.values(), ids=SAME.keys())
def test_the_hash_does_not_cover(m: Model) -> None:
    assert hash_of(build_pod(m, system())) == hash_of(build_pod(model(), system()))


DIFFERENT = {
    "arguments": (model(args=["--x"]), system()),
    "environment": (model(env={"A": "1"}), system()),
    "the image": (model(image="other"), system()),
    "a file's text": (model(files=[{"path": "/a", "content": "new"}]), system()),
    "a probe's timing": (model(pods={"probes": {"liveness": {"periodSeconds": 60}}}), system()),
    "a template's label": (model(pods={"template": {"metadata": {"labels": {"team": "x"}}}}), system()),
    "a template's spec": (model(pods={"template": {"spec": {"shareProcessNamespace": True}}}), system()),
    "a patched annotation": (model(), patched({"op": "add", "path": "/metadata/annotations/mesh", "value": "on"})),
}


@pytest.mark.parametrize(("m", "s"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_the_hash_covers(m: Model, s: System) -> None:
    others = [model(), model(files=[{"path": "/a", "content": "old"}])]
    assert hash_of(build_pod(m, s)) not in [hash_of(build_pod(other, system())) for other in others]


def test_the_order_of_env_and_files_does_not_matter() -> None:
    one = model(env={"A": "1", "B": "2"}, files=[{"path": "/a", "content": ""}, {"path": "/b", "content": ""}])
    two = model(env={"B": "2", "A": "1"}, files=[{"path": "/a", "content": ""}, {"path": "/b", "content": ""}])
    assert build_pod(one, system()) == build_pod(two, system())


def test_the_address_override_is_copied_only_where_it_is_allowed() -> None:
    m = model(metadata={"annotations": {"model-pod-ip": "127.0.0.1", "model-pod-port": "7000", "x": "y"}})
    allowed = build_pod(m, system(allowPodAddressOverride=True))["metadata"]["annotations"]
    assert allowed == {"model-pod-ip": "127.0.0.1", "model-pod-port": "7000"}
    assert build_pod(m, system())["metadata"]["annotations"] == {"model-pod-port": "8000"}


def test_names_stay_valid_host_names_for_the_longest_model() -> None:
    pod = build_pod(model("m" * 40), system())
    assert len(pod["metadata"]["generateName"]) + 5 <= 63


def test_files_whose_paths_make_no_good_keys_get_different_ones() -> None:
    paths = ["/a/b", "/a_b", "/with space", "/" + "x" * 1000]
    keys = file_keys(model(files=[{"path": path, "content": ""} for path in paths]))
    assert keys["/a/b"] == "_a_b"
    assert len(set(keys.values())) == len(paths)
    assert all(len(key) <= 253 and " " not in key for key in keys.values())
