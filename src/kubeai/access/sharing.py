"""One key's limits in a gateway of several processes: each counts what it lets in, and heeds what the others count.

The numbers are on the pages of the shared memory. A process that dies has its running requests struck out; what it let
in stays counted. Processes may each let one request in at the same moment, which is as far as they can be apart.
One that has nothing to do looks every few seconds all the same: see `Limiter.heed`.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from weakref import WeakSet, WeakValueDictionary, finalize

from kubeai.telemetry import names
from kubeai.telemetry.families import Counter, Gauge, series_key
from kubeai.telemetry.pages import Cells
from kubeai.telemetry.peers import Peers
from kubeai.telemetry.registry import Metrics

from .caller import limiter_of
from .key import Key
from .limits import Limiter, Refusal

#: How long a process that is not asked goes without looking; for as long it may hold up who keeps to the limits.
LOOK_S = 5.0


class Totals(NamedTuple):
    """Of the other processes."""

    running: float = 0.0
    requests: float = 0.0
    tokens: float = 0.0


class Shared:
    """What all processes let in for one key. Of its limiters the last one that somebody has keeps the numbers."""

    def __init__(self, metrics: Metrics, peers: Peers, key: str) -> None:
        self._peers = peers
        self.running: Gauge = metrics.key_requests_running.labels(key)
        self.requests: Counter = metrics.key_requests_admitted.labels(key)
        self.tokens: Counter = metrics.key_tokens_charged.labels(key)
        specs = (names.KEY_REQUESTS_RUNNING, names.KEY_REQUESTS_ADMITTED, names.KEY_TOKENS_CHARGED)
        self._keys = [series_key(spec, (key,)) for spec in specs]
        # The last request of a revoked key may still be running, and counts.
        finalize(self, _forget, metrics, key).atexit = False
        self._edition: object = None
        self._places: list[list[Cells]] = []

    def elsewhere(self) -> Totals:
        """What the others count now."""
        edition = self._peers.look()
        if edition is not self._edition:
            self._edition = edition
            self._places = [self._peers.places(key) for key in self._keys]
        return Totals(*[sum([view[cell] for view, cell in places], 0.0) for places in self._places])


def _forget(metrics: Metrics, key: str) -> None:
    for family in (metrics.key_requests_running, metrics.key_requests_admitted, metrics.key_tokens_charged):
        family.remove(key)


class SharedLimiter:
    """A limiter that heeds what the other processes let in, and lets them know."""

    def __init__(self, limiter: Limiter, shared: Shared) -> None:
        self._limiter = limiter
        self._shared = shared
        #: What the others had let in when it was looked at last.
        self._seen = shared.elsewhere()

    def __enter__(self) -> None:
        self._limiter.running.count += 1
        self._shared.running.inc()

    def __exit__(self, *_: object) -> None:
        self._limiter.running.count -= 1
        self._shared.running.dec()

    @property
    def running(self) -> SharedLimiter:
        """Counts what runs, by `with`."""
        return self

    def admit(self, now: float) -> Refusal | None:
        """See `Limiter`."""
        self.look(now)
        refusal = self._limiter.admit(now)
        if refusal is None:
            self._shared.requests.inc()
        return refusal

    def look(self, now: float) -> None:
        """Heed what the others have let in since it was looked at last."""
        seen, found = self._seen, self._shared.elsewhere()
        self._seen = found
        self._limiter.heed(found.running, found.requests - seen.requests, found.tokens - seen.tokens, now)

    def charge(self, tokens: float, now: float) -> None:
        """See `Limiter`."""
        self._limiter.charge(tokens, now)
        self._shared.tokens.inc(tokens)


class Sharing:
    """Makes limiters that are shared with the other processes, if there are any."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._peers = Peers.series(metrics)
        self._shared: WeakValueDictionary[str, Shared] = WeakValueDictionary()
        #: Those that callers have; a key that is changed or revoked lets go of its own.
        self._limiters: WeakSet[SharedLimiter] = WeakSet()

    def limiter(self, key: Key) -> Limiter | SharedLimiter:
        alone = limiter_of(key)
        if not self._peers or not key.limited:
            return alone
        shared = self._shared.get(key.name)
        if shared is None:
            shared = self._shared[key.name] = Shared(self._metrics, self._peers, key.name)
        limiter = SharedLimiter(alone, shared)
        self._limiters.add(limiter)
        return limiter

    async def run(self) -> None:
        """Look again and again, whoever asks, until cancelled."""
        loop = asyncio.get_running_loop()
        while self._peers:
            await asyncio.sleep(LOOK_S)
            for limiter in list(self._limiters):
                limiter.look(loop.time())
                await asyncio.sleep(0)  # there may be thousands, and requests come first
