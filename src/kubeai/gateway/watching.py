"""Those who look on while requests are served, and what they get to see: the access log, and traces.

Nobody needs to look, and then it costs nothing. Bodies are not shown to anybody.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from kubeai.inference.call import Call

from .receiver import Request


class Ended(NamedTuple):
    """A request that was answered, or whose client went away."""

    request_id: bytes
    #: None where not even a head could be read.
    request: Request | None
    #: None for what the gateway answered itself.
    call: Call | None
    status: int
    #: Bytes of the answer, its head included.
    sent: int
    #: Loop time.
    started: float
    now: float


class Watcher(Protocol):
    def begins(self, request: Request, call: Call) -> None:
        """A call is about to be served. The headers for the engine may still be added to."""

    def ended(self, end: Ended) -> None: ...

    async def close(self) -> None:
        """There will be no more."""
