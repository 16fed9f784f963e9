"""Manifests from files, directories and standard input, with the line of every field.

YAML as Kubernetes reads it: dates stay texts, keys become texts, and a key given twice is an error, because one of the
two values would silently be lost.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import CLIError

STDIN = Path("-")
SUFFIXES = (".yaml", ".yml", ".json")
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Document:
    """One object of a file."""

    source: str
    #: Counted from 1, as `---` separates them.
    index: int
    object: dict[str, Any]
    node: yaml.Node

    @property
    def kind(self) -> str:
        return str(self.object.get("kind") or "")

    @property
    def name(self) -> str:
        metadata = self.object.get("metadata")
        return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""

    @property
    def where(self) -> str:
        """`model.yaml: document 2 (Model m)`."""
        what = f"{self.kind} {self.name}".strip()
        return f"{self.source}: document {self.index}" + (f" ({what})" if what else "")

    def line_of(self, path: str) -> int:
        """The line of the field at `spec.adapters[0].url`, or of what comes nearest to it."""
        node = self.node
        rest = path
        while rest and (step := _step(node, rest)):
            node, rest = step
        return node.start_mark.line + 1


def read_manifests(paths: Sequence[Path]) -> list[Document]:
    """All objects in these files, in order; the items of a List one by one. Raises `CLIError`."""
    return [document for path in paths for file in _files(path) for document in _documents(file)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not found:
        raise CLIError(f"{path}: has no file that ends in {', '.join(SUFFIXES)}")
    return found


def _documents(path: Path) -> Iterator[Document]:
    source = "standard input" if path == STDIN else str(path)
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
        yield from _parse(source, text)
    except UnicodeDecodeError as error:
        raise CLIError(f"{source}: is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise CLIError(f"{source}{line}: is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise CLIError(f"{source}: is not valid YAML: {error}") from error


def _parse(source: str, text: str) -> Iterator[Document]:
    loader = _Loader(text)
    index = 0
    while loader.check_node():
        node = loader.get_node()
        value = loader.construct_document(node)
        if value is None:
            continue  # nothing but comments
        index += 1
        if not isinstance(value, dict):
            line = node.start_mark.line + 1
            raise CLIError(f"{source}:{line}: document {index} is not an object but {type(value).__name__}")
        _refuse_cycles(value, f"{source}:{node.start_mark.line + 1}: document {index}")
        yield from _expand(Document(source, index, value, node))


def _refuse_cycles(value: dict[Hashable, Any], where: str) -> None:
    """An anchor may stand inside of what it names; JSON has no such thing."""
    try:
        json.dumps(value, default=str)
    except (ValueError, RecursionError) as error:
        raise CLIError(f"{where} contains itself, or is too deep") from error


def _expand(document: Document) -> Iterator[Document]:
    items = document.object.get("items")
    if document.kind != "List" or not isinstance(items, list):
        yield document
        return
    for index, item in enumerate(items):
        step = _step(document.node, f"items[{index}]")
        node = _step(step[0], step[1]) if step else None
        if not isinstance(item, dict) or node is None:
            raise CLIError(f"{document.where}: items[{index}] is not an object")
        yield Document(document.source, document.index, item, node[0])


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node, str] | None:
    """One field or item down, and what is left of the path. Keys with dots in them (labels) are found too."""
    if isinstance(node, yaml.SequenceNode) and (match := re.match(r"\[(\d+)\]\.?", path)):
        index = int(match[1])
        return (node.value[index], path[match.end() :]) if index < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            if path == name or path.startswith((f"{name}.", f"{name}[")):
                # A single value has the line of its key: they are read together.
                place = value if isinstance(value, yaml.CollectionNode) else key
                return place, path[len(name) :].removeprefix(".")
    return None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's name and form
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != _MERGE:
                text = self._key(key)
                if text in seen:
                    raise _key_fault(key, f"the key {text} is given twice")
                seen.add(text)
        self.flatten_mapping(node)
        # Before they are values: as such 1 and true are one key.
        node.value = [
            (yaml.ScalarNode(_TEXT, self._key(key), key.start_mark, key.end_mark), value) for key, value in node.value
        ]
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping

    def _key(self, node: yaml.Node) -> str:
        """The key as JSON has it."""
        value = self.construct_object(node) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(value, str):
            return value
        if not isinstance(value, int | float):
            raise _key_fault(node, "a key must be a text")
        return json.dumps(value)


def _key_fault(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
