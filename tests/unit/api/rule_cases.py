"""The rules of a Model as cases: they are held against our own checks, and against API servers with our CRD.

A fault is the path of the field, and how the message begins.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.manifests import adapter, file

Spec = dict[str, Any]

CACHED: Spec = {"cacheProfile": "shared"}
BALANCED: Spec = {"loadBalancing": {"prefixHash": {"replication": 64}}}

#: Specs.
GOOD = [
    pytest.param({}, id="the least that is needed"),
    *(pytest.param({"url": f"{s}://a/b"}, id=f"{s}://") for s in ("hf", "pvc", "ollama", "s3")),
    pytest.param({"url": "pypi://a@1/b"}, id="pypi://, our own"),
    pytest.param({"url": "file:///a"}, id="file://, our own"),
    pytest.param({"url": "oci://registry/m:v1"}, id="oci://, our own"),
    *(pytest.param({"url": f"{s}://a/b", **CACHED}, id=f"{s}:// with a cache") for s in ("hf", "s3", "gs", "oss")),
    pytest.param({"minReplicas": 2, "maxReplicas": 2}, id="bounds that meet"),
    pytest.param({"minReplicas": 5}, id="only a lower bound"),
    pytest.param({"adapters": [adapter("a"), adapter("b")]}, id="adapters"),
    pytest.param(
        {"adapters": [adapter("a", "file:///a"), adapter("b", "pypi://a@1/b")]}, id="adapters from our own sources"
    ),
    pytest.param({"engine": "LlamaCpp", "adapters": [adapter()]}, id="adapters of our own engine"),
    pytest.param({"engine": "OLlama", "adapters": []}, id="no adapters for another engine"),
    pytest.param({"files": [file("/a"), file("/b")]}, id="files"),
    pytest.param({"features": []}, id="no features"),
    *(pytest.param({"engine": engine}, id=f"{engine}, our own") for engine in ("LlamaCpp", "SGLang", "TEI")),
    pytest.param({"pods": {}}, id="settings of Pods that say nothing"),
    pytest.param(
        {
            "pods": {
                "nodeSelector": {"a": "b"},
                "affinity": {"nodeAffinity": {}},
                "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}],
                "sharedMemorySize": "1.5Gi",
                "terminationGracePeriodSeconds": 0,
                "probes": {"startup": {"initialDelaySeconds": 0, "periodSeconds": 1}},
                "template": {
                    "metadata": {"labels": {"team": "x"}, "annotations": {"a": "b"}},
                    "spec": {"containers": [{"name": "server", "tty": True}], "hostname": "h"},
                },
            }
        },
        id="all settings of Pods",
    ),
    pytest.param({"rollout": {}}, id="a rollout that says nothing"),
    pytest.param({"rollout": {"surge": 0}}, id="a surge without a strategy"),
    pytest.param({"rollout": {"strategy": "Surge", "surge": 1, "drainTimeoutSeconds": 0}}, id="a rollout with a surge"),
    pytest.param({"rollout": {"strategy": "Recreate", "drainTimeoutSeconds": 5}}, id="a rollout that recreates"),
]

#: Specs and their fault.
BAD = [
    pytest.param(
        {"url": "http://a"}, "spec.url: url must start with one of hf://, pvc://, ollama://", id="another scheme"
    ),
    pytest.param({"url": "HF://a"}, "spec.url: url must start with", id="a scheme in capitals"),
    pytest.param({"url": "pvc://a", **CACHED}, "spec.cacheProfile: cacheProfile can only be used", id="a cached claim"),
    pytest.param(
        {"url": "oci://a/b:v1", **CACHED}, "spec.cacheProfile: cacheProfile can only be used", id="a cached image"
    ),
    pytest.param({"url": "gs://a"}, "spec.url: url with gs:// or oss:// can only", id="gs without a cache"),
    pytest.param({"url": "oss://a"}, "spec.url: url with gs:// or oss:// can only", id="oss without a cache"),
    pytest.param(
        {"minReplicas": 3, "maxReplicas": 2}, "spec.minReplicas: minReplicas must be less", id="bounds crossed"
    ),
    pytest.param(
        {"engine": "OLlama", "url": "ollama://a", "adapters": [adapter()]},
        "spec.adapters: adapters can only be used with engine VLLM",
        id="adapters for another engine",
    ),
    pytest.param(
        {"adapters": [adapter(), adapter("b", "pvc://a")]},
        "spec.adapters[1].url: url of an adapter must start with",
        id="an adapter from a claim",
    ),
    pytest.param({"files": [file("a/b")]}, "spec.files[0].path: path of a file must be absolute", id="a relative path"),
    pytest.param(
        {"files": [file("/a:b")]}, "spec.files[0].path: path of a file must not contain", id="a path with a colon"
    ),
    pytest.param({"files": [file("/:")]}, "spec.files[0].path: path of a file must not", id="a path that ends in one"),
    pytest.param(
        {"rollout": {"strategy": "Recreate", "surge": 0}},
        "spec.rollout.surge: surge can only be used with strategy Surge",
        id="a surge of what recreates",
    ),
    pytest.param(
        {"pods": {"template": {"metadata": {"labels": {"team": "x", "pod-hash": "y"}}}}},
        "spec.pods.template.metadata.labels: labels of a template must not be those that KubeAI sets: app, model",
        id="a template with a label of ours",
    ),
    pytest.param(
        {"pods": {"template": {"metadata": {"annotations": {"kubeai.org/draining-since": ""}}}}},
        "spec.pods.template.metadata.annotations: annotations of a template must not be those that KubeAI sets",
        id="a template with an annotation of ours",
    ),
    pytest.param({"files": [file(), file()]}, "spec.files: paths of files must differ", id="a path given twice"),
]

#: Specs before and after.
GOOD_CHANGES = [
    pytest.param({}, CACHED, id="a cache is added"),
    pytest.param({}, {"url": "hf://b", **CACHED}, id="a cache is added and the url changed"),
    pytest.param({}, {"url": "s3://b"}, id="the url is changed without a cache"),
    pytest.param(CACHED, {**CACHED, "minReplicas": 1}, id="something else is changed"),
    pytest.param(BALANCED, {"loadBalancing": {"strategy": "PrefixHash", **BALANCED["loadBalancing"]}}, id="strategy"),
]

#: Specs before and after, and the fault.
BAD_CHANGES = [
    pytest.param(
        CACHED,
        {"cacheProfile": "other"},
        "spec.cacheProfile: cacheProfile cannot be changed",
        id="the cache changes",
    ),
    pytest.param(CACHED, {}, "spec.cacheProfile: cacheProfile cannot be changed or removed", id="the cache goes"),
    pytest.param(
        CACHED, {"url": "hf://b", **CACHED}, "spec.url: url cannot be changed while", id="a cached url changes"
    ),
    pytest.param(
        BALANCED, {}, "spec.loadBalancing.prefixHash.replication: replication cannot", id="replication goes back"
    ),
]

#: Specs, and the fault that the schema alone finds.
BAD_FIELDS: list[tuple[Spec, str]] = [
    (
        {"engine": "vLLM"},
        "spec.engine: must be one of OLlama, VLLM, FasterWhisper, Infinity, LlamaCpp",
    ),
    ({"features": ["Chat"]}, "spec.features[0]: must be one of TextGeneration, TextEmbedding, Reranking"),
    ({"features": None}, "spec.features: required"),
    ({"url": None}, "spec.url: required"),
    ({"minReplicas": -1}, "spec.minReplicas: must be 0 or more, not -1"),
    ({"maxReplicas": 0}, "spec.maxReplicas: must be 1 or more, not 0"),
    ({"targetRequests": 0}, "spec.targetRequests: must be 1 or more, not 0"),
    ({"replicas": 2**31}, "spec.replicas: must be between"),
    ({"env": {"A": 1}}, "spec.env.A: must be a string, not 1"),
    ({"args": "--x"}, "spec.args: must be a list, not '--x'"),
    ({"adapters": [adapter("A")]}, "spec.adapters[0].name: must match"),
    ({"adapters": [adapter("a" * 64)]}, "spec.adapters[0].name: must have 63 or fewer characters"),
    ({"adapters": [adapter("a"), adapter("a")]}, "spec.adapters[1]: duplicate ['a']"),
    ({"files": [{"path": f"/{n}", "content": ""} for n in range(11)]}, "spec.files: must have 10 or fewer items"),
    ({"files": [{"path": "/a", "content": "x" * 100_001}]}, "spec.files[0].content: must have 100000 or fewer"),
    ({"files": [{"path": "/" + "a" * 1024, "content": ""}]}, "spec.files[0].path: must have 1024 or fewer"),
    ({"envFrom": [{"secretRef": "x"}]}, "spec.envFrom[0].secretRef: must be an object, not 'x'"),
    ({"envFrom": [{"secret": {}}]}, "spec.envFrom[0].secret: unknown field; did you mean secretRef?"),
    (
        {"loadBalancing": {"strategy": "Random"}},
        "spec.loadBalancing.strategy: must be one of LeastLoad, PrefixHash",
    ),
    (
        {"loadBalancing": {"prefixHash": {"meanLoadFactor": 99}}},
        "spec.loadBalancing.prefixHash.meanLoadFactor: must",
    ),
    ({"repilcas": 1}, "spec.repilcas: unknown field; did you mean replicas?"),
]
