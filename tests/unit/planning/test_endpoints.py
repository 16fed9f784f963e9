"""Hubs and stores of one's own: who loads from there is told where they are, and nobody else."""

from __future__ import annotations

from typing import Any

from kubeai.api.model import Model
from kubeai.planning.cache_objects import build_load_job
from kubeai.planning.pods.build import build_pod
from kubeai.planning.profile import resolve
from tests.builders import model, system

SYSTEM = system(
    modelSources={
        "s3": {
            "endpoint": "https://minio:9000",
            "region": "here",
            "caConfigMap": {"name": "store-ca"},
            "env": {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false"},
        },
        "hf": {"endpoint": "https://hub.example.com"},
        "oss": {"region": "cn-hangzhou"},
    },
    cacheProfiles={"fast": {"sharedFilesystem": {"storageClassName": "rwx"}}},
)
S3_ENV = {
    "AWS_ENDPOINT_URL": "https://minio:9000",
    "AWS_REGION": "here",
    "AWS_CA_BUNDLE": "/etc/kubeai/certificates/s3/ca.crt",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
}
CA_MOUNT = {"name": "s3-certificates", "mountPath": "/etc/kubeai/certificates/s3", "readOnly": True}
CA_VOLUME = {"name": "s3-certificates", "configMap": {"name": "store-ca", "defaultMode": 0o644}}


def told(container: dict[str, Any]) -> dict[str, str]:
    return {env["name"]: env["value"] for env in container.get("env", ()) if "value" in env}


def spec_of(m: Model) -> dict[str, Any]:
    spec: dict[str, Any] = build_pod(m, SYSTEM)["spec"]
    return spec


def test_a_server_that_loads_by_itself_is_told() -> None:
    spec = spec_of(model(url="s3://b/m"))
    server = spec["containers"][0]
    assert S3_ENV.items() <= told(server).items()
    assert CA_MOUNT in server["volumeMounts"]
    assert CA_VOLUME in spec["volumes"]


def test_a_loader_is_told_and_then_the_server_need_not_know() -> None:
    spec = spec_of(model(engine="LlamaCpp", url="s3://b/m.gguf"))
    assert told(spec["initContainers"][0]) == S3_ENV
    assert CA_MOUNT in spec["initContainers"][0]["volumeMounts"]
    assert told(spec["containers"][0]) == {}
    assert CA_VOLUME in spec["volumes"]


def test_the_job_of_a_cache_is_told() -> None:
    m = model(url="oss://b/m", cacheProfile="fast")
    (container,) = build_load_job(m, SYSTEM, resolve(m, SYSTEM))["spec"]["template"]["spec"]["containers"]
    assert told(container) == {"OSS_REGION": "cn-hangzhou"}


def test_only_the_models_own_source_is_told() -> None:  # fault C2
    assert told(spec_of(model(url="hf://o/n"))["containers"][0]) == {"HF_ENDPOINT": "https://hub.example.com"}
    assert told(spec_of(model(url="pvc://c"))["containers"][0]) == {}


def test_what_the_model_says_itself_wins() -> None:
    server = spec_of(model(url="hf://o/n", env={"HF_ENDPOINT": "https://other"}))["containers"][0]
    assert [env["value"] for env in server["env"] if env["name"] == "HF_ENDPOINT"] == ["https://other"]


def test_the_loader_of_adapters_is_told_all() -> None:
    loader = spec_of(model(adapters=[{"name": "a", "url": "s3://b/a"}]))["containers"][1]
    assert told(loader).keys() >= {"HF_ENDPOINT", "AWS_ENDPOINT_URL", "OSS_REGION"}
