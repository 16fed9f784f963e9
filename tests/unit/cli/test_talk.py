"""`kubeai chat` and `kubeai embed` against a gateway that says what the test wants."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import CommandLine, ScriptedGateway


def delta(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "t", "param": None, "code": None}}).encode()


def test_chat_prints_the_answer_as_it_streams(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    first = delta("Par")
    gateway.will_answer(b": comment\n\n", first[:7], first[7:] + delta("is"), b'data: {"choices": []}\n\n', DONE)
    assert kubeai("chat", "m", "What", "is it?").out == "Paris\n"
    path, body = gateway.requests[0]
    assert path == "/openai/v1/chat/completions"
    assert body == {"model": "m", "messages": [{"role": "user", "content": "What is it?"}], "stream": True}


def test_chat_passes_its_options_on(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    gateway.will_answer(DONE)
    kubeai("chat", "m", "-s", "Be short.", "--max-tokens", "5", "-t", "0", "hi")
    body = gateway.requests[0][1]
    assert body["messages"][0] == {"role": "system", "content": "Be short."}
    assert (body["max_tokens"], body["temperature"]) == (5, 0)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        pytest.param([], "from a pipe", id="alone"),
        pytest.param(["Explain", "this:", "-"], "Explain this:\n\nfrom a pipe", id="after words"),
        pytest.param(["only", "words"], "only words", id="not read when it is not asked for"),
    ],
)
def test_chat_reads_standard_input(
    kubeai: CommandLine, gateway: ScriptedGateway, arguments: list[str], asked: str
) -> None:
    gateway.will_answer(DONE)
    kubeai("chat", "m", *arguments, stdin="from a pipe\n")
    assert gateway.requests[0][1]["messages"][0]["content"] == asked


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(
            {"chunks": [error("No such model.")], "status": 404}, "error: No such model.\n", id="the gateway's words"
        ),
        pytest.param(
            {"chunks": [error("Busy.")], "status": 503, "Retry_After": "5"},
            "error: Busy. (try again in 5 s)\n",
            id="with the time to wait",
        ),
        pytest.param({"chunks": [b"Bad Gateway"], "status": 502}, "error: Bad Gateway\n", id="a proxy's words"),
        pytest.param({"chunks": [b""], "status": 500}, "error: 500 Internal Server Error\n", id="no words"),
        pytest.param(
            {"chunks": [delta("Par"), b"data: " + error("It died.") + b"\n\n"]}, "error: It died.\n", id="in mid-stream"
        ),
        pytest.param({"chunks": [b"data: {nonsense\n\n"]}, "broke: ", id="no JSON"),
    ],
)
def test_an_error_of_the_gateway_is_a_sentence(
    kubeai: CommandLine, gateway: ScriptedGateway, answer: dict[str, Any], says: str
) -> None:
    chunks = answer.pop("chunks")
    gateway.will_answer(*chunks, **answer)
    done = kubeai("chat", "m", "hi")
    assert done.code == 1
    assert says in done.err


def test_no_gateway_is_told_with_what_to_do(kubeai: CommandLine) -> None:
    done = kubeai("chat", "m", "hi", "--url", "http://127.0.0.1:1")
    assert done.code == 1
    assert done.err == (
        "error: no gateway answers at http://127.0.0.1:1 (Connection refused)\n"
        "Start one with `kubeai up`, or say where it is with --url or KUBEAI_URL.\n"
    )


def test_an_empty_prompt_is_refused(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    assert kubeai("chat", "m").err == "error: the prompt is empty\n"


@pytest.mark.parametrize("end", ["/openai/v1", "/openai/v1/", "/v1", "/"])
def test_the_url_that_openai_clients_take_works_too(kubeai: CommandLine, gateway: ScriptedGateway, end: str) -> None:
    gateway.will_answer(delta("hi"), DONE)
    assert kubeai("chat", "m", "hi", "--url", gateway.url + end).out == "hi\n"
    assert gateway.requests[0][0] == "/openai/v1/chat/completions"


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "http://[", "http://a:b"])
def test_what_is_no_url_is_said(kubeai: CommandLine, url: str) -> None:
    told = kubeai("chat", "m", "hi", "--url", url)
    assert (told.code, "is not a URL of a gateway" in told.err) == (1, True)


def test_a_running_instance_tells_where_its_gateway_is(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    del kubeai.env["KUBEAI_URL"]
    kubeai.data_dir.mkdir()
    (kubeai.data_dir / "endpoint").write_text(f"{gateway.url}\n")
    gateway.will_answer(delta("hi"), DONE)
    assert kubeai("chat", "m", "hi").out == "hi\n"


def vectors(*numbers: list[float]) -> bytes:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(numbers)]
    return json.dumps({"object": "list", "data": list(reversed(data))}).encode()


def test_embed_shows_how_vectors_begin(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    gateway.will_answer(vectors([0.1, 0.2, 0.3, 0.4, 0.5], [1.0]))
    assert kubeai("embed", "m", "a cat", "x" * 50).out == (
        "TEXT                                       DIMENSIONS   VECTOR\n"
        "a cat                                      5            [0.1000, 0.2000, 0.3000, 0.4000, ...]\n"
        f"{'x' * 37}...   1            [1.0000]\n"
    )
    assert gateway.requests == [("/openai/v1/embeddings", {"model": "m", "input": ["a cat", "x" * 50]})]


def test_embed_takes_lines_and_gives_whole_vectors(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    gateway.will_answer(vectors([0.5], [0.25]))
    found = json.loads(kubeai("embed", "m", "-o", "json", stdin="one\n\ntwo\n").out)
    assert [entry["embedding"] for entry in found["data"]] == [[0.5], [0.25]]
    assert gateway.requests[0][1]["input"] == ["one", "two"]


def test_an_answer_without_a_vector_for_each_text_is_an_error(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    gateway.will_answer(vectors([0.5]))
    assert "did not answer with one vector for each text" in kubeai("embed", "m", "a", "b").err


def test_embed_wants_a_text(kubeai: CommandLine) -> None:
    assert kubeai("embed", "m").code == 2


def test_the_key_comes_from_the_environment(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    kubeai.env["KUBEAI_API_KEY"] = "sk-1"
    gateway.will_answer(DONE)
    kubeai("chat", "m", "hi")
    assert gateway.authorizations == ["Bearer sk-1"]


def test_who_has_no_key_is_told_where_it_belongs(kubeai: CommandLine, gateway: ScriptedGateway) -> None:
    gateway.will_answer(error("No valid API key was given."), status=401)
    told = kubeai("chat", "m", "hi").err
    assert told.startswith("error: No valid API key was given.\n")
    assert "KUBEAI_API_KEY" in told
