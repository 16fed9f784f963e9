"""Writes that the cache has not shown yet.

A reconciler that has just created a Pod and looks at a cache that lags behind would create it again. So it remembers
what it wrote and waits until the cache shows it. Nothing is waited for for ever: a watch that lost the object, or an
object that was created and deleted between two looks, must not stop the work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

EXPIRY_S = 30.0


class Expectations(Generic[K]):
    """For each key (an owner) the uids of its objects that must appear in, or vanish from, the cache."""

    def __init__(self, expiry_s: float = EXPIRY_S) -> None:
        self._expiry_s = expiry_s
        #: key -> uid -> time at which we stop waiting for it to appear.
        self._appearing: dict[K, dict[str, float]] = {}
        #: key -> uid -> time at which we stop waiting for it to vanish.
        self._vanishing: dict[K, dict[str, float]] = {}

    def created(self, key: K, uid: str, now: float) -> None:
        self._appearing.setdefault(key, {})[uid] = now + self._expiry_s

    def deleted(self, key: K, uid: str, now: float) -> None:
        self._appearing.get(key, {}).pop(uid, None)
        self._vanishing.setdefault(key, {})[uid] = now + self._expiry_s

    def observe(self, key: K, present: Collection[str]) -> None:
        """The cache now shows exactly these uids (those that are terminating left out) of the key's objects."""
        self._keep(self._appearing, key, lambda uid: uid not in present)
        self._keep(self._vanishing, key, lambda uid: uid in present)

    def pending(self, key: K, now: float) -> bool:
        """Whether the cache still lags behind what was written for the key."""
        for writes in (self._appearing, self._vanishing):
            self._keep(writes, key, lambda _: True, now)
        return key in self._appearing or key in self._vanishing

    def forget(self, key: K) -> None:
        """The key's owner is gone."""
        self._appearing.pop(key, None)
        self._vanishing.pop(key, None)

    @staticmethod
    def _keep(
        writes: dict[K, dict[str, float]], key: K, still: Callable[[str], bool], now: float = float("-inf")
    ) -> None:
        kept = {uid: until for uid, until in writes.pop(key, {}).items() if still(uid) and until > now}
        if kept:
            writes[key] = kept
