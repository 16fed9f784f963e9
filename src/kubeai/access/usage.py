"""How much who used of what, as numbers that can be added up, and as the text that keeps them.

One ConfigMap holds a month, an entry of it a day (UTC): `{KEY: {MODEL: [requests, prompt tokens, completion tokens]}}`.
That grows with the number of keys and Models only, and a ConfigMap has room for a megabyte; so a day has bounded rows,
and what comes after them is counted under the name `other`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

#: Takes the place of names for which there is no room.
OTHER = "other"
MAX_ROWS = 500
#: Of the rows of one day: 31 of them, and the writers, must fit into a megabyte.
MAX_BYTES = 33_000
#: What stands around a name, and what the three numbers of a row take when they have grown.
_QUOTED, _NUMBERS = 4, 32
#: Processes whose last write is remembered: a few gateways with many workers each, over a write that is tried again.
MAX_WRITERS = 256


class Counts(NamedTuple):
    """What some requests took."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


#: (name of the key, Model) -> what it took.
Batch = dict[tuple[str, str], Counts]

_Day = dict[str, dict[str, tuple[int, int, int]]]
_decode_day = msgspec.json.Decoder(_Day).decode
_decode_writers = msgspec.json.Decoder(dict[str, int]).decode


class _Room:
    """What is left of a day."""

    def __init__(self, rows: Iterable[tuple[str, str]], max_rows: int) -> None:
        self._rows, self._bytes = max_rows, MAX_BYTES
        self._keys: set[str] = set()
        for row in rows:
            self._enter(row, self._size(row))

    def takes(self, row: tuple[str, str]) -> bool:
        """Whether there was room for one more."""
        size = self._size(row)
        if self._rows <= 0 or self._bytes < size:
            return False
        self._enter(row, size)
        return True

    def _enter(self, row: tuple[str, str], size: int) -> None:
        self._rows -= 1
        self._bytes -= size
        self._keys.add(row[0])

    def _size(self, row: tuple[str, str]) -> int:
        key, model = row
        return (0 if key in self._keys else _size_of(key)) + _size_of(model) + _NUMBERS


def _size_of(name: str) -> int:
    return len(msgspec.json.encode(name)) + _QUOTED


def add(total: Batch, more: Mapping[tuple[str, str], Counts], max_rows: int = MAX_ROWS) -> Batch:
    """Both together; new rows for which a day has no room go under `other`."""
    result, room = dict(total), _Room(total, max_rows)
    for (key, model), counts in more.items():
        row = (key, model)
        if row not in result and not room.takes(row):
            row = (OTHER, model if (OTHER, model) in result else OTHER)
        result[row] = result.get(row, Counts()).plus(counts)
    return result


def encode_day(batch: Batch) -> str:
    day: _Day = {}
    for (key, model), counts in sorted(batch.items()):
        day.setdefault(key, {})[model] = (counts.requests, counts.prompt_tokens, counts.completion_tokens)
    return msgspec.json.encode(day).decode()


def decode_day(text: str) -> Batch:
    """Raises `ValueError`."""
    try:
        day = _decode_day(text)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    return {(key, model): Counts(*counts) for key, models in day.items() for model, counts in models.items()}


def last_write(text: str, writer: str) -> int:
    """The number of the last batch that the writer has added; 0 if it has none."""
    return _writers(text).get(writer, 0)


def with_write(text: str, writer: str, number: int) -> str:
    """The same after one more batch of the writer; those who have not written for long are forgotten."""
    writers = _writers(text)
    writers.pop(writer, None)
    writers[writer] = number
    recent = list(writers.items())[-MAX_WRITERS:]
    return msgspec.json.encode(dict(recent)).decode()


def _writers(text: str) -> dict[str, int]:
    try:
        return _decode_writers(text)
    except msgspec.MsgspecError:
        return {}


class Row(NamedTuple):
    """A line of the report."""

    date: str
    key: str
    model: str
    counts: Counts


class Asked(NamedTuple):
    """Which lines somebody wants to see; "" and None do not restrict."""

    since: str = ""
    until: str = ""
    key: str | None = None
    model: str | None = None

    def wants(self, row: Row) -> bool:
        return (
            self.since <= row.date
            and (not self.until or row.date <= self.until)
            and self.key in (None, row.key)
            and self.model in (None, row.model)
        )


def report(days: Mapping[str, Batch], asked: Asked) -> dict[str, object]:
    """The lines of some days, and their sum."""
    rows = [Row(day, key, model, counts) for day, batch in days.items() for (key, model), counts in batch.items()]
    chosen = sorted(row for row in rows if asked.wants(row))
    return {
        "object": "list",
        "data": [{"date": row.date, "key": row.key, "model": row.model, **row.counts._asdict()} for row in chosen],
        "total": _total(row.counts for row in chosen)._asdict(),
    }


def _total(all_counts: Iterable[Counts]) -> Counts:
    total = Counts()
    for counts in all_counts:
        total = total.plus(counts)
    return total
