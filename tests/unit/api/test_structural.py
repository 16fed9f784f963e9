from typing import Any

import pytest

from kubeai.api.structural import check, with_defaults

Schema = dict[str, Any]

SCHEMA: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]*$"},
        "count": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9, "default": 1},
        "big": {"type": "integer", "format": "int64"},
        "share": {"type": "number"},
        "on": {"type": "boolean"},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "at": {"type": "string", "format": "date-time"},
        "texts": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "additionalProperties": True},
        "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {}},
        "nested": {"type": "object", "default": {}, "properties": {"deep": {"type": "string", "default": "x"}}},
        "maybe": {"type": "string", "nullable": True},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["id"],
            "items": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "n": {"type": "integer", "default": 7}},
            },
        },
    },
}


def faults(**fields: Any) -> list[str]:
    return [str(fault) for fault in check({"name": "a"} | fields, SCHEMA, "")]


@pytest.mark.parametrize(
    "fields",
    [
        {"count": 9},
        {"count": 1.0},
        {"share": 1},
        {"share": 0.5},
        {"on": False},
        {"kind": "b"},
        {"at": "2026-01-02T03:04:05Z"},
        {"texts": {"any": "text"}},
        {"free": {"any": 1}},
        {"anything": {"any": 1}},
        {"items": [{"id": "a"}, {"id": "b"}]},
    ],
    ids=str,
)
def test_accepts(fields: dict[str, Any]) -> None:
    assert faults(**fields) == []


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"name": 1}, "name: must be a string, not 1"),
        ({"name": ""}, "name: must have 1 or more characters, not 0"),
        ({"name": "abcd"}, "name: must have 3 or fewer characters, not 4"),
        ({"name": "A"}, "name: must match ^[a-z]*$, 'A' does not"),
        ({"name": "a\n"}, "name: must match ^[a-z]*$, 'a\\n' does not"),
        ({"count": -1}, "count: must be 0 or more, not -1"),
        ({"count": 10}, "count: must be 9 or less, not 10"),
        ({"count": True}, "count: must be an integer, not True"),
        ({"count": float("inf")}, "count: must be an integer, not inf"),
        ({"count": 1.5}, "count: must be an integer, not 1.5"),
        ({"count": None}, "count: must be an integer, not None"),
        ({"big": 2**63}, f"big: must be between {-(2**63)} and {2**63 - 1}, not {2**63}"),
        ({"share": "1"}, "share: must be a number, not '1'"),
        ({"on": "yes"}, "on: must be true or false, not 'yes'"),
        ({"kind": "c"}, "kind: must be one of a, b, not 'c'"),
        ({"at": "today"}, "at: must be a date and time such as 2006-01-02T15:04:05Z, not 'today'"),
        (
            {"at": "2026-01-02T03:04:05"},
            "at: must be a date and time such as 2006-01-02T15:04:05Z, not '2026-01-02T03:04:05'",
        ),
        ({"texts": {"a": 1}}, "texts.a: must be a string, not 1"),
        ({"items": []}, "items: must have 1 or more items, not 0"),
        ({"items": [{"id": "a"}, {"id": "a"}]}, "items[1]: duplicate ['a']"),
        ({"items": {}}, "items: must be a list, not {}"),
        ({"conut": 1}, "conut: unknown field; did you mean count?"),
        ({"nested": {"zzz": 1}}, "nested.zzz: unknown field"),
    ],
    ids=str,
)
def test_refuses(fields: dict[str, Any], fault: str) -> None:
    assert faults(**fields) == [fault]


def test_a_number_beyond_all_measure_is_refused() -> None:
    (fault,) = faults(big=10**400)
    assert fault.startswith("big: must be between -9223372036854775808 and")


def test_names_what_is_missing() -> None:
    assert [str(fault) for fault in check({}, SCHEMA, "spec")] == ["spec.name: required"]


def test_names_every_fault() -> None:
    assert len(faults(count=-1, on=1, kind="c")) == 3


def test_a_long_value_is_cut_in_the_message() -> None:
    (fault,) = faults(name=["x" * 1000])
    assert len(fault) < 120


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        pytest.param({}, {"count": 1, "nested": {"deep": "x"}}, id="absent fields"),
        pytest.param({"count": 2, "nested": {"deep": "y"}}, {"count": 2, "nested": {"deep": "y"}}, id="present fields"),
        pytest.param({"count": None, "name": None}, {"count": 1, "nested": {"deep": "x"}}, id="null is absent"),
        pytest.param({"maybe": None}, {"maybe": None, "count": 1, "nested": {"deep": "x"}}, id="null where it may be"),
        pytest.param(
            {"items": [{"id": "a"}]},
            {"items": [{"id": "a", "n": 7}], "count": 1, "nested": {"deep": "x"}},
            id="items of a list",
        ),
        pytest.param({"x": None, "nested": 3}, {"x": None, "nested": 3, "count": 1}, id="what does not belong there"),
    ],
)
def test_fills_in_defaults(given: dict[str, Any], stored: dict[str, Any]) -> None:
    assert with_defaults(given, SCHEMA) == stored


def test_defaults_are_copies() -> None:
    with_defaults({}, SCHEMA)["nested"]["deep"] = "changed"
    assert SCHEMA["properties"]["nested"]["default"] == {}
