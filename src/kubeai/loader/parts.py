"""A file in the making, written in ranges by several threads at once, that a killed process can go on with.

Its bytes are in `NAME.part`; `NAME.journal` names the version of the source in its first line and then each range that
is safely on the disk. A journal of another version means that the source has changed: everything begins anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Large enough that a request costs little, small enough that a killed download loses little.
RANGE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes `start` (included) to `end` (not included)."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


def ranges(size: int, step: int = RANGE_BYTES) -> tuple[Range, ...]:
    return tuple(Range(start, min(start + step, size)) for start in range(0, size, step))


def on_disk(journal: str, version: str) -> frozenset[int]:
    """Where the ranges begin that a journal counts as written. A torn last line does not count."""
    head, newline, rest = journal.partition("\n")
    if not newline or head != version:
        return frozenset()
    return frozenset(int(line) for line in rest.split("\n")[:-1] if line.isascii() and line.isdigit())


class Part:
    """One file in the making. `write` may be called from any thread."""

    def __init__(self, target: Path, size: int, version: str) -> None:
        self.target = target
        self.size = size
        self._part = target.with_name(f"{target.name}.part")
        self._journal = target.with_name(f"{target.name}.journal")
        self._lock = threading.Lock()
        self.missing = self._take_up(version)
        self._left = len(self.missing)

    def _take_up(self, version: str) -> Sequence[Range]:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        journal = self._journal.read_text("utf-8") if self._journal.exists() and self._part.exists() else ""
        done = on_disk(journal, version)
        if not done:
            self._part.write_bytes(b"")
        # Without a torn last line, to which the next one would be added: 8388608 and 0 make 83886080.
        lines = [version, *map(str, sorted(done)), ""]
        self._journal.write_text("\n".join(lines), "utf-8")
        return [range for range in ranges(self.size) if range.start not in done]

    @property
    def done_bytes(self) -> int:
        return self.size - sum(range.size for range in self.missing)

    def open(self) -> int:
        """A file descriptor to write to."""
        return os.open(self._part, os.O_WRONLY)

    def completed(self, range: Range, descriptor: int) -> bool:
        """Note that all of a range is written. Whether it was the last one."""
        os.fsync(descriptor)  # the journal must never promise what a crash of the machine would take away
        with self._lock:
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.write(f"{range.start}\n")
            self._left -= 1
            return self._left == 0

    @property
    def path(self) -> Path:
        return self._part

    def finish(self) -> None:
        self._part.replace(self.target)
        self._journal.unlink(missing_ok=True)

    def discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)
