"""`kubeai get`: objects as a table, as YAML or JSON, once or as they change."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from kubeai.api.k8s.resources import EVENTS, MODELS, Resource
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.kube.informer import Informer

from .columns import columns_of, event_order, header, pluck, row
from .errors import CLIError
from .kinds import KNOWN, find_kind, known_kind
from .options import Format
from .output import as_json, as_list, as_yaml, row_text, table, without_bookkeeping

Object = dict[str, Any]


async def get_objects(client: Client, words: Sequence[str], output: Format, selector: str) -> None:
    resource, names = await parse_words(client, words)
    objects = [without_bookkeeping(obj) for obj in await _read(client, resource, names, selector)]
    single = len(names) == 1
    if not objects and output in (Format.TABLE, Format.WIDE):
        sys.stderr.write(f"there are no {resource.plural} in namespace {client.namespace}\n")
        return
    sys.stdout.write(_text(resource, objects, output, single))


def _text(resource: Resource, objects: list[Object], output: Format, single: bool) -> str:
    match output:
        case Format.JSON:
            return as_json(objects[0] if single else as_list(objects))
        case Format.YAML:
            return as_yaml(objects[0] if single else as_list(objects))
        case Format.NAME:
            return "".join(f"{full_name(resource, obj)}\n" for obj in objects)
        case _:
            now = datetime.now(UTC)
            columns = columns_of(resource, output is Format.WIDE)
            return table(header(columns), [row(obj, columns, now) for obj in objects])


def full_name(resource: Resource, obj: Mapping[str, Any]) -> str:
    """`model.kubeai.org/smollm2`, as kubectl writes it."""
    kind = f"{resource.singular}.{resource.group}" if resource.group else resource.singular
    return f"{kind}/{pluck(obj, 'metadata', 'name')}"


async def parse_words(client: Client, words: Sequence[str]) -> tuple[Resource, list[str]]:
    """`[TYPE] [NAME...]`: a single word that is no type is the name of a Model; TYPE/NAME is understood too."""
    if not words:
        return MODELS, []
    if "/" in words[0]:
        word, _, name = words[0].partition("/")
        return await find_kind(client, word), [name, *(other.rpartition("/")[2] for other in words[1:])]
    if known := known_kind(words[0]):
        return known, list(words[1:])
    if len(words) == 1:
        return MODELS, list(words)
    return await find_kind(client, words[0]), list(words[1:])


async def _read(client: Client, resource: Resource, names: Sequence[str], selector: str) -> list[Object]:
    if names:
        return [await read_one(client, resource, name) for name in names]
    objects = await client.list(resource, labels=selector)
    if resource is EVENTS:
        return sorted(objects, key=event_order)
    return sorted(objects, key=lambda obj: (pluck(obj, "metadata", "namespace") or "", obj["metadata"]["name"]))


async def read_one(client: Client, resource: Resource, name: str) -> Object:
    try:
        return await client.get(resource, name)
    except APIError as error:
        if not error.not_found:
            raise
        types = ", ".join(kind.plural for kind in KNOWN[:4])
        hint = f" (types are {types}, ...)" if resource is MODELS else ""
        raise CLIError(f"there is no {resource.kind} named {name!r} in namespace {client.namespace}{hint}") from error


@dataclass(frozen=True, slots=True)
class Watched:
    """An object with what an informer needs to know of it."""

    name: str
    namespace: str
    uid: str
    object: Object


def decode(line: bytes) -> Watched:
    obj: Object = msgspec.json.decode(line)
    metadata = obj.get("metadata") or {}
    return Watched(metadata.get("name", ""), metadata.get("namespace", ""), metadata.get("uid", ""), obj)


async def watch_objects(client: Client, words: Sequence[str], output: Format, selector: str) -> None:
    """Print all, then each change, until interrupted."""
    resource, names = await parse_words(client, words)
    await _read(client, resource, names, selector)  # an error now is better than waiting for nothing
    printer = _Changes(resource, output, frozenset(names))
    informer = Informer(client, resource, decode, labels=selector)
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def show(old: Watched | None, new: Watched | None) -> None:
        """An informer goes on whatever its handlers raise, but nobody reads what cannot be printed."""
        try:
            printer.print(old, new)
        except OSError as error:
            if not failed.done():
                failed.set_exception(error)

    informer.on_change(show)
    watching = asyncio.create_task(informer.run())
    try:
        await asyncio.wait({watching, failed}, return_when=asyncio.FIRST_COMPLETED)
        await (failed if failed.done() else watching)
    finally:
        watching.cancel()


class _Changes:
    """Prints objects as they change. Columns keep the width that they once had, so that rows stay aligned."""

    def __init__(self, resource: Resource, output: Format, names: frozenset[str]) -> None:
        self._resource = resource
        self._output = output
        self._names = names
        self._columns = columns_of(resource, output is Format.WIDE)
        self._widths: list[int] = []

    def print(self, old: Watched | None, new: Watched | None) -> None:
        seen = new or old
        if seen is None or (self._names and seen.name not in self._names):
            return
        obj = without_bookkeeping(seen.object)
        if self._output in (Format.TABLE, Format.WIDE):
            self._print_row(obj, gone=new is None)
        elif new is not None:
            separator = "---\n" if self._output is Format.YAML else ""
            sys.stdout.write(separator + _text(self._resource, [obj], self._output, single=True))
        sys.stdout.flush()

    def _print_row(self, obj: Object, gone: bool) -> None:
        cells = row(obj, self._columns, datetime.now(UTC))
        if gone:
            cells = [
                "Deleted" if column.name == "STATUS" else cell
                for column, cell in zip(self._columns, cells, strict=True)
            ]
        names = header(self._columns)
        if not self._widths:
            self._widths = [max(len(name), len(cell)) for name, cell in zip(names, cells, strict=True)]
            sys.stdout.write(row_text(names, self._widths) + "\n")
        self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        sys.stdout.write(row_text(cells, self._widths) + "\n")
