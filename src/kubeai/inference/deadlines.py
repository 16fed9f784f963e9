"""Time-outs of connections, for next to nothing.

A timer for every request and each of its phases would cost more than parsing it. So a connection just notes until
when it may stay as it is, and all of them are looked at now and then: late by at most one interval.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

NEVER = float("inf")


class Watched(Protocol):
    #: Loop time; `NEVER` while nothing is to be waited for.
    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""


class Deadlines:
    """Everything that has a deadline in one process."""

    def __init__(self, interval_s: float = 0.5) -> None:
        self._interval_s = interval_s
        self._watched: set[Watched] = set()
        #: Set exactly while something is watched.
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watched: Watched) -> None:
        self._watched.add(watched)
        if self._timer is None:
            self._schedule()

    def discard(self, watched: Watched) -> None:
        self._watched.discard(watched)
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._look)

    def _look(self) -> None:
        self._schedule()
        now = asyncio.get_running_loop().time()
        for watched in [w for w in self._watched if w.deadline <= now]:
            watched.deadline = NEVER
            watched.expire()
