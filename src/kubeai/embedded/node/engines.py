"""Model servers on this machine: found on PATH, or installed in a virtual environment of their own.

Each engine that can be installed has a pinned requirement set in `requirements/`. `uv` makes the environment under
`DATA_DIR/engines/NAME`; its cache makes an interrupted installation go on where it stopped. The marker is written
last and holds the requirement set's hash, so a half-made or outdated environment is never taken for a good one.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

#: what it is doing, and how much of it is done (0-1) if that is known
Progress = Callable[[str, float | None], None]

_LOCK_POLL_S = 0.2


class EngineError(Exception):
    """The engine is not there and could not be installed. The text says what to do."""


@dataclass(frozen=True, slots=True)
class EngineInstall:
    """Where an engine is: its own environment, or a `program` found on PATH."""

    name: str
    bin: Path
    python: Path
    program: Path | None = None


@dataclass(frozen=True, slots=True)
class EngineKind:
    """`program`: what to look for on PATH. `requirements`: the pinned set, if it can be installed here."""

    title: str
    program: str | None = None
    requirements: str | None = None
    #: what a person does when it can be neither found nor installed
    hint: str = ""


ENGINES: Mapping[str, EngineKind] = {
    "llamacpp": EngineKind("llama.cpp (LlamaCpp)", "llama-server", "llamacpp.txt"),
    "infinity": EngineKind("Infinity", "infinity_emb", "infinity.txt"),
    "faster-whisper": EngineKind("faster-whisper (FasterWhisper)", None, "faster-whisper.txt"),
    "vllm": EngineKind("vLLM (VLLM)", "vllm", "vllm.txt"),
    "sglang": EngineKind(
        "SGLang (SGLang)", "sglang", hint="it needs a GPU: install SGLang by its own guide, so that `sglang` is on PATH"
    ),
    "tei": EngineKind(
        "Text Embeddings Inference (TEI)",
        "text-embeddings-router",
        hint="install Text Embeddings Inference by its own guide, so that `text-embeddings-router` is on PATH",
    ),
    "ollama": EngineKind(
        "Ollama (OLlama)", "ollama", hint="install Ollama from its own site, so that `ollama` is on PATH"
    ),
}


@dataclass(frozen=True, slots=True)
class EngineState:
    """One row of `kubeai engines`."""

    name: str
    title: str
    install: EngineInstall | None
    installable: bool


class Engines:
    """The engines of one data directory. Several processes may share it."""

    def __init__(self, data_dir: Path, find_uv: Callable[[], str] | None = None) -> None:
        self._root = data_dir.absolute() / "engines"
        self._find_uv = find_uv or _find_uv
        #: running installations of this process: who asks for the same engine joins
        self._running: dict[str, asyncio.Task[EngineInstall]] = {}
        self._watchers: dict[str, list[Progress]] = {}

    def list(self) -> list[EngineState]:
        return [
            EngineState(name, kind.title, self.find(name), kind.requirements is not None)
            for name, kind in ENGINES.items()
        ]

    def find(self, name: str) -> EngineInstall | None:
        """On PATH first: who installed a server chose its version."""
        kind = self._kind(name)
        program = shutil.which(kind.program) if kind.program else None
        if program:
            return _on_path(name, Path(program))
        if kind.requirements and self._marker(name) == _digest(kind.requirements):
            return self._installed(name)
        return None

    async def install(self, name: str, progress: Progress) -> EngineInstall:
        """Install `name`, or join the installation that runs. Raises `EngineError`."""
        found = self.find(name)
        if found:
            return found
        kind = self._kind(name)
        if kind.requirements is None:
            raise EngineError(f"engine {name} is not installed: {kind.hint}")
        watchers = self._watchers.setdefault(name, [])
        watchers.append(progress)
        if name not in self._running:
            self._running[name] = asyncio.create_task(self._install(name, kind.requirements))
            self._running[name].add_done_callback(lambda task: self._let_go(name, task))
        running = self._running[name]
        try:
            # Shielded: one of several who wait may give up without stopping it for the others.
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if len(watchers) == 1:
                # Who comes now must not join what ends: they begin anew, and wait at the lock.
                self._let_go(name, running)
                running.cancel()
            raise
        finally:
            watchers.remove(progress)

    def _let_go(self, name: str, task: asyncio.Task[EngineInstall]) -> None:
        if self._running.get(name) is task:
            del self._running[name]

    async def _install(self, name: str, requirements: str) -> EngineInstall:
        self._root.mkdir(parents=True, exist_ok=True)
        report = self._reporter(name)
        async with _file_lock(self._root / f"{name}.lock", lambda: report("waiting for another process", None)):
            if self._marker(name) != _digest(requirements):
                await self._make_environment(name, requirements, report)
        return self._installed(name)

    async def _make_environment(self, name: str, requirements: str, report: Progress) -> None:
        uv, directory = self._find_uv(), self._root / name
        environ = {**_trust(), **os.environ, "VIRTUAL_ENV": str(directory)}
        with resources.as_file(resources.files(__package__) / "requirements" / requirements) as file:
            report("creating the environment", None)
            if not (directory / "bin" / "python").exists():
                await _run_uv(
                    name, [uv, "venv", "--clear", "--python", sys.executable, str(directory)], environ, report
                )
            argv = [uv, "pip", "install", "--python", str(directory), "--no-deps", "-r", str(file)]
            await _run_uv(name, argv, environ, report)
        marker = directory / "kubeai-engine.json"
        marker.write_text(json.dumps({"requirements": _digest(requirements)}), encoding="utf-8")

    def _reporter(self, name: str) -> Progress:
        def report(message: str, fraction: float | None) -> None:
            for watcher in tuple(self._watchers.get(name, ())):
                watcher(message, fraction)

        return report

    def _installed(self, name: str) -> EngineInstall:
        directory = self._root / name / "bin"
        return EngineInstall(name, directory, directory / "python")

    def _marker(self, name: str) -> str | None:
        try:
            content = json.loads((self._root / name / "kubeai-engine.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content.get("requirements") if isinstance(content, dict) else None

    @staticmethod
    def _kind(name: str) -> EngineKind:
        if name not in ENGINES:
            raise EngineError(f"there is no engine {name!r}; known are {', '.join(ENGINES)}")
        return ENGINES[name]


def _find_uv() -> str:
    """The `uv` that came with us, else the user's. Raises `EngineError`."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise EngineError(
            "uv, which installs engines, is missing: run `pip install 'kubeai[local]'` or `pip install uv`"
        )
    return uv


