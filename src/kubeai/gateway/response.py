"""Bytes of an answer to a client."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import msgspec

from kubeai.api import anthropic
from kubeai.api.openai.errors import OpenAIError
from kubeai.inference.answer import AnswerHead
from kubeai.inference.headers import Header, trailer_lines

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {s.value: b"HTTP/1.1 %d %b\r\n" % (s.value, s.phrase.encode("ascii")) for s in HTTPStatus}
_BODILESS = frozenset({204, 304})


class Reply(msgspec.Struct):
    """An answer of the gateway itself."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()


def json_reply(value: Any) -> Reply:
    return Reply(200, msgspec.json.encode(value))


def error_reply(error: OpenAIError, path: bytes, headers: tuple[Header, ...] = ()) -> Reply:
    """In the shape that callers of this path expect."""
    if error.retry_after_s is not None:
        headers = (*headers, (b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
    body = anthropic.error_body(error) if anthropic.is_anthropic(path) else error.body()
    return Reply(error.status, body, headers=headers)


def encode_reply(
    reply: Reply, request_id: bytes, *, keep_alive: bool, http11: bool, head_only: bool, extra: bytes = b""
) -> bytes:
    """`extra` are further header lines."""
    lines = [
        _status_line(reply.status),
        b"date: %b\r\n" % formatdate(usegmt=True).encode("ascii"),
        b"content-type: %b\r\ncontent-length: %d\r\n" % (reply.content_type, len(reply.body)),
        *[b"%b: %b\r\n" % header for header in reply.headers],
        extra,
        _connection(keep_alive, http11),
        b"x-request-id: %b\r\n\r\n" % request_id if request_id else b"\r\n",
        b"" if head_only else reply.body,
    ]
    return b"".join(lines)


class Framing(msgspec.Struct):
    """How the end of an engine's answer is told to the client."""

    chunked: bool
    keep_alive: bool


def frame(head: AnswerHead, *, keep_alive: bool, http11: bool) -> Framing:
    """By its length if that is known, by chunks if the client knows them, else by closing the connection."""
    known = head.length is not None or head.status in _BODILESS
    return Framing(chunked=not known and http11, keep_alive=keep_alive and (known or http11))


def encode_head(head: AnswerHead, framing: Framing, request_id: bytes, *, http11: bool, extra: bytes = b"") -> bytes:
    length = b""
    if framing.chunked:
        length = b"transfer-encoding: chunked\r\n"
    elif head.length is not None and head.status != 204:
        length = b"content-length: %b\r\n" % head.length
    return b"%b%b%b%b%bx-request-id: %b\r\n\r\n" % (
        _status_line(head.status),
        head.lines,
        extra,
        length,
        _connection(framing.keep_alive, http11),
        request_id,
    )


def encode_chunk(chunks: Sequence[bytes]) -> list[bytes]:
    """However many pieces came, one chunk goes out."""
    return [b"%x\r\n" % sum(map(len, chunks)), *chunks, b"\r\n"]


def encode_end(trailers: Sequence[Header]) -> bytes:
    return b"0\r\n%b\r\n" % trailer_lines(trailers) if trailers else b"0\r\n\r\n"


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def _connection(keep_alive: bool, http11: bool) -> bytes:
    if keep_alive:
        return b"" if http11 else b"connection: keep-alive\r\n"
    return b"connection: close\r\n"
