"""What a Kubernetes API server does with a structural schema: fill in defaults, and check a value.

Nulls follow the server's rule: in a field that is not nullable, null is the same as absent. Unknown fields are
faults here, where the server would silently drop them (or refuse them, when asked to be strict).
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from kubeai.api.schema import Schema


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one field; the author of the object must change it."""

    path: str
    message: str
    #: The rule that was broken: a keyword of the schema, such as "minimum: 1", or the text of a CEL rule.
    rule: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


_TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "object": ("an object", lambda value: isinstance(value, Mapping)),
    "array": ("a list", lambda value: isinstance(value, list | tuple)),
    "string": ("a string", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "integer": ("an integer", lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer())),
    "number": ("a number", lambda value: _is_number(value)),
}
_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_defaults(value: Any, schema: Schema) -> Any:
    """A copy in which absent fields have their defaults."""
    if isinstance(value, list):
        return [with_defaults(item, schema.get("items", {})) for item in value]
    if not isinstance(value, Mapping):
        return value
    filled: dict[str, Any] = {}
    for name, item in value.items():
        field = _field(schema, name)
        if item is not None or not field or field.get("nullable"):
            filled[name] = with_defaults(item, field or {})
    for name, field in schema.get("properties", {}).items():
        if name not in filled and "default" in field:
            filled[name] = with_defaults(copy.deepcopy(field["default"]), field)
    return filled


def _field(schema: Schema, name: str) -> Schema | None:
    """The schema of one entry; None when the entry is unknown."""
    known: Schema | None = schema.get("properties", {}).get(name)
    if known is not None:
        return known
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        return others
    untyped = "properties" not in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    return {} if others or untyped else None


def check(value: Any, schema: Schema, path: str) -> Iterator[FieldError]:
    """Every fault of a value, in the order of its fields."""
    expected = schema.get("type")
    if expected is not None and not _TYPES[expected][1](value):
        yield FieldError(path, f"must be {_TYPES[expected][0]}, not {_shown(value)}", f"type: {expected}")
        return
    for keyword, bound in schema.items():
        test = _KEYWORDS.get(keyword)
        if test and (fault := test(value, bound)):
            yield FieldError(path, fault, f"{keyword}: {_shown(bound)}")
    if isinstance(value, Mapping):
        yield from _check_fields(value, schema, path)
    elif isinstance(value, list):
        yield from _check_items(value, schema, path)


def _check_fields(value: Mapping[str, Any], schema: Schema, path: str) -> Iterator[FieldError]:
    for name in schema.get("required", ()):
        if name not in value:
            yield FieldError(_join(path, name), "required", "required")
    for name, item in value.items():
        field = _field(schema, name)
        if field is None:
            yield FieldError(_join(path, name), f"unknown field{_suggestion(name, schema)}", "known fields")
        else:
            yield from check(item, field, _join(path, name))


def _check_items(value: list[Any], schema: Schema, path: str) -> Iterator[FieldError]:
    keys = schema.get("x-kubernetes-list-map-keys", ())
    seen: list[Any] = []
    for index, item in enumerate(value):
        place = f"{path}[{index}]"
        yield from check(item, schema.get("items", {}), place)
        identity = [item.get(key) for key in keys] if isinstance(item, Mapping) else item
        if schema.get("x-kubernetes-list-type") in ("map", "set") and identity in seen:
            yield FieldError(place, f"duplicate {_shown(identity)}", f"unique {', '.join(keys) or 'items'}")
        seen.append(identity)


def _enum(value: Any, choices: list[Any]) -> str | None:
    if value in choices:
        return None
    return f"must be one of {', '.join(map(str, choices))}, not {_shown(value)}"


def _pattern(value: Any, pattern: str) -> str | None:
    return None if compiled(pattern).search(value) else f"must match {pattern}, {_shown(value)} does not"


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A schema's pattern as the API server understands it."""
    # In RE2, `$` is the end of the text; in Python it also stands before a last newline.
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern))


def _format(value: Any, format_: str) -> str | None:
    if format_ in _RANGES:
        low, high = _RANGES[format_]
        return None if low <= value <= high else f"must be between {low} and {high}, not {_shown(value)}"
    if format_ == "date-time" and not _is_date_time(value):
        return f"must be a date and time such as 2006-01-02T15:04:05Z, not {_shown(value)}"
    return None


def _is_date_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _at_least(value: Any, bound: Any) -> str | None:
    return None if value >= bound else f"must be {bound} or more, not {_shown(value)}"


def _at_most(value: Any, bound: Any) -> str | None:
    return None if value <= bound else f"must be {bound} or less, not {_shown(value)}"


def _not_shorter(what: str) -> Callable[[Any, int], str | None]:
    return lambda value, bound: None if len(value) >= bound else f"must have {bound} or more {what}, not {len(value)}"


def _not_longer(what: str) -> Callable[[Any, int], str | None]:
    return lambda value, bound: None if len(value) <= bound else f"must have {bound} or fewer {what}, not {len(value)}"


#: Keyword -> a test that gives None, or what is wrong with the value.
_KEYWORDS: Mapping[str, Callable[[Any, Any], str | None]] = {
    "enum": _enum,
    "pattern": _pattern,
    "format": _format,
    "minimum": _at_least,
    "maximum": _at_most,
    "minLength": _not_shorter("characters"),
    "maxLength": _not_longer("characters"),
    "minItems": _not_shorter("items"),
    "maxItems": _not_longer("items"),
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _suggestion(name: str, schema: Schema) -> str:
    known = list(schema.get("properties", {}))
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
