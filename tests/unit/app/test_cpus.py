"""How many workers `auto` means, by what the control groups say."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeai.app.cpus import usable_cpus

CASES: dict[str, tuple[str, dict[str, str], int]] = {
    "no control group": ("", {}, 8),
    "no quota in version 2": ("0::/", {"cpu.max": "max 100000"}, 8),
    "a quota of a container in version 2": ("0::/", {"cpu.max": "250000 100000"}, 2),
    "less than one processor": ("0::/", {"cpu.max": "50000 100000"}, 1),
    "more than the system grants": ("0::/", {"cpu.max": "6400000 100000"}, 8),
    "the quota of a group around ours": (
        "0::/kubelet/pod/container",
        {"kubelet/pod/cpu.max": "300000 100000", "kubelet/pod/container/cpu.max": "max 100000"},
        3,
    ),
    "no quota in version 1": (
        "4:cpu,cpuacct:/",
        {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
        8,
    ),
    "a quota in version 1": (
        "5:memory:/pod\n4:cpu,cpuacct:/pod",
        {"cpu,cpuacct/pod/cpu.cfs_quota_us": "400000", "cpu,cpuacct/pod/cpu.cfs_period_us": "100000"},
        4,
    ),
    "a container that sees its own group as the root": (
        "4:cpu,cpuacct:/kubepods/pod",
        {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"},
        2,
    ),
    "a file that says something else": ("0::/", {"cpu.max": "many"}, 8),
}


@pytest.mark.parametrize(("own", "files", "expected"), CASES.values(), ids=CASES.keys())
def test_counts_the_processors_within_the_quota(own: str, files: dict[str, str], expected: int, tmp_path: Path) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert usable_cpus(tmp_path, tmp_path / "own", granted=8) == expected


def test_there_is_at_least_one_on_this_machine() -> None:
    assert usable_cpus() >= 1
