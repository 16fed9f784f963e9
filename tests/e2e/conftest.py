"""`kubeai up` as its user starts it: a process of its own, a data directory of its own, free ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: With Models to start with it is ready when their engine and a hundred megabytes have come from the package index.
START_TIMEOUT_S = 200
STOP_TIMEOUT_S = 60


@dataclass
class Instance:
    """One `kubeai up` over one data directory; it can be stopped, killed and started again."""

    data_dir: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    #: No file may grow beyond this many bytes, as on a full disk.
    limit_file_bytes: int | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return (self.data_dir / "endpoint").read_text().strip()

    @property
    def log(self) -> str:
        return (self.data_dir.parent / "log").read_text()

    def start(self) -> Instance:
        (self.data_dir / "endpoint").unlink(missing_ok=True)
        with (self.data_dir.parent / "log").open("ab") as log:
            limit = ["prlimit", f"--fsize={self.limit_file_bytes}"] if self.limit_file_bytes else []
            up = [sys.executable, "-m", "kubeai", "up", "--data-dir", str(self.data_dir), "--port", "0"]
            self.process = subprocess.Popen(
                [*limit, *up, *self.arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        self.wait_for(lambda: (self.data_dir / "endpoint").exists(), "the gateway to listen", START_TIMEOUT_S)
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(STOP_TIMEOUT_S)

    def kubeai(self, *arguments: str, check: bool = True) -> str:
        """What a verb of the command line prints."""
        command = [sys.executable, "-m", "kubeai", *arguments]
        environment = {**os.environ, "KUBEAI_DATA_DIR": str(self.data_dir), "COLUMNS": "200", "NO_COLOR": "1"}
        environment.pop("KUBECONFIG", None)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"kubeai {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done.stdout + ("" if check else done.stderr)

    def objects(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubeai("get", kind, "-o", "json"))["items"]
        return found

    def apply(self, *manifests: dict[str, Any] | Path) -> None:
        for manifest in manifests:
            path = manifest
            if not isinstance(path, Path):
                path = self.data_dir.parent / f"{path['metadata']['name']}.json"
                path.write_text(json.dumps(manifest))
            self.kubeai("apply", "-f", str(path))

    def wait_for(self, holds: Callable[[], Any], what: str, timeout_s: float = 60) -> Any:
        """Poll from outside, as a user would: there is no event to wait on in another process."""
        deadline = time.monotonic() + timeout_s
        while not (result := holds()):
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"kubeai up ended with {self.process.returncode} before {what}:\n{self.log}")
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout_s} s for {what}:\n{self.log[-5000:]}")
            time.sleep(0.1)  # nothing to await: the other side is a process
        return result


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """A running instance without Models; its servers are gone when the test ends."""
    with_servers = Instance(tmp_path / "data")
    try:
        yield with_servers.start()
    finally:
        if with_servers.process is not None and with_servers.process.poll() is None:
            with_servers.stop()
