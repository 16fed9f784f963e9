from __future__ import annotations

from typing import Any

import pytest

from kubeai.embedded.paths import find, parse_path, replaced

OBJ: dict[str, Any] = {
    "metadata": {"labels": {"app.kubernetes.io/name": "x"}},
    "spec": {"items": [{"n": "a", "v": 1}, {"n": "b", "v": 2}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (".spec.items[0].v", [1]),
        (".spec.items[-1].v", [2]),
        (".spec.items[*].n", ["a", "b"]),
        ("{.spec.items[1].n}", ["b"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type == 'Other')].status", []),
        (r".metadata.labels.app\.kubernetes\.io/name", ["x"]),
        (".metadata.labels['app.kubernetes.io/name']", ["x"]),
        (".spec.none.deeper", []),
        (".spec.items.n", []),
        (".metadata.labels[0]", []),
    ],
)
def test_a_path_finds_its_values(path: str, values: list[Any]) -> None:
    assert find(OBJ, path) == values


def test_a_path_that_is_not_understood_says_where() -> None:
    with pytest.raises(ValueError, match=r"\[\?\(x\)\]"):
        parse_path(".a[?(x)]")


def test_a_value_is_replaced_in_a_copy() -> None:
    assert replaced({"spec": {"a": 1}}, ".spec.replicas", 3) == {"spec": {"a": 1, "replicas": 3}}
    assert replaced({}, ".spec.deep.replicas", 3) == {"spec": {"deep": {"replicas": 3}}}
