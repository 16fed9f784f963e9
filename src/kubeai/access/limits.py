"""How much of something one caller may have: token buckets, and a bound on what runs at a time.

A bucket holds a minute's worth and fills steadily: after a quiet minute a whole minute's worth may come at once, and in
the long run no more than the limit. Requests are paid for when they come. What a request costs in tokens is known only
when it has ended; so it may begin while the bucket is not empty, and is charged afterwards, if need be into debt, which
later requests have to wait for.

Pure: loop time is an argument.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_MINUTE_S = 60.0
#: Sums of fractions miss whole numbers by this much at most.
_TINY = 1e-6
#: When something that runs will end is not known.
_SOON_S = 1.0


class Refusal(NamedTuple):
    """What was reached, and when to come again."""

    limit: str
    retry_after_s: int


class Bucket:
    """So much each minute."""

    __slots__ = ("_at", "_full", "_per_s", "level")

    def __init__(self, per_minute: int) -> None:
        self._full = float(per_minute)
        self._per_s = per_minute / _MINUTE_S
        #: What was in it at the time `_at`; less than nothing is a debt. Whoever takes some does so right after `fill`.
        self.level = self._full
        self._at = 0.0

    def fill(self, now: float) -> float:
        """What is in it now."""
        level = self.level + (now - self._at) * self._per_s
        self.level = level = level if level < self._full else self._full
        self._at = now
        return level

    def wait_s(self, wanted: float) -> int:
        """Whole seconds from the last `fill` until there is so much."""
        return max(1, math.ceil((wanted - self.level) / self._per_s - _TINY))


class Limiter:
    """The limits of one caller. Those that are None do not exist."""

    __slots__ = (
        "_concurrency",
        "_elsewhere",
        "_requests",
        "_requests_per_minute",
        "_tokens",
        "_tokens_per_minute",
        "running",
    )

    def __init__(
        self,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        concurrency: int | None = None,
    ) -> None:
        self._requests_per_minute = requests_per_minute
        self._tokens_per_minute = tokens_per_minute
        self._concurrency = concurrency
        self._requests = Bucket(requests_per_minute) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute) if tokens_per_minute else None
        #: Requests that were admitted and have not ended: counted by `with`.
        self.running = Running()
        #: The same in other processes that share the limits.
        self._elsewhere = 0.0

    def admit(self, now: float) -> Refusal | None:
        """Whether one more request may begin; it is paid for if so."""
        requests, tokens = self._requests, self._tokens
        if self._concurrency is not None and self.running.count + self._elsewhere >= self._concurrency:
            return Refusal(f"{self._concurrency} requests at a time", math.ceil(_SOON_S))
        if tokens is not None and tokens.fill(now) <= 0:
            return Refusal(f"{self._tokens_per_minute} tokens a minute", tokens.wait_s(1))
        if requests is not None:
            if requests.fill(now) < 1 - _TINY:
                return Refusal(f"{self._requests_per_minute} requests a minute", requests.wait_s(1))
            requests.level -= 1
        return None

    def heed(self, running: float, requests: float, tokens: float, now: float) -> None:
        """In other processes that share the limits so much runs, and so much was let in since the last time.

        When they let it in is not known, and what came into a full bucket meanwhile was lost: the longer ago the last
        time is, the emptier the bucket may look. Requests are never let in on credit, so they at least leave no debt.
        """
        self._elsewhere = running
        if requests > 0 and self._requests is not None:
            self._requests.level = max(0.0, self._requests.fill(now) - requests)
        if tokens > 0:
            self.charge(tokens, now)

    def charge(self, tokens: float, now: float) -> None:
        """A request has cost so many."""
        if self._tokens is not None:
            self._tokens.fill(now)
            self._tokens.level -= tokens


class Running:
    """Counts what runs; each counts as long as a `with` lasts."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
