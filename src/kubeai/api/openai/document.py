"""The OpenAPI document of the API, made from the routes, so that it lists what exists and nothing else.

A request's body belongs to the engine: what the gateway itself asks of it is a model's name. The other fields are
named for the reader and not described further, because each engine has its own idea of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .routes import ROUTES, Kind, Route

_MODEL = "Name of a Model, or NAME_ADAPTER for one of its adapters."
#: What a reader looks for first, by the kind of the route.
_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    "chat": ("messages", "stream", "stream_options", "max_tokens", "temperature", "tools", "response_format"),
    "completion": ("prompt", "stream", "stream_options", "max_tokens", "temperature", "stop"),
    "response": ("input", "instructions", "stream", "max_output_tokens", "tools"),
    "message": ("messages", "system", "max_tokens", "stream", "tools"),
    "embedding": ("input", "dimensions", "encoding_format"),
    "rerank": ("query", "documents", "top_n"),
    "score": ("text_1", "text_2"),
    "transcription": ("file", "language", "prompt", "response_format", "temperature"),
    "speech": ("input", "voice", "response_format"),
    "image": ("prompt", "n", "size", "response_format"),
    "tokenize": ("prompt", "messages", "content", "tokens"),
}
_ERRORS: Mapping[str, str] = {
    "4XX": "The request is at fault; 429 comes with Retry-After.",
    "5XX": "The gateway or the engine is at fault; 503 comes with Retry-After.",
}
_ENTRY = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by", "features"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
        "features": {"type": "array", "items": {"type": "string"}},
    },
}
_LIST = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    },
}
_NULLABLE = {"type": ["string", "null"]}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {"message": {"type": "string"}, "type": {"type": "string"}}
            | {"param": _NULLABLE, "code": _NULLABLE},
        }
    },
}
_ANTHROPIC_ERROR = {
    "type": "object",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}


def openapi() -> dict[str, Any]:
    """The document; everything in it is JSON."""
    posts = {route.spellings[1]: {"post": _operation(route)} for route in ROUTES.values() if route.method == "POST"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "KubeAI",
            "version": "v1",
            "description": "Each path is there without its first part, too: /v1/models is /openai/v1/models.",
        },
        "paths": {**_model_pages(), **posts, **_own_pages()},
        "components": {"schemas": {"Model": _ENTRY, "Error": _ERROR, "AnthropicError": _ANTHROPIC_ERROR}},
    }


def _operation(route: Route) -> dict[str, Any]:
    engines = f" Engines: {', '.join(sorted(route.engines))}." if route.engines else ""
    media = "multipart/form-data" if route.body == "multipart" else "application/json"
    error = "AnthropicError" if route.dialect == "anthropic" else "Error"
    return {
        "summary": route.summary,
        "description": f"For Models with the feature {' or '.join(sorted(route.features))}.{engines}",
        "operationId": route.path.strip("/").replace("/", "_"),
        "requestBody": {"required": True, "content": {media: {"schema": _request(route.kind)}}},
        "responses": {"200": {"description": "The engine's answer.", "content": {"*/*": {}}}} | _errors(error),
    }


def _request(kind: Kind) -> dict[str, Any]:
    model = {"type": "string", "minLength": 1, "description": _MODEL}
    return {
        "type": "object",
        "required": ["model"],
        "properties": {"model": model, **{name: {} for name in _FIELDS[kind]}},
    }


def _errors(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {status: {"description": text, "content": content} for status, text in _ERRORS.items()}


def _model_pages() -> dict[str, Any]:
    feature = {
        "name": "feature",
        "in": "query",
        "description": "Only Models with this feature, or one of these; TextGeneration if it is not said.",
        "schema": {"type": "array", "items": {"type": "string"}},
    }
    name = {"name": "model", "in": "path", "required": True, "description": _MODEL, "schema": {"type": "string"}}
    selector = {
        "name": "X-Label-Selector",
        "in": "header",
        "description": "Only Models whose labels match.",
        "schema": {},
    }
    route = ROUTES["/v1/models"]
    entry = {"$ref": "#/components/schemas/Model"}
    return {
        "/openai/v1/models": {"get": _page(route.summary, "application/json", _LIST, feature, selector)},
        "/openai/v1/models/{model}": {"get": _page("One model", "application/json", entry, name, selector)},
    }


def _own_pages() -> dict[str, Any]:
    text, string = "text/plain", {"type": "string"}
    ready = _page("Whether requests can be served now", text, string)
    ready["responses"]["503"] = {"description": "Not now, and why.", "content": {text: {"schema": string}}}
    return {
        "/healthz": {"get": _page("Whether this process lives", text, string)},
        "/readyz": {"get": ready},
        "/metrics": {"get": _page("Metrics in Prometheus' text format", text, string)},
        "/openapi.json": {"get": _page("This document", "application/json", {"type": "object"})},
    }


def _page(summary: str, media: str, schema: Mapping[str, Any], *parameters: Mapping[str, Any]) -> dict[str, Any]:
    found = {"description": summary, "content": {media: {"schema": schema}}}
    return {"summary": summary, "parameters": list(parameters), "responses": {"200": found} | _errors("Error")}
