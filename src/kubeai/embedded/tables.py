"""What `kubectl get` shows: the server makes the rows, so that every client shows the same.

A table carries, beside the cells, the object (or just its metadata) of each row. Columns of CRDs are paths into the
object; those of built-in kinds are computed, as their cells sum up several fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from kubeai.api.k8s.resources import EVENTS
from kubeai.embedded.columns import BUILTIN, Cell, age
from kubeai.embedded.kinds import AGE, Column, Kind
from kubeai.embedded.paths import find
from kubeai.embedded.status import JSONObject

_NAME = Column("Name", ".metadata.name", format="name", description="Name of the object.")


class TableView:
    """The columns of one kind, and how to make its rows."""

    def __init__(self, kind: Kind) -> None:
        columns, self._cells = _columns_of(kind)
        # The name of an Event says nothing to anybody: it is for -o wide, at the end.
        self._name_last = kind.key == EVENTS.group_plural
        shown = (*columns, replace(_NAME, priority=1)) if self._name_last else (_NAME, *columns)
        self.definitions: list[JSONObject] = [_definition(column) for column in shown]

    def row(self, obj: JSONObject, include: str, now: datetime) -> JSONObject:
        """The row of an object; `include` is what kubectl asks to have beside the cells: Metadata, Object or None."""
        name, cells = obj["metadata"]["name"], self._cells(obj, now)
        cells = [*cells, name] if self._name_last else [name, *cells]
        row: JSONObject = {"cells": cells}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial_metadata(obj)
        return row


def partial_metadata(obj: JSONObject) -> JSONObject:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(definitions: list[JSONObject], rows: Iterable[JSONObject], metadata: JSONObject) -> JSONObject:
    head: JSONObject = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return head | {"columnDefinitions": definitions, "rows": list(rows)}


def _columns_of(kind: Kind) -> tuple[tuple[Column, ...], Callable[[JSONObject, datetime], list[Cell]]]:
    if not kind.custom and kind.key in BUILTIN:
        return BUILTIN[kind.key]
    columns = kind.columns or (AGE,)
    return columns, lambda obj, now: [_cell(obj, column, now) for column in columns]


def _definition(column: Column) -> JSONObject:
    names = ("name", "type", "format", "description", "priority")
    type = "string" if column.type == "date" else column.type
    values = (column.name, type, column.format, column.description, column.priority)
    return dict(zip(names, values, strict=True))


def _cell(obj: JSONObject, column: Column, now: datetime) -> Cell:
    values = find(obj, column.path)
    if not values:
        return None
    if column.type == "date":
        return age(values[0], now)
    if column.type == "string":
        return ",".join(map(_text, values)) if len(values) > 1 else _text(values[0])
    value: Any = values[0]
    return value if isinstance(value, (int, float)) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
