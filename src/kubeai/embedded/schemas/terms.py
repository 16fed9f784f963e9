"""The few words that the schemas of the built-in kinds are written in."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def text(about: str, *, choices: tuple[str, ...] = (), default: str | None = None) -> Schema:
    schema: Schema = {"description": about, "type": "string"} | ({"enum": list(choices)} if choices else {})
    return schema | ({"default": default} if default is not None else {})


def integer(about: str, *, format: str = "int32") -> Schema:
    return {"description": about, "type": "integer", "format": format}


def boolean(about: str) -> Schema:
    return {"description": about, "type": "boolean"}


def time(about: str) -> Schema:
    return {"description": about, "type": "string", "format": "date-time"}


def int_or_string(about: str) -> Schema:
    """A port by number or name; a quantity as a number or with its unit."""
    return {"description": about, "x-kubernetes-int-or-string": True}


def quantities(about: str) -> Schema:
    return mapping(about, int_or_string("An amount, such as 500m, 2 or 1Gi."))


def mapping(about: str, values: Schema) -> Schema:
    return {"description": about, "type": "object", "additionalProperties": values}


def texts(about: str) -> Schema:
    return mapping(about, {"type": "string"})


def free(about: str) -> Schema:
    """An object whose inside is of no concern here: it is kept as it comes."""
    return {"description": about, "type": "object", "x-kubernetes-preserve-unknown-fields": True}


def free_list(about: str) -> Schema:
    return sequence(about, free(""))


def record(about: str, *, required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    schema: Schema = {"description": about, "type": "object", "properties": fields}
    return schema | ({"required": list(required)} if required else {})


def sequence(about: str, items: Schema, *, keys: tuple[str, ...] = (), unique: bool = False) -> Schema:
    """A list. With `keys` it merges item by item, with `unique` value by value, otherwise it is replaced whole."""
    schema: Schema = {"description": about, "type": "array", "items": items}
    if keys:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
        schema |= {"x-kubernetes-patch-merge-key": keys[0], "x-kubernetes-patch-strategy": "merge"}
    elif unique:
        schema |= {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
    else:
        schema |= {"x-kubernetes-list-type": "atomic"}
    return schema


def names(about: str) -> Schema:
    return sequence(about, {"type": "string"})
