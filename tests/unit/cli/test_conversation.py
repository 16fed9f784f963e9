"""A conversation: what is remembered, and what is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubeai.cli.conversation import Conversation, converse
from kubeai.cli.errors import CLIError

from .conftest import ScriptedGateway
from .test_talk import DONE, delta, error


def contents(gateway: ScriptedGateway, index: int) -> list[str]:
    return [message["content"] for message in gateway.requests[index][1]["messages"]]


def test_questions_and_answers_are_remembered(gateway: ScriptedGateway) -> None:
    gateway.will_answer(delta("Hello."), DONE)
    gateway.will_answer(delta("Bye."), DONE)
    conversation = Conversation(gateway.url, "m", "Be kind.", {})
    conversation.ask("Hi!")
    conversation.ask("Bye!")
    assert contents(gateway, 1) == ["Be kind.", "Hi!", "Hello.", "Bye!"]


def test_a_question_without_an_answer_is_forgotten(gateway: ScriptedGateway) -> None:
    gateway.will_answer(error("Busy."), status=503)
    gateway.will_answer(DONE)
    conversation = Conversation(gateway.url, "m", None, {})
    with pytest.raises(CLIError, match=r"Busy\."):
        conversation.ask("first")
    conversation.ask("second")
    assert contents(gateway, 1) == ["second"]


def test_the_prompt_goes_on_after_an_error_and_knows_its_words(
    gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: Iterator[str] = iter(["one", "", "/clear", "two", "/exit", "never"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    gateway.will_answer(error("Busy."), status=503)
    gateway.will_answer(delta("Yes."), DONE)
    converse(Conversation(gateway.url, "m", None, {}))
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("Yes.\n", "error: Busy.\n")
    assert contents(gateway, 1) == ["two"]
    assert next(lines) == "never"
