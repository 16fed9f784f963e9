"""How one cluster is reached: its address, whom to trust, and who we are.

A `ClusterAccess` is a value that says all of it; `kubeconfig` makes one from files, `token_access` from a token. Who we
are may change while we run (tokens are rotated, plugins hand out ones that expire), so each request asks its
`Credentials` anew; what is worth remembering they remember themselves.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Protocol


class AccessError(Exception):
    """A cluster can't be reached because of its configuration: the text says which file and key, and what to do."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What one request carries."""

    authorization: str | None = field(default=None, repr=False)
    #: With a client certificate that is not part of the cluster's own context.
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)


class Credentials(Protocol):
    """A source of credentials."""

    async def current(self) -> Credential:
        """The credential for the next request. Raises `AccessError`."""
        ...

    def refused(self, credential: Credential) -> bool:
        """The server answered 401 to it. True: `current` may now have a better one."""
        ...


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """A credential that stays the same. An empty one is anonymous, or known by the certificate of the TLS context."""

    credential: Credential = Credential()

    async def current(self) -> Credential:
        return self.credential

    def refused(self, credential: Credential) -> bool:
        return False


def bearer(token: str) -> Credential:
    return Credential(f"Bearer {token}")


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """All that a `Client` needs to know of a cluster."""

    #: The base URL, which may have a path (clusters behind a gateway do), without a slash at its end.
    server: str
    #: Where objects live when a caller names no namespace.
    namespace: str = "default"
    #: None for http:// servers, and for https:// ones with the system's own authorities.
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    credentials: Credentials = field(default=StaticCredentials(), repr=False)
    #: The name in the server's certificate, where it is not the URL's host.
    tls_server_name: str | None = None
    proxy: str | None = None
    #: Sent with each request: impersonation. Pairs, because groups repeat the same header.
    headers: tuple[tuple[str, str], ...] = ()


def token_access(server: str, token: str, namespace: str = "default") -> ClusterAccess:
    """Access by a token that does not change."""
    return ClusterAccess(server.rstrip("/"), namespace, credentials=StaticCredentials(bearer(token)))
