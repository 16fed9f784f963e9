from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeai.api.model import Model
from kubeai.api.validation import default_model, validate_model
from tests.unit.api.manifests import manifest
from tests.unit.api.rule_cases import BAD_FIELDS

#: Each has a Model as applied to the existing implementation, and what became of it.
EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "data/examples").glob("*.yaml"))


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.stem != "system"], ids=lambda path: path.stem)
def test_the_recorded_models_are_good(path: Path) -> None:
    recorded = yaml.safe_load(path.read_text())["Model"]
    assert validate_model({"apiVersion": "kubeai.org/v1", "kind": "Model", **recorded}) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"apiVersion": "kubeai.org/v2"}, "apiVersion: must be kubeai.org/v1, not 'kubeai.org/v2'"),
        ({"kind": "Pod"}, "kind: must be Model, not 'Pod'"),
        ({"metadata": {}}, "metadata.name: required"),
        ({"metadata": {"name": "A"}}, "metadata.name: must consist of lower-case letters"),
        ({"metadata": {"name": "a", "lables": {}}}, "metadata.lables: unknown field; did you mean labels?"),
        ({"metadata": {"name": "a", "labels": {"x": True}}}, "metadata.labels.x: must be a string, not True"),
        ({"metadata": {"name": "a", "labels": {"x": "-"}}}, "metadata.labels.x: '-' must consist of"),
        ({"metadata": {"name": "a", "annotations": {"x y": "z"}}}, "metadata.annotations: key 'x y': name part must"),
        ({"metadata": []}, "metadata: must be an object, not []"),
        ({"spec": None}, "spec: required"),
        ({"extra": 1}, "extra: unknown field"),
    ],
    ids=str,
)
def test_refuses_a_whole_object(change: dict[str, Any], fault: str) -> None:
    assert [str(f)[: len(fault)] for f in validate_model(manifest() | change)] == [fault]


@pytest.mark.parametrize(("spec", "fault"), BAD_FIELDS, ids=lambda value: value if isinstance(value, str) else "")
def test_refuses_a_field(spec: dict[str, Any], fault: str) -> None:
    assert [str(f)[: len(fault)] for f in validate_model(manifest(**spec))] == [fault]


@pytest.mark.parametrize("metadata", [{}, {"metadata": None}, {"metadata": {}}])
def test_a_model_needs_a_name(metadata: dict[str, Any]) -> None:
    nameless = {key: value for key, value in manifest().items() if key != "metadata"} | metadata
    assert [str(fault) for fault in validate_model(nameless)] == ["metadata.name: required"]


@pytest.mark.parametrize("text", ["null", "[]", "3", "x"])
def test_refuses_what_is_no_object(text: str) -> None:
    assert [fault.rule for fault in validate_model(yaml.safe_load(text))] == ["type: object"]


def test_a_generated_name_is_a_name() -> None:
    assert validate_model(manifest() | {"metadata": {"generateName": "m-", "creationTimestamp": None}}) == []


def test_defaults_are_those_of_the_api_server() -> None:
    assert default_model(manifest())["spec"] == {
        "url": "hf://org/name",
        "engine": "VLLM",
        "features": ["TextGeneration"],
        "targetRequests": 100,
        "scaleDownDelaySeconds": 30,
        "loadBalancing": {
            "strategy": "LeastLoad",
            "prefixHash": {"meanLoadFactor": 125, "replication": 256, "prefixCharLength": 100},
        },
    }


def test_a_manifest_always_has_min_replicas() -> None:
    written = Model.model_validate(manifest()).manifest()
    assert written["spec"]["minReplicas"] == 0
    assert "maxReplicas" not in written["spec"]
    assert (written["apiVersion"], written["kind"]) == ("kubeai.org/v1", "Model")
