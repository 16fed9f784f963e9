"""Helm refuses values that are wrong, and takes those that users of the existing charts have."""

from __future__ import annotations

from typing import Any

import pytest

from .helm import KUBEAI, MODELS, HelmError, render

pytestmark = pytest.mark.charts

JSON = dict[str, Any]

WRONG: list[tuple[str, JSON, str]] = [
    ("an unknown key", {"replicas": 2}, "replicas"),
    ("a misspelt key of a section", {"image": {"repo": "x"}}, "repo"),
    ("an unknown key of the configuration", {"modelRollouts": {"serge": 1}}, "serge"),
    ("a key that the chart sets by itself", {"modelServerPods": {"serviceAccountName": "x"}}, "serviceAccountName"),
    ("an engine that does not exist", {"modelServers": {"TGI": {"images": {"default": "x"}}}}, "TGI"),
    ("a text for a number", {"replicaCount": "two"}, "replicaCount"),
    ("a negative number", {"replicaCount": -1}, "replicaCount"),
    ("a port out of range", {"service": {"port": 70000}}, "service/port"),
    ("an unknown type of Service", {"service": {"type": "Cluster"}}, "service/type"),
    ("an unknown pull policy", {"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ("a surge below zero", {"modelRollouts": {"surge": -1}}, "surge"),
    ("a stream without an answer", {"messaging": {"streams": [{"requestsURL": "mem://a"}]}}, "responsesURL"),
    ("a map for a list", {"tolerations": {"key": "x"}}, "tolerations"),
    ("a list for a map", {"cacheProfiles": []}, "cacheProfiles"),
    ("a number as a label", {"podLabels": {"a": 1}}, "podLabels"),
    ("a part that this chart lacks", {"open-webui": {"enabled": True, "ollama": {"enabled": True}}}, "ollama"),
    ("half of them", {"podDisruptionBudget": {"minAvailable": "half"}}, "minAvailable"),
]


@pytest.mark.parametrize(("values", "named"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_value_is_refused_by_name(values: JSON, named: str) -> None:
    with pytest.raises(HelmError, match=named):
        render(KUBEAI, values=values)


#: As they are found in values files for the existing chart, with every key that it has.
THEIRS: JSON = {
    "crds": {"enabled": True},
    "secrets": {
        "alibaba": {"create": False, "name": "a"},
        "aws": {"create": True, "accessKeyID": "a", "secretAccessKey": "b"},
        "gcp": {"create": True, "jsonKeyfile": "{}"},
        "huggingface": {"create": True, "token": "t"},
    },
    "modelServers": {"VLLM": {"images": {"default": "registry.example/vllm:1"}}},
    "modelLoading": {"image": "registry.example/loader:1"},
    "modelServerPods": {"podSecurityContext": {}, "securityContext": {"runAsUser": 0}, "jsonPatches": []},
    "modelRollouts": {"surge": 0},
    "modelAutoscaling": {"interval": "15s", "timeWindow": "30m", "stateConfigMapName": "state"},
    "messaging": {"errorMaxBackoff": "30s", "streams": []},
    "metrics": {"prometheusOperator": {"vLLMPodMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}},
    "resourceProfiles": {"cpu": {"imageName": "cpu", "requests": {"cpu": 0.5, "memory": "1Gi"}}},
    "cacheProfiles": {"efs-static": {"sharedFilesystem": {"persistentVolumeName": "efs-pv"}}},
    "replicaCount": 2,
    "image": {"repository": "registry.example/kubeai", "pullPolicy": "Always", "tag": "v1"},
    "imagePullSecrets": [{"name": "registry"}],
    "nameOverride": "",
    "fullnameOverride": "kubeai",
    "command": ["kubeai", "manager"],
    "args": ["--log-level=debug"],
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "serviceAccount": {"create": True, "automount": True, "annotations": {"a": "b"}, "name": ""},
    "modelServiceAccount": {"create": True, "automount": True, "annotations": {"a": "b"}, "name": ""},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "podSecurityContext": {"runAsNonRoot": True, "fsGroup": 2000},
    "securityContext": {"readOnlyRootFilesystem": True, "runAsUser": 1000},
    "service": {"type": "NodePort", "port": 80, "nodePort": 30080, "annotations": {}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {},
        "rules": [{"host": "a.example", "paths": [{"path": "/", "pathType": "Prefix"}]}],
        "tls": [{"secretName": "tls", "hosts": ["a.example"]}],
    },
    "resources": {"limits": {"cpu": "1"}},
    "livenessProbe": {"initialDelaySeconds": 120},
    "readinessProbe": {"initialDelaySeconds": 5},
    "volumes": [{"name": "foo", "emptyDir": {}}],
    "volumeMounts": [{"name": "foo", "mountPath": "/etc/foo"}],
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "open-webui": {
        "enabled": True,
        "ollama": {"enabled": False},
        "pipelines": {"enabled": False},
        "openaiBaseApiUrl": "http://kubeai/openai/v1",
        "extraEnvVars": [{"name": "WEBUI_AUTH", "value": "False"}],
        "containerSecurityContext": {},
        "persistence": {"enabled": True},
    },
}


def test_the_values_of_the_existing_chart_are_taken() -> None:
    rendered = render(KUBEAI, values=THEIRS)
    assert rendered.system.model_servers["VLLM"].images["default"] == "registry.example/vllm:1"
    assert rendered.one("Deployment")["spec"]["replicas"] == 2


CATALOGUE: list[tuple[str, JSON, str]] = [
    ("a name that is not in the catalogue", {"catalog": {"llama-9": {"enabled": True}}}, "llama-9"),
    ("a misspelt field", {"catalog": {"opt-125m-l4": {"minReplica": 1}}}, "minReplica"),
    ("an unknown engine", {"catalog": {"opt-125m-l4": {"engine": "TGI"}}}, "engine"),
    ("a text for a number", {"catalog": {"opt-125m-l4": {"maxReplicas": "3"}}}, "maxReplicas"),
]


@pytest.mark.parametrize(("values", "named"), [row[1:] for row in CATALOGUE], ids=[row[0] for row in CATALOGUE])
def test_a_wrong_entry_of_the_catalogue_is_refused_by_name(values: JSON, named: str) -> None:
    with pytest.raises(HelmError, match=named):
        render(MODELS, values=values)
