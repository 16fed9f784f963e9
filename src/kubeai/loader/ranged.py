"""Many objects at once, in ranges, with one count of the bytes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import LoadError
from .hashing import sha256_of
from .parts import Part, Range
from .progress import Progress
from .workers import run_all

#: Requests at a time: enough to fill a fast line, few enough for a small Pod (each holds about a megabyte).
WORKERS = 16
Buffer = bytes | bytearray | memoryview
_RETRIES_S = (0.2, 1, 5, 15)


@dataclass(frozen=True, slots=True)
class Download:
    """One object, and the file that it becomes."""

    key: str
    target: Path
    size: int
    etag: str | None
    version: str


class Counter:
    """Bytes of all files together."""

    def __init__(self, what: str, total: int, progress: Progress) -> None:
        self._what = what
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._progress(self._what, self._done, self._total)


class RangeSource(Protocol):
    """Where the bytes come from. Called from several threads."""

    def read(self, download: Download, wanted: Range) -> Iterable[Buffer]:
        """The bytes of a range. Raises what `is_final` and `explain` understand."""

    def sha256(self, download: Download) -> str | None:
        """The hash that the file must have, where one is known."""

    def is_final(self, error: Exception) -> bool:
        """Whether trying again is no use."""

    def explain(self, error: Exception) -> str:
        """One line."""


def download_all(source: RangeSource, url: str, what: str, downloads: Sequence[Download], progress: Progress) -> None:
    """Bring every file that is not there yet. Raises `LoadError`; what has come so far stays for the next try."""
    counter = Counter(what, sum(download.size for download in downloads), progress)
    stop = threading.Event()
    try:
        tasks = [task for download in downloads for task in _tasks(source, download, counter, stop)]
        run_all(tasks, WORKERS, stop)
    except LoadError:
        raise
    except _DiskError as error:
        raise LoadError(f"{url}: {error}") from error
    except Exception as error:  # the client library's own
        raise LoadError(f"{url}: {source.explain(error)}") from error


class _DiskError(Exception):
    """Nothing that the other side could do anything about."""


def _tasks(
    source: RangeSource, download: Download, counter: Counter, stop: threading.Event
) -> Iterator[Callable[[], None]]:
    if download.target.exists():
        counter.add(download.size)
        return
    part = Part(download.target, download.size, download.version)
    counter.add(part.done_bytes)
    if not part.missing:
        yield lambda: _finish(source, download, part)
    for wanted in part.missing:
        yield lambda wanted=wanted: _bring(source, download, part, wanted, counter, stop)  # type: ignore[misc]


def _bring(
    source: RangeSource, download: Download, part: Part, wanted: Range, counter: Counter, stop: threading.Event
) -> None:
    for pause_s in (*_RETRIES_S, None):
        if stop.is_set():
            return
        try:
            last = _write(source, download, part, wanted, counter, stop)
            break
        except Exception as error:
            if pause_s is None or isinstance(error, LoadError | _DiskError) or source.is_final(error):
                raise
            stop.wait(pause_s)
    if last:
        _finish(source, download, part)


def _write(
    source: RangeSource, download: Download, part: Part, wanted: Range, counter: Counter, stop: threading.Event
) -> bool:
    """Copy one range into the file; what a failed try has counted is taken back. Whether it was the file's last."""
    position = wanted.start
    descriptor = part.open()
    try:
        for piece in source.read(download, wanted):
            if stop.is_set():
                raise LoadError("stopped")
            _put(descriptor, piece, position)
            position += len(memoryview(piece))
            counter.add(len(memoryview(piece)))
        if position != wanted.end:
            raise ConnectionError(f"{download.key}: {wanted.end - position} bytes are missing")
        return part.completed(wanted, descriptor)
    except BaseException:
        counter.add(wanted.start - position)
        raise
    finally:
        os.close(descriptor)


def _put(descriptor: int, piece: Buffer, position: int) -> None:
    rest = memoryview(piece)
    try:
        while rest:  # a disk that is nearly full takes a part, and may have room for what follows
            written = os.pwrite(descriptor, rest, position)
            rest, position = rest[written:], position + written
    except OSError as error:
        raise _DiskError(f"cannot be written: {error.strerror}") from error


def _finish(source: RangeSource, download: Download, part: Part) -> None:
    """Believe the file only when size and hash, where one is known, are right."""
    size = part.path.stat().st_size
    expected = source.sha256(download)
    actual = sha256_of(part.path) if expected else None
    if size != download.size or actual != expected:
        part.discard()
        what = f"SHA-256 {actual} and not {expected}" if size == download.size else f"{size} bytes, not {download.size}"
        raise LoadError(f"{download.key}: has arrived with {what}; load again")
    part.finish()
