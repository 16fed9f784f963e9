"""From a file to a checked `System`, or to an error that names the file, the key and the cure.

All faults of a file are reported together: who fixes one should not have to start again to learn of the next.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kubeai.api.schema import structural_schema
from kubeai.config.fields import FROM_FILE
from kubeai.config.system import System


class ConfigError(Exception):
    """The configuration cannot be used; its author must change it, a retry does not help."""


def load_system(path: Path) -> System:
    """Raises `ConfigError`."""
    return parse_system(read_config(path), str(path))


def read_config(path: Path) -> dict[str, Any]:
    """The keys of a file, not checked. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    return _parse_yaml(text, str(path))


def parse_system(data: Mapping[str, Any], source: str) -> System:
    """Check decoded configuration; `source` is where it came from, for messages."""
    # The one section with a required key: when it is absent, the key is what must be named.
    sections = {"modelAutoscaling": {}} | _without_nulls(data)
    try:
        return System.model_validate(sections, context=FROM_FILE, by_alias=True, by_name=False)
    except ValidationError as error:
        faults = [_describe(fault) for fault in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in faults)) from error


def _without_nulls(value: Any) -> Any:
    """A key without a value is as good as absent: charts write them for values that are not set.

    Lists stay as they are: in a JSON patch `value: null` means null.
    """
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _describe(fault: ErrorDetails) -> str:
    key = _key(fault["loc"])
    match fault["type"]:
        case "missing":
            return f"{key}: required"
        case "extra_forbidden":
            return f"{key}: unknown key{_suggestion(fault['loc'])}"
        case "value_error":
            return f"{key}: {fault['ctx']['error']}"
        case "literal_error":
            return f"{key}: must be {fault['ctx']['expected']}, not {fault['input']!r}"
        case _:
            return f"{key or 'the file'}: {_must(fault['msg'])}, not {fault['input']!r}"


def _key(location: Sequence[int | str]) -> str:
    """`messaging.streams[0].requestsURL`; pydantic's `[key]` marks a fault in the key itself."""
    key = ""
    for step in location:
        if isinstance(step, int):
            key += f"[{step}]"
        elif step != "[key]":
            key += f".{step}" if key else step
    return key


def _must(message: str) -> str:
    return message.partition(", unable")[0].replace("Input should be", "must be").replace("a valid ", "a ")


def _suggestion(location: Sequence[int | str]) -> str:
    *parents, unknown = location
    known = _known_keys(parents)
    near = difflib.get_close_matches(str(unknown), known, n=1, cutoff=0.6)
    folded = {name.lower(): name for name in known}
    guess = folded.get(str(unknown).lower()) or (near[0] if near else None)
    if guess:
        return f"; did you mean {guess}?"
    return f"; known here: {', '.join(sorted(known))}" if known else ""


def _known_keys(parents: Sequence[int | str]) -> list[str]:
    """The keys that the schema has at a place."""
    schema = structural_schema(System)
    for step in parents:
        if isinstance(step, int):
            schema = schema.get("items", {})
        else:
            schema = schema.get("properties", {}).get(step) or schema.get("additionalProperties") or {}
    return list(schema.get("properties", {}))


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML that refuses a key given twice, of which one would silently be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {key.value} is given twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: is not valid YAML: {_yaml_fault(error)}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping of configuration keys, found {type(data).__name__}")
    return data


def _yaml_fault(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return str(error)
