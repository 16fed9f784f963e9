from __future__ import annotations

from typing import Any

import pytest

from kubeai.embedded.admission.shape import complete, prune

TEXT = {"type": "string"}
LABELS = {"type": "object", "additionalProperties": TEXT}
SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "default": {},
            "properties": {
                "name": TEXT,
                "size": {"type": "integer", "default": 3},
                "note": TEXT | {"nullable": True},
                "labels": LABELS,
                "items": {"type": "array", "items": {"type": "object", "properties": {"a": TEXT | {"default": "x"}}}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "port": {"x-kubernetes-int-or-string": True},
                "any": {},
            },
        }
    },
}


@pytest.mark.parametrize(
    ("spec", "kept", "unknown"),
    [
        pytest.param({"name": "n", "colour": "red"}, {"name": "n"}, ["spec.colour"], id="an unknown field"),
        pytest.param({"items": [{"b": 1}]}, {"items": [{}]}, ["spec.items[0].b"], id="an unknown field of an item"),
        pytest.param({"labels": {"x": "y"}}, {"labels": {"x": "y"}}, [], id="the keys of a map"),
        pytest.param({"free": {"x": {"y": 1}}}, {"free": {"x": {"y": 1}}}, [], id="what is free"),
        pytest.param({"any": {"x": 1}}, {"any": {"x": 1}}, [], id="what has no type"),
        pytest.param({"port": "http"}, {"port": "http"}, [], id="an integer or a string"),
    ],
)
def test_prune(spec: dict[str, Any], kept: dict[str, Any], unknown: list[str]) -> None:
    obj = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"}, "spec": spec}
    assert prune(obj, SPEC) == unknown
    assert obj == {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"}, "spec": kept}


@pytest.mark.parametrize(
    ("obj", "completed"),
    [
        pytest.param({}, {"spec": {"size": 3}}, id="defaults inside of defaults"),
        pytest.param({"spec": {"size": 9}}, {"spec": {"size": 9}}, id="a value stays"),
        pytest.param({"spec": {"size": 0}}, {"spec": {"size": 0}}, id="zero is a value"),
        pytest.param({"spec": {"size": None}}, {"spec": {"size": 3}}, id="null becomes the default"),
        pytest.param({"spec": {"name": None}}, {"spec": {"size": 3}}, id="null without a default goes"),
        pytest.param(
            {"spec": {"note": None}}, {"spec": {"note": None, "size": 3}}, id="null stays where it is allowed"
        ),
        pytest.param(
            {"spec": {"labels": {"a": None, "b": "c"}}},
            {"spec": {"labels": {"b": "c"}, "size": 3}},
            id="null in a map goes",
        ),
        pytest.param({"spec": {"items": [{}]}}, {"spec": {"items": [{"a": "x"}], "size": 3}}, id="defaults of items"),
    ],
)
def test_complete(obj: dict[str, Any], completed: dict[str, Any]) -> None:
    complete(obj, SPEC)
    assert obj == completed


def test_a_default_is_a_copy() -> None:
    first: dict[str, Any] = {}
    complete(first, SPEC)
    first["spec"]["size"] = 8
    second: dict[str, Any] = {}
    complete(second, SPEC)
    assert second == {"spec": {"size": 3}}
