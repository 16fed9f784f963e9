"""Which headers go through the gateway, in both directions.

Hop-by-hop headers are about one connection, and the framing of a message is ours to decide: both stop here. Names are
compared in lower case; everything else passes in the bytes that came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Name and value as they came.
Header = tuple[bytes, bytes]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
#: What an engine does not get from the client: our own vocabulary, and what the gateway says itself.
NOT_TO_ENGINE = _HOP_BY_HOP | {
    b"access-control-request-headers",
    b"access-control-request-method",
    b"content-length",
    b"expect",
    b"forwarded",
    b"host",
    b"origin",  # whether a page may ask is the gateway's to say; some engines refuse origins that they do not know
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-label-selector",
    b"x-request-id",
}
#: What a client does not get from an engine. The request id and who may read the answer are the gateway's
#: to say; Alt-Svc speaks of the engine's address.
NOT_TO_CLIENT = _HOP_BY_HOP | {
    b"access-control-allow-credentials",
    b"access-control-allow-headers",
    b"access-control-allow-methods",
    b"access-control-allow-origin",
    b"access-control-expose-headers",
    b"access-control-max-age",
    b"alt-svc",
    b"content-length",
    b"x-request-id",
}
#: Trailers that would change the meaning of the message if a client merged them into its headers.
_NOT_IN_TRAILER = NOT_TO_CLIENT | {b"content-encoding", b"content-range", b"content-type", b"host", b"set-cookie"}
INTERNAL_PREFIX = b"x-kubeai-"

_REQUEST_ID = re.compile(rb"[!-~]{1,128}")


def engine_lines(headers: Iterable[Header], private: frozenset[bytes] = frozenset()) -> bytes:
    """The client's headers that an engine gets, as lines; those in `private` it does not (in lower case)."""
    return _lines(headers, NOT_TO_ENGINE | private)


def trailer_lines(trailers: Iterable[Header]) -> bytes:
    """The engine's trailers that a client gets."""
    return _lines(trailers, _NOT_IN_TRAILER)


def first(headers: Iterable[Header], name: bytes) -> bytes | None:
    """The value of the first header of that name; `name` is in lower case."""
    return next((value for key, value in headers if key.lower() == name), None)


def every(headers: Iterable[Header], name: bytes) -> list[bytes]:
    """The values of all headers of that name; `name` is in lower case."""
    return [value for key, value in headers if key.lower() == name]


def valid_request_id(value: bytes | None) -> bool:
    """A client's own id is kept if it is short and plain, so that it can break neither a log nor a header."""
    return value is not None and _REQUEST_ID.fullmatch(value) is not None


def _lines(headers: Iterable[Header], refused: frozenset[bytes]) -> bytes:
    kept: list[tuple[bytes, bytes]] = []
    nominated: set[bytes] = set()
    for name, value in headers:
        key = name.lower()
        if key in refused:
            if key == b"connection":  # "Connection: X-Foo" makes X-Foo hop-by-hop, too
                nominated |= tokens(value)
        elif not key.startswith(INTERNAL_PREFIX):
            kept.append((key, b"%b: %b\r\n" % (name, value)))
    return b"".join([line for key, line in kept if key not in nominated])


def tokens(value: bytes) -> set[bytes]:
    """The members of a comma-separated header value, in lower case."""
    return {token.strip() for token in value.lower().split(b",")}
