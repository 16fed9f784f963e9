from __future__ import annotations

import json

import pytest

from kubeai.api import anthropic
from kubeai.api.openai import errors
from kubeai.api.openai.errors import OpenAIError

ERRORS: dict[str, tuple[OpenAIError, str]] = {
    "a wrong request": (errors.invalid_request("x"), "invalid_request_error"),
    "no key": (errors.unauthenticated(), "authentication_error"),
    "not for this key": (errors.forbidden("x"), "permission_error"),
    "no such model": (errors.not_found_model("m"), "not_found_error"),
    "too large": (errors.too_large(1), "request_too_large"),
    "too many": (errors.too_many_requests("x", 1), "rate_limit_error"),
    "a fault of ours": (errors.internal(), "api_error"),
    "a fault of the engine": (errors.bad_gateway(), "api_error"),
    "no capacity": (errors.unavailable("x", 1), "overloaded_error"),
    "too late": (errors.gateway_timeout(), "timeout_error"),
}


@pytest.mark.parametrize(("error", "kind"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_in_anthropics_shape(error: OpenAIError, kind: str) -> None:
    # fault P10
    body = json.loads(anthropic.error_body(error))
    assert body == {"type": "error", "error": {"type": kind, "message": error.message}}
