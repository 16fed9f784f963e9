"""LeastLoad: the endpoint with the fewest requests in flight.

Among equals the turn goes round, so that a quiet Model warms all of its replicas instead of wearing out the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from .endpoint import Member
from .strategy import Choice, Pool


class LeastLoad:
    def __init__(self) -> None:
        self._turn = 0

    def pick(self, pool: Pool, candidates: Sequence[Member], key: str) -> Choice:
        """See `Strategy.pick`; the key does not matter here."""
        count = len(candidates)
        start = self._turn % count
        best = candidates[start]
        least, position = best.in_flight, start
        if least:  # nobody can have less than none: an idle member ends the search
            for index in range(start + 1 - count, start):  # from the one after `start` on; negative indexes wrap
                member = candidates[index]
                if member.in_flight < least:
                    best, least, position = member, member.in_flight, index
                    if not least:
                        break
        self._turn = position % count + 1
        return Choice(best)
