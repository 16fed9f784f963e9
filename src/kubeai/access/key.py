"""What an API key is: a secret that only its owner knows, and the rules for whoever shows it.

A key is 32 random bytes, so its plain SHA-256 says nothing about it: there is nothing to guess, and no salt or slow
hash is needed. That makes finding the key of a request one digest and one dictionary access, whose time does not
depend on how much of a wrong key is right.
"""

from __future__ import annotations

import base64
import hashlib
import re

from kubeai.api.k8s.objects import Struct
from kubeai.api.k8s.selectors import LabelSelector

#: What all keys begin with: people and scanners for leaked secrets know them by it.
PREFIX = "sk-kubeai-"
RANDOM_BYTES = 32
#: It becomes a key of a Secret, a label of metrics and a word in logs.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
NEVER = float("inf")


class Key(Struct, frozen=True):
    """The rules of one key, and what it is recognised by. Limits that are None do not exist."""

    name: str
    #: SHA-256 of the key.
    digest: bytes
    #: Label selector of the Models that it may use; it has been parsed once.
    models: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    #: Unix time.
    expires_at: float = NEVER
    #: Among requests that wait, those of a higher priority go first.
    priority: int = 0
    #: Unix time.
    created_at: float = 0.0

    @property
    def limited(self) -> bool:
        return (self.requests_per_minute, self.tokens_per_minute, self.concurrency) != (None, None, None)

    @property
    def selector(self) -> LabelSelector:
        return LabelSelector.parse(self.models)


def key_text(random: bytes) -> str:
    """The key that `random` makes."""
    return PREFIX + base64.urlsafe_b64encode(random).decode("ascii").rstrip("=")


def digest_of(key: bytes) -> bytes:
    """What a key is known by."""
    return hashlib.sha256(key).digest()


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a key; None if nothing is."""
    if _NAME.fullmatch(name):
        return None
    return "the name of a key has 1 to 63 letters, digits, '.', '-' or '_', with a letter or digit at both ends"
