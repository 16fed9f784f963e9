"""One client's connection: reads its requests, one after the other, and writes their answers.

It is the sink of an engine's answer: the engine's connection writes straight into this one. Each side's transport says
when it is full, and then the other side is not read; nothing is collected in between.

The connection is always in one of these states:

    reading    no request in hand; the deadline is that of the receiver's phase
    serving    a request is in hand; what else the client sends waits, bounded
    lingering  refused; what the client still sends is thrown away for a moment, so that it can read why
    closed
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Sequence
from typing import Protocol, cast

from kubeai.access.gate import Gate
from kubeai.api.anthropic import is_anthropic
from kubeai.api.openai.errors import OpenAIError, internal, request_timeout, unavailable
from kubeai.config.system import GatewaySettings
from kubeai.inference.answer import AnswerHead, Sink, Source
from kubeai.inference.call import Call
from kubeai.inference.deadlines import NEVER, Deadlines
from kubeai.inference.dispatch import BROKEN, CLIENT_GONE, Dispatcher
from kubeai.inference.headers import Header

from .cors import CORS
from .half_closed import Probe
from .heartbeat import Heartbeat
from .limits import Limits
from .receiver import Phase, Receiver, Request
from .response import (
    CONTINUE,
    Framing,
    Reply,
    encode_chunk,
    encode_end,
    encode_head,
    encode_reply,
    error_reply,
    frame,
)
from .service import Service
from .watching import Ended, Watcher

log = logging.getLogger(__name__)

#: A reset instead of an orderly end: what was sent must not pass for a whole answer.
_RESET = struct.pack("ii", 1, 0)


class Door(Protocol):
    """What the clients of one gateway have in common."""

    deadlines: Deadlines
    gate: Gate
    dispatcher: Dispatcher
    service: Service
    settings: GatewaySettings
    limits: Limits
    cors: CORS | None
    draining: bool
    watchers: Sequence[Watcher]

    def joined(self, client: Client) -> None: ...

    def left(self, client: Client) -> None: ...

    def request_id(self, given: bytes | None) -> bytes: ...


class Client(asyncio.Protocol):
    """A connection that a client opened."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self.deadline = NEVER
        #: Bytes that came while a request is in hand.
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._reading_paused = False
        #: The client will send nothing more.
        self._ended = False
        self._lingering = False
        self._lingered_bytes = 0
        #: The phase that the deadline was set for.
        self._awaited = Phase.IDLE
        #: The request whose head was judged before its body came.
        self._admitted: Request | None = None

        # Of the request in hand:
        self._request: Request | None = None
        self._request_id = b""
        self._call: Call | None = None
        self._started = 0.0
        self._status = 0
        self._sent = 0
        self._task: asyncio.Task[None] | None = None
        self._probe: Probe | None = None
        self._heartbeat: Heartbeat | None = None
        #: Set from the head of an engine's answer on.
        self._framing: Framing | None = None
        self._source: Source | None = None
        self._writing_paused = False

    # What the gateway calls

    @property
    def busy(self) -> bool:
        """A request is in hand, or one is half here."""
        return self._request is not None or self._receiver.phase is not Phase.IDLE

    def drain(self) -> None:
        """Close as soon as no request is in hand."""
        if not self.busy:
            self._transport.close()

    def shut(self) -> None:
        """Close now: who still waits for the first byte is told so, who is in the midst of an answer is cut off."""
        request, task = self._request, self._task
        waits = self._framing is None or (self._heartbeat is not None and self._heartbeat.waits)
        if request is None or task is None or not waits:
            self.broken()
            return
        task.cancel()
        self._ended = True
        self._fail(unavailable("The gateway is shutting down.", 1.0, code="shutting_down"), request)
        self._settle(keep_alive=False)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else "unknown"
        door = self._door
        self._receiver = Receiver(
            door.limits.max_head_bytes,
            door.settings.max_body_bytes,
            address.encode("ascii", "replace"),
            door.gate.credentials(address),
        )
        door.joined(self)
        door.deadlines.add(self)
        self._await_more()

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > self._door.limits.max_linger_bytes:
                self._transport.abort()
        elif self._request is not None or self._writing_paused:
            self._keep(data)
        else:
            self._receiver.feed(data)
            self._proceed()

    def eof_received(self) -> bool:
        """Whether to keep the connection: a client may end its own side and wait for the answer.

        One that ends it in the midst of an answer is taken to be gone.
        """
        self._ended = True
        if self._request is None:
            return self._writing_paused  # it may have asked for more
        if self._framing is not None:
            return False
        self._probe = Probe(self._transport, self._request.http11)
        return True

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.deadline = self._loop.time() + self._door.limits.send_timeout_s
        if self._source is not None:
            self._source.pause()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._source is not None:
            self._source.resume()
        if self._request is not None:
            self.deadline = NEVER
        else:
            self._proceed()

    def connection_lost(self, error: Exception | None) -> None:
        self._door.deadlines.discard(self)
        self._door.left(self)
        self._stop_probing()
        if self._task is not None:
            self._task.cancel()  # frees the slot and closes the engine's connection

    def expire(self) -> None:
        """The deadline of the present state has passed."""
        phase = self._receiver.phase
        if self._request is not None or self._lingering or self._writing_paused:
            self.broken()
        elif phase is not Phase.IDLE:
            what = "headers" if phase is Phase.HEAD else "body"
            self._refuse(request_timeout(f"The request's {what} did not arrive in time."))
        elif not self._transport.get_write_buffer_size():
            self._transport.close()
        else:
            self.broken()

    # Requests

    def _proceed(self) -> None:
        """No request is in hand: take the next one, or wait for it. Who does not read gets no more answers."""
        receiver = self._receiver
        while not (self._request or self._lingering or self._writing_paused or self._transport.is_closing()):
            if receiver.ready:
                self._serve(receiver.ready.popleft())
            elif receiver.refusal is not None:
                self._refuse(receiver.refusal)
            elif self._pending:
                data, self._pending, self._pending_bytes = b"".join(self._pending), [], 0
                receiver.feed(data)
            elif self._ended:
                self._transport.close()
            else:
                self._await_more()
                return

    def _await_more(self) -> None:
        phase, settings = self._receiver.phase, self._door.settings
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        now = self._loop.time()
        if phase is Phase.IDLE:
            self.deadline = now + settings.idle_timeout_s
            if self._door.draining:
                self._transport.close()
        elif phase is Phase.BODY:
            self.deadline = now + settings.body_timeout_s
            self._admit()
        elif self._awaited is not phase:  # a head has one deadline, however slowly it trickles in
            self.deadline = now + settings.head_timeout_s
        self._awaited = phase

    def _admit(self) -> None:
        """A head is here and its body is not: refuse what needs no body, and ask for it if the client waits."""
        request = self._receiver.current
        if request is None or request is self._admitted or not self._worth_asking(request):
            return
        self._admitted = request
        reply = self._door.service.admit(request)
        if reply is not None:
            self._request_id = self._door.request_id(request.given_id)
            self._reply_and_close(reply, request)
        elif request.head.expects_continue:
            self._transport.write(CONTINUE)

    def _worth_asking(self, request: Request) -> bool:
        """A small body is read anyway: that keeps the connection."""
        length = request.length
        return request.head.expects_continue or length is None or length > self._door.limits.max_pending_bytes

    def _serve(self, request: Request) -> None:
        door = self._door
        self._request = request
        self.deadline = NEVER
        self._awaited = Phase.IDLE
        self._request_id = request_id = door.request_id(request.given_id)
        self._started = self._loop.time()
        try:
            answer = door.service.serve(request, request_id)
        except OpenAIError as error:
            answer = error_reply(error, request.path)
        except Exception:
            log.exception("request %s: %s failed", request_id.decode("latin-1"), request.path)
            answer = error_reply(internal(), request.path)
        if isinstance(answer, Reply):
            self._reply(answer, request)
            self._tell(request)
            self._settle(keep_alive=self._keeps_alive(request))
        else:
            self._call = answer
            if door.watchers:
                self._show(request, answer)
            self._task = self._loop.create_task(self._dispatch(answer, request))
            if self._ended:
                self._probe = Probe(self._transport, request.http11)
            elif self._reading_paused:
                self._probe_unread()

    async def _dispatch(self, call: Call, request: Request) -> None:
        keep_alive = False
        try:
            await self._door.dispatcher.dispatch(call, self._sink(call, request))
            keep_alive = self._framing is not None and self._framing.keep_alive
        except asyncio.CancelledError:
            if self._framing is not None:  # what was sent is not the whole answer
                self._status = CLIENT_GONE
            raise
        except OpenAIError as error:
            keep_alive = self._keeps_alive(request)
            self._fail(error, request)
        except Exception:
            log.exception("request %s failed", self._request_id.decode("latin-1"))
            if self._framing is None or (self._heartbeat is not None and self._heartbeat.waits):
                self._fail(internal(), request)
            else:
                self.broken()
        finally:
            self._task = None
            if self._heartbeat is not None:
                self._heartbeat.stop()
            self._tell(request)
        self._settle(keep_alive=keep_alive)
        self._proceed()

    def _sink(self, call: Call, request: Request) -> Sink:
        """Where the answer goes."""
        if not call.heartbeat_s:
            return self
        anthropic = is_anthropic(request.path)
        self._heartbeat = Heartbeat(self, call.heartbeat_s, self._began, speaks_anthropic=anthropic)
        return self._heartbeat

    def _show(self, request: Request, call: Call) -> None:
        """Whoever looks on may fail; the request goes on."""
        try:
            for watcher in self._door.watchers:
                watcher.begins(request, call)
        except Exception:
            log.exception("request %s could not be traced", self._request_id.decode("latin-1"))

    def _tell(self, request: Request | None) -> None:
        """Tell those who look on of the request in hand."""
        if self._door.watchers:
            started, now = self._started, self._loop.time()
            status = self._status or CLIENT_GONE
            end = Ended(self._request_id, request, self._call, status, self._sent, started, now)
            try:
                for watcher in self._door.watchers:
                    watcher.ended(end)
            except Exception:
                log.exception("request %s could not be logged or traced", self._request_id.decode("latin-1"))
        self._call = None
        self._status = self._sent = 0

    def _settle(self, *, keep_alive: bool) -> None:
        """The request in hand is answered."""
        if self._probe is not None:
            self._stop_probing()
        self._request = None
        self._framing = None
        self._source = None
        self._heartbeat = None
        if not keep_alive or self._door.draining:
            self.deadline = self._loop.time() + self._door.limits.send_timeout_s
            self._transport.close()

    def _keep(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes > self._door.limits.max_pending_bytes and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
            self._probe_unread()

    def _probe_unread(self) -> None:
        """While nothing is read a client that leaves looks like one that waits. One of HTTP/1.0 cannot be asked."""
        request = self._request
        if request is not None and request.http11 and self._framing is None and self._probe is None:
            self._probe = Probe(self._transport, http11=True, patient=True)

    # The answer

    def answer(
        self,
        head: AnswerHead | None,
        chunks: Sequence[bytes],
        trailers: Sequence[Header] | None,
        source: Source,
    ) -> None:
        """What an engine sent. See `Sink`."""
        request, framing = self._request, self._framing
        if request is None or self._transport.is_closing():
            return
        out: list[bytes] = []
        if head is not None:
            if self._probe is not None:
                self._stop_probing()
            self._source = source
            if self._heartbeat is None or not self._heartbeat.waits:
                self._began(head.status)
            framing = self._framing = frame(head, keep_alive=self._keeps_alive(request), http11=request.http11)
            extra = self._cors_lines(request)
            out.append(encode_head(head, framing, self._request_id, http11=request.http11, extra=extra))
            if self._writing_paused:
                source.pause()
        if framing is None or not framing.chunked:
            out += chunks
        else:
            if chunks:
                out += encode_chunk(chunks)
            if trailers is not None:
                out.append(encode_end(trailers if request.head.takes_trailers else ()))
        if out:
            data = b"".join(out)
            self._sent += len(data)
            self._transport.write(data)

    def relay(self, chunk: bytes, now: float) -> bool:
        """See `Sink`."""
        framing = self._framing
        if framing is None or not framing.chunked or self._transport.is_closing():
            return False
        self._sent += len(chunk)
        self._transport.write(chunk)
        return True

    def _began(self, status: int) -> None:
        """The engine's answer, that is."""
        self._status = status
        if self._call is not None:
            self._call.first_byte_at = self._loop.time()

    def broken(self) -> None:
        """The answer has no end. A reset also tells those clients that wait for the end of the connection."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None and not self._transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._status = BROKEN
        self._transport.abort()

    def _keeps_alive(self, request: Request) -> bool:
        if self._ended and not self._receiver.ready and not self._pending:
            return False
        return request.keep_alive and not self._door.draining

    def _reply(self, reply: Reply, request: Request) -> None:
        if not self._transport.is_closing():
            data = encode_reply(
                reply,
                self._request_id,
                keep_alive=self._keeps_alive(request),
                http11=request.http11,
                head_only=request.method == b"HEAD",
                extra=self._cors_lines(request),
            )
            self._status, self._sent = reply.status, len(data)
            self._transport.write(data)

    def _fail(self, error: OpenAIError, request: Request) -> None:
        if self._heartbeat is not None and self._heartbeat.waits:
            self._heartbeat.fail(error)
            self._status = error.status
            return
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._reply(error_reply(error, request.path), request)

    def _cors_lines(self, request: Request | None) -> bytes:
        cors = self._door.cors
        return b"" if cors is None else cors.lines(request.head.origin if request else None)

    def _refuse(self, error: OpenAIError) -> None:
        """Nothing more can be read from this connection."""
        request = self._receiver.current
        self._request_id = self._door.request_id(request.given_id if request else None)
        self._reply_and_close(error_reply(error, request.path if request else b""), request)

    def _reply_and_close(self, reply: Reply, request: Request | None) -> None:
        """Closing while the client still sends would make its side throw the reply away: linger."""
        head_only = request is not None and request.method == b"HEAD"
        extra = self._cors_lines(request)
        data = encode_reply(reply, self._request_id, keep_alive=False, http11=True, head_only=head_only, extra=extra)
        self._status, self._sent, self._started = reply.status, len(data), self._loop.time()
        self._transport.write(data)
        self._tell(request)
        self._lingering = True
        self.deadline = self._loop.time() + self._door.limits.linger_timeout_s
        if self._ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def _stop_probing(self) -> None:
        if self._probe is not None:
            self._probe.stop()
            self._probe = None
