"""How merging finds its way through a schema: what is below a field, and by what the items of a list are told apart."""

from __future__ import annotations

import json
from typing import Any

JSONObject = dict[str, Any]
_NOTHING: JSONObject = {}


def field_schema(schema: JSONObject, name: str) -> JSONObject:
    below = schema.get("properties", _NOTHING).get(name, schema.get("additionalProperties"))
    return below if isinstance(below, dict) else _NOTHING


def item_schema(schema: JSONObject) -> JSONObject:
    items = schema.get("items")
    return items if isinstance(items, dict) else _NOTHING


def list_keys(schema: JSONObject) -> list[str]:
    """The fields that identify an item, for lists that are maps."""
    keys: list[str] = schema.get("x-kubernetes-list-map-keys", [])
    return keys if schema.get("x-kubernetes-list-type") == "map" else []


def is_set(schema: JSONObject) -> bool:
    return schema.get("x-kubernetes-list-type") == "set"


def is_atomic_map(schema: JSONObject) -> bool:
    return schema.get("x-kubernetes-map-type") == "atomic"


def item_key(item: JSONObject, schema: JSONObject) -> str:
    """The identity of an item as text. A missing key field counts as its default."""
    properties = item_schema(schema).get("properties", _NOTHING)
    values = {key: item.get(key, properties.get(key, _NOTHING).get("default")) for key in list_keys(schema)}
    return json.dumps({k: v for k, v in values.items() if v is not None}, sort_keys=True, separators=(",", ":"))
