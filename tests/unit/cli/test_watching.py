"""Verbs that go on until they are interrupted: run as processes, and ended as a user ends them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubeai.api.k8s.resources import MODELS, PODS

from .conftest import DEADLINE_S, CommandLine, LocalCluster
from .test_objects import model, pod, running

SOURCES = Path(__file__).parents[3] / "src"


class Watching:
    """A verb that runs; its lines, as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def line(self) -> list[str]:
        """The words of the next line."""
        return self._lines.get(timeout=DEADLINE_S).split()

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C: the exit code, and what was said on standard error."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(DEADLINE_S)
        self._reader.join()
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@contextmanager
def started(kubeai: CommandLine, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)} | {k: v for k, v in kubeai.env.items() if v}
    with subprocess.Popen(
        [sys.executable, "-m", "kubeai", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def watching(kubeai: CommandLine, *arguments: str) -> Iterator[Watching]:
    with started(kubeai, *arguments) as process:
        yield Watching(process)


def test_get_watch_prints_each_change_until_interrupted(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(MODELS, model("a"))
    with watching(kubeai, "get", "models", "-w") as verb:
        assert verb.line()[:2] == ["NAME", "ENGINE"]
        assert verb.line()[:5] == ["a", "VLLM", "TextGeneration", "0/0", "Pending"]
        cluster.put(MODELS, model("b", engine="Infinity"))
        assert verb.line()[:2] == ["b", "Infinity"]
        cluster.ask(lambda client: client.delete(MODELS, "a"))
        assert verb.line()[:5] == ["a", "VLLM", "TextGeneration", "0/0", "Deleted"]
        assert verb.interrupt() == (130, "")


@pytest.mark.parametrize("verb", ["get -w", "logs m -f"])
def test_it_ends_without_a_word_when_its_reader_goes_away(
    kubeai: CommandLine, cluster: LocalCluster, verb: str
) -> None:
    """As with `kubeai get -w | head -1`."""
    cluster.put(MODELS, model("m"))
    cluster.logs.texts["model-m-x-one", "server", False] = b"I am one.\n"
    cluster.put(PODS, pod("model-m-x-one", containerStatuses=[running()]))
    with started(kubeai, *verb.split()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        for number in "12":
            cluster.logs.texts[f"model-m-x-{number}", "server", False] = b"I am another.\n"
            cluster.put(PODS, pod(f"model-m-x-{number}", containerStatuses=[running()]))
            cluster.put(MODELS, model(number))
        assert process.wait(DEADLINE_S / 2) == 1
        assert process.stderr.read() == ""


def test_following_a_model_waits_for_its_pods_and_goes_on(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(MODELS, model("m"))
    with watching(kubeai, "logs", "m", "-f") as verb:
        for name in ("one", "two"):
            cluster.logs.texts[f"model-m-x-{name}", "server", False] = f"I am {name}.\n".encode()
            cluster.put(PODS, pod(f"model-m-x-{name}", containerStatuses=[running()]))
            assert verb.line() == [f"[{name}]", "I", "am", f"{name}."]
        assert verb.interrupt() == (130, "")
