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
def watching(kubeai: CommandLine, *arguments: str) -> Iterator[Watching]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)} | {k: v for k, v in kubeai.env.items() if v}
    with subprocess.Popen(
        [sys.executable, "-m", "kubeai", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield Watching(process)
        finally:
            process.kill()


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


def test_following_a_model_waits_for_its_pods_and_goes_on(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(MODELS, model("m"))
    with watching(kubeai, "logs", "m", "-f") as verb:
        for name in ("one", "two"):
            cluster.logs.texts[f"model-m-x-{name}", "server", False] = f"I am {name}.\n".encode()
            cluster.put(PODS, pod(f"model-m-x-{name}", containerStatuses=[running()]))
            assert verb.line() == [f"[{name}]", "I", "am", f"{name}."]
        assert verb.interrupt() == (130, "")
