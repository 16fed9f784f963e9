"""Every Model of the catalogue is valid and becomes a Pod under the configuration that the chart kubeai gives."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import yaml

from kubeai.api.k8s.quantity import parse_quantity
from kubeai.api.model import Model
from kubeai.api.validation import default_model, validate_model
from kubeai.config.system import System
from kubeai.planning.engines.registry import ENGINES
from kubeai.planning.pods.build import build_pod

from .helm import KUBEAI, MODELS, render

pytestmark = pytest.mark.charts

JSON = dict[str, Any]

CATALOG: JSON = yaml.safe_load((MODELS / "values.yaml").read_text())["catalog"]
NAMES = sorted(CATALOG)


def engine_of(name: str) -> str:
    return str(CATALOG[name]["engine"])


def envs(name: str, ref: str) -> dict[str, JSON]:
    """Engine -> what its server is told by its environment."""
    return {
        "VLLM": {},
        "OLlama": {"OLLAMA_HOST": "0.0.0.0:8000", "OLLAMA_KEEP_ALIVE": "999999h"},
        "FasterWhisper": {"WHISPER__MODEL": ref, "ENABLE_UI": "false"},
        "Infinity": {
            "INFINITY_MODEL_ID": ref,
            "INFINITY_SERVED_MODEL_NAME": name,
            "INFINITY_URL_PREFIX": "/v1",
            "INFINITY_ENGINE": "torch",
            "INFINITY_PORT": "8000",
        },
    }


def first_args(name: str, ref: str) -> dict[str, list[str]]:
    """Engine -> what stands before the Model's own arguments."""
    lead = {"VLLM": [f"--model={ref}", f"--served-model-name={name}"], "Infinity": ["v2"]}
    return lead | {"OLlama": [], "FasterWhisper": []}


@cache
def catalogue() -> dict[str, JSON]:
    everything = render(MODELS, values={"all": {"enabled": True}})
    return {model["metadata"]["name"]: model for model in everything.objects}


@cache
def system() -> System:
    """With the profiles for TPUs, which only Google's values have."""
    return render(KUBEAI, "--values", KUBEAI / "values-gke.yaml").system


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_the_catalogue_is_valid_and_becomes_a_pod(name: str) -> None:
    manifest = catalogue()[name]
    assert validate_model(manifest) == []
    pod = build_pod(Model.model_validate(default_model(manifest)), system())
    (server, *_) = pod["spec"]["containers"]
    assert server["resources"]["requests"], "a Model of the catalogue asks for its hardware"


@pytest.mark.parametrize("name", [name for name in NAMES if engine_of(name) in envs("", "")])
def test_a_model_of_the_catalogue_gets_the_pod_of_the_existing_implementation(name: str) -> None:
    spec = catalogue()[name]["spec"]
    pod = build_pod(Model.model_validate(default_model(catalogue()[name])), system())
    server = pod["spec"]["containers"][0]
    ref, engine = spec["url"].partition("://")[2].partition("?")[0], spec["engine"]
    profile_name, _, count = spec["resourceProfile"].partition(":")
    profile, images = system().resource_profiles[profile_name], system().model_servers[engine].images
    assert server["image"] == images.get(profile.image_name or "default", images["default"])
    # What is limited and not requested is requested: extended resources cannot be had otherwise.
    for kind, amounts in (("requests", profile.limits | profile.requests), ("limits", profile.limits)):
        asked = {key: parse_quantity(amount) for key, amount in server["resources"].get(kind, {}).items()}
        assert asked == {key: parse_quantity(amount) * int(count) for key, amount in amounts.items()}
    given = {item["name"]: item.get("value") for item in server["env"]} if "env" in server else {}
    assert (envs(name, ref)[engine] | spec.get("env", {})).items() <= given.items()
    lead, own = first_args(name, ref)[engine], spec.get("args", [])
    arguments = server.get("args", [])
    assert (arguments[: len(lead)], arguments[len(arguments) - len(own) :]) == (lead, own)
    assert ("command" in server) == (engine == "VLLM")
    labels = pod["metadata"]["labels"]
    assert {key: labels[key] for key in labels if key != "pod-hash"} == {
        "app": "model",
        "model": name,
        "app.kubernetes.io/name": engine.lower(),
        "app.kubernetes.io/instance": f"{engine.lower()}-{name}",
        "app.kubernetes.io/managed-by": "kubeai",
    }
    assert pod["spec"].get("nodeSelector", {}) == profile.node_selector
    assert pod["spec"].get("tolerations", []) == profile.tolerations
    assert {"name": "dshm", "emptyDir": {"medium": "Memory"}} in pod["spec"]["volumes"]


def test_the_catalogue_has_every_engine_feature_and_profile() -> None:
    specs = [model["spec"] for model in catalogue().values()]
    assert {spec["engine"] for spec in specs} == set(ENGINES)
    features = {feature for spec in specs for feature in spec["features"]}
    assert features == {"TextGeneration", "TextEmbedding", "Reranking", "SpeechToText"}
    assert {spec["resourceProfile"].partition(":")[0] for spec in specs} == set(system().resource_profiles)


def test_nothing_runs_before_it_is_asked_for() -> None:
    assert [name for name, model in catalogue().items() if model["spec"].get("minReplicas")] == []


def test_all_are_off_until_one_is_switched_on() -> None:
    assert render(MODELS).objects == []
    (model,) = render(MODELS, values={"catalog": {"opt-125m-cpu": {"enabled": True}}}).objects
    assert model["metadata"]["name"] == "opt-125m-cpu"
    assert model["spec"].keys().isdisjoint({"enabled", "labels", "annotations"})


def test_fields_labels_and_models_can_be_added() -> None:
    own = {"enabled": True, "features": ["TextEmbedding"], "engine": "Infinity", "url": "hf://a/b"}
    changed = {"enabled": True, "minReplicas": 1, "labels": {"tenant": "a"}, "annotations": {"note": "b"}}
    own_model, other = render(MODELS, values={"catalog": {"mine": own, "opt-125m-l4": changed}}).objects
    assert own_model["spec"] == {"features": ["TextEmbedding"], "engine": "Infinity", "url": "hf://a/b"}
    assert other["spec"]["minReplicas"] == 1
    assert other["metadata"]["labels"]["tenant"] == "a"
    assert other["metadata"]["annotations"] == {"note": "b"}
