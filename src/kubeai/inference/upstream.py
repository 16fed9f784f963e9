"""One connection to an engine: sends a request, and hands the answer to a sink as its bytes come.

The parser finds where the answer ends; its callback for body bytes is a list's `append`, so that no Python runs for
each chunk, and what one read brought goes on in one call. What most reads of a stream bring, one chunk with one event,
goes on as it is, and the parser does not see it. A connection serves one exchange at a time. After it, the
connection goes back to its owner only if it is certain that both sides agree on where the next answer begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import cast

import httptools

from .answer import AnswerHead, Sink, read_head
from .call import Call
from .chunks import ends_chunk, is_event_chunk
from .deadlines import NEVER, Deadlines
from .headers import Header
from .repeats import KnownHead
from .retry import RETRYABLE, RetryBudget

#: Host and port.
Address = tuple[str, int]

MAX_HEAD_BYTES = 64 * 1024
#: Up to this size copying the pieces of a request together is cheaper than handing them over one by one.
_JOIN_BYTES = 64 * 1024


class Outcome(Enum):
    """How an exchange ended."""

    ANSWERED = "the sink has the whole answer"
    REFUSED = "the engine's status asks for another try, which is paid for, and the sink has nothing of it"
    UNREACHABLE = "there was no connection"
    UNTOUCHED = "the connection ended without a byte of an answer"
    LOST = "the connection ended, or made no sense, before the answer began"
    TIMED_OUT = "the engine was silent for too long before the answer began"
    BROKEN = "the answer began and did not end"


class Exchange:
    """One request and its answer on one connection."""

    __slots__ = ("budget", "done", "first_byte_at", "sink", "status")

    def __init__(self, sink: Sink, budget: RetryBudget | None, done: asyncio.Future[Outcome]) -> None:
        self.sink = sink
        #: Pays for another try, if the engine's status asks for it. None: the sink gets any answer.
        self.budget = budget
        self.done = done
        #: Of the answer, once its head is there.
        self.status = 0
        #: Loop time when the sink got the head.
        self.first_byte_at = 0.0

    def refuses(self) -> bool:
        """Whether there will be another try for an answer that asks for it; the sink shall not see it then."""
        return self.budget is not None and self.budget.spend()

    def finish(self, outcome: Outcome) -> None:
        if not self.done.done():
            self.done.set_result(outcome)


class Upstream(asyncio.Protocol):
    """A connection to one endpoint."""

    def __init__(
        self,
        address: Address,
        deadlines: Deadlines,
        silence_timeout_s: float,
        on_free: Callable[[Upstream], None],
        on_lost: Callable[[Upstream], None],
    ) -> None:
        host, port = self.address = address
        self._host = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._silence_timeout_s = silence_timeout_s
        self._on_free = on_free
        self._on_lost = on_lost
        self.deadline = NEVER
        self._exchange: Exchange | None = None
        self._paused = False

        #: Headers before the head is complete, trailers after it.
        self._fields: list[Header] = []
        self._length: bytes | None = None
        #: The head is complete.
        self._head: AnswerHead | None = None
        #: The head of the answer before: engines repeat themselves.
        self._known: AnswerHead | None = None
        #: A head that can be recognised without being parsed.
        self._repeats = KnownHead()
        self._repeated: AnswerHead | None = None
        self._interim = False
        self._head_bytes = 0
        self._chunks: list[bytes] = []
        #: What comes next is the beginning of a chunk. So a chunk may pass by the parser.
        self._between_chunks = False
        #: The parser has seen the end of the answer.
        self._complete = False
        self._keeps_alive = False
        self.on_body = self._chunks.append
        self._parser = httptools.HttpResponseParser(self)  # it looks for its callbacks here and now

    # What its user calls

    def send(self, call: Call, sink: Sink, budget: RetryBudget | None) -> Exchange:
        """Begin an exchange; its future tells the end."""
        exchange = self._exchange = Exchange(sink, budget, self._loop.create_future())
        self.deadline = self._loop.time() + self._silence_timeout_s
        head = b"POST %b HTTP/1.1\r\nhost: %b\r\n%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (
            call.target,
            self._host,
            call.lines,
            call.request_id,
            call.size,
        )
        if call.size <= _JOIN_BYTES:
            self._transport.write(b"".join((head, *call.body)))
        else:
            self._transport.writelines((head, *call.body))
        return exchange

    def abandon(self, exchange: Exchange) -> None:
        """Nobody wants the answer: the engine shall notice, and stop computing it."""
        if self._exchange is exchange:
            self._exchange = None
            self._transport.abort()

    def close(self) -> None:
        """An exchange that runs fails."""
        if self._exchange is None:
            self._transport.close()
        else:
            self._fail(Outcome.LOST)

    @property
    def usable(self) -> bool:
        return not self._transport.is_closing()

    def pause(self) -> None:
        """See `Source`."""
        if not self._paused and self._exchange is not None:
            self._paused = True
            self.deadline = NEVER  # the silence is not the engine's
            self._transport.pause_reading()

    def resume(self) -> None:
        """See `Source`."""
        if self._paused:
            self._paused = False
            self.deadline = self._loop.time() + self._silence_timeout_s
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._deadlines.add(self)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # an engine that speaks without being asked
            self._transport.abort()
            return
        if self._between_chunks and is_event_chunk(data) and exchange.sink.relay(data, now := self._loop.time()):
            self.deadline = now + self._silence_timeout_s
            return
        fresh = self._head is None and not self._head_bytes
        if fresh and self._recognise(data):
            self._deliver(exchange, self._head, True)
            return
        agreed = self._parse(data)
        if not agreed and not self._complete:
            self._fail(Outcome.LOST)
        elif self._head is None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail(Outcome.LOST)
        else:
            if fresh and agreed and self._complete:
                self._learn(data)
            self._between_chunks = self._head.streams and agreed and ends_chunk(data, self._chunks)
            self._deliver(exchange, self._head, agreed)

    def eof_received(self) -> None:
        """Returns None: the transport closes itself, and `connection_lost` says the rest."""

    def connection_lost(self, error: Exception | None) -> None:
        self._deadlines.discard(self)
        self._on_lost(self)
        exchange, head = self._exchange, self._head
        if exchange is None:
            return
        if error is None and exchange.status and head is not None and head.ends_with_connection:
            self._exchange = None
            exchange.sink.answer(None, (), (), self)
            exchange.finish(Outcome.ANSWERED)
            return
        untouched = head is None and not self._head_bytes
        self._fail(Outcome.UNTOUCHED if untouched else Outcome.LOST)

    def expire(self) -> None:
        """The deadline has passed: an engine that stays silent, or a connection that nobody needs."""
        if self._exchange is None:
            self._transport.close()
        else:
            self._fail(Outcome.TIMED_OUT)

    # Reading

    def _parse(self, data: bytes) -> bool:
        """Whether it makes sense to the end."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return True

    def _recognise(self, data: bytes) -> bool:
        """Whether this is a whole answer whose head is known: then it is read already."""
        head = self._repeated
        start = self._repeats.body_start(data) if head is not None else 0
        if not start or head is None:
            return False
        head.length = b"%d" % (len(data) - start)
        self._head = head
        self._chunks.append(data[start:])
        self._complete = self._keeps_alive = True
        return True

    def _learn(self, data: bytes) -> None:
        """`data` began with a head, and the parser has seen the end of the answer."""
        head = self._head
        plain = head is not None and head.status not in (204, 304) and self._keeps_alive and not self._interim
        self._repeated = head if plain and self._repeats.learn(data) else None

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._complete:
            raise _SecondAnswerError

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 14 and name.lower() == b"content-length":
            self._length = value
        else:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        fields, length = self._fields, self._length
        self._fields, self._length = [], None
        if status < 200:  # interim answers are not passed on
            self._interim = True
            return
        known = self._known
        if known is None or known.status != status or known.headers != fields:
            known = self._known = read_head(status, fields)
        known.length = length
        self._head = known

    def on_message_complete(self) -> None:
        self._complete = self._head is not None
        self._keeps_alive = self._parser.should_keep_alive()  # it has forgotten after this call

    # The answer

    def _deliver(self, exchange: Exchange, head: AnswerHead | None, agreed: bool) -> None:
        now = self._loop.time()
        self.deadline = now + self._silence_timeout_s
        if exchange.status:
            head = None  # the sink has it
        elif head is not None:
            exchange.status = head.status
            if head.status in RETRYABLE and exchange.refuses():
                self._end(exchange, Outcome.REFUSED, agreed)
                return
            exchange.first_byte_at = now
        chunks, complete = self._chunks, self._complete
        exchange.sink.answer(head, chunks, self._fields if complete else None, self)
        chunks.clear()
        if complete and self._exchange is exchange:
            self._end(exchange, Outcome.ANSWERED, agreed)

    def _end(self, exchange: Exchange, outcome: Outcome, agreed: bool) -> None:
        """Ready for the next exchange, or closed."""
        self._exchange = None
        exchange.finish(outcome)
        if self._complete and agreed and self._keeps_alive and not self._transport.get_write_buffer_size():
            self._renew()
            self._on_free(self)
        else:  # it wants to be closed, or answered before it had read the whole request, which it may never do
            self._transport.abort()

    def _renew(self) -> None:
        self._head = None
        self._head_bytes = 0
        self._between_chunks = self._complete = self._interim = False
        if self._fields:
            self._fields = []
        self._chunks.clear()
        if self._paused:
            self.resume()

    def _fail(self, outcome: Outcome) -> None:
        exchange, self._exchange = self._exchange, None
        self._transport.abort()
        if exchange is None:
            return
        if not exchange.status:
            exchange.finish(outcome)
            return
        exchange.finish(Outcome.BROKEN)  # first, so that the loss of the client's connection isn't taken for the cause
        exchange.sink.broken()


class _SecondAnswerError(Exception):
    """More bytes came than the answer has."""
