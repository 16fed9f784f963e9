"""Keys to be worked on: each at most once in the queue, and by one worker at a time.

Modelled on client-go's workqueue: three collections whose invariants are all there is to it. An event only adds its
key, so a burst of events for one object is one piece of work, and an event that comes while the object is being worked
on makes it be looked at once more afterwards.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from kubeai.kube.backoff import backoff_s

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_S = 0.05
LAST_RETRY_S = 60.0


class QueueClosed(Exception):  # noqa: N818 - the normal end of a worker
    """There will be no more work."""


class Workqueue(Generic[K]):
    """`get` a key, work on it, say `done`; then `forget` it on success or `retry` it later."""

    def __init__(self, first_retry_s: float = FIRST_RETRY_S, last_retry_s: float = LAST_RETRY_S) -> None:
        self._first_retry_s = first_retry_s
        self._last_retry_s = last_retry_s
        #: Keys in the order in which they will be worked on. Each is in `dirty` and none is in `processing`.
        self._queue: deque[K] = deque()
        #: Keys that need work, in the queue or waiting for their worker to be done.
        self._dirty: set[K] = set()
        #: Keys that a worker has now. May also be dirty: then they are queued again when done.
        self._processing: set[K] = set()
        #: The pending `add_after` of a key, with its due time; the earliest wins.
        self._timers: dict[K, asyncio.TimerHandle] = {}
        #: How often a key failed in a row.
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, key: K) -> None:
        """The key needs work now."""
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """The key needs work in `delay_s` seconds, unless it was to be looked at earlier anyway."""
        if self._closed:
            return
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        pending = self._timers.get(key)
        if pending is not None:
            if pending.when() <= loop.time() + delay_s:
                return
            pending.cancel()
        self._timers[key] = loop.call_later(delay_s, self._due, key)

    def retry(self, key: K, asked_s: float = 0.0) -> None:
        """The work failed: try again after a time that doubles with each failure in a row.

        A server that has asked for a longer time gets it, up to that of the last failures.
        """
        self._failures[key] = self._failures.get(key, 0) + 1
        own_s = backoff_s(self._failures[key], self._first_retry_s, self._last_retry_s)
        self.add_after(key, max(own_s, min(asked_s, self._last_retry_s)))

    def forget(self, key: K) -> None:
        """The work succeeded: the next failure is a first one."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; nobody else gets it until `done`. Raises `QueueClosed` after `close`."""
        while not self._queue:
            if self._closed:
                raise QueueClosed
            await self._wait()
        key = self._queue.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker leaves the key; if it became dirty meanwhile it is queued again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._enqueue(key)

    def close(self) -> None:
        """Drop what waits and let all workers end."""
        self._closed = True
        self._queue.clear()
        self._dirty.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._getters:
            self._wake_one()

    def _due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _enqueue(self, key: K) -> None:
        self._queue.append(key)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    async def _wait(self) -> None:
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            if getter.done() and not getter.cancelled() and self._queue:
                self._wake_one()  # this wake-up was for a key; pass it on
            raise
