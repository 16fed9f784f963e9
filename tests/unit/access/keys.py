"""API keys for tests, and the Secret that holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubeai.access.gate import Gate
from kubeai.access.key import Key, digest_of
from kubeai.access.secret import encode
from kubeai.api.k8s.objects import ObjectMeta, Secret
from kubeai.config.system import Authentication

#: The time of day at which tests take place.
NOW = 1_800_000_000.0


def key(name: str = "alice", **rules: Any) -> Key:
    """Its text is `sk-NAME`."""
    return Key(name=name, digest=digest_of(f"sk-{name}".encode()), **rules)


def secret(*keys: Key) -> Secret:
    return Secret(metadata=ObjectMeta(name="kubeai-api-keys"), data={each.name: encode(each) for each in keys})


class FakeSecrets:
    """The informer of the one Secret."""

    def __init__(self, *keys: Key, synced: bool = True) -> None:
        self.synced = synced
        self._secret: Secret | None = secret(*keys) if keys else None
        self._handlers: list[Callable[[Secret | None, Secret | None], None]] = []

    def on_change(self, handler: Callable[[Secret | None, Secret | None], None]) -> None:
        self._handlers.append(handler)
        if self._secret is not None:
            handler(None, self._secret)

    def put(self, new: Secret | None) -> None:
        old, self._secret = self._secret, new
        for handler in self._handlers:
            handler(old, new)


def gate(*keys: Key, secrets: FakeSecrets | None = None, now: float = NOW, **authentication: Any) -> Gate:
    settings = Authentication.model_validate(authentication)
    return Gate(settings, secrets or FakeSecrets(*keys), clock=lambda: now)
