"""What a process does about itself before it serves."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
from kubeai.app.serving import allow_many_connections
resource.setrlimit(resource.RLIMIT_NOFILE, ({granted}, {most}))
allow_many_connections()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(granted: int, most: int) -> list[int]:
    """Of a process that began with these."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(granted=granted, most=most)], capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_as_many_files_may_be_open_as_the_system_grants_if_asked() -> None:
    assert limits_after(256, 1024) == [1024, 1024]


def test_a_limit_that_is_reached_stays() -> None:
    assert limits_after(512, 512) == [512, 512]
