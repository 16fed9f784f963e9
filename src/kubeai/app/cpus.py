"""How many processors this process may use: those that the system grants it, within its control group's quota.

A container with a limit of two CPUs on a machine with 64 sees 64; only the control group knows of the two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cpus(root: Path = _CGROUPS, own: Path = _OWN, granted: int | None = None) -> int:
    """At least one; a part of a processor that is left over counts for nothing."""
    if granted is None:
        granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([granted, *(int(quota) for quota in _quotas(root, own))]))


def _quotas(root: Path, own: Path) -> Iterator[float]:
    """What our control group and each one around it may use, in processors."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for directory in [PurePosixPath(path), *PurePosixPath(path).parents]:
            inside = str(directory).lstrip("/")
            if not controllers:
                yield from _second(root / inside / "cpu.max")
            elif "cpu" in controllers.split(","):
                for name in (controllers, "cpu"):
                    yield from _first(root / name / inside)


def _second(file: Path) -> Iterator[float]:
    """cgroup v2: `QUOTA PERIOD` or `max PERIOD`."""
    quota, _, period = _text(file).partition(" ")
    if quota.isdecimal() and period.isdecimal():
        yield int(quota) / int(period)


def _first(directory: Path) -> Iterator[float]:
    """cgroup v1; a quota of -1 is none."""
    quota, period = _text(directory / "cpu.cfs_quota_us"), _text(directory / "cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal():
        yield int(quota) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
