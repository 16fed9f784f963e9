"""Raw objects in, changes out: keeps a `Cache` equal to what the server says and tells the handlers.

One bad object, or one bad handler, must never stop the rest: what can't be decoded is logged by name and left out, an
exception of a handler is logged and the next handler is called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from kubeai.kube.cache import Cache, Change, Identity, Indexer, Key

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[T | None, T | None], None]


class _Meta(msgspec.Struct, rename="camel", frozen=True):
    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class _Head(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()


_decode_head = msgspec.json.Decoder(_Head).decode


def identify(raw: msgspec.Raw) -> Identity:
    """Raises `msgspec.DecodeError`."""
    metadata = _decode_head(raw).metadata
    return Identity(metadata.namespace or "", metadata.name or "", metadata.uid or "", metadata.resource_version or "")


class Mirror(Generic[T]):
    """One resource's objects, decoded, and those who want to hear of changes."""

    def __init__(
        self, kind: str, decode: Callable[[bytes], T], indexers: Mapping[str, Indexer[T]] | None = None
    ) -> None:
        """`kind` is for the log."""
        self._kind = kind
        self._decode = decode
        self._handlers: list[Handler[T]] = []
        self.cache: Cache[T] = Cache(indexers)

    def on_change(self, handler: Handler[T]) -> None:
        """A handler that comes late is told of what is there, so that all handlers know the same."""
        for obj in self.cache.all():
            self._tell(handler, Change(None, obj))
        self._handlers.append(handler)

    def put(self, raw: msgspec.Raw) -> Key | None:
        """Take in the object's state; the same state twice is one change. Returns its key, if it has one."""
        identity = self._identify(raw)
        if identity is None:
            return None
        if not self.cache.holds(identity):
            self._publish(self._changes(identity, raw))
        return identity.key

    def remove(self, raw: msgspec.Raw) -> None:
        """The object is deleted, or no longer matches the selector."""
        identity = self._identify(raw)
        if identity is not None:
            self.remove_key(identity.key)

    def remove_key(self, key: Key) -> None:
        self._publish(self.cache.remove(key))

    def _identify(self, raw: msgspec.Raw) -> Identity | None:
        try:
            return identify(raw)
        except msgspec.DecodeError as error:
            log.error("an object among %s is left out, its metadata cannot be read: %s", self._kind, error)
            return None

    def _changes(self, identity: Identity, raw: msgspec.Raw) -> Iterable[Change[T]]:
        try:
            return self.cache.put(identity, self._decode(bytes(raw)))
        except Exception as error:  # whatever a decoder or an indexer raises
            log.error("%s %s/%s is left out: %s", self._kind, identity.namespace, identity.name, error)
            # Its former state is history: to go on acting on that would be worse than not to know the object.
            return self.cache.remove(identity.key)

    def _publish(self, changes: Iterable[Change[T]]) -> None:
        for change in changes:
            for handler in self._handlers:
                self._tell(handler, change)

    def _tell(self, handler: Handler[T], change: Change[T]) -> None:
        try:
            handler(change.old, change.new)
        except Exception:
            log.exception("a handler for %s failed; the others go on", self._kind)