def _trust() -> dict[str, str]:
    """uv brings authorities of its own; where the system has some, those are meant, as for every other program here.

    A company's proxy that replaces certificates is known to the system only.
    """
    paths = ssl.get_default_verify_paths()
    return {"UV_SYSTEM_CERTS": "true"} if paths.cafile or paths.capath else {}


def _on_path(name: str, program: Path) -> EngineInstall:
    """A Python program's interpreter is in its first line; its environment's other programs are beside it."""
    python = Path(sys.executable)
    with contextlib.suppress(OSError), program.open("rb") as file:
        first = file.readline(1024)
        if first.startswith(b"#!") and b"python" in first:
            python = Path(first[2:].decode(errors="replace").split()[0])
    return EngineInstall(name, program.parent, python, program)


def _digest(requirements: str) -> str:
    content = (resources.files(__package__) / "requirements" / requirements).read_bytes()
    return hashlib.sha256(content + sys.version.encode()).hexdigest()


async def _run_uv(name: str, argv: list[str], environ: Mapping[str, str], report: Progress) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    meter, last_lines = UvProgress(), deque[str](maxlen=6)
    try:
        async for line in process.stderr:
            text = line.decode(errors="replace").strip()
            last_lines.append(text)
            report(*meter.read(text))
        code = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        raise
    if code != 0:
        reason = " ".join(last_lines) or f"uv ended with code {code}"
        raise EngineError(f"engine {name} could not be installed: {reason}; try `kubeai engines install {name}`")


class UvProgress:
    """How far uv is, from the lines that it prints when nobody watches a terminal."""

    def __init__(self) -> None:
        self._begun: dict[str, str] = {}
        self._done: set[str] = set()

    def read(self, line: str) -> tuple[str, float | None]:
        if match := re.match(r"Downloading (\S+) \((.+)\)", line):
            self._begun[match[1]] = match[2]
        elif match := re.match(r"Downloaded (\S+)", line):
            self._done.add(match[1])
        waiting = [f"{package} ({size})" for package, size in self._begun.items() if package not in self._done]
        if waiting:
            return f"downloading {', '.join(waiting)}", len(self._done) / len(self._begun)
        return line, None


@contextlib.asynccontextmanager
async def _file_lock(path: Path, on_wait: Callable[[], None]) -> AsyncIterator[None]:
    """Held against other processes; released by the system if we die."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                await asyncio.sleep(_LOCK_POLL_S)
        yield
