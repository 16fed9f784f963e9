"""Strategic merge patch: what kubectl sends for built-in kinds.

Lists of named things (containers, env, ports, conditions) merge item by item. Directives inside the patch say what
plain JSON cannot: `$patch: delete|replace|merge`, `$retainKeys`, `$setElementOrder/LIST` and
`$deleteFromPrimitiveList/LIST`.
"""

from __future__ import annotations

from typing import Any

from kubeai.embedded.merging.schema_walk import field_schema, item_schema
from kubeai.embedded.status import bad_request

JSONObject = dict[str, Any]

_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_merge(target: Any, patch: JSONObject, schema: JSONObject) -> JSONObject:
    if (directive := patch.get("$patch", "merge")) not in ("replace", "delete", "merge"):
        raise bad_request(f"unknown patch type found: {directive!r}")
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    merged = dict(target) if isinstance(target, dict) else {}
    if (retained := patch.get("$retainKeys")) is not None:
        merged = {name: value for name, value in merged.items() if name in _listed("$retainKeys", retained)}
    for name, value in patch.items():
        if name.startswith(_DELETE):
            field = name.removeprefix(_DELETE)
            merged[field] = [item for item in merged.get(field) or [] if item not in _listed(name, value)]
        elif not name.startswith("$"):
            _merge_field(merged, name, value, field_schema(schema, name))
    for name, order in patch.items():
        field = name.removeprefix(_ORDER)
        if name.startswith(_ORDER) and merged.get(field):
            merged[field] = _ordered(merged[field], _listed(name, order), _merge_key(field_schema(schema, field)))
    return merged


def _listed(directive: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise bad_request(f"{directive} must be a list")
    return value


def _merge_field(merged: JSONObject, name: str, value: Any, schema: JSONObject) -> None:
    if value is None:
        merged.pop(name, None)
    elif isinstance(value, dict):
        merged[name] = strategic_merge(merged.get(name), value, schema)
    elif isinstance(value, list) and schema.get("x-kubernetes-patch-strategy") == "merge":
        merged[name] = _merge_list(merged.get(name) or [], value, schema)
    else:
        merged[name] = value


def _merge_key(schema: JSONObject) -> str:
    return str(schema.get("x-kubernetes-patch-merge-key", ""))


def _merge_list(target: list[Any], patch: list[Any], schema: JSONObject) -> list[Any]:
    key = _merge_key(schema)
    if not key:
        return target + [item for item in patch if item not in target]
    if not all(isinstance(item, dict) for item in patch):
        raise bad_request(f"items of a list that merges by {key!r} must be objects")
    if any(item == {"$patch": "replace"} for item in patch):
        target, patch = [], [item for item in patch if item != {"$patch": "replace"}]
    merged = list(target)
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        merged = _merge_item(merged, item, key, item_schema(schema))
    return merged


def _merge_item(items: list[Any], item: JSONObject, key: str, schema: JSONObject) -> list[Any]:
    if item.get("$patch") == "delete":
        return [old for old in items if old.get(key) != item[key]]
    if all(old.get(key) != item[key] for old in items):
        return [*items, strategic_merge({}, item, schema)]
    return [strategic_merge(old, item, schema) if old.get(key) == item[key] else old for old in items]


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """The items in the order that the patch wants; those that it does not know keep theirs, at the end."""

    def mark(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [mark(item) for item in order]
    known = [item for item in items if mark(item) in wanted]
    return sorted(known, key=lambda item: wanted.index(mark(item))) + [i for i in items if mark(i) not in wanted]
