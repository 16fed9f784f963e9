"""`kubeai chat`: questions and answers, with a memory."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from .errors import CLIError
from .gateway import stream

PATH = "/openai/v1/chat/completions"
PROMPT = ">>> "
#: Before this nobody wonders what happens.
NOTICE_AFTER_S = 1.0
_ERASE_LINE = "\r\x1b[K"

Message = dict[str, str]


class Conversation:
    """The messages so far, and the way to the model."""

    def __init__(self, url: str, model: str, system: str | None, settings: dict[str, Any]) -> None:
        self._url = url
        self._model = model
        self._settings = settings
        self._opening: list[Message] = [{"role": "system", "content": system}] if system else []
        #: Always whole: an answer that failed or was interrupted leaves neither question nor answer here.
        self._messages: list[Message] = []

    def clear(self) -> None:
        self._messages = []

    def ask(self, question: str) -> str:
        """Print the answer as it comes, and remember both."""
        if not question.strip():
            raise CLIError("the prompt is empty")
        asked = [*self._messages, {"role": "user", "content": question}]
        answer = asyncio.run(self._stream([*self._opening, *asked]))
        self._messages = [*asked, {"role": "assistant", "content": answer}]
        return answer

    async def _stream(self, messages: list[Message]) -> str:
        parts: list[str] = []
        body = {"model": self._model, "messages": messages, **self._settings}
        async with _waiting_notice(self._model) as done_waiting:
            async for event in stream(self._url, PATH, body):
                text = _text(event)
                if text:
                    await done_waiting()
                    parts.append(text)
                    sys.stdout.write(text)
                    sys.stdout.flush()
        sys.stdout.write("\n")
        return "".join(parts)


def _text(event: dict[str, Any]) -> str:
    choices = event.get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")


class _waiting_notice:  # noqa: N801 - used like a function
    """Says on a terminal that the model is waited for, from the second second on, until the first word comes."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Any:
        if sys.stderr.isatty():
            self._task = asyncio.create_task(self._show())
        return self._end

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _show(self) -> None:
        start = asyncio.get_running_loop().time()
        try:
            while True:
                await asyncio.sleep(NOTICE_AFTER_S)
                waited_s = asyncio.get_running_loop().time() - start
                sys.stderr.write(f"{_ERASE_LINE}waiting for {self._model} ({waited_s:.0f} s)")
                sys.stderr.flush()
        finally:
            sys.stderr.write(_ERASE_LINE)
            sys.stderr.flush()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None


def converse(conversation: Conversation) -> None:
    """Question after question, until the user has enough. An answer that fails does not end it."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() a memory and arrow keys
    while True:
        try:
            question = input(PROMPT).strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if question in ("/exit", "/quit", "/bye"):
            return
        if question == "/clear":
            conversation.clear()
        elif question:
            _answer(conversation, question)


def _answer(conversation: Conversation, question: str) -> None:
    try:
        conversation.ask(question)
    except KeyboardInterrupt:
        print(" (interrupted)")
    except CLIError as error:
        print(f"error: {error}", file=sys.stderr)
