"""An always current copy of a collection in memory: ask it anything at no cost, and be told of each change.

A collection can be spread over several namespaces, each of which is listed and watched by itself: that needs no right
to see the others.

It shows the server's state with a small delay, never a state that did not exist. Whoever writes and must not act on
the old state afterwards uses `expectations`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from kubeai.api.k8s.resources import Resource
from kubeai.kube.cache import Indexer
from kubeai.kube.client import Client
from kubeai.kube.mirror import Handler, Mirror
from kubeai.kube.reflector import Collection as Collected
from kubeai.kube.reflector import Reflector, Timing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Part(Generic[T]):
    """What is in one namespace, and who keeps it current."""

    mirror: Mirror[T]
    reflector: Reflector


def _part(client: Client, what: Collected, mirror: Mirror[T], timing: Timing | None) -> _Part[T]:
    return _Part(mirror, Reflector(client, what, mirror, timing or Timing()))


class Informer(Generic[T]):
    """One collection. Nothing happens before `run`, which one task must run for as long as the copy is used."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        decode: Callable[[bytes], T],
        *,
        namespace: str | None = None,
        more_namespaces: Collection[str] = (),
        labels: str = "",
        fields: str = "",
        indexers: Mapping[str, Indexer[T]] | None = None,
        timing: Timing | None = None,
    ) -> None:
        """`namespace=None` is the client's own, `""` all. `labels` and `fields` select on the server."""
        where = client.namespace if namespace is None else namespace
        #: By namespace; `""` for all of them.
        self._parts = {
            name: _part(
                client,
                Collected(resource, name, labels, fields),
                Mirror(resource.group_plural, decode, indexers),
                timing,
            )
            for name in (where, *more_namespaces)
        }
        self._waiting: set[asyncio.Future[None]] = set()
        self.on_change(self._wake)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            for part in self._parts.values():
                group.create_task(part.reflector.run())

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler(old, new)` for each change, in order, right after the copy changed; it must not block.

        Each change is told once: (None, new), (old, new) or (old, None); an object that was replaced by another of
        its name is told as gone, then as come. The first list is told as changes, too, and so is, to a handler that
        comes later, what is there already.
        """
        for part in self._parts.values():
            part.mirror.on_change(handler)

    @property
    def synced(self) -> bool:
        """The first list is complete, and told."""
        return all(part.reflector.synced.is_set() for part in self._parts.values())

    async def wait_synced(self) -> None:
        for part in self._parts.values():
            await part.reflector.synced.wait()

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Wait until it is true; it is asked again after changes. Set a deadline around it."""
        while not predicate():
            changed = asyncio.get_running_loop().create_future()
            self._waiting.add(changed)
            try:
                await changed
            finally:
                self._waiting.discard(changed)

    def get(self, namespace: str, name: str) -> T | None:
        part = self._parts.get(namespace) or self._parts.get("")
        return part.mirror.cache.get((namespace, name)) if part is not None else None

    def all(self) -> list[T]:
        return [obj for part in self._parts.values() for obj in part.mirror.cache.all()]

    def by_index(self, index: str, key: str) -> list[T]:
        """The objects for which the indexer of that name gave `key`."""
        return [obj for part in self._parts.values() for obj in part.mirror.cache.by_index(index, key)]

    @property
    def resource_version(self) -> str:
        """The server's version of this state (of the first namespace's part); opaque; "" before the first list."""
        return next(iter(self._parts.values())).reflector.resource_version

    def _wake(self, old: T | None, new: T | None) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
