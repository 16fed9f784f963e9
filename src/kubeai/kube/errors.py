"""What can go wrong with a request to an API server, as one exception.

The server says what it minds in a `Status` object; a proxy before it says it in plain text; a broken network says
nothing. Callers ask the properties, never the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

#: Servers and proxies that send no Status still send a number.
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_MAX_TEXT = 300


class BadNameError(ValueError):
    """What was given as the name of an object can be none; nothing was asked of the server."""


class APIError(Exception):
    """A request that did not succeed. `status` is 0 if there was no answer; `details` is the Status' own."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        retry_after_s: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.details = details or {}

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """The object is not in the state that was asked for: read it again. Not that the name is taken."""
        return self.status == 409 and not self.already_exists

    @property
    def already_exists(self) -> bool:
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def gone(self) -> bool:
        """The resource version or continue token is too old: list again."""
        return self.status == 410

    @property
    def invalid(self) -> bool:
        """The object breaks a rule: the fault of who wrote it, and no retry helps."""
        return self.status == 422

    @property
    def forbidden(self) -> bool:
        return self.status == 403

    @property
    def unauthorized(self) -> bool:
        return self.status == 401

    @property
    def transient(self) -> bool:
        """The same request may succeed a little later."""
        return self.status in (408, 429) or self.status >= 500


class ConnectionFailed(APIError):  # noqa: N818 - it says what happened
    """The server could not be reached, or the connection broke: whether it did what was asked is unknown."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "ConnectionFailed", message)

    @property
    def transient(self) -> bool:
        return True


class BadAnswer(APIError):  # noqa: N818 - it says what happened
    """The server answered with something that is no answer of a Kubernetes API."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "BadAnswer", message)


def from_answer(status: int, body: bytes, retry_after: str | None = None) -> APIError:
    """The error in an HTTP answer. `retry_after` is the header's value."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        found = None
    if isinstance(found, dict) and found.get("message"):
        return from_status({**found, "code": status}, _seconds(retry_after))
    text = body[:_MAX_TEXT].decode(errors="replace").strip() or "no reason is given"
    return APIError(status, _REASONS.get(status, ""), f"HTTP {status}: {text}", _seconds(retry_after))


def from_status(found: Mapping[str, Any], retry_after_s: float | None = None) -> APIError:
    """The error in a Status object, which also comes as the object of a watch's ERROR event."""
    code = int(found.get("code") or 0)
    details = found.get("details")
    if not isinstance(details, dict):  # another kind of error, of a proxy that speaks JSON, too
        details = {}
    seconds = details.get("retryAfterSeconds")
    if retry_after_s is None and seconds and isinstance(seconds, int | float):
        retry_after_s = float(seconds)
    reason = found.get("reason") or _REASONS.get(code, "")
    return APIError(code, reason, found.get("message") or reason or f"HTTP {code}", retry_after_s, details)


def _seconds(header: str | None) -> float | None:
    """A date, the other form of Retry-After, is never sent by an API server: it counts as absent."""
    return float(header) if header and header.strip().isdecimal() else None
