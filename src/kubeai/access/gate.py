"""Decides who a request is from, and turns away who may not come in.

The keys are a view of one Secret's informer: a key that is made, changed or revoked is so with the next request, on
every gateway that watches. Where nothing was ever configured everybody may come in; but once this gateway has seen the
Secret it stays guarded until it ends, even if somebody deletes the Secret: a mistake must not open the door. The
processes of one gateway tell each other, so that one which comes later knows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from kubeai.api.k8s.objects import Secret
from kubeai.api.k8s.selectors import LabelSelector, SelectorError
from kubeai.api.openai.errors import forbidden, unauthenticated, unavailable
from kubeai.config.system import Authentication

from .caller import ANYONE, Caller, Limits, limiter_of, of_key
from .credentials import Credentials, Presented, is_within
from .key import NEVER, Key
from .secret import decode_all

log = logging.getLogger(__name__)

UNREAD = "the API keys have not been read yet"
#: Users of a proxy that are remembered; they are made anew when more than these come.
_MAX_USERS = 10_000


class Secrets(Protocol):
    """The part of an informer of the one Secret that is needed here."""

    @property
    def synced(self) -> bool: ...

    def on_change(self, handler: Callable[[Secret | None, Secret | None], None]) -> None: ...


class Guard:
    """Whether a gateway has ever seen the Secret of the keys: from then on nobody comes in without one."""

    def __init__(self, *, up: bool = False, tell: Callable[[], None] = lambda: None) -> None:
        """`tell` lets the gateway's other processes know."""
        self.up = up
        self._tell = tell

    def rise(self) -> None:
        if not self.up:
            self.up = True
            self._tell()


class Gate:
    """Of one gateway. Without arguments it lets everybody in."""

    def __init__(
        self,
        settings: Authentication | None = None,
        secrets: Secrets | None = None,
        *,
        guard: Guard | None = None,
        limiter: Callable[[Key], Limits] = limiter_of,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`limiter` makes what keeps a key's limits; `clock` is the time of day, by which keys expire."""
        self._settings = settings or Authentication()
        self._secrets = secrets
        self._limiter = limiter
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._by_name: dict[str, Caller] = {}
        #: Those of `_by_name`, by the digest of their keys.
        self._by_digest: dict[bytes, Caller] = {}
        self._users: dict[tuple[str, str, str], Caller] = {}
        proxy = self._settings.trusted_proxy
        #: Nobody comes in without showing who he is.
        self._guard = guard or Guard()
        self.guarded = self._settings.required or proxy is not None or self._guard.up
        self._trusted = Credentials(proxy, trusted=True)
        self._untrusted = Credentials(proxy, trusted=False)
        self._networks = proxy.networks if proxy else ()
        if secrets is not None:
            secrets.on_change(self._change)

    @property
    def unready_reason(self) -> str | None:
        """Before the Secret was looked for it is not known who may come in."""
        return UNREAD if self._secrets is not None and not self._secrets.synced else None

    def announce(self, *, exposed: bool) -> None:
        """Say once, at the start, what there is; `exposed` is whether other machines can reach the gateway."""
        if not self.guarded:
            log.log(
                logging.WARNING if exposed else logging.INFO,
                "no API keys are configured: whoever reaches the gateway may use every model; "
                "`kubeai keys create NAME` makes the first key, and from then on one is needed",
            )
        else:
            log.info("requests need an API key; there are %d", len(self._keys))

    def credentials(self, address: str) -> Credentials:
        """How to read the headers of requests that come from this address."""
        return self._trusted if self._networks and is_within(address, self._networks) else self._untrusted

    def identify(self, presented: Presented) -> Caller:
        """Who it is. Raises `OpenAIError`: 401, or 503 while that cannot be known."""
        if not presented.user:
            caller = self._by_digest.get(presented.digest)
            if caller is not None and (caller.expires_at == NEVER or self._clock() < caller.expires_at):
                return caller
            if not self.guarded and (self._secrets is None or self._secrets.synced):
                return ANYONE
        return self._judge(presented)

    def _judge(self, presented: Presented) -> Caller:
        if self.unready_reason is not None:
            raise unavailable("The API keys have not been read yet.", 1.0, code="starting")
        if presented.user:
            return self._user(presented)
        if presented.digest in self._by_digest:
            raise unauthenticated("The API key has expired.")
        raise unauthenticated("The API key is not valid.") if presented.digest else unauthenticated()

    def _user(self, presented: Presented) -> Caller:
        """Rules of a key with the user's name are the user's."""
        caller = self._by_name.get(presented.user)
        if caller is not None:
            if self._clock() >= caller.expires_at:
                raise unauthenticated("The access of this user has expired.")
            return caller
        known = (presented.user, presented.selector, presented.priority)
        caller = self._users.get(known)
        if caller is None:
            if len(self._users) >= _MAX_USERS:
                self._users.clear()
            caller = self._users[known] = _proxied(presented)
        return caller

    def _change(self, _: Secret | None, new: Secret | None) -> None:
        if new is None:
            log.warning("the Secret of the API keys is gone: nobody comes in until it is back")
        keys, faults = decode_all((new.data or {}) if new else {})
        for name, fault in faults.items():
            log.error("the API key %s cannot be used, its entry in the Secret is spoiled: %s", name, fault)
        self.guarded = True
        self._guard.rise()
        # A key that did not change keeps its counts.
        self._by_name = {
            name: self._by_name[name] if self._keys.get(name) == key else of_key(key, self._limiter(key))
            for name, key in keys.items()
        }
        self._keys = keys
        self._by_digest = {key.digest: self._by_name[name] for name, key in keys.items()}


def _proxied(presented: Presented) -> Caller:
    """A proxy that says something which cannot be understood must not open more than it meant to."""
    try:
        selector = LabelSelector.parse(presented.selector)
        priority = int(presented.priority or 0)
    except (SelectorError, ValueError):
        raise forbidden("The proxy in front sent a selector or a priority that cannot be understood.") from None
    return Caller(
        f"user:{presented.user}",
        presented.user,
        selector=selector if selector.requirements else None,
        priority=priority,
    )
