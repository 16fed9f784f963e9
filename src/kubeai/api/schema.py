"""From our pydantic types to Kubernetes' structural schemas.

Kubernetes takes a subset of OpenAPI v3: no `$ref`, no `title`, no `anyOf` with null, `int32`/`int64` formats, and a
`type` for every field. pydantic writes JSON Schema with all of these; this converter takes them out.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

#: The order of a schema's keywords: what a reader looks for comes first.
_ORDER = ("description", "type", "format", "default", "enum", "required", "properties", "items")
#: What JSON Schema calls the same or what Kubernetes does not know.
_DROPPED = frozenset({"title", "$defs", "propertyNames", "discriminator"})


def structural_schema(type_: type[BaseModel]) -> Schema:
    """The schema of a type with everything written out in place."""
    schema = type_.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}))


def _convert(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    schema = _resolved(schema, definitions)
    converted: Schema = {key: value for key, value in schema.items() if key not in _DROPPED}
    if "properties" in schema:
        converted["properties"] = {name: _convert(field, definitions) for name, field in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            converted[key] = _convert(schema[key], definitions)
    # In a structural schema `properties` and `additionalProperties` exclude each other.
    if "properties" in converted:
        converted.pop("additionalProperties", None)
    # A field that may be absent has no default: null is no value of its own.
    if converted.get("default", ...) is None:
        del converted["default"]
    return {key: converted[key] for key in sorted(converted, key=_rank)}


def _rank(keyword: str) -> int:
    return _ORDER.index(keyword) if keyword in _ORDER else _ORDER.index("properties")


def _resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """`$ref`, `allOf` of one and `anyOf` with null replaced by what they mean; what stands beside them wins."""
    for union in ("allOf", "anyOf"):
        choices = [choice for choice in schema.get(union, ()) if choice != {"type": "null"}]
        if len(choices) == 1:
            beside = {key: value for key, value in schema.items() if key != union}
            return _resolved({**choices[0], **beside}, definitions)
    if "$ref" not in schema:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return _resolved({**definitions[schema["$ref"].rpartition("/")[2]], **beside}, definitions)
