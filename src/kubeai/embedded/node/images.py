"""How an image name starts a process on this machine.

A container image cannot run here; `local/NAME` names a recipe instead: which engine it needs, what its entrypoint is,
and what has to be in its environment. The container's own command, args and env are those of the real image.

    local/llamacpp        llama-server from PATH, else llama.cpp's server from a wheel
    local/infinity        Infinity           local/vllm      vLLM
    local/faster-whisper  faster-whisper     local/ollama    Ollama (from PATH only)
    local/sglang          SGLang (from PATH only)
    local/tei             Text Embeddings Inference (from PATH only)
    local/loader          our model loader   local/process   any program: the container's command
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import kubeai

from .engines import EngineInstall

#: programs that run in an engine's environment
_SERVERS = Path(__file__).with_name("servers")

Entrypoint = Callable[[EngineInstall | None], Sequence[str]]


class UnknownImageError(Exception):
    """Nothing on this machine can run the image. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`engine` must be installed first. `env` and `flags` are what the image brings, unless the container says else."""

    entrypoint: Entrypoint
    engine: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    #: flag -> value
    flags: Mapping[str, str] = field(default_factory=dict)
    #: a name for the entrypoint that containers of this image use as their command
    alias: str = ""


def find_recipe(image: str) -> Recipe:
    """The recipe of an image; a tag or digest is ignored. Raises `UnknownImageError`."""
    name = image.partition("@")[0].partition(":")[0]
    recipe = RECIPES.get(name)
    if recipe is None:
        raise UnknownImageError(
            f"image {image!r} cannot run on this machine without containers; leave out the image to use the engine's "
            f"local recipe, or name one of {', '.join(RECIPES)}"
        )
    return recipe


def command_line(
    recipe: Recipe, install: EngineInstall | None, command: Sequence[str], args: Sequence[str]
) -> tuple[str, ...]:
    """The argument vector before mounts and addresses are mapped."""
    start = further_command(recipe, install, command) if command else recipe.entrypoint(install)
    given = {arg.partition("=")[0] for arg in (*command, *args)}
    missing = [f"{flag}={value}" for flag, value in recipe.flags.items() if flag not in given]
    return (*start, *args, *missing)


def further_command(recipe: Recipe, install: EngineInstall | None, command: Sequence[str]) -> tuple[str, ...]:
    """A command in a container of this image, beside its entrypoint."""
    start = recipe.entrypoint(install) if command[0] == recipe.alias else _program(command[0], install)
    return (*start, *command[1:])


def _program(name: str, install: EngineInstall | None) -> list[str]:
    """A program of the engine's environment, else of this machine."""
    if install is None or "/" in name:
        return [name]
    if name in ("python", "python3"):
        return [str(install.python)]
    own = install.bin / name
    return [str(own)] if own.exists() else [name]


def _llamacpp(install: EngineInstall | None) -> Sequence[str]:
    assert install is not None
    if install.program:
        return [str(install.program)]
    return [str(install.python), str(_SERVERS / "llamacpp.py")]


def _faster_whisper(install: EngineInstall | None) -> Sequence[str]:
    assert install is not None
    return [str(install.python), str(_SERVERS / "speech.py")]


def _installed(program: str, *args: str) -> Entrypoint:
    def entrypoint(install: EngineInstall | None) -> Sequence[str]:
        assert install is not None
        return [str(install.program or install.bin / program), *args]

    return entrypoint


def _loader(_: EngineInstall | None) -> Sequence[str]:
    return [sys.executable, "-m", "kubeai.loader"]


def _nothing(_: EngineInstall | None) -> Sequence[str]:
    raise UnknownImageError("image local/process runs the container's command, and there is none")


# Threads that wait spin by default, which is fine on a server of their own. On a machine that does other things, too,
# a spinning thread keeps the one that it waits for from running: a busy laptop generated 10 times slower.
_POLITE = {"OMP_WAIT_POLICY": "passive"}
_QUIET = {"DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

RECIPES: Mapping[str, Recipe] = {
    "local/llamacpp": Recipe(_llamacpp, "llamacpp", _POLITE),
    "local/infinity": Recipe(
        _installed("infinity_emb"),
        "infinity",
        {"INFINITY_HOST": "0.0.0.0", "INFINITY_PORT": "8000", **_QUIET, **_POLITE},
    ),
    "local/faster-whisper": Recipe(
        _faster_whisper, "faster-whisper", {"UVICORN_HOST": "0.0.0.0", "UVICORN_PORT": "8000", **_QUIET, **_POLITE}
    ),
    "local/vllm": Recipe(
        _installed("vllm", "serve"),
        "vllm",
        {"VLLM_NO_USAGE_STATS": "1", **_QUIET},
        {"--host": "0.0.0.0", "--port": "8000"},
    ),
    "local/ollama": Recipe(_installed("ollama", "serve"), "ollama", {"OLLAMA_HOST": "0.0.0.0:8000"}),
    "local/sglang": Recipe(_installed("sglang", "serve"), "sglang", _QUIET),
    "local/tei": Recipe(_installed("text-embeddings-router"), "tei", {**_QUIET, **_POLITE}),
    "local/loader": Recipe(
        _loader,
        env={"KUBEAI_LOADER_LISTEN": "0.0.0.0:8001", "PYTHONPATH": str(Path(kubeai.__file__).parents[1])},
        alias="load",
    ),
    "local/process": Recipe(_nothing),
}
