"""Errors in OpenAI's shape, so that its clients raise their own exceptions (fault P10).

`{"error": {"message", "type", "param", "code"}}`, always as JSON. The code tells apart what a caller can do something
about: another request (4xx), waiting (429, 503), or nothing (502, 504). Messages never carry internals.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

INVALID_REQUEST = "invalid_request_error"
RATE_LIMIT = "rate_limit_error"
SERVER = "server_error"


class OpenAIError(Exception):
    """An answer to an API request that is not a result."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        #: When a retry may help: the answer's Retry-After.
        self.retry_after_s = retry_after_s

    def body(self) -> bytes:
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": error})

    def __repr__(self) -> str:
        return f"OpenAIError({self.status}, {self.message!r}, code={self.code!r})"


def invalid_request(message: str, param: str | None = None, code: str | None = None) -> OpenAIError:
    """400: the request itself is wrong."""
    return OpenAIError(400, message, type=INVALID_REQUEST, code=code, param=param)


def missing_feature(model: str, needed: Iterable[str], features: Iterable[str]) -> OpenAIError:
    """400: the Model exists but does not do this (fault P11)."""
    needs, has = " or ".join(sorted(needed)), ", ".join(sorted(features)) or "none"
    message = f"The model '{model}' does not support this route: it needs the feature {needs}, the model has: {has}."
    return OpenAIError(400, message, type=INVALID_REQUEST, code="unsupported_feature", param="model")


def missing_route(model: str, path: str, engine: str, engines: Iterable[str]) -> OpenAIError:
    """400: the Model's engine has no such route (fault P11)."""
    message = (
        f"The model '{model}' does not support {path}: its engine {engine} has no such route; "
        f"engines that have it: {', '.join(sorted(engines))}."
    )
    return OpenAIError(400, message, type=INVALID_REQUEST, code="unsupported_engine", param="model")


def unauthenticated(
    message: str = "No valid API key was given. Send it as 'Authorization: Bearer KEY'.",
) -> OpenAIError:
    """401."""
    return OpenAIError(401, message, type=INVALID_REQUEST, code="invalid_api_key")


def forbidden(message: str) -> OpenAIError:
    """403: the key is good, but not for this."""
    return OpenAIError(403, message, type=INVALID_REQUEST, code="permission_denied")


def not_found_model(name: str) -> OpenAIError:
    """404: no such Model, or none that the request may see."""
    message = f"The model '{name}' does not exist or you do not have access to it."
    return OpenAIError(404, message, type=INVALID_REQUEST, code="model_not_found", param="model")


def not_found_path(method: str, path: str) -> OpenAIError:
    """404: not one of our routes."""
    return OpenAIError(404, f"Unknown request URL: {method} {path}.", type=INVALID_REQUEST, code="unknown_url")


def method_not_allowed(method: str, path: str) -> OpenAIError:
    """405."""
    message = f"Method {method} is not allowed for {path}."
    return OpenAIError(405, message, type=INVALID_REQUEST, code="method_not_allowed")


def request_timeout(message: str) -> OpenAIError:
    """408: the request did not arrive in time."""
    return OpenAIError(408, message, type=INVALID_REQUEST, code="request_timeout")


def too_large(limit_bytes: int) -> OpenAIError:
    """413."""
    message = f"The request body is larger than the limit of {limit_bytes} bytes."
    return OpenAIError(413, message, type=INVALID_REQUEST, code="request_too_large")


def headers_too_large(limit_bytes: int) -> OpenAIError:
    """431."""
    message = f"The request's headers are larger than the limit of {limit_bytes} bytes."
    return OpenAIError(431, message, type=INVALID_REQUEST, code="headers_too_large")


def too_many_requests(message: str, retry_after_s: float) -> OpenAIError:
    """429: the queue is full, or a limit is reached."""
    return OpenAIError(429, message, type=RATE_LIMIT, code="rate_limit_exceeded", retry_after_s=retry_after_s)


def internal() -> OpenAIError:
    """500: a fault of ours; the log has it, the caller does not."""
    return OpenAIError(500, "The server had an error while processing the request.", type=SERVER, code="internal_error")


def bad_gateway(message: str = "The model server failed to answer.") -> OpenAIError:
    """502: the engine broke off or could not be reached, and retries did not help."""
    return OpenAIError(502, message, type=SERVER, code="engine_failed")


def unavailable(message: str, retry_after_s: float | None, code: str = "no_capacity") -> OpenAIError:
    """503: nothing serves the model now. `code` tells why, e.g. no_capacity, model_cannot_start, shutting_down."""
    return OpenAIError(503, message, type=SERVER, code=code, retry_after_s=retry_after_s)


def gateway_timeout(message: str = "The model server did not answer in time.") -> OpenAIError:
    """504."""
    return OpenAIError(504, message, type=SERVER, code="timeout")
