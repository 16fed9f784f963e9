"""Whether an answer is one that the OpenAPI document describes: what schemathesis checks, with nothing but Python.

It knows as much of JSON Schema as the document uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.unit.gateway.wire import Message

JSONObject = Mapping[str, Any]
_TYPES: Mapping[str, type] = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}


def faults(document: JSONObject, request: bytes, answer: Message) -> list[str]:
    """What is wrong with the answer to a request, which is one of HTTP/1.1."""
    method, target, _ = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
    found = [f"a fault of the server: {answer.status}"] if answer.status >= 500 else []
    methods = _methods(document, target.partition("?")[0])
    if method.lower() in methods:
        found += _undescribed(document, methods[method.lower()]["responses"], answer)
    elif methods and method not in ("HEAD", "OPTIONS"):
        found += _not_refused({each.upper() for each in methods}, answer)
    return found


def _methods(document: JSONObject, path: str) -> JSONObject:
    parts = path.split("/")
    for template, methods in document["paths"].items():
        names = template.split("/")
        if len(names) == len(parts) and all(
            part == name or (name.startswith("{") and part) for part, name in zip(parts, names, strict=True)
        ):
            found: JSONObject = methods
            return found
    return {}


def _not_refused(allowed: set[str], answer: Message) -> Iterator[str]:
    told = (answer.header(b"allow") or b"").decode().replace(" ", "").split(",")
    if answer.status != 405 or not allowed <= set(told):
        yield f"not refused with Allow: {sorted(allowed)} but with {answer.status} and {told}"


def _undescribed(document: JSONObject, responses: JSONObject, answer: Message) -> Iterator[str]:
    response = responses.get(str(answer.status)) or responses.get(f"{answer.status // 100}XX")
    if response is None:
        yield f"a status that is not described: {answer.status}"
        return
    content = response.get("content", {})
    media = (answer.header(b"content-type") or b"").decode().partition(";")[0]
    described = content.get(media, content.get("*/*"))
    if content and described is None:
        yield f"a media type that is not described: {media}"
    elif described and "schema" in described:
        yield from _misfits(document, described["schema"], answer.json, "body")


def _misfits(document: JSONObject, schema: JSONObject, value: Any, where: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    types = schema.get("type", ())
    types = [types] if isinstance(types, str) else types
    if types and not isinstance(value, tuple(_TYPES[each] for each in types)):
        yield f"{where} is no {' or '.join(types)}: {value!r}"
    elif "const" in schema and value != schema["const"]:
        yield f"{where} is not {schema['const']!r}: {value!r}"
    elif isinstance(value, dict):
        yield from (f"{where} has no {name!r}" for name in schema.get("required", ()) if name not in value)
        for name, each in schema.get("properties", {}).items():
            if name in value:
                yield from _misfits(document, each, value[name], f"{where}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _misfits(document, schema.get("items", {}), item, f"{where}[{number}]")
