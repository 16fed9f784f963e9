"""The first process of a node's namespaces: makes them fit for a kubelet, says so, and reaps whoever is left behind.

    python node_init.py DIR

DIR becomes what the node's programs write to; they see nothing of what this machine has in those places. Images and
volumes are kept in memory where there is enough of it: that is several times as fast to fill and to throw away. When
this process ends the kernel ends everything in the namespaces, and the mounts, interfaces and firewall rules are gone.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

#: The kubelet sets them as it likes them, for the whole machine. It gets files of its own instead.
TUNABLES = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}


#: Images of a test run are two gigabytes, and as much is left to the others.
ENOUGH_MEMORY_KB = 8 * 1024 * 1024


def main(directory: Path) -> None:
    _run("mount", "--make-rshared", "/")  # within: unshare has cut what was shared with the outside
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    _bind(directory, "/var/log")
    if _available_memory_kb() >= ENOUGH_MEMORY_KB:
        _run("mount", "-t", "tmpfs", "-o", f"size={ENOUGH_MEMORY_KB // 2}k", "tmpfs", "/var/lib")
    else:
        _bind(directory, "/var/lib")
    for name, value in TUNABLES.items():
        own = directory / "tunables" / name.replace("/", "-")
        own.parent.mkdir(exist_ok=True)
        own.write_text(f"{value}\n")
        _run("mount", "--bind", own, f"/proc/sys/{name}")
    _run("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans are reaped by the kernel
    print("ready", flush=True)
    while True:
        signal.pause()


def _bind(directory: Path, place: str) -> None:
    own = directory / place.strip("/").replace("/", "-")
    own.mkdir(parents=True, exist_ok=True)
    _run("mount", "--bind", own, place)


def _available_memory_kb() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def _run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
