"""What the containers wrote: `DATA_DIR/pods/UID/CONTAINER/RUN.log`, one file for each run.

Processes write to their file themselves, so nothing is lost when we die. That a file grows without bound is prevented
by copying its end away and emptying it in place (the process keeps its open file); the few lines written between the
two steps are lost, which is the price of not standing in the way.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
_FOLLOW_POLL_S = 0.1
_CHUNK = 64 * 1024


def container_dir(data_dir: Path, pod_uid: str, container: str) -> Path:
    return data_dir / "pods" / pod_uid / container


def log_path(directory: Path, run: int) -> Path:
    return directory / f"{run}.log"


def runs(directory: Path) -> list[int]:
    """The runs that have a log, oldest first."""
    return sorted(int(path.stem) for path in directory.glob("*.log") if path.stem.isdecimal())


def forget_old_runs(directory: Path, keep: int = 2) -> None:
    for run in runs(directory)[:-keep]:
        log_path(directory, run).unlink(missing_ok=True)
        _rotated(log_path(directory, run)).unlink(missing_ok=True)


def rotate(path: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move a log that has grown too long to `RUN.log.1`; returns whether it was."""
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    with path.open("rb+") as log:
        log.seek(-max_bytes, os.SEEK_END)
        log.readline()
        end = log.read()
        log.truncate(0)  # first: what grew too long may be what fills the disk
    try:
        _rotated(path).write_bytes(end)
    except OSError:  # the disk is full: room now is worth more than old lines
        _rotated(path).unlink(missing_ok=True)
    return True


def last_words(path: Path, lines: int = 10, max_bytes: int = 2048) -> str:
    """The end of a log, for a status message."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - max_bytes))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(line.rstrip() for line in text.splitlines()[-lines:] if line.strip())


class PodLogs:
    """Reads what the processes of the node agent wrote; the embedded API server's source for `kubectl logs`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def open(
        self,
        namespace: str,
        pod_name: str,
        pod_uid: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        previous: bool = False,
    ) -> AsyncIterator[bytes]:
        """Whole chunks of log. A followed log ends when its run does.

        Raises `FileNotFoundError` if the container has not run (or, with `previous`, not twice).
        """
        directory = container_dir(self._data_dir, pod_uid, container)
        index = -2 if previous else -1
        known = runs(directory)
        if len(known) < -index:
            which = "previous terminated container" if previous else "container"
            raise FileNotFoundError(f'{which} "{container}" in pod "{pod_name}" has no log')
        path = log_path(directory, known[index])
        position = _size(path)  # what is appended from here on is for following
        for chunk in _tail(path, position, tail_lines) if tail_lines is not None else _chunks(path, position):
            yield chunk
        if follow and not previous:
            async for chunk in _follow(path, position):
                yield chunk


def _rotated(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _chunks(path: Path, end: int) -> Iterator[bytes]:
    """The rotated part of a log and its current file up to `end`."""
    rotated = _rotated(path)
    for part, left in ((rotated, _size(rotated)), (path, end)):
        if left:
            yield from _read(part, 0, left)


def _tail(path: Path, end: int, lines: int) -> Iterator[bytes]:
    """The files are bounded (see `rotate`), so reading them whole is bounded, too."""
    whole = b"".join(_chunks(path, end))
    yield from deque(whole.splitlines(keepends=True), maxlen=lines)


async def _follow(path: Path, position: int) -> AsyncIterator[bytes]:
    """What is appended from `position` on, until the run is over: its process's record goes with it."""
    record = path.with_name("process.json")
    while True:
        running = _size(record) > 0
        size = _size(path)
        if size < position:  # emptied by `rotate`
            position = 0
        if size > position:
            for chunk in _read(path, position, size):
                yield chunk
            position = size
        elif not running:
            return
        else:
            await asyncio.sleep(_FOLLOW_POLL_S)


def _read(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as log:
        log.seek(start)
        while start < end and (chunk := log.read(min(_CHUNK, end - start))):
            start += len(chunk)
            yield chunk
