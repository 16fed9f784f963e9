"""What a process does about itself before it serves."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from kubeai.app.errors import StartError
from kubeai.app.serving import listen

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


async def test_a_host_that_nobody_knows_is_said_as_the_system_does() -> None:
    class Nowhere:
        port = 0

        async def start(self, host: str, port: int) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def drain(self, grace_s: float) -> None: ...

        async def close(self) -> None: ...

    with pytest.raises(StartError, match="cannot listen on nowhere:8000: Name or service not known"):
        await listen(Nowhere(), "nowhere", 8000)


def test_a_limit_that_is_reached_stays() -> None:
    assert limits_after(512, 512) == [512, 512]
