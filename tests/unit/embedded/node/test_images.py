"""From an image name to a command line on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeai.embedded.node.engines import EngineInstall
from kubeai.embedded.node.images import RECIPES, UnknownImageError, command_line, find_recipe

VENV = EngineInstall("engine", Path("/venv/bin"), Path("/venv/bin/python"))
ON_PATH = EngineInstall("engine", Path("/usr/bin"), Path("/usr/bin/python3"), Path("/usr/bin/server"))


def line(
    image: str, *args: str, command: tuple[str, ...] = (), install: EngineInstall | None = VENV
) -> tuple[str, ...]:
    return command_line(find_recipe(image), install, command, args)


@pytest.mark.parametrize(
    ("image", "install", "start"),
    [
        pytest.param("local/llamacpp", ON_PATH, ("/usr/bin/server",), id="llama-server of this machine"),
        pytest.param("local/infinity", VENV, ("/venv/bin/infinity_emb",), id="Infinity's own program"),
        pytest.param("local/ollama", ON_PATH, ("/usr/bin/server", "serve"), id="Ollama of this machine"),
    ],
)
def test_the_entrypoint_of_an_engine(image: str, install: EngineInstall, start: tuple[str, ...]) -> None:
    assert line(image, "--flag", install=install) == (*start, "--flag")


@pytest.mark.parametrize("image", ["local/llamacpp", "local/faster-whisper"])
def test_our_own_servers_run_in_the_engines_environment(image: str) -> None:
    python, script, flag = line(image, "--flag")
    assert (python, flag) == ("/venv/bin/python", "--flag")
    assert Path(script).is_file()


def test_a_command_of_the_real_image_runs_with_the_engines_interpreter() -> None:
    command = ("python3", "-m", "vllm.entrypoints.openai.api_server")
    started = line("local/vllm", "--model=x", command=command)
    assert started[:4] == ("/venv/bin/python", "-m", "vllm.entrypoints.openai.api_server", "--model=x")


def test_what_the_image_listens_on_is_said_only_if_the_container_does_not_say_it() -> None:
    assert line("local/vllm", "--port=9000")[-2:] == ("--port=9000", "--host=0.0.0.0")
    assert line("local/vllm", "--port", "9000", "--host", "h")[-1] == "h"


def test_the_loader_is_known_by_its_name_in_the_real_image() -> None:
    assert line("local/loader", command=("load", "a", "b"), install=None)[1:] == ("-m", "kubeai.loader", "a", "b")


def test_any_program_of_this_machine_can_be_run() -> None:
    assert line("local/process", "1", command=("sleep",), install=None) == ("sleep", "1")


def test_a_tag_does_not_matter() -> None:
    assert find_recipe("local/vllm:v1") is RECIPES["local/vllm"]


@pytest.mark.parametrize("image", ["vllm/vllm-openai:v1", "local/nothing", ""])
def test_a_real_image_cannot_run_here_and_says_so(image: str) -> None:
    with pytest.raises(UnknownImageError, match="cannot run on this machine without containers"):
        find_recipe(image)


def test_a_program_without_a_command_says_so() -> None:
    with pytest.raises(UnknownImageError, match="runs the container's command, and there is none"):
        line("local/process", install=None)
