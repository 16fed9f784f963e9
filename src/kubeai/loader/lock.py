"""One loader at a time for each file: two replicas that start together share one download, and others do not wait."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Files that a loader has open besides its locks: parts, connections, the interpreter's own.
_OTHER_FILES = 256


@contextlib.contextmanager
def locked(files: Iterable[Path]) -> Iterator[None]:
    """Hold all of these, taken in one order, so that two loaders never wait for each other for ever."""
    wanted = sorted(set(files))
    _allow_open_files(len(wanted) + _OTHER_FILES)
    with contextlib.ExitStack() as stack:
        for file in wanted:
            stack.enter_context(_locked(file))
        yield


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    import fcntl

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        # Some network file systems know no locks; each Pod has a directory of its own there.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _allow_open_files(count: int) -> None:
    """As far as the system lets us: a source may have thousands of files."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
