"""Watches: every change goes out to those who asked for it, as one line of JSON each.

A watcher only holds bytes that wait to be sent. Objects are encoded once for all of them; a table or another version is
made for the watcher that wants it. A watcher that does not keep up is cut off: its client lists again, which is cheaper
for both than an endless queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

import msgspec

from kubeai.embedded.selection import Selection
from kubeai.embedded.status import JSONObject, StatusError, expired, internal
from kubeai.embedded.store import Entry, Event, Store, TooOldError

log = logging.getLogger(__name__)

#: Makes the JSON of an object as this client wants it.
Encode = Callable[[Entry], bytes]
BOOKMARK_EVERY_S = 60.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_MAX_WAITING = 20_000


def encode_event(type: str, data: bytes) -> bytes:
    return b'{"type":"' + type.encode() + b'","object":' + data + b"}\n"


def error_event(error: StatusError) -> bytes:
    return encode_event("ERROR", msgspec.json.encode(error.body()))


class Watcher:
    """One client's watch."""

    def __init__(self, selection: Selection, encode: Encode) -> None:
        self._selection = selection
        self._encode = encode
        self._waiting: list[bytes] = []
        self._woken = asyncio.Event()
        self._ended = False

    def observe(self, event: Event) -> None:
        """Queue what the change means to this watch: an object that leaves the selection is deleted from its view."""
        entry, before = event.entry, event.before
        matches = event.type != "DELETED" and self._selection.matches(entry.obj)
        matched = before is not None and self._selection.matches(before.obj)
        if matches:
            self.send(encode_event("MODIFIED" if matched else "ADDED", self._encode(entry)))
        elif matched and before is not None:
            self.send(encode_event("DELETED", self._encode(_last_seen(event, before))))

    def send(self, line: bytes) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting = [error_event(expired("the watch did not keep up with the changes"))]
            self._ended = True
        elif not self._ended:
            self._waiting.append(line)
        self._woken.set()

    def end(self) -> None:
        self._ended = True
        self._woken.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """What is to be sent, all that waits at a time, until the watch ends."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            lines, self._waiting = self._waiting, []
            if lines:
                yield b"".join(lines)
            if self._ended and not self._waiting:
                return


def _last_seen(event: Event, before: Entry) -> Entry:
    """The last state that the watch has seen, with the version of the change that took it away."""
    if event.type == "DELETED":
        return event.entry
    metadata = before.obj["metadata"] | {"resourceVersion": str(event.version)}
    return Entry(before.key, event.version, before.obj | {"metadata": metadata})


class Watchers:
    """All watches that are open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: defaultdict[str, set[Watcher]] = defaultdict(set)
        store.subscribe(self._observe)

    def _observe(self, event: Event) -> None:
        for watcher in tuple(self._open.get(event.entry.key.resource, ())):
            try:
                watcher.observe(event)
            except Exception as error:  # the change is made: whoever else watches must hear of it
                log.exception("a watch of %s fails", event.entry.key.resource)
                watcher.send(error_event(internal(repr(error))))
                watcher.end()

    def open(self, resource: str, watcher: Watcher, since: int | None) -> None:
        """Start a watch: from a version on, or (None) with everything that is there now as a beginning.

        Nothing is missed and nothing told twice, as the present is read and the watch entered in one go.
        """
        if since is None:
            for entry in self._store.entries(resource):
                watcher.observe(Event("ADDED", entry, None))
        else:
            self._replay(resource, watcher, since)
        self._open[resource].add(watcher)

    def _replay(self, resource: str, watcher: Watcher, since: int) -> None:
        try:
            events = self._store.since(since)
        except TooOldError as error:
            # Told as an event, with HTTP status 200, as a real API server does.
            watcher.send(error_event(expired(str(error))))
            watcher.end()
            return
        for event in events:
            if event.entry.key.resource == resource:
                watcher.observe(event)

    def close(self, resource: str, watcher: Watcher) -> None:
        self._open[resource].discard(watcher)

    def end_all(self) -> None:
        for watchers in self._open.values():
            for watcher in watchers:
                watcher.end()


class Ticker:
    """Does something every so often, until it is stopped."""

    def __init__(self, every_s: float, action: Callable[[], None]) -> None:
        self._every_s = every_s
        self._action = action
        self._timer = asyncio.get_running_loop().call_later(every_s, self._tick)

    def _tick(self) -> None:
        self._action()
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._tick)

    def stop(self) -> None:
        self._timer.cancel()


def bookmark(api_version: str, kind: str, version: int, *, initial: bool = False) -> bytes:
    """Tells a client how far it has come, although nothing that it watches has changed."""
    metadata: JSONObject = {"resourceVersion": str(version), "creationTimestamp": None}
    if initial:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    obj = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
    return encode_event("BOOKMARK", msgspec.json.encode(obj))
