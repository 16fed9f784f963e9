"""Verbs that ask models something through the gateway."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from .options import DataDir, ModelName, Url


class EmbedFormat(StrEnum):
    TABLE = "table"
    JSON = "json"


def chat(
    model: ModelName,
    prompt: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT",
            help="What to ask; - stands for standard input. Without it: a conversation, or standard input if it is "
            "no terminal.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", metavar="TEXT", help="A system message.", show_default=False)
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Stop after N tokens.", show_default=False)
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", "-t", min=0, help="0: always the likeliest.", show_default=False)
    ] = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Chat with a model; the answer streams.

    In a conversation, /clear forgets it and /exit (or Ctrl-D) ends it; Ctrl-C stops an answer.

    \b
    Examples:
      kubeai chat smollm2
      kubeai chat smollm2 "What is the capital of France?"
      git diff | kubeai chat smollm2 "Explain this change:" -
    """
    from .conversation import Conversation, converse
    from .target import gateway_url

    settings = {"max_tokens": max_tokens, "temperature": temperature}
    conversation = Conversation(
        gateway_url(url, data_dir), model, system, {key: value for key, value in settings.items() if value is not None}
    )
    if prompt or not sys.stdin.isatty():
        conversation.ask(_text(prompt or ["-"]))
    else:
        converse(conversation)


def embed(
    model: ModelName,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts. Without one: the lines of standard input.", show_default=False),
    ] = None,
    output: Annotated[
        EmbedFormat, typer.Option("--output", "-o", help="json prints whole vectors.")
    ] = EmbedFormat.TABLE,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Turn texts into vectors.

    \b
    Examples:
      kubeai embed all-minilm "a cat" "a dog"
      kubeai embed all-minilm -o json < lines.txt
    """
    from .embedding import embedding_table, request_embeddings
    from .output import as_json
    from .target import gateway_url

    texts = text or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not texts:
        raise typer.BadParameter("give a text, as an argument or on standard input")
    answer = request_embeddings(gateway_url(url, data_dir), model, texts)
    typer.echo(as_json(answer) if output is EmbedFormat.JSON else embedding_table(texts, answer), nl=False)


def _text(words: list[str]) -> str:
    """The words of a prompt as one text; `-` is standard input."""
    return "\n\n".join(
        part for part in (sys.stdin.read().strip() if word == "-" else word for word in _joined(words)) if part
    )


def _joined(words: list[str]) -> list[str]:
    """Neighbours joined by spaces, so that quotes are not needed; `-` stands for itself."""
    parts: list[str] = []
    for word in words:
        if word != "-" and parts and parts[-1] != "-":
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts
