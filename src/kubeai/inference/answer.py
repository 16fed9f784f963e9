"""How an engine's answer reaches the one who asked, whichever door the request came through.

The answer does not pass through the task that dispatches the request: the connection to the engine calls the
`Sink` whenever bytes arrive, and the task wakes up once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from .headers import NOT_TO_CLIENT, Header, tokens


class MalformedAnswerError(Exception):
    """The engine frames its answer in a way that leaves open where it ends."""


class AnswerHead(msgspec.Struct):
    """What an engine says before the body."""

    status: int
    headers: Sequence[Header]
    #: The headers that may be passed on, as lines; without the framing, which is up to the passer.
    lines: bytes
    chunked: bool
    #: Of the body, as it was written; None where only its end will tell.
    length: bytes | None = None
    #: Server-sent events, in plain bytes.
    streams: bool = False

    @property
    def ends_with_connection(self) -> bool:
        return self.length is None and not self.chunked


class Source(Protocol):
    """The connection that an answer comes from."""

    def pause(self) -> None:
        """Read no more until `resume`: the one who asked does not keep up."""

    def resume(self) -> None: ...


class Sink(Protocol):
    """The one who asked."""

    def answer(
        self,
        head: AnswerHead | None,
        chunks: Sequence[bytes],
        trailers: Sequence[Header] | None,
        source: Source,
    ) -> None:
        """What came at once: the head (first call only), bytes of the body, and at the end the trailers.

        `trailers` is None while more will come. The chunks are the caller's again after the call.
        """

    def relay(self, chunk: bytes, now: float) -> bool:
        """One whole chunk with its frame, at this loop time: of a stream that has begun, with whole events.

        The short way for what most of a stream is. False: not for this chunk, or not at all; `answer` with its body.
        """

    def broken(self) -> None:
        """The answer began, and its rest will never come: what was sent must not pass for a whole one."""


def read_head(status: int, headers: Sequence[Header]) -> AnswerHead:
    """`headers` are without Content-Length. Raises `MalformedAnswerError`."""
    chunked = False
    nominated: set[bytes] | None = None
    lines: list[bytes] = []
    streams = encoded = False
    for name, value in headers:
        key = name.lower()
        if key not in NOT_TO_CLIENT:
            lines.append(b"%b: %b\r\n" % (name, value))
            streams = streams or (key == b"content-type" and value.lower().startswith(_EVENT_STREAM))
            encoded = encoded or key == b"content-encoding"
        elif key == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise MalformedAnswerError
            chunked = True
        elif key == b"connection" and value.lower() not in _USUAL:
            nominated = (nominated or set()) | tokens(value)
    if nominated:
        lines = [line for line in lines if line.partition(b":")[0].lower() not in nominated]
    return AnswerHead(status, headers, b"".join(lines), chunked, streams=streams and not encoded)


_EVENT_STREAM = b"text/event-stream"
#: Values of Connection that name no header of the answer.
_USUAL = (b"close", b"keep-alive")
