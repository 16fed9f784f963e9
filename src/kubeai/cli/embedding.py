"""`kubeai embed`: texts to vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from .errors import CLIError
from .gateway import post
from .output import table

PATH = "/openai/v1/embeddings"
_SHOWN = 4
_TEXT_WIDTH = 40


def request_embeddings(url: str, model: str, texts: Sequence[str]) -> dict[str, Any]:
    """The server's answer, with the vectors in the order of the texts."""
    answer = asyncio.run(post(url, PATH, {"model": model, "input": list(texts)}))
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != len(texts):
        raise CLIError(f"the model {model} did not answer with one vector for each text")
    return answer | {"data": sorted(data, key=lambda entry: entry.get("index", 0))}


def embedding_table(texts: Sequence[str], answer: dict[str, Any]) -> str:
    """How long each vector is and how it begins."""
    rows = [
        [_cut(text), str(len(entry["embedding"])), _beginning(entry["embedding"])]
        for text, entry in zip(texts, answer["data"], strict=True)
    ]
    return table(("TEXT", "DIMENSIONS", "VECTOR"), rows)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_WIDTH else f"{line[: _TEXT_WIDTH - 3]}..."


def _beginning(vector: Sequence[float]) -> str:
    shown = ", ".join(f"{value:.4f}" for value in vector[:_SHOWN])
    return f"[{shown}{', ...' if len(vector) > _SHOWN else ''}]"
