"""Progress of a download, told in lines that a log can keep."""

from __future__ import annotations

import time
from collections.abc import Callable

#: what is being loaded, bytes done, bytes in all (None: unknown)
Progress = Callable[[str, int, int | None], None]

_PAUSE_S = 1.0
_MB = 1_000_000


class ProgressLines:
    """Calls `write` about once a second, and for the last byte."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._next = 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now = self._clock()
        if now < self._next and done != total:
            return
        self._next = now + _PAUSE_S
        if total:
            self._write(f"loading {what}: {done * 100 // total}% ({done // _MB} of {total // _MB} MB)")
        else:
            self._write(f"loading {what}: {done // _MB} MB")
