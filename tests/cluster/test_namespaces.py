"""A node leaves nothing behind on this machine, not even when those who run it are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.kubernetes.namespaces import CGROUPS, Namespaces

pytestmark = pytest.mark.cluster

RUN = """
import signal, subprocess, sys
from pathlib import Path
from scripts.kubernetes.namespaces import Namespaces
made = Namespaces(Path(sys.argv[1]))
made.start()
subprocess.Popen(made.inside("sleep", sys.argv[2]))
print(made.addresses.cable, made.cgroup, flush=True)
signal.pause()
"""
#: So long that nobody else's is the same.
SLEEP = "98765.4321"


def remains(directory: Path, cable: str) -> list[str]:
    """What there is on this machine of a node."""
    found = [line for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line]
    found += [str(path) for path in Path("/sys/class/net").iterdir() if path.name == cable]
    commands = (path for path in Path("/proc").glob("[0-9]*/cmdline"))
    return found + [str(path) for path in commands if f"sleep\0{SLEEP}".encode() in read(path)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def groups(name: str) -> list[Path]:
    """Its control groups, where a node makes them: further down others come and go while one looks."""
    return [*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")]


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)  # the kernel's work: there is nothing to wait on
    return holds()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["told to end", "killed"])
def test_nothing_is_left_of_a_node_whose_owner_is(how: signal.Signals, tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), SLEEP], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        cable, cgroup = owner.stdout.readline().split()
        assert eventually(lambda: any("/proc/" in what for what in remains(tmp_path, cable)))
        assert any("/net/" in what for what in remains(tmp_path, cable))
        assert groups(cgroup.strip("/")) != []
        owner.send_signal(how)
    assert eventually(lambda: remains(tmp_path, cable) == [])
    next_one = Namespaces(tmp_path)
    try:
        next_one.start()
        assert groups(cgroup.strip("/")) == []
    finally:
        next_one.stop()
    assert groups(next_one.cgroup.strip("/")) == []
