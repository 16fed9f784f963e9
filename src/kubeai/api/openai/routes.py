"""The routes of the API: only these reach a model server.

A server has other endpoints (loading adapters, for one) that must not be reachable from outside, so this is an
allow-list. OpenAI's routes and those that others have added in its manner are also found under `/openai`, Anthropic's
under `/anthropic`: each client's library has its own idea of what a base url is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from kubeai.api.model import EngineName, Feature

Body = Literal["none", "json", "multipart"]
Kind = Literal[
    "chat",
    "completion",
    "response",
    "message",
    "embedding",
    "rerank",
    "score",
    "transcription",
    "speech",
    "image",
    "tokenize",
    "models",
]
#: Whose API it is: which prefix it may have, and how an error looks.
Dialect = Literal["openai", "anthropic"]


@dataclass(frozen=True, slots=True)
class Route:
    """One path: which Models serve it, and where its request names the model."""

    path: str
    method: Literal["GET", "POST"]
    #: A Model with any of these serves the route.
    features: frozenset[Feature]
    body: Body
    kind: Kind
    summary: str
    #: Engine -> the path there, for what only some engines serve. Empty: every engine serves it at the same path.
    engines: Mapping[EngineName, str] = field(default_factory=dict)
    dialect: Dialect = "openai"

    @property
    def spellings(self) -> tuple[str, str]:
        """The paths that clients may ask for."""
        return self.path, f"/{self.dialect}{self.path}"


def _post(
    path: str,
    kind: Kind,
    features: tuple[Feature, ...],
    summary: str,
    *engines: EngineName,
    body: Body = "json",
    dialect: Dialect = "openai",
    at: Mapping[EngineName, str] | None = None,
) -> Route:
    """`engines` serve it at the same path, those of `at` elsewhere; without either all do."""
    served = dict.fromkeys(engines, path) | dict(at or {})
    return Route(path, "POST", frozenset(features), body, kind, summary, served, dialect)


_TEXT: tuple[Feature, ...] = ("TextGeneration",)
_SPEECH: tuple[Feature, ...] = ("SpeechToText",)
_ANY_TEXT: tuple[Feature, ...] = ("TextGeneration", "TextEmbedding", "Reranking")
#: Where the paths of engines differ. Both forms of a rerank request have the same fields that matter.
_RERANK: tuple[EngineName, ...] = ("VLLM", "Infinity", "LlamaCpp", "SGLang")
_RERANK_V2: Mapping[EngineName, str] = dict.fromkeys(_RERANK, "/v1/rerank") | {"VLLM": "/v2/rerank"}
#: TEI has a form of its own, with `texts` for `documents`.
_RERANK_ELSEWHERE: Mapping[EngineName, str] = {"TEI": "/rerank"}
_TOKENIZE: Mapping[EngineName, str] = dict.fromkeys(("VLLM", "LlamaCpp", "SGLang", "TEI"), "/tokenize")
_DETOKENIZE: Mapping[EngineName, str] = {
    "VLLM": "/detokenize",
    "LlamaCpp": "/detokenize",
    "SGLang": "/detokenize",
    "TEI": "/decode",
}
_RESPONSES: tuple[EngineName, ...] = ("VLLM", "LlamaCpp", "OLlama", "SGLang")
_MESSAGE: tuple[EngineName, ...] = ("VLLM", "LlamaCpp", "OLlama")

_ALL = (
    Route("/v1/models", "GET", frozenset(), "none", "models", "The models that there are"),
    _post("/v1/chat/completions", "chat", _TEXT, "Answer a chat"),
    _post("/v1/completions", "completion", _TEXT, "Continue a text"),
    _post("/v1/responses", "response", _TEXT, "Answer in the form of the Responses API", *_RESPONSES),
    _post("/v1/embeddings", "embedding", ("TextEmbedding",), "Turn texts into vectors"),
    _post(
        "/v1/rerank",
        "rerank",
        ("Reranking",),
        "Order documents by their relevance to a query",
        *_RERANK,
        at=_RERANK_ELSEWHERE,
    ),
    _post("/v2/rerank", "rerank", ("Reranking",), "The same, in the second form of Cohere's API", at=_RERANK_V2),
    _post("/v1/score", "score", ("Reranking", "TextEmbedding"), "Tell how alike pairs of texts are", "VLLM"),
    _post("/v1/tokenize", "tokenize", _ANY_TEXT, "Turn a text into tokens, in the engine's own form", at=_TOKENIZE),
    _post("/v1/detokenize", "tokenize", _ANY_TEXT, "Turn tokens into a text, in the engine's own form", at=_DETOKENIZE),
    _post("/v1/audio/transcriptions", "transcription", _SPEECH, "Write down what is said", body="multipart"),
    _post(
        "/v1/audio/translations",
        "transcription",
        _SPEECH,
        "Write down in English what is said",
        "FasterWhisper",
        "VLLM",
        body="multipart",
    ),
    _post("/v1/audio/speech", "speech", ("TextToSpeech",), "Say a text", "FasterWhisper", "VLLM"),
    _post("/v1/images/generations", "image", ("ImageGeneration",), "Make an image", "VLLM", "OLlama"),
    _post("/v1/messages", "message", _TEXT, "Answer in the form of Anthropic's API", *_MESSAGE, dialect="anthropic"),
    _post(
        "/v1/messages/count_tokens",
        "message",
        _TEXT,
        "Count the tokens of a message",
        "VLLM",
        "LlamaCpp",
        dialect="anthropic",
    ),
)

#: Path without a dialect's prefix -> route.
ROUTES: Mapping[str, Route] = MappingProxyType({route.path: route for route in _ALL})
