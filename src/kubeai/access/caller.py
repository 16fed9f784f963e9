"""The one who asks, as the rest of the gateway sees him: by what he is told apart, and what he may do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from kubeai.api.k8s.selectors import LabelSelector
from kubeai.api.openai.errors import forbidden, too_many_requests

from .key import NEVER, Key
from .limits import Limiter, Refusal, Running


class Limits(Protocol):
    """How much somebody may have: see `Limiter`."""

    @property
    def running(self) -> AbstractContextManager[None]:
        """Counts what runs."""

    def admit(self, now: float) -> Refusal | None: ...

    def charge(self, tokens: float, now: float) -> None: ...


class Caller:
    """One of these for each key, and for each user that a trusted proxy names."""

    __slots__ = ("_limiter", "expires_at", "identity", "name", "priority", "running", "selector")

    def __init__(
        self,
        identity: str,
        name: str,
        *,
        selector: LabelSelector | None = None,
        limiter: Limits | None = None,
        priority: int = 0,
        expires_at: float = NEVER,
    ) -> None:
        #: Opaque; two requests are of the same caller if it is equal. "" is everybody who need not say.
        self.identity = identity
        #: For logs and metrics.
        self.name = name
        self.priority = priority
        #: The Models that he may use; None: all.
        self.selector = selector
        self.expires_at = expires_at
        self._limiter = limiter
        #: The requests of his that are under way.
        self.running: AbstractContextManager[None] = limiter.running if limiter else Running()

    def may_use(self, labels: Mapping[str, str]) -> bool:
        return self.selector is None or self.selector.matches(labels)

    def require(self, labels: Mapping[str, str], requested: str) -> None:
        """Raises `OpenAIError` (403) if the Model with these labels is not for him."""
        if not self.may_use(labels):
            raise forbidden(f"'{self.name}' has no permission to use the model '{requested}'.")

    def admit(self, now: float) -> None:
        """Pay for one more request. Raises `OpenAIError` (429) if a limit is reached."""
        refusal = self._limiter.admit(now) if self._limiter is not None else None
        if refusal is not None:
            message = f"'{self.name}' has reached its limit of {refusal.limit}. Try again in {refusal.retry_after_s} s."
            raise too_many_requests(message, refusal.retry_after_s)

    def charge(self, tokens: int, now: float) -> None:
        """A request of his has cost so many tokens."""
        if self._limiter is not None:
            self._limiter.charge(tokens, now)


#: Where no keys are asked for.
ANYONE = Caller("", "")


def limiter_of(key: Key) -> Limiter:
    return Limiter(key.requests_per_minute, key.tokens_per_minute, key.concurrency)


def of_key(key: Key, limiter: Limits) -> Caller:
    """The holder of a key."""
    selector = key.selector
    return Caller(
        f"key:{key.name}",
        key.name,
        selector=selector if selector.requirements else None,
        limiter=limiter,
        priority=key.priority,
        expires_at=key.expires_at,
    )
