"""Check a value against an OpenAPI v3 schema, in the words of a real API server.

Every fault is found, not just the first, so that a manifest can be mended in one go. Rules in CEL are `admission.cel`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from kubeai.api.structural import compiled
from kubeai.embedded.status import Cause

JSONObject = dict[str, Any]

#: The reason of a fault that makes the value unreadable as what it should be.
TYPE_INVALID = "FieldValueTypeInvalid"
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def required(path: str) -> Cause:
    return Cause(path, "Required value", "FieldValueRequired")


def wrong(path: str, value: Any, why: str) -> Cause:
    return Cause(path, f"Invalid value: {_shown(value)}: {why}")


def unsupported(path: str, value: Any, supported: list[Any]) -> Cause:
    listed = ", ".join(json.dumps(v) for v in supported)
    return Cause(path, f"Unsupported value: {_shown(value)}: supported values: {listed}", "FieldValueNotSupported")


def forbidden(path: str, why: str) -> Cause:
    return Cause(path, f"Forbidden: {why}", "FieldValueForbidden")


def _shown(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, (dict, list)) else json.dumps(type_name(value))


def type_name(value: Any) -> str:
    if value is None:
        return "null"
    return next(name for name in ("boolean", "object", "array", "string", "integer", "number") if is_type(value, name))


def is_type(value: Any, name: str) -> bool:
    # A bool is an int in Python; a float without a fraction is an integer in JSON.
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def check(value: Any, schema: JSONObject, path: str = "") -> Iterator[Cause]:
    """All faults of the value."""
    if value is None and (schema.get("nullable") or "type" not in schema):
        return
    if schema.get("x-kubernetes-int-or-string"):
        if not (is_type(value, "integer") or is_type(value, "string")):
            yield wrong(path, value, f'{path} in body must be of type integer,string: "{type_name(value)}"')
        return
    expected = schema.get("type")
    if expected and not is_type(value, expected):
        why = f'{path} in body must be of type {expected}: "{type_name(value)}"'
        yield Cause(path, f"Invalid value: {json.dumps(type_name(value))}: {why}", TYPE_INVALID)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported(path, value, schema["enum"])
    yield from _check_content(value, schema, path)
    yield from _check_logic(value, schema, path)


def _check_content(value: Any, schema: JSONObject, path: str) -> Iterator[Cause]:
    if isinstance(value, str):
        yield from _check_string(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _check_number(value, schema, path)
    elif isinstance(value, list):
        yield from _check_list(value, schema, path)
    elif isinstance(value, dict):
        yield from _check_object(value, schema, path)


def _check_string(value: str, schema: JSONObject, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxLength", len(value)):
        yield Cause(path, f"Too long: may not be more than {schema['maxLength']} bytes", "FieldValueTooLong")
    if len(value) < schema.get("minLength", 0):
        yield wrong(path, value, f"{path} in body should be at least {schema['minLength']} chars long")
    if "pattern" in schema and not compiled(schema["pattern"]).search(value):
        yield wrong(path, value, f"{path} in body should match '{schema['pattern']}'")
    if schema.get("format") == "date-time" and not _is_time(value):
        yield wrong(path, value, f"{path} in body must be of type date-time")


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


_INTEGER_BITS = {"int32": 31, "int64": 63}


def _check_number(value: float, schema: JSONObject, path: str) -> Iterator[Cause]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield wrong(path, value, f"{path} in body should be {word} {low}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield wrong(path, value, f"{path} in body should be {word} {high}")
    if (step := schema.get("multipleOf")) and value % step:
        yield wrong(path, value, f"{path} in body should be a multiple of {step}")
    bits = _INTEGER_BITS.get(schema.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        yield wrong(path, value, f"{path} in body must be of type {schema['format']}")


def _check_list(value: list[Any], schema: JSONObject, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxItems", len(value)):
        yield Cause(path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items", "FieldValueTooMany")
    if len(value) < schema.get("minItems", 0):
        yield wrong(path, len(value), f"{path} in body should have at least {schema['minItems']} items")
    yield from _check_unique(value, schema, path)
    below = schema.get("items")
    if isinstance(below, dict):
        for index, item in enumerate(value):
            yield from check(item, below, f"{path}[{index}]")


def _check_unique(value: list[Any], schema: JSONObject, path: str) -> Iterator[Cause]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map") and not schema.get("uniqueItems"):
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        shown: Any = item
        if kind == "map" and isinstance(item, dict):
            shown = {key: item.get(key) for key in schema.get("x-kubernetes-list-map-keys", [])}
        mark = json.dumps(shown, sort_keys=True)
        if mark in seen:
            yield Cause(f"{path}[{index}]", f"Duplicate value: {mark}", "FieldValueDuplicate")
        seen.add(mark)


def _check_object(value: JSONObject, schema: JSONObject, path: str) -> Iterator[Cause]:
    prefix = f"{path}." if path else ""
    for name in schema.get("required", ()):
        if name not in value:
            yield required(prefix + name)
    if len(value) > schema.get("maxProperties", len(value)):
        count = schema["maxProperties"]
        yield Cause(path, f"Too many: {len(value)}: must have at most {count} items", "FieldValueTooMany")
    if len(value) < schema.get("minProperties", 0):
        yield wrong(path, value, f"{path} in body should have at least {schema['minProperties']} properties")
    properties = schema.get("properties", {})
    values = schema.get("additionalProperties")
    for name, item in value.items():
        below = properties.get(name, values)
        if isinstance(below, dict):
            yield from check(item, below, prefix + name)


def _check_logic(value: Any, schema: JSONObject, path: str) -> Iterator[Cause]:
    """allOf, anyOf, oneOf, not."""
    for each in schema.get("allOf", ()):
        yield from check(value, each, path)
    if "anyOf" in schema and not any(_holds(value, each, path) for each in schema["anyOf"]):
        yield wrong(path, value, f"{path} in body must validate at least one schema (anyOf)")
    if "oneOf" in schema and sum(_holds(value, each, path) for each in schema["oneOf"]) != 1:
        yield wrong(path, value, f"{path} in body must validate one and only one schema (oneOf)")
    if "not" in schema and _holds(value, schema["not"], path):
        yield wrong(path, value, f"{path} in body must not validate the schema (not)")


def _holds(value: Any, schema: JSONObject, path: str) -> bool:
    return next(check(value, schema, path), None) is None
