"""Bring an object into the shape of its schema: drop what the schema does not know, fill in what it presets.

Both work in place, on a copy that the caller owns. The order matters and is Kubernetes' own: unknown fields go first,
then nulls that the schema does not allow, then defaults fill the gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

JSONObject = dict[str, Any]

#: Every object has these, whether its schema names them or not.
ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def prune(obj: JSONObject, schema: JSONObject) -> list[str]:
    """Drop unknown fields of a whole object; the result names them, for `kubectl --validate`."""
    return list(_prune_object(obj, schema, "", ROOT_FIELDS))


def _prune(value: Any, schema: JSONObject, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        embedded = schema.get("x-kubernetes-embedded-resource")
        yield from _prune_object(value, schema, path, ROOT_FIELDS if embedded else frozenset())
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _prune(item, schema["items"], f"{path}[{index}]")


def _prune_object(value: JSONObject, schema: JSONObject, path: str, known: frozenset[str]) -> Iterator[str]:
    properties = schema.get("properties", {})
    values = schema.get("additionalProperties")
    keeps = values is True or schema.get("x-kubernetes-preserve-unknown-fields") or is_free(schema)
    for name in list(value):
        below = f"{path}.{name}" if path else name
        if name in properties:
            yield from _prune(value[name], properties[name], below)
        elif isinstance(values, dict):
            yield from _prune(value[name], values, below)
        elif not keeps and name not in known:
            del value[name]
            yield below


def is_free(schema: JSONObject) -> bool:
    """A schema without a word on type or fields takes anything (int-or-string is such a one)."""
    return "type" not in schema and "properties" not in schema


def complete(value: Any, schema: JSONObject) -> None:
    """Drop nulls that are not allowed and fill in defaults, at every depth."""
    if isinstance(value, dict):
        _complete_object(value, schema)
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            complete(item, schema["items"])


def _complete_object(value: JSONObject, schema: JSONObject) -> None:
    properties = schema.get("properties", {})
    for name, below in properties.items():
        _drop_null(value, name, below)
        if name not in value and "default" in below:
            value[name] = deepcopy(below["default"])
        if name in value:
            complete(value[name], below)
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        for name in value.keys() - properties.keys():
            _drop_null(value, name, values)
            if name in value:
                complete(value[name], values)


def _drop_null(value: JSONObject, name: str, schema: JSONObject) -> None:
    if name in value and value[name] is None and not schema.get("nullable"):
        del value[name]
