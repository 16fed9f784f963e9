"""Errors as clients of Anthropic's API expect them: those of a gateway that speaks OpenAI's, said the other way.

`{"type": "error", "error": {"type", "message"}}`. Anthropic's libraries raise by the status, like OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kubeai.api.openai.errors import OpenAIError

_PATHS = (b"/anthropic/", b"/v1/messages")
_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def is_anthropic(path: bytes) -> bool:
    """Whether who asks for this path speaks Anthropic's API."""
    return path.startswith(_PATHS)


def error_body(error: OpenAIError) -> bytes:
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": error.message}})
