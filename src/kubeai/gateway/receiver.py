"""Bytes of a client's connection -> requests, within bounds.

No socket here: bytes go in, whole requests or a refusal come out. The parser (llhttp in its strict form) refuses what
two HTTP readers could read differently: both framings at once, bare line feeds, folded headers, and their like. After
a refusal nothing of the connection is read any more, because nobody knows where a next request would begin.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NoReturn

import httptools
import msgspec

from kubeai.access.credentials import Credentials
from kubeai.api.openai.errors import OpenAIError, headers_too_large, invalid_request, too_large
from kubeai.inference.headers import Header, every, tokens
from kubeai.inference.repeats import KnownHead
from kubeai.inference.request import Body

from .head import VARYING, Head, read_head

#: Requests that may wait on one connection while an earlier one is answered.
MAX_PIPELINED = 32
#: Bytes of framing that a byte of a chunked body may cost; a chunk of one byte takes six.
_CHUNK_OVERHEAD = 16


class Request(msgspec.Struct):
    """One request as it came."""

    method: bytes
    target: bytes
    head: Head
    #: HTTP/1.1, or else 1.0.
    http11: bool
    keep_alive: bool
    #: Of the body, where the head told it.
    length: int | None = None
    #: The id that the client gave to the request.
    given_id: bytes | None = None
    body: Body = b""

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]


class Phase(Enum):
    """What the connection is in the middle of."""

    IDLE = "between two requests"
    HEAD = "in a head"
    BODY = "in a body"


class Receiver:
    """Reads the requests of one connection."""

    def __init__(
        self, max_head_bytes: int, max_body_bytes: int, peer: bytes, credentials: Credentials | None = None
    ) -> None:
        """`peer` is the client's address, as the engines are told it; `credentials` how it shows who it is."""
        self._max_head_bytes = max_head_bytes
        self._max_body_bytes = max_body_bytes
        self._peer = peer
        self._credentials = credentials or Credentials(None, trusted=False)
        #: Whole requests that nobody has taken yet, in their order.
        self.ready: deque[Request] = deque()
        #: Why no further request can be read, to be said after those in `ready` are answered.
        self.refusal: OpenAIError | None = None
        self.phase = Phase.IDLE
        #: The request whose body is awaited.
        self.current: Request | None = None

        # The head that is being read. `_headers` become trailers, which nobody reads, when it is complete.
        self._url = b""
        self._headers: list[Header] = []
        self._varying: dict[bytes, bytes] = {}
        self._head_bytes = 0
        #: The headers before, and what they meant.
        self._known: tuple[list[Header], bool] = ([], False)
        self._known_head: Head | None = None
        #: The request before, where it can be recognised when it comes again with another body.
        self._repeats = KnownHead()
        self._repeated: Request | None = None

        # The body that is being read: what the last read brought, and what came before.
        self._chunks: list[bytes] = []
        self._large = bytearray()
        self._body_bytes_fed = 0
        #: Since the last of the body came: chunk extensions, or trailers, which are kept until the request is whole.
        self._bodiless_bytes = 0
        #: The request offers to go on in another protocol; its body does not come to us then.
        self._upgrade = False
        self.on_body = self._chunks.append
        self._parser = httptools.HttpRequestParser(self)  # it looks for its callbacks here and now

    def feed(self, data: bytes) -> None:
        """Read on. Look at `ready`, `refusal` and `phase` afterwards."""
        if self.refusal is not None:
            return
        before, taken = self.phase, len(self.ready)
        if self._repeated is not None and before is Phase.IDLE and taken < MAX_PIPELINED:
            start = self._repeats.body_start(data)
            if start and len(data) - start <= self._max_body_bytes:
                self.ready.append(_again(self._repeated, data[start:]))
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self.refusal is None:
                self.refusal = invalid_request(f"The request is not valid HTTP: {error}.")
        if self.refusal is not None:
            return
        if self.phase is not Phase.IDLE:
            self._account(len(data), before, alone=len(self.ready) == taken)
        elif before is Phase.IDLE and len(self.ready) == taken + 1:
            self._learn(self.ready[-1], data)

    # What the parser calls

    def on_message_begin(self) -> None:
        if len(self.ready) >= MAX_PIPELINED:
            self._refuse(invalid_request("Too many requests were sent without waiting for their answers."))
        self.phase = Phase.HEAD
        self._url = b""
        self._headers = []
        if self._varying:
            self._varying = {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in VARYING:
            self._varying[name] = value
        else:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser, varying = self._parser, self._varying
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._refuse(invalid_request(f"HTTP/{version} is not supported here; use HTTP/1.1."))
        head = self._read_head(version == "1.1")
        length = int(varying[b"content-length"]) if b"content-length" in varying else None
        self.current = Request(
            parser.get_method(),
            self._url,
            head,
            version == "1.1",
            parser.should_keep_alive(),
            length,
            varying.get(b"x-request-id"),
        )
        if length is not None and length > self._max_body_bytes:
            self._refuse(too_large(self._max_body_bytes))
        self._upgrade = parser.should_upgrade()
        self._head_bytes = 0
        self.phase = Phase.BODY

    def on_message_complete(self) -> None:
        request, chunks = self.current, self._chunks
        if self._upgrade or request is None:
            return
        if self._large:
            self._large += b"".join(chunks)
            request.body, self._large = self._large, bytearray()
        elif chunks:
            request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if len(request.body) > self._max_body_bytes:
            self._refuse(too_large(self._max_body_bytes))
        self.ready.append(request)
        self.current = None
        if not request.keep_alive:  # nothing may come after it, known or not
            self._repeated = None
        self._body_bytes_fed = self._bodiless_bytes = 0
        self.phase = Phase.IDLE

    # Bounds and refusals

    def _read_head(self, http11: bool) -> Head:
        headers, self._headers = self._headers, []
        head = self._known_head
        if head is None or self._known != (headers, http11):
            try:
                head = read_head(headers, self._credentials, http11=http11, peer=self._peer)
            except OpenAIError as error:
                self._refuse(error)
            self._known, self._known_head = (headers, http11), head
        if head.size + len(self._url) > self._max_head_bytes:
            self._refuse(headers_too_large(self._max_head_bytes))
        return head

    def _learn(self, request: Request, data: bytes) -> None:
        plain = request.keep_alive and request.given_id is None and not request.head.expects_continue
        self._repeated = _again(request, b"") if plain and self._repeats.learn(data) else None

    def _account(self, fed: int, before: Phase, *, alone: bool) -> None:
        """A message is not complete: bound what is kept of it.

        After other requests in the same read its beginning is not counted: it is less than one read.
        """
        if self.phase is Phase.HEAD:
            self._head_bytes += fed if alone else 0
            if self._head_bytes > self._max_head_bytes:
                self.refusal = headers_too_large(self._max_head_bytes)
            return
        if before is Phase.BODY and alone:
            self._body_bytes_fed += fed
            self._bodiless_bytes = 0 if self._chunks else self._bodiless_bytes + fed
        for chunk in self._chunks:
            self._large += chunk
        self._chunks.clear()
        size = len(self._large)
        if size > self._max_body_bytes:
            self.refusal = too_large(self._max_body_bytes)
        elif (
            self._bodiless_bytes > self._max_head_bytes
            or self._body_bytes_fed > self._max_head_bytes + _CHUNK_OVERHEAD * size
        ):
            self.refusal = headers_too_large(self._max_head_bytes)  # chunk extensions or trailers without end

    def _decline_upgrade(self, rest: bytes) -> None:
        """An offer of another protocol may be ignored: read the same request again as if it had not been made.

        Some clients (Java's) offer HTTP/2 with every request.
        """
        request, self.current, self._upgrade = self.current, None, False
        if request is None or request.method == b"CONNECT":
            self.refusal = invalid_request("CONNECT is not supported here.")
            return
        headers = [*self._known[0], *self._varying.items()]
        lines = [b"%b: %b\r\n" % (k, v) for k, v in headers if k not in (b"upgrade", b"connection")]
        kept = [value for value in map(_without_upgrade, every(headers, b"connection")) if value]
        if kept:  # what it names is not for the engine
            lines.append(b"connection: %b\r\n" % b", ".join(kept))
        version = b"1.1" if request.http11 else b"1.0"
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (request.method, request.target, version, b"".join(lines))
        self._parser = httptools.HttpRequestParser(self)
        self.phase = Phase.IDLE
        self.feed(head + rest)

    def _refuse(self, error: OpenAIError) -> NoReturn:
        self.refusal = error
        raise _RefusedError


def _without_upgrade(connection: bytes) -> bytes:
    return b", ".join(sorted(tokens(connection) - {b"upgrade", b""}))


def _again(request: Request, body: bytes) -> Request:
    return Request(request.method, request.target, request.head, request.http11, True, len(body), None, body)


class _RefusedError(Exception):
    """Stops the parser; the reason is in `Receiver.refusal`."""
