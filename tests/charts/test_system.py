"""The chart's system.yaml against the one recorded from the existing implementation's chart."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from kubeai.config.load import parse_system
from kubeai.config.system import System

from .helm import KUBEAI, ROOT, HelmError, render

pytestmark = pytest.mark.charts

JSON = dict[str, Any]

VALUES: JSON = yaml.safe_load((KUBEAI / "values.yaml").read_text())
RECORDED = ROOT / "tests" / "data" / "examples" / "system.yaml"


def recorded() -> JSON:
    """It was recorded with the values for Google's Kubernetes. What ours has otherwise, on purpose, is here."""
    data: JSON = yaml.safe_load(RECORDED.read_text())
    # Our loader knows more sources, and helps Ollama (fault O8).
    data["modelLoading"]["image"] = "ghcr.io/kubeai-project/kubeai-python-model-loader:0.1.0"
    # fault R2: these move.
    whisper = "fedirz/faster-whisper-server:0.6.0-rc.3"
    data["modelServers"]["FasterWhisper"]["images"] = {"default": f"{whisper}-cpu", "nvidia-gpu": f"{whisper}-cuda"}
    data["modelRollouts"] |= {"strategy": "Surge", "drainTimeout": "10m"}
    # Recorded as a repository without a tag.
    data["modelServers"]["VLLM"]["images"]["amd-gpu"] = "rocm/vllm:rocm6.4.1_vllm_0.10.1_20250909"
    return data


def test_on_googles_kubernetes_it_is_the_recorded_one() -> None:
    ours = render(KUBEAI, "--values", KUBEAI / "values-gke.yaml").system_yaml
    # Engines of ours.
    assert ours["modelServers"].pop("LlamaCpp")["images"].keys() == {"default", "nvidia-gpu", "amd-gpu"}
    assert ours["modelServers"].pop("SGLang")["images"].keys() == {"default", "nvidia-gpu"}
    assert ours["modelServers"].pop("TEI")["images"].keys() == {"default", "cpu", "nvidia-gpu"}
    assert ours == recorded()


def test_elsewhere_it_has_nothing_of_google() -> None:
    ours = render(KUBEAI).system_yaml
    theirs = copy.deepcopy(recorded())
    theirs["cacheProfiles"] = {}
    profiles = {name: profile for name, profile in theirs["resourceProfiles"].items() if "tpu" not in name}
    for profile in profiles.values():
        profile.pop("nodeSelector", None)
    assert ours["resourceProfiles"] == profiles
    assert ours | {"modelServers": {}} == theirs | {"modelServers": {}, "resourceProfiles": profiles}


@pytest.mark.parametrize("values", sorted(KUBEAI.glob("values*.yaml")), ids=lambda path: str(path.stem))
def test_every_values_file_makes_a_configuration_that_kubeai_takes(values: Any) -> None:
    system = render(KUBEAI, "--values", values).system
    assert {profile.image_name for profile in system.resource_profiles.values()} >= {"cpu", "nvidia-gpu", "amd-gpu"}


