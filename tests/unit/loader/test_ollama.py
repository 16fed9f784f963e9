"""`ollama://`: one model kept in an Ollama server."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from kubeai.api.modelurl import parse_model_url
from kubeai.loader.errors import LoadError
from kubeai.loader.ollama import Keeper, OllamaAPI, keep, readiness
from tests.unit.loader.servers import Ollama, serve

LOADED = {"model": "chat", "keep_alive": -1, "stream": False}


class Bench:
    """A server, and a keeper of the Model `chat`."""

    def __init__(self, server: Ollama, base: str) -> None:
        self.server = server
        self.base = base
        self.said: list[str] = []

    def keeper(self, url: str) -> Keeper:
        return Keeper(OllamaAPI(self.base), parse_model_url(url), "chat", self.said.append)


@pytest.fixture
def bench() -> Iterator[Bench]:
    server = Ollama()
    with serve(server.answer) as base:
        yield Bench(server, base)


def test_a_model_is_pulled_named_and_loaded_before_it_is_ready(bench: Bench) -> None:  # fault O8
    keeper = bench.keeper("ollama://qwen2:0.5b")
    assert keeper.ensure()
    assert bench.server.calls == [
        ("/api/pull", {"model": "qwen2:0.5b", "insecure": False, "stream": True}),
        ("/api/copy", {"source": "qwen2:0.5b", "destination": "chat"}),
        ("/api/generate", LOADED),
    ]


@pytest.mark.parametrize(
    ("url", "paths"),
    [
        pytest.param("ollama://m?pull=false", ["/api/copy", "/api/generate"], id="a stored model is not pulled"),
        pytest.param(
            "ollama://m?load=false", ["/api/pull", "/api/copy"], id="a model that makes no text is not loaded"
        ),
    ],
)
def test_parts_can_be_left_out(bench: Bench, url: str, paths: list[str]) -> None:
    bench.server.models.add("m")
    assert bench.keeper(url).ensure()
    assert [path for path, _ in bench.server.calls] == paths


def test_an_insecure_registry_must_be_allowed_by_the_url(bench: Bench) -> None:
    bench.keeper("ollama://registry:5000/m?insecure=true").ensure()
    assert bench.server.calls[0][1]["insecure"] is True


def test_a_model_that_is_there_is_left_alone(bench: Bench) -> None:
    keeper = bench.keeper("ollama://m")
    keeper.ensure()
    bench.server.calls.clear()
    assert keeper.ensure()
    assert bench.server.calls == []


def test_a_restarted_server_gets_its_model_again(bench: Bench) -> None:
    keeper = bench.keeper("ollama://m")
    keeper.ensure()
    bench.server.restart()
    bench.server.calls.clear()
    assert keeper.ensure()
    assert bench.server.calls == [("/api/generate", LOADED)]
    assert "the server has lost the model" in bench.said


def test_a_failing_pull_keeps_the_model_unready_with_ollamas_own_words(bench: Bench) -> None:
    bench.server.fail_pulls(1)
    keeper = bench.keeper("ollama://no-such-model")
    assert not keeper.ensure()
    assert keeper.missing == "pull model manifest: file does not exist"
    assert keeper.ensure()


def test_a_server_that_is_not_up_yet_is_waited_for() -> None:
    said: list[str] = []
    keeper = Keeper(OllamaAPI("http://127.0.0.1:9"), parse_model_url("ollama://m"), "chat", said.append)
    assert [keeper.ensure(), keeper.ensure()] == [False, False]
    assert said == [keeper.missing]


@pytest.mark.parametrize("said", [b'{"models": [', b'{"status":"pulling x"}\n{"stat', b"<html>"])
@pytest.mark.parametrize("answers_before", [0, 2])
def test_a_server_that_dies_in_the_midst_of_an_answer_is_asked_again(
    bench: Bench, said: bytes, answers_before: int
) -> None:
    bench.server.breaks_after = answers_before
    bench.server.breaks = [said]
    keeper = bench.keeper("ollama://m")
    assert not keeper.ensure()
    assert keeper.missing
    assert keeper.ensure()


def test_readyz_says_what_is_missing_until_the_model_is_there(bench: Bench) -> None:  # fault O8
    keeper = bench.keeper("ollama://m")
    with readiness("127.0.0.1:0", keeper) as port:
        url = f"http://127.0.0.1:{port}/readyz"
        with pytest.raises(urllib.error.HTTPError, match="503"), urllib.request.urlopen(url):
            pass
        keeper.ensure()
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"ok"


def test_a_destination_that_names_no_model_is_refused() -> None:
    with pytest.raises(LoadError, match="http://HOST:PORT/NAME"):
        keep("ollama://m", "http://localhost:8000/", "127.0.0.1:0", print)
