from __future__ import annotations

from typing import Any

import pytest

from kubeai.embedded.admission.metadata import check_metadata

OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


def _fields(metadata: dict[str, Any], kind: str = "Pod", old: dict[str, Any] | None = None) -> list[str]:
    return [cause.field for cause in check_metadata({"name": "n"} | metadata, kind, old)]


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        pytest.param({"name": ""}, "metadata.name", id="no name"),
        pytest.param({"name": 3}, "metadata.name", id="a number as the name"),
        pytest.param({"name": "A"}, "metadata.name", id="capitals in the name"),
        pytest.param({"labels": ["x"]}, "metadata.labels", id="labels that are no map"),
        pytest.param({"labels": {"a b": "c"}}, "metadata.labels", id="a label's key"),
        pytest.param({"labels": {"a": "b c"}}, "metadata.labels", id="a label's value"),
        pytest.param({"labels": {"a": 1}}, "metadata.labels.a", id="a label that is no text"),
        pytest.param({"annotations": {"a": True}}, "metadata.annotations.a", id="an annotation that is no text"),
        pytest.param({"annotations": {"a": "x" * 300_000}}, "metadata.annotations", id="annotations without measure"),
        pytest.param({"ownerReferences": [{"uid": "x"} | OWNER | {"uid": ""}]}, "metadata.ownerReferences[0].uid",
                     id="an owner without uid"),
        pytest.param({"ownerReferences": [OWNER | {"uid": ["x"]}]}, "metadata.ownerReferences[0].uid",
                     id="an owner whose uid is no text"),
        pytest.param({"labels": False}, "metadata.labels", id="labels that are nothing"),
        pytest.param({"annotations": ""}, "metadata.annotations", id="annotations that are nothing"),
        pytest.param({"finalizers": 0}, "metadata.finalizers", id="finalizers that are nothing"),
        pytest.param({"ownerReferences": {}}, "metadata.ownerReferences", id="owners that are nothing"),
        pytest.param({"ownerReferences": ["me"]}, "metadata.ownerReferences", id="an owner that is no object"),
        pytest.param(
            {"ownerReferences": [OWNER | {"controller": True}, OWNER | {"uid": "v", "controller": True}]},
            "metadata.ownerReferences",
            id="two controllers",
        ),
        pytest.param({"finalizers": ["a b"]}, "metadata.finalizers", id="a finalizer's name"),
        pytest.param({"finalizers": "x"}, "metadata.finalizers", id="finalizers that are no list"),
    ],
)  # fmt: skip
def test_a_fault_names_its_field(metadata: dict[str, Any], field: str) -> None:
    assert _fields(metadata) == [field]


def test_good_metadata_has_none() -> None:
    labels = {"app.kubernetes.io/name": "x", "empty": ""}
    good = {"labels": labels, "annotations": {"note": "any text: äöü"}, "finalizers": ["a.dev/x"]}
    assert _fields(good | {"ownerReferences": [OWNER | {"controller": True}]}) == []


def test_names_that_become_host_names_are_stricter() -> None:
    assert _fields({"name": "a.b"}, "ConfigMap") == []
    assert _fields({"name": "a.b"}, "Service") == ["metadata.name"]


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        pytest.param(["a"], ["a", "b"], ["metadata.finalizers"], id="one more"),
        pytest.param(["a", "b"], ["a"], [], id="one less"),
    ],
)
def test_finalizers_of_what_is_being_deleted(old: list[str], new: list[str], fields: list[str]) -> None:
    before = {"name": "n", "finalizers": old, "deletionTimestamp": "2026-01-02T03:04:05Z"}
    assert _fields({"finalizers": new}, old=before) == fields
