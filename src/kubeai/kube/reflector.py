"""Keeps a `Mirror` equal to a collection of the API server: list once, then watch, whatever happens to the watch.

The version that was seen last is where the next watch begins. Only if the server no longer knows it (410), or sends
what can't be understood, the collection is listed again; what vanished meanwhile is then missing from the list. All
else (the server restarts, the network breaks, the stream ends) leads to another watch from the same version.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from kubeai.api.k8s.resources import Resource
from kubeai.kube.backoff import backoff_s
from kubeai.kube.cache import Key
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, from_status
from kubeai.kube.mirror import Mirror, identify
from kubeai.kube.paging import PAGE_SIZE
from kubeai.kube.watch import Event, Watch

log = logging.getLogger(__name__)

#: After this many objects others get their turn: with handlers, an object costs 50 to 500 microseconds.
_CHUNK = 20


@dataclass(frozen=True, slots=True)
class Collection:
    """What is listed and watched."""

    resource: Resource
    namespace: str
    labels: str = ""
    fields: str = ""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.resource.namespaced and self.namespace else ""
        return f"{self.resource.group_plural}{where}"


@dataclass(frozen=True, slots=True)
class Timing:
    """The defaults suit any server; tests are in more of a hurry."""

    #: The server is asked to end a watch after this long, so that a forgotten one does not live for ever.
    watch_timeout_s: float = 290.0
    #: If it has not done so by then, nobody is there.
    grace_s: float = 10.0
    first_backoff_s: float = 0.05
    max_backoff_s: float = 6.4
    #: However long a server asks to wait: the page of a proxy in maintenance says an hour for a minute.
    max_asked_s: float = 30.0
    #: A watch that stands for this long, or brings an event, is no failure.
    steady_s: float = 1.0
    page_size: int = PAGE_SIZE


class _Breather:
    """Gives way to others now and then, in work that has no other reason to wait."""

    def __init__(self) -> None:
        self._count = 0

    async def step(self) -> None:
        self._count += 1
        if self._count % _CHUNK == 0:
            await asyncio.sleep(0)


class Reflector:
    """Lists and watches for ever."""

    def __init__(self, client: Client, collection: Collection, mirror: Mirror[Any], timing: Timing) -> None:
        self._client = client
        self._collection = collection
        self._mirror = mirror
        self._timing = timing
        self._breather = _Breather()
        #: What the next watch goes on from; None: list first.
        self._version: str | None = None
        #: In a row.
        self._failures = 0
        #: What the log said last about the state of the connection; "" for a good one.
        self._trouble = ""
        self.synced = asyncio.Event()

    @property
    def resource_version(self) -> str:
        return self._version or ""

    async def run(self) -> None:
        while True:
            failure = await self._follow()
            if failure is not None:
                self._report(failure)
                await asyncio.sleep(self._delay_s(failure))

    async def _follow(self) -> APIError | None:
        """List if need be, then watch until the watch ends. Returns what went wrong, None if nothing did."""
        try:
            if self._version is None:
                await self._list()
            return await self._watch(self.resource_version)
        except APIError as error:
            if not error.transient:
                self._version = None
            return error

    async def _list(self) -> None:
        """Newcomers and changes first, in the list's order; then those that are no longer there."""
        listed: set[Key] = set()
        version = ""
        where = self._collection
        pages = self._client.pages(
            where.resource, where.namespace, labels=where.labels, fields=where.fields, size=self._timing.page_size
        )
        async with aclosing(pages):
            async for page in pages:
                if page.first:
                    listed.clear()
                version = page.resource_version
                for raw in page.items:
                    if (key := self._mirror.put(raw)) is not None:
                        listed.add(key)
                    await self._breather.step()
        for key in self._mirror.cache.keys() - listed:
            self._mirror.remove_key(key)
            await self._breather.step()
        self._version = version
        self.synced.set()

    async def _watch(self, version: str) -> APIError | None:
        where, timing = self._collection, self._timing
        try:
            # The deadline notices a server that is gone without a word; a silent one is ended by itself before.
            async with (
                asyncio.timeout(timing.watch_timeout_s + timing.grace_s),
                self._client.watch(
                    where.resource,
                    where.namespace,
                    labels=where.labels,
                    fields=where.fields,
                    resource_version=version,
                    timeout_s=timing.watch_timeout_s,
                ) as watch,
            ):
                return await self._consume(watch)
        except TimeoutError:
            log.debug("the watch of %s was silent past its end", where)
            return None

    async def _consume(self, watch: Watch) -> APIError | None:
        """Returns a failure if the server ended the watch before it was of any use: that may go on for ever."""
        steady = asyncio.get_running_loop().call_later(self._timing.steady_s, self._recovered)
        useful = False
        try:
            async for event in watch:
                self._take(event)
                useful = True
                self._recovered()
                await self._breather.step()
        finally:
            lasted = steady.when() <= asyncio.get_running_loop().time()
            steady.cancel()
        return None if useful or lasted else APIError(0, "ShortWatch", "the server ended the watch at once")

    def _take(self, event: Event) -> None:
        """Any ERROR means that this watch can't be gone on with; only a list is sure to help."""
        if event.type == "ERROR":
            self._version = None
            raise _status(event)
        if event.type == "DELETED":
            self._mirror.remove(event.object)
        elif event.type != "BOOKMARK":
            self._mirror.put(event.object)
        try:
            self._version = identify(event.object).resource_version or self._version
        except msgspec.DecodeError:
            # Said by the mirror already. Its version is unknown, so that the next event's counts.
            return

    def _delay_s(self, failure: APIError) -> float:
        self._failures += 1
        own = backoff_s(self._failures, self._timing.first_backoff_s, self._timing.max_backoff_s)
        return max(own, min(failure.retry_after_s or 0.0, self._timing.max_asked_s))

    def _report(self, failure: APIError) -> None:
        """Once for each state, not for each try. An expired version and a short watch are everyday life."""
        if failure.gone or failure.reason == "ShortWatch":
            log.debug("%s: %s", self._collection, failure)
            return
        trouble = f"{failure.status} {failure.reason}"
        if trouble != self._trouble:
            log.warning("%s cannot be watched, trying again: %s", self._collection, failure)
        self._trouble = trouble

    def _recovered(self) -> None:
        self._failures = 0
        if self._trouble:
            log.info("%s are watched again", self._collection)
        self._trouble = ""


def _status(event: Event) -> APIError:
    try:
        return from_status(msgspec.json.decode(event.object, type=dict[str, Any]))
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        return APIError(0, "BadAnswer", f"an ERROR event without a Status: {error}")
