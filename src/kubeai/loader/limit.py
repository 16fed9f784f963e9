"""A bound on the cache of one machine: what has not been used for the longest time goes first.

Each load leaves a note of its files, whose age is that of the last use. Files of running servers are links of their own
and stay; only what lies in the cache is counted and removed. In the hub's cache a file has a name for each revision,
all of them links to the same bytes: bytes are counted, and go with the last that has them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubeai.api.k8s.quantity import QuantityError, parse_quantity

from .errors import LoadError

_NOTES = ".uses"


@dataclass(frozen=True, slots=True)
class Use:
    """One source that was loaded: the names of the cache that it consists of, and the files behind them."""

    source: str
    used: float
    names: frozenset[Path]
    files: frozenset[Path]


def parse_limit(text: str) -> int:
    """Bytes. Raises `LoadError`."""
    try:
        return int(parse_quantity(text))
    except QuantityError as error:
        raise LoadError(f"the limit of the cache, {text!r}: {error}") from error


def to_evict(uses: Iterable[Use], sizes: Mapping[Path, int], limit_bytes: int, keep: str) -> list[Use]:
    """Which to remove, oldest first, until the rest fits. The latest of `keep` stays, and what shares a name with it:
    those that do are one, as old as the newest of them."""
    groups = sorted(_groups(uses), key=_used)
    kept = next((group for group in reversed(groups) if any(use.source == keep for use in group)), None)
    evicted: list[Use] = []
    for group in tuple(groups):
        if _total(groups, sizes) <= limit_bytes:
            break
        if group is not kept:
            groups.remove(group)
            evicted += sorted(group, key=lambda use: use.used)
    return evicted


def _groups(uses: Iterable[Use]) -> list[list[Use]]:
    groups: list[list[Use]] = []
    for use in uses:
        near = [group for group in groups if any(use.names & other.names for other in group)]
        groups = [group for group in groups if group not in near] + [[use, *(other for g in near for other in g)]]
    return groups


def _used(group: Sequence[Use]) -> float:
    return max(use.used for use in group)


def _total(groups: Sequence[Sequence[Use]], sizes: Mapping[Path, int]) -> int:
    return sum(sizes.get(file, 0) for file in _files(use for group in groups for use in group))


def _files(uses: Iterable[Use]) -> frozenset[Path]:
    return frozenset[Path]().union(*(use.files for use in uses))


def note_use(cache: Path, source: str, files: Iterable[Path]) -> None:
    """The source was loaded now. Files outside of the cache are nobody's to remove.

    A source that has other files than before, as a branch that has moved, gets another note: the old one grows old.
    """
    inside = sorted(str(file.relative_to(cache)) for file in files if file.is_relative_to(cache))
    if inside:
        notes = cache / _NOTES
        notes.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256("\n".join((source, *inside)).encode()).hexdigest()[:24]
        (notes / f"{name}.json").write_text(json.dumps({"source": source, "files": inside}), "utf-8")


def trim(cache: Path, limit_bytes: int, keep: str) -> list[str]:
    """Remove until the cache fits; the sources that went."""
    notes = {use: note for note in (cache / _NOTES).glob("*.json") if (use := _read(cache, note))}
    sizes = {file: file.stat().st_size for file in _files(notes) if file.exists()}
    evicted = to_evict(notes, sizes, limit_bytes, keep)
    needed = _files(use for use in notes if use not in evicted)
    for use in evicted:
        notes[use].unlink(missing_ok=True)
        for path in use.names | (use.files - needed):
            _remove(cache, path)
    return [use.source for use in evicted]


def _read(cache: Path, note: Path) -> Use | None:
    try:
        content = json.loads(note.read_text("utf-8"))
        names = frozenset(cache / name for name in content["files"])
        return Use(content["source"], note.stat().st_mtime, names, frozenset(_behind(cache, names)))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # removed by another loader, or torn: then nothing is known of its files


def _behind(cache: Path, names: Iterable[Path]) -> Iterator[Path]:
    """By the way that leads through the cache, which may be a link itself."""
    root = cache.resolve()
    for name in names:
        if (real := name.resolve()).is_relative_to(root):
            yield cache / real.relative_to(root)


def _remove(cache: Path, path: Path) -> None:
    """With the directories that are empty then."""
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == cache:
            break
        with contextlib.suppress(OSError):
            parent.rmdir()
