"""Comments in a stream that has not begun, so that nobody in between takes the silence for a dead connection.

A client that asks for it gets the head of its stream before there is an engine, and then a comment every few seconds,
which readers of event streams pass over. What comes of the request afterwards must fit into the stream that has begun:
an engine's events go on as they are, and everything else becomes one event that says what went wrong, in the form that
the client's library raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from kubeai.api import anthropic
from kubeai.api.openai.errors import OpenAIError, bad_gateway
from kubeai.inference.answer import AnswerHead, Sink, Source
from kubeai.inference.headers import Header

_LINES = b"content-type: text/event-stream\r\ncache-control: no-cache\r\n"
_NO_STREAM = bad_gateway("The model server did not answer with a stream.")
_COMMENT = b": the model is not ready yet\n\n"
#: Of an engine's error, so much is kept.
_MAX_ERROR_BYTES = 64 * 1024


class Heartbeat:
    """Between an answer's source and its sink, and the source of what comes before."""

    def __init__(self, sink: Sink, interval_s: float, began: Callable[[int], None], *, speaks_anthropic: bool) -> None:
        """`began` is told the status of an engine's answer whose head comes too late for the sink."""
        self._sink = sink
        self._interval_s = interval_s
        self._began = began
        self._speaks_anthropic = speaks_anthropic
        #: The sink has the head of a stream that is ours.
        self.begun = False
        #: The engine's, once its answer began.
        self._source: Source | None = None
        self._passes = True
        self._paused = False
        self._error = bytearray()
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(interval_s, self._beat)

    @property
    def waits(self) -> bool:
        """The stream has begun, and no engine has answered."""
        return self.begun and self._source is None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fail(self, error: OpenAIError) -> None:
        """End the stream that has begun with an error."""
        self.stop()
        body = anthropic.error_body(error) if self._speaks_anthropic else error.body()
        self._end(body)

    # What the dispatcher and the engine's connection call: see `Sink`

    def answer(
        self, head: AnswerHead | None, chunks: Sequence[bytes], trailers: Sequence[Header] | None, source: Source
    ) -> None:
        if head is not None:
            self.stop()
            self._source = source
            if self.begun:
                self._passes = head.status == 200 and head.streams and b"content-encoding:" not in head.lines.lower()
                self._began(head.status if self._passes or head.status >= 400 else _NO_STREAM.status)
                head = None
                if self._paused:
                    source.pause()
        if self._passes:
            self._sink.answer(head, chunks, trailers, self if self.begun else source)
            return
        if len(self._error) < _MAX_ERROR_BYTES:
            self._error += b"".join(chunks)
        if trailers is not None:
            self._refuse(bytes(self._error))

    def relay(self, chunk: bytes, now: float) -> bool:
        return self._passes and self._sink.relay(chunk, now)

    def broken(self) -> None:
        self.stop()
        self._sink.broken()

    # What the sink calls: see `Source`

    def pause(self) -> None:
        self._paused = True
        if self._source is not None:
            self._source.pause()

    def resume(self) -> None:
        self._paused = False
        if self._source is not None:
            self._source.resume()

    def _beat(self) -> None:
        head = None if self.begun else AnswerHead(200, (), _LINES, chunked=True, streams=True)
        self.begun = True
        if not self._paused:
            self._sink.answer(head, (_COMMENT,), None, self)
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._beat)

    def _refuse(self, body: bytes) -> None:
        """The engine did not answer with a stream."""
        try:
            said: Any = msgspec.json.decode(body)
        except msgspec.MsgspecError:
            said = None
        if isinstance(said, dict) and said.get("error"):
            self._end(msgspec.json.encode(said))  # in one line
        else:
            self.fail(_NO_STREAM)

    def _end(self, data: bytes) -> None:
        kind = b"event: error\n" if self._speaks_anthropic else b""
        self._sink.answer(None, (kind + b"data: " + data + b"\n\n",), (), self)
