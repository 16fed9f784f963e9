"""A machine within the machine: namespaces of its own for processes, mounts and network, and a cable to it.

Whatever happens in there, all of it is gone when the process that made it ends, however that ends: the kernel sees to
it. Only control groups are not like that: what somebody could not remove any more, the next one does.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INIT = Path(__file__).with_name("node_init.py")
CGROUPS = Path("/sys/fs/cgroup")
#: After it come the process that the group belongs to, and chance.
GROUP_PREFIX = "kubeai-node-"
#: Clusters that can run side by side on one machine.
SLOTS = 16
END_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of one node out of 198.18.0.0/15, which is set aside for tests of networks."""

    slot: int

    @property
    def cable(self) -> str:
        """This machine's end of the cable, as a network interface."""
        return f"kubeai-node{self.slot}"

    @property
    def outside(self) -> str:
        return f"198.19.{self.slot * 16 + 15}.1"

    @property
    def node(self) -> str:
        return f"198.19.{self.slot * 16 + 15}.2"

    @property
    def pods(self) -> str:
        return f"198.18.{self.slot * 16}.0/20"

    @property
    def services(self) -> str:
        return f"198.19.{self.slot * 16}.0/21"

    @property
    def bridge(self) -> str:
        return str(ipaddress.ip_network(self.pods)[1])


class Namespaces:
    """Made by `start`, gone after `stop`. Needs root."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._init: subprocess.Popen[str] | None = None
        #: The group under which the node's programs account for what runs; a path below each hierarchy.
        self.cgroup = f"/{GROUP_PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
        self.addresses = Addresses(0)

    def start(self) -> None:
        own = ["--pid", "--fork", "--mount-proc", "--net", "--mount", "--kill-child=KILL"]
        self._init = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *own, sys.executable, str(INIT), str(self._directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout is not None
        if self._init.stdout.readline() != "ready\n":
            raise RuntimeError("the node's namespaces could not be made; see above")
        for hierarchy in _hierarchies():
            _sweep(hierarchy)
            _delegate(hierarchy)
            (hierarchy / self.cgroup.strip("/")).mkdir(exist_ok=True)
        self._connect()

    def stop(self) -> None:
        if self._init is None:
            return
        self._init.kill()
        self._init.wait()
        assert self._init.stdout is not None
        self._init.stdout.close()
        subprocess.run(["ip", "link", "delete", self.addresses.cable], capture_output=True, check=False)
        for hierarchy in _hierarchies():
            _remove_group(hierarchy / self.cgroup.strip("/"))

    def inside(self, *command: str | Path) -> list[str]:
        """The command that runs this one inside."""
        assert self._init is not None
        process = self._init.pid
        entry = ["nsenter", f"--target={process}", "--mount", "--net", f"--pid=/proc/{process}/ns/pid_for_children"]
        return [*entry, "--", *map(str, command)]

    def run(self, *command: str | Path) -> str:
        """Run it inside, to its end; its output. Raises `RuntimeError` with what it said if it fails."""
        return _run(*self.inside(*command))

    def _connect(self) -> None:
        """Lay a cable, and tell this machine that Pods and Services are at its other end."""
        assert self._init is not None
        for slot in range(SLOTS):
            self.addresses = Addresses(slot)
            peer = ["type", "veth", "peer", "name", "cable", "netns", str(self._init.pid)]
            made = subprocess.run(
                ["ip", "link", "add", self.addresses.cable, *peer], capture_output=True, text=True, check=False
            )
            if made.returncode == 0:
                break
        else:
            raise RuntimeError(f"no network for a node: {made.stderr}")
        names = self.addresses
        _run("ip", "address", "add", f"{names.outside}/30", "dev", names.cable)
        _run("ip", "link", "set", names.cable, "up")
        self.run("ip", "address", "add", f"{names.node}/30", "dev", "cable")
        self.run("ip", "link", "set", "cable", "up")
        # Programs take the interface with the default route for the node's own.
        self.run("ip", "route", "add", "default", "via", names.outside)
        for network in (names.pods, names.services):
            _run("ip", "route", "add", network, "via", names.node)


def _run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}{done.stdout}")
    return done.stdout


def _hierarchies() -> Iterator[Path]:
    """Of control groups: one with version 2, one for each controller with version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        yield CGROUPS
        return
    yield from (path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink())


def _delegate(hierarchy: Path) -> None:
    """Version 2 gives a child no controller unless asked to."""
    available = hierarchy / "cgroup.controllers"
    wanted = {"cpu", "cpuset", "memory", "pids"} & set(available.read_text().split() if available.exists() else ())
    if wanted:
        (hierarchy / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)))


def _sweep(hierarchy: Path) -> None:
    """Remove the groups of those who ended before they could."""
    for group in hierarchy.glob(f"{GROUP_PREFIX}*"):
        owner = group.name.removeprefix(GROUP_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            _remove_group(group)


def _remove_group(group: Path) -> None:
    """With its children, once the kernel has ended the last process in them."""
    if not group.exists():
        return
    deadline = time.monotonic() + END_TIMEOUT_S
    for path, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                Path(path).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
