"""How long to wait after failures in a row: doubling, bounded, the same each time (no chance in it)."""

from __future__ import annotations

#: More doublings than any bound needs, few enough for a float.
_MAX_DOUBLINGS = 64


def backoff_s(failures: int, first_s: float, max_s: float) -> float:
    """The wait after the `failures`-th failure, counted from 1."""
    return min(first_s * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), max_s)