SETTINGS: JSON = {
    "a stream of messages": {"messaging": {"streams": [{"requestsURL": "mem://a", "responsesURL": "mem://b"}]}},
    "a number of nanoseconds": {"modelAutoscaling": {"interval": 5_000_000_000}},
    "a store of one's own": {"modelSources": {"s3": {"endpoint": "https://minio", "caConfigMap": {"name": "ca"}}}},
    "Jobs of caches": {"modelLoading": {"resources": {"limits": {"cpu": 1}}, "nodeSelector": {"a": "b"}}},
    "a large cache": {"cacheProfiles": {"c": {"sharedFilesystem": {"storageClassName": "s", "size": "1Ti"}}}},
    "bounds of the gateway": {"gateway": {"maxQueuedRequests": 7, "waitTimeout": "1m"}},
    "a Secret for keys": {"authentication": {"secretName": "keys", "required": True}},
    "a proxy in front": {"authentication": {"trustedProxy": {"networks": ["10.0.0.0/8"], "userHeader": "X-User"}}},
    "usage that is written more seldom": {"usage": {"interval": "5m"}},
    "a slow election": {"leaderElection": {"leaseDuration": "60s", "renewDeadline": "40s"}},
    "patches": {"modelServerPods": {"jsonPatches": [{"op": "add", "path": "/spec/hostNetwork", "value": True}]}},
    "a security context": {"modelServerPods": {"podSecurityContext": {"fsGroup": 2000}}},
    "a profile of one's own": {"resourceProfiles": {"big": {"requests": {"cpu": 64}, "runtimeClassName": "kata"}}},
    "a profile less": {"resourceProfiles": {"nvidia-gpu-t4": None}},
    "a cache": {"cacheProfiles": {"nfs": {"sharedFilesystem": {"persistentVolumeName": "nfs"}}}},
    "no surge": {"modelRollouts": {"surge": 0}},
    "development": {"allowPodAddressOverride": True, "fixedSelfMetricAddrs": ["127.0.0.1:8080"]},
}


@pytest.mark.parametrize("values", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_setting_arrives(values: JSON) -> None:
    plain, ours = render(KUBEAI).system_yaml, render(KUBEAI, values=values).system_yaml
    assert ours == merged(plain, values)
    parse_system(ours, "the chart's system.yaml")


def merged(old: JSON, new: JSON) -> JSON:
    """As Helm does it: null takes a key away."""
    result = old | {key: merged(old.get(key, {}), v) if isinstance(v, dict) else v for key, v in new.items()}
    return {key: value for key, value in result.items() if value is not None}


def test_a_key_of_another_values_file_can_be_unset() -> None:
    spot = {"resourceProfiles": {"nvidia-gpu-l4": {"nodeSelector": {"cloud.google.com/gke-spot": None}}}}
    system = render(KUBEAI, "--values", KUBEAI / "values-gke.yaml", values=spot).system
    assert system.resource_profiles["nvidia-gpu-l4"].node_selector == {"cloud.google.com/gke-accelerator": "nvidia-l4"}


@pytest.mark.parametrize(
    "key", sorted(VALUES.keys() & {field.alias for field in System.model_fields.values()}), ids=str
)
def test_a_section_whose_keys_are_all_commented_out_leaves_the_defaults(key: str) -> None:
    """Helm takes a key without a value for a wish to have it away."""
    assert render(KUBEAI, values={key: None}).system.model_autoscaling.state_config_map_name


def test_names_follow_the_secrets_accounts_and_pull_secrets() -> None:
    values = {
        "fullnameOverride": "ai",
        "secrets": {"aws": {"name": "mine"}},
        "modelServiceAccount": {"name": "runner"},
        "imagePullSecrets": [{"name": "registry"}],
    }
    rendered = render(KUBEAI, values=values)
    data = yaml.safe_load(rendered.one("ConfigMap", "ai-config")["data"]["system.yaml"])
    assert data["secretNames"] == {
        "alibaba": "ai-alibaba",
        "aws": "mine",
        "gcp": "ai-gcp",
        "huggingface": "ai-huggingface",
    }
    assert data["modelServerPods"]["serviceAccountName"] == "runner"
    assert data["modelServerPods"]["imagePullSecrets"] == [{"name": "registry"}]
    assert data["modelAutoscaling"]["stateConfigMapName"] == "ai-autoscaler-state"


def test_the_loader_follows_the_image() -> None:
    image = {"repository": "registry.example/kubeai", "tag": "2"}
    assert (
        render(KUBEAI, values={"image": image}).system.model_loading.image == "registry.example/kubeai-model-loader:2"
    )
    by_digest = {"image": image | {"tag": "sha256:" + "0" * 64}}
    with pytest.raises(HelmError, match=r"modelLoading\.image"):
        render(KUBEAI, values=by_digest)
    rendered = render(KUBEAI, values=by_digest | {"modelLoading": {"image": "l:1"}})
    assert rendered.container["image"].endswith("/kubeai@sha256:" + "0" * 64)
