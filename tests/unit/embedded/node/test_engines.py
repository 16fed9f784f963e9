"""Engines: found on PATH, installed once with uv, joined, resumed, refused. `uv` is a script here."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from kubeai.embedded.node.engines import ENGINES, EngineError, Engines, UvProgress

UV = """#!/bin/sh
echo "$1 $2" >> {log}
case "$1" in
venv) for last; do :; done; mkdir -p "$last/bin"; : > "$last/bin/python" ;;
pip) echo "Downloading xllamacpp (32.3MiB)" >&2; echo " Downloaded xllamacpp" >&2
     if [ -e {broken} ]; then echo "error: no route to host" >&2; exit 2; fi ;;
esac
"""


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.data_dir = tmp_path / "data"
        self._log, self._broken = tmp_path / "calls", tmp_path / "broken"
        self._log.touch()
        self._uv = tmp_path / "uv"
        self._uv.write_text(UV.format(log=self._log, broken=self._broken))
        self._uv.chmod(0o755)
        self.engines = self.another()
        self.progress: list[tuple[str, float | None]] = []

    def another(self) -> Engines:
        """Engines as another process sees them."""
        return Engines(self.data_dir, lambda: str(self._uv))

    def break_network(self, broken: bool) -> None:
        self._broken.touch() if broken else self._broken.unlink()

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines()

    async def install(self, name: str = "llamacpp", engines: Engines | None = None) -> Path:
        install = await (engines or self.engines).install(name, lambda *step: self.progress.append(step))
        return install.python


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return Bench(tmp_path)


async def test_an_engine_is_installed_into_its_own_environment(bench: Bench) -> None:
    assert bench.engines.find("llamacpp") is None
    assert await bench.install() == bench.data_dir / "engines/llamacpp/bin/python"
    assert bench.calls == ["venv --clear", "pip install"]
    assert bench.engines.find("llamacpp") is not None


async def test_progress_is_told(bench: Bench) -> None:
    await bench.install()
    assert ("downloading xllamacpp (32.3MiB)", 0.0) in bench.progress


async def test_an_installed_engine_is_not_installed_again(bench: Bench) -> None:
    await bench.install()
    await bench.install(engines=bench.another())
    assert len(bench.calls) == 2


async def test_two_who_ask_at_the_same_time_share_one_installation(bench: Bench) -> None:
    await asyncio.gather(bench.install(), bench.install())
    assert len(bench.calls) == 2


async def test_two_processes_do_not_install_at_the_same_time(bench: Bench) -> None:
    await asyncio.gather(bench.install(), bench.install(engines=bench.another()))
    assert len(bench.calls) == 2


async def test_one_of_two_may_give_up_without_stopping_the_other(bench: Bench) -> None:
    first, second = asyncio.create_task(bench.install()), asyncio.create_task(bench.install())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).name == "python"


async def test_who_comes_while_a_given_up_installation_ends_begins_anew(bench: Bench) -> None:
    given_up = asyncio.create_task(bench.install())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    coming = asyncio.create_task(bench.install())
    await asyncio.wait([coming])
    assert not coming.cancelled()
    assert coming.result().name == "python"


async def test_a_failed_installation_says_why_and_goes_on_where_it_stopped(bench: Bench) -> None:
    bench.break_network(True)
    with pytest.raises(EngineError, match="no route to host; try `kubeai engines install llamacpp`"):
        await bench.install()
    assert bench.engines.find("llamacpp") is None
    bench.break_network(False)
    await bench.install()
    assert bench.calls == ["venv --clear", "pip install", "pip install"]


async def test_an_environment_of_another_requirement_set_is_brought_up_to_date(bench: Bench) -> None:
    await bench.install()
    (bench.data_dir / "engines/llamacpp/kubeai-engine.json").write_text('{"requirements": "old"}')
    assert bench.engines.find("llamacpp") is None
    await bench.install()
    assert bench.calls[-1] == "pip install"


async def test_an_engine_that_cannot_be_installed_says_what_to_do(bench: Bench) -> None:
    with pytest.raises(EngineError, match="engine ollama is not installed: install Ollama"):
        await bench.install("ollama")


async def test_an_engine_that_nobody_knows_is_refused(bench: Bench) -> None:
    with pytest.raises(EngineError, match="there is no engine 'nothing'; known are llamacpp, "):
        await bench.install("nothing")


def test_a_server_on_path_comes_first(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    install = bench.engines.find("vllm")
    assert install is not None
    assert (install.program, install.python) == (program, Path(sys.executable))


def test_every_engine_is_listed(bench: Bench) -> None:
    rows = bench.engines.list()
    assert [row.name for row in rows] == list(ENGINES)
    assert [row.name for row in rows if not row.installable] == ["sglang", "tei", "ollama"]


def test_the_share_that_is_done_is_of_the_downloads_begun() -> None:
    meter = UvProgress()
    for line in ("Downloading a (1.0MiB)", "Downloading b (2.0MiB)"):
        meter.read(line)
    assert meter.read("Downloaded a") == ("downloading b (2.0MiB)", 0.5)
    assert meter.read("Downloaded b") == ("Downloaded b", None)
