"""Listens to an answer on its way to the one who asked: how many tokens it took, and how steadily it came.

The bytes pass as they are, with one exception. A stream tells its usage only if it is asked to, in one event more
before the end. Where the gateway asked for it and the client had not, that event is taken out again; everything else
passes untouched, but an event that is cut in the middle waits for its rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from .answer import AnswerHead, Sink, Source
from .headers import Header
from .tokens import USAGE, find_tokens

#: A larger event is none of usage, and is passed on in the pieces that it comes in.
_MAX_EVENT_BYTES = 256 * 1024
#: Of an answer in pieces, so much of the end is looked at.
_TAIL_BYTES = 2048
#: So many small pieces are looked at together.
_PIECES = 16
#: Looking through more than this of one piece would cost more than passing it on.
_NEAR_BYTES = 4096
#: Some servers say in every event that they do not say it: `"usage":null`.
_USAGE_OBJECT = re.compile(rb'"usage"[ \t\r\n]*:[ \t\r\n]*\{')
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n")
_DATA = b"data:"
#: Many clients leave when they have read it.
_DONE = b"data: [DONE]"


class Observer(Protocol):
    """A histogram."""

    def observe(self, value: float) -> None: ...


class Tap:
    """Between one answer's source and its sink."""

    # There are thousands of them, and each is looked at for every chunk of a stream.
    __slots__ = (
        "_clock",
        "_completion",
        "_events",
        "_first",
        "_last_at",
        "_observe",
        "_pending",
        "_prompt",
        "_recent",
        "_relays",
        "_sink",
        "_streams",
        "_strips",
        "_tail",
        "_whole",
    )

    def __init__(self, sink: Sink, clock: Callable[[], float], between: Observer, *, strips: bool) -> None:
        """`between` is told of the times between the pieces of a stream; `strips`: its usage is not for the sink."""
        self._sink = sink
        self._clock = clock
        self._observe = between.observe
        self._strips = strips
        self._streams = False
        #: A piece has come, and ended with an event: whole ones may go the short way.
        self._relays = False
        self._last_at = 0.0
        self._events = 0
        self._prompt: int | None = None
        self._completion: int | None = None
        #: An answer that came in one piece; it is looked at when it is gone.
        self._whole = b""
        #: Of an answer that comes in several pieces.
        self._first = self._tail = b""
        #: What has come since the tail was looked at.
        self._recent: list[bytes] = []
        #: The beginning of an event whose end has not come.
        self._pending = b""

    def used(self) -> tuple[int, int]:
        """Prompt and completion tokens; to be asked at the end.

        Each event of a stream that did not tell its usage, or broke before that, counts as one token.
        """
        if self._whole:
            self._note(self._whole)
            self._whole = b""
        elif self._first:
            self._note_broken()
        return self._prompt or 0, self._events if self._completion is None else self._completion

    def answer(
        self,
        head: AnswerHead | None,
        chunks: Sequence[bytes],
        trailers: Sequence[Header] | None,
        source: Source,
    ) -> None:
        """See `Sink`."""
        if head is not None:
            if trailers is not None and not head.streams:  # a whole answer at once, as most are
                self._whole = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                self._sink.answer(head, chunks, trailers, source)
                return
            self._streams = head.streams
            if not head.streams:
                self._strips = False
            elif self._strips and head.length is not None:  # it will be another one
                head = AnswerHead(head.status, head.headers, head.lines, chunked=True, streams=True)
        if chunks or trailers is not None:
            piece = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self._streams and piece:
                self._time()
            self._relays = self._streams and piece.endswith(_EVENT_ENDS[0])
            if self._strips:
                piece = self._strip(piece, ended=trailers is not None)
                chunks = (piece,) if piece else ()
            else:
                self._listen(piece, ended=trailers is not None)
                chunks = (piece,) if piece else ()
        if head is not None or chunks or trailers is not None:
            self._sink.answer(head, chunks, trailers, source)

    def relay(self, chunk: bytes, now: float) -> bool:
        """See `Sink`."""
        if not self._relays or (self._strips and USAGE in chunk and _USAGE_OBJECT.search(chunk) is not None):
            return False
        if not self._sink.relay(chunk, now):
            return False
        if self._strips:
            self._events += chunk.count(_DATA)
        else:
            self._listen(chunk, ended=False)
        self._observe(now - self._last_at)
        self._last_at = now
        return True

    def broken(self) -> None:
        """See `Sink`."""
        self._sink.broken()

    def _listen(self, piece: bytes, *, ended: bool) -> None:
        """Usage is near the end of most answers, and near the beginning of some."""
        if not self._first:
            self._first = self._tail = piece
            if self._streams:
                self._events = _events_of(piece)
        elif len(piece) > _NEAR_BYTES:
            self._look()
            self._tail = piece
            if self._streams:
                self._events += _events_of(piece)
        else:
            self._recent.append(piece)
            if len(self._recent) >= _PIECES:
                self._look()
        if ended:
            self._look()
            self._note(self._first)
            if self._tail is not self._first:
                self._note(self._tail)
            self._first = self._tail = b""

    def _time(self) -> None:
        now = self._clock()
        if self._last_at:
            self._observe(now - self._last_at)
        self._last_at = now

    def _look(self) -> None:
        """Look at several pieces at once: that costs less than looking at each."""
        if not self._recent:
            return
        before = self._tail
        joined = b"".join((before, *self._recent))
        self._recent.clear()
        if self._streams:  # a mark may be cut in the middle
            self._events += joined.count(_DATA, max(len(before) - len(_DATA) + 1, 0))
        self._tail = joined[-_TAIL_BYTES:]

    def _note_broken(self) -> None:
        """The end did not come. What was told before may be of the beginning only, as Anthropic's streams tell it."""
        self._look()
        first, tail = self._first, self._tail
        self._first = self._tail = b""
        self._note(first)
        self._note(tail)
        if self._completion is None:
            return
        told = tail.rfind(USAGE)
        if told < 0:
            self._completion += max(self._events - _events_of(first), 0)
        else:
            self._completion += tail.count(_DATA, told) - tail.count(_DONE, told)

    def _note(self, piece: bytes) -> bool:
        """Whether it tells of tokens. The last word counts."""
        prompt, completion = find_tokens(piece)
        if prompt is not None:
            self._prompt = prompt
        if completion is not None:
            self._completion = completion
        return prompt is not None or completion is not None

    def _strip(self, piece: bytes, *, ended: bool) -> bytes:
        """What of the stream may go on."""
        if self._pending:
            piece, self._pending = self._pending + piece, b""
        if not ended and not piece.endswith(_EVENT_ENDS[0]):
            end = _events_end(piece)
            if len(piece) - end <= _MAX_EVENT_BYTES:
                piece, self._pending = piece[:end], piece[end:]
        passes = self._without_usage(piece)
        if self._completion is None:  # else nobody asks for their number
            self._events += _events_of(piece)
        return passes

    def _without_usage(self, piece: bytes) -> bytes:
        """It is told in the last event but one: in a large piece that is near the end."""
        near, end = max(len(piece) - _NEAR_BYTES, 0), len(piece)
        while (at := piece.rfind(USAGE, near, end)) >= 0:
            if _USAGE_OBJECT.match(piece, at):
                start, end = _event_around(piece, at)
                return piece[:start] + piece[end:] if self._is_usage(piece[start:end]) else piece
            end = at
        return piece

    def _is_usage(self, event: bytes) -> bool:
        """Whether the event tells the usage and nothing else; what it tells is noted in any case."""
        if USAGE not in event or not self._note(event):
            return False
        try:
            told = _decode(event.strip().removeprefix(_DATA))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        return told.usage is not None and told.choices == []


def _events_of(piece: bytes) -> int:
    """How many there are; in a large piece, as many as in so much of its beginning."""
    if len(piece) <= _NEAR_BYTES:
        return piece.count(_DATA)
    return round(piece.count(_DATA, 0, _NEAR_BYTES) * len(piece) / _NEAR_BYTES)


def _events_end(piece: bytes) -> int:
    """Behind the last whole event; 0 if there is none."""
    return max(_behind(piece, mark, 0, len(piece)) for mark in _EVENT_ENDS)


def _event_around(piece: bytes, at: int) -> tuple[int, int]:
    """Where the event begins and ends that is told of at this place; of a very long one, where its end begins."""
    start, end = max(at - _NEAR_BYTES, 0), len(piece)
    for mark in _EVENT_ENDS:
        start = max(start, _behind(piece, mark, start, at))
        found = piece.find(mark, at, end)
        end = found + len(mark) if found >= 0 else end
    return start, end


def _behind(piece: bytes, mark: bytes, start: int, end: int) -> int:
    """Behind the last mark between these places; 0 if there is none."""
    found = piece.rfind(mark, start, end)
    return found + len(mark) if found >= 0 else 0


class _Event(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None


_decode = msgspec.json.Decoder(_Event).decode
