"""Numbers that several processes of one gateway count, and all of them read.

Each process has a page of shared memory that only it writes; who wants a sum reads all pages. So no lock is needed,
nothing waits for anybody, and a process that dies takes nothing along: its page is still there, what it had counted as
running is struck out, and its successor goes on writing where it stopped.

A page is a list of entries. An entry has a key, which never changes while it lives, and cells, numbers of eight bytes
that are read and written whole. In words of eight bytes:

    page     version | end | entry...          version is odd while entries change their keys
    entry    words | length of the key | cells | key... | cell...     a key of no length: the entry is free
"""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

log = logging.getLogger(__name__)

_WORD = 8
_VERSION, _END = 0, 1
_FIRST = 2
_WORDS, _KEY_LENGTH, _CELLS, _KEY = range(4)
#: How often a page that changes while it is read is read again.
_READS = 10

#: Room for some ten thousand endpoints, and for the series of some thousand Models. Memory is taken when it is used.
IN_FLIGHT_BYTES = 1 << 20
SERIES_BYTES = 1 << 24
_PROCESS_BYTES = IN_FLIGHT_BYTES + SERIES_BYTES


class Cells(NamedTuple):
    """Where the numbers of one entry are: `view[start]`, `view[start + 1]` and so on."""

    view: memoryview[float]
    start: int


class Page:
    """One process's numbers. Only its owner may call what changes it."""

    def __init__(self, buffer: memoryview) -> None:
        self._bytes = buffer
        self._words: memoryview[int] = buffer.cast("q")
        self._numbers: memoryview[float] = buffer.cast("d")
        #: What the owner knows of its own entries: key -> position, and those that are free, by size and cells.
        self._positions: dict[bytes, int] = {}
        self._free: dict[tuple[int, int], list[int]] = {}
        self._full = False

    def open(self) -> None:
        """Become its owner: go on where another one stopped."""
        self._words[_VERSION] = (self._words[_VERSION] + 1) & ~1  # it may have died in the midst of a change
        self._words[_END] = max(self._words[_END], _FIRST)
        self._positions.clear()
        self._free.clear()
        for position, key in self._walk():
            if key:
                self._positions[key] = position
            else:
                self._free.setdefault(self._shape(position), []).append(position)

    def add(self, key: bytes, cells: int) -> Cells:
        """The key's cells: those that it has, or new ones that are zero."""
        position = self._positions.get(key)
        if position is None:
            words = _KEY + -(-len(key) // _WORD) + cells
            position = self._place(words, cells)
            if position is None:
                return self._off_page(key, cells)
            self._write(position, key, words, cells)
            self._positions[key] = position
        return Cells(self._numbers, position + self._words[position + _WORDS] - cells)

    def remove(self, key: bytes) -> None:
        """The key counts nothing any more."""
        position = self._positions.pop(key, None)
        if position is not None:
            with self._changing():
                self._words[position + _KEY_LENGTH] = 0
            self._free.setdefault(self._shape(position), []).append(position)

    def strike(self, out: Callable[[bytes], bool]) -> None:
        """Take the entries out for whose keys `out` says so. For who owns a dead process's page now."""
        self.open()
        for key in [key for key in self._positions if out(key)]:
            self.remove(key)

    # For everybody

    @property
    def stamp(self) -> tuple[int, int]:
        """Changes when entries come or go."""
        return self._words[_VERSION], self._words[_END]

    def entries(self, start: bytes = b"") -> dict[bytes, list[float]]:
        """All keys that begin with `start`, with their numbers."""
        walk = partial(self._find, start) if start else self._walk
        return {key: list(self._numbers[cells.start : cells.start + count]) for key, cells, count in self._read(walk)}

    def places(self) -> dict[bytes, Cells]:
        """Where the numbers of each key are, until the stamp changes."""
        return {key: cells for key, cells, _ in self._read(self._walk)}

    def _read(self, walk: Callable[[], Iterator[tuple[int, bytes]]]) -> list[tuple[bytes, Cells, int]]:
        found: list[tuple[bytes, Cells, int]] = []
        for _ in range(_READS):
            version = self._words[_VERSION]
            found = [
                (key, Cells(self._numbers, position + words - cells), cells)
                for position, key in walk()
                if key
                for words, cells in [self._shape(position)]
            ]
            if version % 2 == 0 and version == self._words[_VERSION]:
                break
        return found

    def _walk(self) -> Iterator[tuple[int, bytes]]:
        position, end = _FIRST, self._words[_END]
        while position < end:
            start = (position + _KEY) * _WORD
            yield position, bytes(self._bytes[start : start + self._words[position + _KEY_LENGTH]])
            position += self._words[position + _WORDS]

    def _find(self, start: bytes) -> Iterator[tuple[int, bytes]]:
        """The entries whose keys begin so, without a step for each of the others.

        `start` has to be something that stands nowhere but at the beginning of a key.
        """
        written = bytes(self._bytes[: self._words[_END] * _WORD])
        at = written.find(start)
        while at >= 0:
            position = at // _WORD - _KEY
            yield position, written[at : at + self._words[position + _KEY_LENGTH]]
            at = written.find(start, at + 1)

    def _shape(self, position: int) -> tuple[int, int]:
        return self._words[position + _WORDS], self._words[position + _CELLS]

    # For the owner

    def _place(self, words: int, cells: int) -> int | None:
        """Where an entry of this shape can stand."""
        if free := self._free.get((words, cells)):
            return free.pop()
        end = self._words[_END]
        return end if end + words <= len(self._words) else None

    def _write(self, position: int, key: bytes, words: int, cells: int) -> None:
        with self._changing():
            self._words[position + _WORDS] = words
            self._words[position + _CELLS] = cells
            start = (position + _KEY) * _WORD
            self._bytes[start : start + len(key)] = key
            for cell in range(position + words - cells, position + words):
                self._numbers[cell] = 0.0
            self._words[position + _KEY_LENGTH] = len(key)
            self._words[_END] = max(self._words[_END], position + words)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._words[_VERSION] += 1
        try:
            yield
        finally:
            self._words[_VERSION] += 1

    def _off_page(self, key: bytes, cells: int) -> Cells:
        if not self._full:
            self._full = True
            log.error("there is no room for more metrics; what is counted as %r is not shown", key)
        return Cells(memoryview(bytearray(cells * _WORD)).cast("d"), 0)


class Pages(NamedTuple):
    """One process's pages."""

    #: Requests in flight by endpoint: apart, because the balancers of the other processes read them all the time.
    in_flight: Page
    #: All other numbers.
    series: Page


class Memory:
    """The pages of all processes of one gateway."""

    def __init__(self, processes: int, fd: int = -1) -> None:
        """Without `fd` it is this process's alone."""
        self._map = mmap.mmap(fd, processes * _PROCESS_BYTES)
        view = memoryview(self._map)
        self.pages = tuple(self._pages(view, number) for number in range(processes))

    @staticmethod
    def _pages(view: memoryview, number: int) -> Pages:
        start = number * _PROCESS_BYTES
        middle, end = start + IN_FLIGHT_BYTES, start + _PROCESS_BYTES
        return Pages(Page(view[start:middle]), Page(view[middle:end]))


def shared_memory(processes: int) -> int:
    """A file descriptor of memory that child processes can inherit; it goes with the last process that has it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("kubeai")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, processes * _PROCESS_BYTES)
    return fd
