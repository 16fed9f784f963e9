"""Which loads from the hub have come to their end, and with which files.

Where the hub is out of reach its client takes a snapshot as it is, also one of which a killed load, or one that asked
for less, has brought a part. A cache that somebody else has filled has no records: there the client has the last word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .selection import Selection


@dataclass(frozen=True, slots=True)
class Records:
    """Those of one repository. The directory is there once a load of ours has begun."""

    home: Path

    def begin(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    @property
    def kept(self) -> bool:
        return self.home.is_dir()

    def complete(self, selection: Selection, commit: str, names: Collection[str]) -> None:
        self._file(selection, commit).write_text(json.dumps(sorted(names)), "utf-8")

    def names(self, selection: Selection, commit: str) -> Collection[str]:
        """Of a load that was complete; none where there was none."""
        try:
            found = json.loads(self._file(selection, commit).read_text("utf-8"))
        except (OSError, ValueError):
            return ()
        return found if isinstance(found, list) else ()

    def _file(self, selection: Selection, commit: str) -> Path:
        return self.home / f"{hashlib.sha256(f'{commit} {selection}'.encode()).hexdigest()[:16]}.json"
