"""Sets of fields, as server-side apply counts them: who owns which leaf of an object.

A path is a tuple of steps in the notation of `fieldsV1`: `f:NAME` for a field, `k:{...}` for an item of a list that is
a map, `v:VALUE` for a value of a set. Other lists, and maps that are atomic, are one leaf.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from kubeai.embedded.merging.schema_walk import (
    field_schema,
    is_atomic_map,
    is_set,
    item_key,
    item_schema,
    list_keys,
)
from kubeai.embedded.status import bad_request

JSONObject = dict[str, Any]
Path = tuple[str, ...]
FieldSet = frozenset[Path]

#: What `value_at` gives for a path that leads nowhere.
MISSING: Any = object()


def field_set(value: Any, schema: JSONObject) -> FieldSet:
    """The leaves of an object; an empty one has none."""
    return frozenset(_leaves(value, schema, ())) - {()}


def _leaves(value: Any, schema: JSONObject, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value and not is_atomic_map(schema):
        for name, item in value.items():
            yield from _leaves(item, field_schema(schema, name), (*path, f"f:{name}"))
    elif isinstance(value, list) and list_keys(schema):
        for item in value:
            below = (*path, f"k:{item_key(item, schema)}")
            yield below
            yield from _leaves(item, item_schema(schema), below)
    elif isinstance(value, list) and is_set(schema):
        for item in value:
            yield (*path, f"v:{_text(item)}")
    else:
        yield path


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def require_identities(value: Any, schema: JSONObject, path: str = "") -> None:
    """Refuse what is to be applied if items of a list that is a map cannot be told apart: one of them would be lost."""
    if isinstance(value, dict):
        for name, item in value.items():
            require_identities(item, field_schema(schema, name), f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        seen: set[str] = set()
        for index, item in enumerate(value):
            if list_keys(schema):
                _require_identity(item, schema, f"{path}[{index}]", seen)
            require_identities(item, item_schema(schema), f"{path}[{index}]")


def _require_identity(item: Any, schema: JSONObject, path: str, seen: set[str]) -> None:
    if not isinstance(item, dict):
        raise bad_request(f"{path}: must be an object, because the list merges by {', '.join(list_keys(schema))}")
    key = item_key(item, schema)
    if missing := [field for field in list_keys(schema) if field not in json.loads(key)]:
        raise bad_request(f'{path}: associative list with keys has an element that omits key field "{missing[0]}"')
    if key in seen:
        raise bad_request(f"{path}: duplicate entries for key {key}")
    seen.add(key)


def value_at(value: Any, path: Path, schema: JSONObject) -> Any:
    for step in path:
        kind, _, name = step.partition(":")
        if kind == "f":
            value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
            schema = field_schema(schema, name)
        elif not isinstance(value, list):
            return MISSING
        elif kind == "k":
            value = next((item for item in value if item_key(item, schema) == name), MISSING)
            schema = item_schema(schema)
        else:
            value = next((item for item in value if _text(item) == name), MISSING)
        if value is MISSING:
            return MISSING
    return value


def without(value: Any, path: Path, schema: JSONObject) -> Any:
    """A copy without what is at the path; objects and lists that this empties go too."""
    kind, _, name = path[0].partition(":")
    if kind == "f":
        if not isinstance(value, dict) or name not in value:
            return value
        rest = {key: item for key, item in value.items() if key != name}
        if len(path) > 1 and (left := without(value[name], path[1:], field_schema(schema, name))) not in ({}, []):
            return value | {name: left}
        return rest
    if not isinstance(value, list):
        return value
    if kind == "v":
        return [item for item in value if _text(item) != name]
    if len(path) == 1:
        return [item for item in value if item_key(item, schema) != name]
    below = item_schema(schema)
    return [without(item, path[1:], below) if item_key(item, schema) == name else item for item in value]


def merged(target: Any, applied: Any, schema: JSONObject) -> Any:
    """The target with everything that the applied configuration says; items of lists by their keys."""
    if isinstance(target, dict) and isinstance(applied, dict) and not is_atomic_map(schema):
        changes = {n: merged(target.get(n), v, field_schema(schema, n)) for n, v in applied.items()}
        return target | changes
    if isinstance(target, list) and isinstance(applied, list) and list_keys(schema):
        return _merged_items(target, applied, schema)
    if isinstance(target, list) and isinstance(applied, list) and is_set(schema):
        return target + [item for item in applied if item not in target]
    return applied


def _merged_items(target: list[Any], applied: list[Any], schema: JSONObject) -> list[Any]:
    items = {item_key(item, schema): item for item in target}
    for item in applied:
        key = item_key(item, schema)
        items[key] = merged(items.get(key), item, item_schema(schema))
    return list(items.values())


def to_fields_v1(paths: Iterable[Path]) -> JSONObject:
    """The nested form of the wire."""
    root: JSONObject = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
        if path and path[-1].startswith("k:"):
            node["."] = {}
    return root


def from_fields_v1(node: JSONObject, path: Path = ()) -> Iterator[Path]:
    steps = [step for step in node if step != "."]
    if path and (not steps or "." in node):
        yield path
    for step in steps:
        yield from from_fields_v1(node[step], (*path, step))
