"""Our objects against those recorded from the existing implementation, field by field.

What is left out of the comparison is listed here, each with its reason; everything else must be equal.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kubeai.api.k8s.objects import PersistentVolumeClaim, Pod
from kubeai.api.model import Model, ModelStatus
from kubeai.config.load import load_system
from kubeai.planning.actions import Create, Patch
from kubeai.planning.cache_objects import build_load_job
from kubeai.planning.files import build_config_map
from kubeai.planning.observed import Observed
from kubeai.planning.plan import plan_model
from kubeai.planning.pods.build import build_pod
from kubeai.planning.profile import resolve
from tests.builders import NOW, pod

JSON = dict[str, Any]

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"
SYSTEM = load_system(EXAMPLES / "system.yaml")
CASES = sorted(path for path in EXAMPLES.glob("*.yaml") if path.name != "system.yaml")
UID = "UID"


def load(path: Path) -> tuple[Model, JSON]:
    example = yaml.safe_load(path.read_text())
    manifest = copy.deepcopy(example["Model"])
    manifest["metadata"] |= {"namespace": "default", "uid": UID, "generation": 1, "resourceVersion": "1"}
    # The recorder set minReplicas to 1, so that there are Pods to record; it is no default.
    manifest["spec"]["minReplicas"] = example["gives"]["Model"]["spec"]["minReplicas"]
    return Model.model_validate(manifest), example["gives"]


def ids(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", CASES, ids=ids)
def test_the_pods_are_the_recorded_ones(path: Path) -> None:
    model, gives = load(path)
    ours = build_pod(model, SYSTEM)
    for recorded in gives["Pods"]:
        assert ours["metadata"]["annotations"] | recorded["annotations"] == ours["metadata"]["annotations"]
        assert ours["metadata"]["labels"] == recorded["labels"] | {"pod-hash": ours["metadata"]["labels"]["pod-hash"]}
        assert comparable_pod(ours["spec"]) == comparable_pod(recorded["spec"])


@pytest.mark.parametrize("path", CASES, ids=ids)
def test_a_plan_creates_as_many_pods_as_recorded_under_the_recorded_names(path: Path) -> None:
    model, gives = load(path)
    plan = plan_model(observed_with_loaded_cache(model), SYSTEM, NOW)
    created = [action for action in plan.actions if isinstance(action, Create) and action.resource.kind == "Pod"]
    assert len(created) == len(gives["Pods"])
    for action in created:
        prefix = f"model-{model.name}-{action.object['metadata']['labels']['pod-hash']}-"
        assert action.name.startswith(prefix)
        assert len(action.name) == len(prefix) + 5


@pytest.mark.parametrize("path", CASES, ids=ids)
def test_the_model_gets_the_recorded_labels_replicas_and_finalizers(path: Path) -> None:
    model, gives = load(path)
    plan = plan_model(observed_with_loaded_cache(model), SYSTEM, NOW)
    patch = next(dict(a.patch) for a in plan.actions if isinstance(a, Patch) and a.resource.kind == "Model")
    labels = {**model.labels, **patch["metadata"].get("labels", {})}
    assert {key: value for key, value in labels.items() if value is not None} == gives["Model"]["labels"]
    assert patch["spec"] == {"replicas": gives["Model"]["spec"]["replicas"]}
    assert patch["metadata"].get("finalizers", []) == gives["Model"].get("finalizers", [])


@pytest.mark.parametrize("path", CASES, ids=ids)
def test_the_status_counts_as_recorded_once_the_pods_are_there(path: Path) -> None:
    model, gives = load(path)
    template = build_pod(model, SYSTEM)
    hash = template["metadata"]["labels"]["pod-hash"]
    pods = tuple(pod(f"p{i}", of=model, hash=hash, ready=False) for i in range(len(gives["Pods"])))
    observed = observed_with_loaded_cache(model, pods)
    status = ModelStatus.model_validate(plan_model(observed, SYSTEM, NOW).status)
    recorded = ModelStatus.model_validate(gives["Model"]["status"])
    assert (status.replicas, status.cache) == (recorded.replicas, recorded.cache)


@pytest.mark.parametrize("path", [p for p in CASES if "ConfigMaps" in p.read_text()], ids=ids)
def test_the_config_map_of_files_is_the_recorded_one(path: Path) -> None:
    model, gives = load(path)
    ours = build_config_map(model)
    assert [{"name": ours["metadata"]["name"], "data": ours["data"]}] == gives["ConfigMaps"]


@pytest.mark.parametrize("path", [p for p in CASES if "Jobs:" in p.read_text()], ids=ids)
def test_the_job_that_loads_the_cache_is_the_recorded_one(path: Path) -> None:
    model, gives = load(path)
    ours = build_load_job(model, SYSTEM, resolve(model, SYSTEM))
    (recorded,) = gives["Jobs"]
    assert ours["metadata"]["name"] == recorded["name"]
    # The Job controller labels the Job and its Pods (job-name).
    del recorded["spec"]["template"]["metadata"]
    # Ours run as the models' service account (fault C2).
    assert ours["spec"]["template"]["spec"].pop("serviceAccountName") == "kubeai-models"
    # Whoever deletes a finished Job must have recorded it first (fault C3): that is the operator.
    del recorded["spec"]["ttlSecondsAfterFinished"]
    assert ours["spec"] == recorded["spec"]


def comparable_pod(spec: Mapping[str, Any]) -> JSON:
    result = copy.deepcopy(dict(spec))
    # Filled in by the API server from the priority class.
    result.pop("priority", None)
    is_ollama = any(env.get("name") == "OLLAMA_HOST" for c in spec["containers"] for env in c.get("env", ()))
    if is_ollama:
        # fault O8: no shell; the loader beside the server pulls, names and loads the model.
        result["containers"] = [c for c in result["containers"] if c["name"] != "loader"]
        result["containers"][0].pop("startupProbe")
    for container in result["containers"]:
        # fault O7: the existing Infinity Pod lacks it, ours have it on every container.
        if any(env["name"].startswith("INFINITY_") for env in container.get("env", ())):
            container.pop("securityContext", None)
    return result


def observed_with_loaded_cache(model: Model, pods: tuple[Pod, ...] = ()) -> Observed:
    """The Model when its weights are on the cache's volume, as in all recordings."""
    if not model.spec.cache_profile:
        return Observed(model, pods)
    name = f"shared-model-cache-{model.spec.cache_profile}"
    record = {f"models.kubeai.org/{model.name}": '{"uid":"UID","timestamp":"2026-01-01T00:00:00Z"}'}
    claim = {"metadata": {"name": name, "namespace": "default", "annotations": record}}
    return Observed(model, pods, cache_claim=msgspec.convert(claim, PersistentVolumeClaim))
