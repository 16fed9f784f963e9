"""Tells a client that only ended its own side from one that is gone.

Both look the same: the client's end of the stream arrives. One of them still waits for the answer, the other's
request should be stopped, so that the engine does not compute for nobody. A client that is there ignores an interim
answer, as the protocol asks of it; the system of one that is gone refuses it, which ends the connection here.
"""

from __future__ import annotations

import asyncio

from .response import CONTINUE

#: The refusal of one write is learnt with the next: the first two follow each other closely.
_PAUSES_S = (0.05, 0.25, 1.0, 3.0)
_STEADY_PAUSE_S = 10.0
_PATIENT_PAUSE_S = 1.0


class Probe:
    """Probes until it is stopped, or the connection is lost."""

    def __init__(self, transport: asyncio.Transport, http11: bool, *, patient: bool = False) -> None:
        """`patient`: nothing says that the client is gone, and most answers come before it needs to be asked."""
        self._transport = transport
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None
        if http11 and patient:
            self._wait(_PATIENT_PAUSE_S)
        elif http11:
            self._send()
        else:  # interim answers are not known there: nothing to tell the two apart by
            transport.abort()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(CONTINUE)
        pause_s = _PAUSES_S[self._sent] if self._sent < len(_PAUSES_S) else _STEADY_PAUSE_S
        self._sent += 1
        self._wait(pause_s)

    def _wait(self, pause_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._send)
