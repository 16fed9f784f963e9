"""What the headers of a request say to the gateway, and those that an engine gets.

A client on a kept connection sends nearly the same headers every time, so what was read from them is kept with the
connection. The two that differ from request to request are left out: the length of the body and the request's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from kubeai.access.credentials import Credentials, Presented
from kubeai.api.openai.errors import INVALID_REQUEST, OpenAIError, invalid_request
from kubeai.inference.headers import INTERNAL_PREFIX, Header, engine_lines, every, first, tokens

#: Names that `read_head` never gets to see.
VARYING = frozenset({b"content-length", b"x-request-id"})
#: What proxies say of those who asked them.
_OF_PROXIES = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"})


class Preflight(msgspec.Struct):
    """A browser asks first whether a page of another origin may send such a request."""

    method: bytes
    headers: bytes


class Head(msgspec.Struct):
    """Headers, understood."""

    #: For the engine, as lines: the client's own and where the request came from.
    lines: bytes
    content_type: bytes
    selectors: Sequence[bytes]
    #: The client's address, and who it says it is.
    peer: bytes
    presented: Presented
    #: The peer says that it asks for somebody else.
    proxied: bool
    #: The client waits to be told to send the body.
    expects_continue: bool
    takes_trailers: bool
    #: The body comes in chunks.
    chunked: bool
    size: int
    #: Of the web page that asks, if one does.
    origin: bytes | None = None
    preflight: Preflight | None = None
    #: What is asked of the gateway itself: `X-KubeAI-...` headers.
    own: Mapping[bytes, bytes] = {}


def read_head(headers: Sequence[Header], credentials: Credentials, *, http11: bool, peer: bytes) -> Head:
    """Names are in lower case. Raises `OpenAIError` for what the parser leaves to its user."""
    hosts = every(headers, b"host")
    if len(hosts) > 1 or (http11 and not hosts):
        raise invalid_request("A request must have exactly one Host header.")
    te = first(headers, b"te")
    origin = first(headers, b"origin")
    return Head(
        lines=engine_lines(headers, credentials.private) + _forwarded(headers, hosts[0] if hosts else b"", peer),
        content_type=first(headers, b"content-type") or b"",
        selectors=every(headers, b"x-label-selector"),
        peer=peer,
        presented=credentials.read(headers),
        proxied=any(name in _OF_PROXIES for name, _ in headers),
        expects_continue=_expects_continue(headers, http11),
        takes_trailers=te is not None and b"trailers" in tokens(te),
        chunked=_chunked(headers, http11),
        size=sum(len(name) + len(value) + 4 for name, value in headers),
        origin=origin,
        preflight=None if origin is None else _preflight(headers),
        own={name: value for name, value in headers if name.startswith(INTERNAL_PREFIX)},
    )


def _preflight(headers: Sequence[Header]) -> Preflight | None:
    method = first(headers, b"access-control-request-method")
    return None if method is None else Preflight(method, first(headers, b"access-control-request-headers") or b"")


def _chunked(headers: Sequence[Header], http11: bool) -> bool:
    encoding = first(headers, b"transfer-encoding")
    if encoding is not None and (not http11 or encoding.lower() != b"chunked"):
        raise invalid_request("The only Transfer-Encoding that is understood here is chunked.")
    return encoding is not None


def _expects_continue(headers: Sequence[Header], http11: bool) -> bool:
    expected = first(headers, b"expect")
    if expected is None:
        return False
    if tokens(expected) != {b"100-continue"}:
        message = "The only expectation that is understood here is 100-continue."
        raise OpenAIError(417, message, type=INVALID_REQUEST)
    return http11  # an older client knows no interim answers


def _forwarded(headers: Sequence[Header], host: bytes, peer: bytes) -> bytes:
    """Who asked, for the engine's log. A proxy before us has its say first."""
    before = b"".join(value + b", " for value in every(headers, b"x-forwarded-for"))
    return b"x-forwarded-for: %b%b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n" % (
        before,
        peer,
        first(headers, b"x-forwarded-proto") or b"http",
        first(headers, b"x-forwarded-host") or host,
    )
