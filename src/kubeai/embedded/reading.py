"""Answers to reads, in the form that the client asks for: objects, tables, or metadata alone."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from kubeai.embedded.kinds import Kind
from kubeai.embedded.status import JSONObject, bad_request, expired
from kubeai.embedded.store import Entry
from kubeai.embedded.tables import TableView, partial_metadata, table
from kubeai.embedded.writing import shown_form

Form = Literal["object", "table", "metadata"]


def wanted_form(accept: str) -> Form:
    """The form that an Accept header asks for first."""
    if "as=Table" in accept:
        return "table"
    return "metadata" if "as=PartialObjectMetadata" in accept else "object"


class View:
    """How one client sees the objects of one kind."""

    def __init__(self, kind: Kind, form: Form, include: str = "Metadata") -> None:
        self._kind = kind
        self.form = form
        self._include = include
        self._table = TableView(kind) if form == "table" else None
        self._header_sent = False

    def encode(self, entry: Entry, now: datetime) -> bytes:
        """One object, for a get or a watch."""
        if self._table is not None:
            # In a watch only the first table names the columns.
            columns = [] if self._header_sent else self._table.definitions
            self._header_sent = True
            row = self._table.row(self._shown(entry), self._include, now)
            metadata = {"resourceVersion": str(entry.version)}
            return msgspec.json.encode(table(columns, [row], metadata))
        if self.form == "metadata":
            return msgspec.json.encode(partial_metadata(entry.obj))
        shown = self._shown(entry)
        return entry.data if shown is entry.obj else msgspec.json.encode(shown)

    def encode_list(self, entries: Sequence[Entry], metadata: JSONObject, now: datetime) -> bytes:
        if self._table is not None:
            rows = [self._table.row(self._shown(entry), self._include, now) for entry in entries]
            return msgspec.json.encode(table(self._table.definitions, rows, metadata))
        resource = self._kind.resource
        head: JSONObject = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata}
        if self.form == "metadata":
            head |= {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        items = b",".join(self._item(entry, now) for entry in entries)
        return msgspec.json.encode(head)[:-1] + b',"items":[' + items + b"]}"

    def _item(self, entry: Entry, now: datetime) -> bytes:
        """In a list of a built-in kind the list alone says what its items are."""
        if self.form == "metadata" or self._kind.custom:
            return self.encode(entry, now)
        return msgspec.json.encode({n: v for n, v in entry.obj.items() if n not in ("apiVersion", "kind")})

    def _shown(self, entry: Entry) -> JSONObject:
        return shown_form(self._kind, entry.obj)


class Page(msgspec.Struct):
    """Where a list goes on: after this object, and at which version it began."""

    version: int
    namespace: str
    name: str


def decode_page(token: str, oldest: int) -> Page:
    """Raises 410 if the list began so long ago that no watch could follow it."""
    try:
        page = msgspec.json.decode(base64.urlsafe_b64decode(token.encode()), type=Page)
    except (ValueError, binascii.Error) as error:
        raise bad_request("continue key is not valid") from error
    if page.version < oldest:
        raise expired("The provided continue parameter is too old: list again without it")
    return page


def encode_page(page: Page) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(page)).decode()
