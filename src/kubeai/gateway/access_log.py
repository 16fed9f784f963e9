"""A line of JSON for each request, on standard output; the program's own log is on standard error.

Lines are gathered for a moment and written together, in pieces that a pipe takes whole: so a line costs a few
microseconds, and those of several processes do not get mixed up.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import msgspec

from kubeai.inference.call import Call

from .receiver import Request
from .watching import Ended

_FLUSH_S = 0.2
#: What a pipe takes in one piece (PIPE_BUF).
_PIECE_BYTES = 4096
#: Asked for by machines, all the time.
_QUIET = frozenset({b"/healthz", b"/readyz", b"/metrics"})


class Line(msgspec.Struct, omit_defaults=True):
    """What is told of a request. What it lacks, there was not."""

    time: str
    request_id: str
    client: str
    method: str
    #: Without its query, in which clients put what is nobody's business.
    path: str
    status: int
    duration_s: float
    request_bytes: int
    response_bytes: int
    key: str = ""
    model: str = ""
    endpoint: str = ""
    first_byte_s: float | None = None
    retries: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


_encode = msgspec.json.Encoder().encode


class AccessLog:
    """Watches requests, and writes them down."""

    def __init__(self, write: Callable[[bytes], object] | None = None, clock: Callable[[], float] = time.time) -> None:
        """Without `write`, to standard output. `clock` is the time of day."""
        self._write = write or _to_standard_output
        self._clock = clock
        self._lines: list[bytes] = []
        #: Set exactly while lines wait.
        self._timer: asyncio.TimerHandle | None = None
        #: The second that was written last, as text: many requests share it.
        self._second = (0, "")

    def begins(self, request: Request, call: Call) -> None: ...

    def ended(self, end: Ended) -> None:
        if end.call is None and end.request is not None and end.request.path in _QUIET:
            return
        self._lines.append(_encode(self._line(end)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self._flush)

    async def close(self) -> None:
        self._flush()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        piece = b""
        for line in lines:
            if piece and len(piece) + len(line) >= _PIECE_BYTES:
                self._write(piece)
                piece = b""
            piece += line + b"\n"
        if piece:
            self._write(piece)

    def _line(self, end: Ended) -> Line:
        request, call = end.request, end.call
        line = Line(
            time=self._now(),
            request_id=end.request_id.decode("latin-1"),
            client=request.head.peer.decode("latin-1") if request else "",
            method=request.method.decode("latin-1") if request else "",
            path=request.path.decode("latin-1") if request else "",
            status=end.status,
            duration_s=round(end.now - end.started, 6),
            request_bytes=len(request.body) if request else 0,
            response_bytes=end.sent,
        )
        if call is not None:
            line.key, line.model, line.endpoint = call.caller.name, call.requested, call.endpoint
            line.retries = call.retries
            line.prompt_tokens, line.completion_tokens = call.tokens or (None, None)
            line.first_byte_s = round(call.first_byte_at - end.started, 6) if call.first_byte_at else None
        return line

    def _now(self) -> str:
        now = self._clock()
        second = int(now)
        if second != self._second[0]:
            self._second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second[1]}.{int((now - second) * 1000):03d}Z"


def _to_standard_output(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
