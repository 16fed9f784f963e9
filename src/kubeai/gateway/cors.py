"""Which web pages of other origins may use the API from a browser.

Off unless the configuration names origins. The gateway alone says it: what engines say about origins stops here, in
both directions, or a browser would be told two different things.
"""

from __future__ import annotations

from kubeai.api.openai.errors import forbidden
from kubeai.config.system import CORSSettings
from kubeai.inference.headers import Header

from .head import Preflight
from .response import TEXT, Reply, error_reply

_METHODS = b"GET, HEAD, POST"
_EXPOSED = b"retry-after, x-request-id"


class CORS:
    """The rules of one gateway, as the lines that go into answers."""

    def __init__(self, settings: CORSSettings) -> None:
        self._any = "*" in settings.allowed_origins
        self._lines: dict[bytes, bytes] = {}
        for origin in settings.allowed_origins:
            self._lines[origin.encode("ascii")] = _lines(origin.encode("ascii"))
        self._max_age = b"%d" % settings.max_age_s

    def lines(self, origin: bytes | None) -> bytes:
        """What an answer says to who asked from `origin`. A cache must keep answers to different origins apart."""
        if self._any:
            return self._lines[b"*"]
        return self._lines.get(origin or b"", b"vary: origin\r\n")

    def preflight(self, origin: bytes | None, asked: Preflight, path: bytes) -> Reply:
        """The answer to a browser that asks first."""
        if not self._any and (origin or b"") not in self._lines:
            error = forbidden("Pages of this origin may not use the API: it is not in gateway.cors.allowedOrigins.")
            return error_reply(error, path)
        headers: list[Header] = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-max-age", self._max_age),
        ]
        if asked.headers:
            headers.append((b"access-control-allow-headers", asked.headers))
        return Reply(200, b"", TEXT, tuple(headers))


def _lines(origin: bytes) -> bytes:
    vary = b"" if origin == b"*" else b"vary: origin\r\n"
    return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\n%b" % (origin, _EXPOSED, vary)
