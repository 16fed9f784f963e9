"""`kubeai manager` as a process under measurement."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.process import cpu_s, memory_mb

START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Manager:
    """One that is ready."""

    process: subprocess.Popen[bytes]
    url: str
    #: Seconds from its start until it was ready.
    start_s: float

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    def memory_mb(self) -> float:
        return memory_mb(self.process.pid)

    def stop(self) -> float:
        """Seconds from SIGTERM until the process is gone."""
        start = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_TIMEOUT_S)
        return time.perf_counter() - start


@contextmanager
def manager(kubeconfig: Path, directory: Path) -> Iterator[Manager]:
    """It looks after the namespace `default`; its log is `manager.log` in the directory."""
    api_port, health_port = _free_port(), _free_port()
    config = directory / "system.yaml"
    config.write_text(yaml.safe_dump(_system(health_port)))
    environment = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(kubeconfig),
        "CONFIG_PATH": str(config),
        "POD_NAMESPACE": "default",
    }
    command = [sys.executable, "-m", "kubeai", "manager", "--host", "127.0.0.1", "--port", str(api_port)]
    with (directory / "manager.log").open("ab") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_ready(process, f"http://127.0.0.1:{health_port}/readyz")
            yield Manager(process, f"http://127.0.0.1:{api_port}", time.perf_counter() - start)
        finally:
            process.kill()
            process.wait()


def _system(health_port: int) -> dict[str, object]:
    return {
        # No memory of requests that are over: a Model that is put to sleep between two rounds stays asleep.
        "modelAutoscaling": {"stateConfigMapName": "state", "interval": "10s", "timeWindow": "10s"},
        "allowPodAddressOverride": True,
        "modelRollouts": {"surge": 1},  # as the chart has it
        "resourceProfiles": {"cpu": {"requests": {"cpu": "1m"}}},
        "metricsAddr": f"127.0.0.1:{_free_port()}",
        "healthAddress": f"127.0.0.1:{health_port}",
    }


def _wait_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("kubeai manager did not become ready; its log is manager.log")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.005)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
