from __future__ import annotations

from typing import Any

import pytest

from kubeai.embedded.admission.schema import check

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("value", "schema", "fault"),
    [
        pytest.param("x", {"type": "integer"}, 'x in body must be of type integer: "string"', id="a wrong type"),
        pytest.param(True, {"type": "integer"}, 'must be of type integer: "boolean"', id="a boolean is no integer"),
        pytest.param(1.5, {"type": "integer"}, 'must be of type integer: "number"', id="a fraction is no integer"),
        pytest.param(None, {"type": "string"}, 'must be of type string: "null"', id="null is no string"),
        pytest.param(
            "c", {"enum": ["a", "b"]}, 'Unsupported value: "c": supported values: "a", "b"', id="not in the enum"
        ),
        pytest.param(1, {"type": "integer", "minimum": 2}, "greater than or equal to 2", id="below the minimum"),
        pytest.param(
            2, {"type": "integer", "minimum": 2, "exclusiveMinimum": True}, "greater than 2", id="at an open minimum"
        ),
        pytest.param(3, {"type": "integer", "maximum": 2}, "less than or equal to 2", id="above the maximum"),
        pytest.param(3, {"type": "integer", "multipleOf": 2}, "multiple of 2", id="no multiple"),
        pytest.param(2**31, {"type": "integer", "format": "int32"}, "must be of type int32", id="too big for 32 bits"),
        pytest.param("abc", TEXT | {"maxLength": 2}, "Too long", id="too long"),
        pytest.param("", TEXT | {"minLength": 1}, "at least 1 chars", id="too short"),
        pytest.param("A", TEXT | {"pattern": "^[a-z]$"}, "should match '^[a-z]$'", id="against the pattern"),
        pytest.param(
            "a\n", TEXT | {"pattern": "^[a-z]$"}, "should match '^[a-z]$'", id="a line's end behind the pattern"
        ),
        pytest.param("now", TEXT | {"format": "date-time"}, "date-time", id="no time"),
        pytest.param([1, 2], {"type": "array", "maxItems": 1}, "must have at most 1 items", id="too many items"),
        pytest.param([], {"type": "array", "minItems": 1}, "at least 1 items", id="too few items"),
        pytest.param(
            ["a", "a"], {"type": "array", "x-kubernetes-list-type": "set"}, 'Duplicate value: "a"', id="twice in a set"
        ),
        pytest.param(
            [{"n": 1, "v": 2}, {"n": 1, "v": 3}],
            {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]},
            'Duplicate value: {"n": 1}',
            id="the same key twice",
        ),
        pytest.param({}, {"type": "object", "required": ["a"]}, "x.a: Required value", id="a missing field"),
        pytest.param({"a": 1, "b": 2}, {"type": "object", "maxProperties": 1}, "Too many", id="too many fields"),
        pytest.param({}, {"type": "object", "minProperties": 1}, "at least 1 properties", id="too few fields"),
        pytest.param({"a": 1}, {"type": "object", "additionalProperties": TEXT}, "x.a", id="a wrong value in a map"),
        pytest.param([1], {"type": "array", "items": TEXT}, "x[0]", id="a wrong item"),
        pytest.param([], {"x-kubernetes-int-or-string": True}, "integer,string", id="neither integer nor string"),
        pytest.param(1, {"anyOf": [TEXT, {"type": "boolean"}]}, "(anyOf)", id="none of several"),
        pytest.param(1, {"oneOf": [{"minimum": 0}, {"minimum": 1}]}, "(oneOf)", id="two of which one may hold"),
        pytest.param("a", {"not": TEXT}, "(not)", id="what it must not be"),
        pytest.param(1, {"allOf": [{"minimum": 2}]}, "greater than or equal to 2", id="one of all"),
    ],
)
def test_a_fault_is_found(value: Any, schema: dict[str, Any], fault: str) -> None:
    (cause,) = check(value, schema, "x")
    assert fault in str(cause)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (None, {"type": "string", "nullable": True}),
        (3.0, {"type": "integer"}),
        (3, {"type": "number"}),
        ("http", {"x-kubernetes-int-or-string": True}),
        (2, {"type": "integer", "minimum": 2, "maximum": 2}),
        ("2026-01-02T03:04:05Z", TEXT | {"format": "date-time"}),
        ({"a": 1}, {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}),
        (["a", "b"], {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}),
        ({"a": {"b": None}}, {}),
    ],
)
def test_a_good_value_has_none(value: Any, schema: dict[str, Any]) -> None:
    assert list(check(value, schema, "x")) == []


def test_all_faults_are_found() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"b": TEXT, "c": {"type": "integer"}}}
    assert [cause.field for cause in check({"b": 1, "c": "x"}, schema)] == ["a", "b", "c"]
