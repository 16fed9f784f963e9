import json

import pytest

from kubeai.api.openai import errors
from kubeai.api.openai.errors import OpenAIError


def test_the_body_has_openais_shape() -> None:  # fault P10
    body = json.loads(errors.invalid_request("no model", param="model").body())
    assert body == {"error": {"message": "no model", "type": "invalid_request_error", "param": "model", "code": None}}


@pytest.mark.parametrize(
    ("error", "status", "type", "code"),
    [
        (errors.invalid_request("x"), 400, "invalid_request_error", None),
        (errors.missing_feature("m", ["a"], ["b"]), 400, "invalid_request_error", "unsupported_feature"),
        (errors.missing_route("m", "/x", "a", ["b"]), 400, "invalid_request_error", "unsupported_engine"),
        (errors.unauthenticated(), 401, "invalid_request_error", "invalid_api_key"),
        (errors.forbidden("x"), 403, "invalid_request_error", "permission_denied"),
        (errors.not_found_model("m"), 404, "invalid_request_error", "model_not_found"),
        (errors.not_found_path("GET", "/x"), 404, "invalid_request_error", "unknown_url"),
        (errors.method_not_allowed("GET", "/x"), 405, "invalid_request_error", "method_not_allowed"),
        (errors.request_timeout("x"), 408, "invalid_request_error", "request_timeout"),
        (errors.too_large(10), 413, "invalid_request_error", "request_too_large"),
        (errors.headers_too_large(10), 431, "invalid_request_error", "headers_too_large"),
        (errors.too_many_requests("x", 1), 429, "rate_limit_error", "rate_limit_exceeded"),
        (errors.internal(), 500, "server_error", "internal_error"),
        (errors.bad_gateway(), 502, "server_error", "engine_failed"),
        (errors.unavailable("x", 1), 503, "server_error", "no_capacity"),
        (errors.unavailable("x", None, code="model_cannot_start"), 503, "server_error", "model_cannot_start"),
        (errors.gateway_timeout(), 504, "server_error", "timeout"),
    ],
    ids=lambda value: value.code if isinstance(value, OpenAIError) else None,
)
def test_each_error_has_its_status_and_code(error: OpenAIError, status: int, type: str, code: str | None) -> None:
    assert (error.status, error.type, error.code) == (status, type, code)
    assert json.loads(error.body())["error"]["message"] == str(error)


def test_a_missing_feature_names_what_the_model_has() -> None:  # fault P11
    message = errors.missing_feature("m", {"TextGeneration"}, {"TextEmbedding", "Reranking"}).message
    assert "needs the feature TextGeneration" in message
    assert "Reranking, TextEmbedding" in message


def test_an_error_to_wait_for_says_how_long() -> None:
    assert errors.too_many_requests("x", retry_after_s=2).retry_after_s == 2
    assert errors.invalid_request("x").retry_after_s is None
