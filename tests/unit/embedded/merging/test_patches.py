from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.embedded.merging.patches import json_patch, merge_patch
from kubeai.embedded.merging.strategic import strategic_merge
from kubeai.embedded.patching import JSON as JSON_PATCH
from kubeai.embedded.patching import change_of
from kubeai.embedded.schemas.pods import POD
from kubeai.embedded.status import StatusError
from tests.unit.embedded.clusters import WRITE, create, kind_of, new_cluster

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "b"}, ["c"], ["c"]),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_by_its_standard(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@given(JSON, JSON)
def test_merge_patch_leaves_its_arguments_alone(target: Any, patch: Any) -> None:
    before = deepcopy((target, patch))
    once = merge_patch(target, patch)
    assert (target, patch) == before
    assert merge_patch(once, patch) == once


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        pytest.param({"op": "add"}, 400, id="no list"),
        pytest.param([{"op": "fly", "path": "/a"}], 400, id="an unknown operation"),
        pytest.param([{"op": "remove", "path": "/none"}], 422, id="a path that is not there"),
        pytest.param([{"op": "replace", "path": "/a/b/c", "value": 1}], 422, id="a path through a text"),
        pytest.param([{"op": "test", "path": "/a", "value": "z"}], 422, id="a test that fails"),
    ],
)
def test_a_json_patch_is_refused(patch: Any, code: int) -> None:
    with pytest.raises(StatusError) as refusal:
        json_patch({"a": "b"}, patch)
    assert refusal.value.code == code


def _spec(*env: tuple[str, str], **more: Any) -> dict[str, Any]:
    containers = [{"name": "server", "env": [{"name": n, "value": v} for n, v in env]}, {"name": "helper"}]
    return {"spec": {"containers": containers} | more}


def _env(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return [(e["name"], e["value"]) for e in obj["spec"]["containers"][0]["env"]]


@pytest.mark.parametrize(
    ("env", "result"),
    [
        pytest.param([{"name": "A", "value": "9"}], [("A", "9"), ("B", "2")], id="an item changes"),
        pytest.param([{"name": "C", "value": "3"}], [("A", "1"), ("B", "2"), ("C", "3")], id="an item is added"),
        pytest.param([{"name": "A", "$patch": "delete"}], [("B", "2")], id="an item goes"),
        pytest.param([{"$patch": "replace"}, {"name": "C", "value": "3"}], [("C", "3")], id="all are replaced"),
    ],
)
def test_lists_merge_by_key(env: list[dict[str, str]], result: list[tuple[str, str]]) -> None:
    patch = {"spec": {"containers": [{"name": "server", "env": env}]}}
    merged = strategic_merge(_spec(("A", "1"), ("B", "2")), patch, POD)
    assert _env(merged) == result
    assert [c["name"] for c in merged["spec"]["containers"]] == ["server", "helper"]


def test_the_patch_says_the_order() -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": "helper"}, {"name": "server"}]}}
    merged = strategic_merge(_spec(("A", "1")), patch, POD)
    assert [c["name"] for c in merged["spec"]["containers"]] == ["helper", "server"]


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        pytest.param({"m": {"$patch": "replace", "b": 2}}, {"m": {"b": 2}, "p": ["x", "y"]}, id="a map is replaced"),
        pytest.param({"m": {"$patch": "delete"}}, {"m": {}, "p": ["x", "y"]}, id="a map is emptied"),
        pytest.param({"m": {"$retainKeys": ["b"], "b": 2}}, {"m": {"b": 2}, "p": ["x", "y"]}, id="only some keys stay"),
        pytest.param({"$deleteFromPrimitiveList/p": ["x"]}, {"m": {"a": 1}, "p": ["y"]}, id="a value goes"),
        pytest.param({"p": ["z"]}, {"m": {"a": 1}, "p": ["z"]}, id="a list without a key is replaced"),
        pytest.param({"m": None}, {"p": ["x", "y"]}, id="null removes"),
    ],
)
def test_directives(patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert strategic_merge({"m": {"a": 1}, "p": ["x", "y"]}, patch, {}) == result


def test_finalizers_merge_as_a_set() -> None:
    target = {"metadata": {"finalizers": ["a"]}}
    merged = strategic_merge(target, {"metadata": {"finalizers": ["b", "a"]}}, POD)
    assert merged["metadata"]["finalizers"] == ["a", "b"]


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"m": {"$retainKeys": 5}}, id="keys to retain"),
        pytest.param({"$deleteFromPrimitiveList/p": None}, id="values to delete"),
        pytest.param({"$setElementOrder/p": 5}, id="an order"),
        pytest.param({"m": {"$patch": "fly"}}, id="a directive that nobody knows"),
    ],
)
def test_a_directive_that_cannot_be_followed_is_refused(patch: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as refusal:
        strategic_merge({"m": {"a": 1}, "p": ["x", "y"]}, patch, {})
    assert refusal.value.code == 400


def test_a_json_patch_must_leave_an_object() -> None:
    cluster = new_cluster()
    kind = kind_of(cluster, CONFIG_MAPS)
    create(cluster, CONFIG_MAPS, {"metadata": {"name": "a"}})
    change = change_of(kind, JSON_PATCH, [{"op": "replace", "path": "", "value": 5}])
    with pytest.raises(StatusError, match="must leave an object"):
        cluster.update(kind, "default", "a", change, WRITE)


def test_an_item_without_its_key_is_refused() -> None:
    with pytest.raises(StatusError, match="merge key: name"):
        strategic_merge({}, {"spec": {"containers": [{"image": "x"}]}}, POD)
