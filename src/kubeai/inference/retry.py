"""How often and how soon a request is tried again.

A retry helps when one replica fails and harms when all do: it multiplies the load of servers that drown already
(fault P8). So each request has few attempts, and all requests of a Model share a budget that grows with its traffic.
"""

from __future__ import annotations

#: Attempts after the first one.
MAX_RETRIES = 3
#: Answers of an engine that may be different elsewhere or a moment later.
RETRYABLE = frozenset({500, 502, 503, 504})

_BACKOFF_S = (0.02, 0.1, 0.4)
_EARNED = 0.2
_SAVED_AT_MOST = 50.0


def backoff_s(retries: int) -> float:
    """How long to wait before the next attempt when `retries` were made already."""
    return _BACKOFF_S[retries]


class RetryBudget:
    """One Model's: in the long run at most one retry for five requests, with some saved up for a bad moment."""

    __slots__ = ("_saved",)

    def __init__(self) -> None:
        self._saved = _SAVED_AT_MOST

    def earn(self) -> None:
        """A request came."""
        self._saved = min(self._saved + _EARNED, _SAVED_AT_MOST)

    def spend(self) -> bool:
        """Whether a retry is granted."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
