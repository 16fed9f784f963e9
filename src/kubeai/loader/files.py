"""What a directory of weights holds."""

from __future__ import annotations

from pathlib import Path


def files_below(root: Path) -> dict[str, Path]:
    """Every file of a directory by its path in it."""
    return {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
