"""A real S3 server over a directory, with TLS by an authority of its own."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.kubernetes.authority import Authority

_PROGRAM = Path(__file__).parents[2] / "scripts" / "versitygw"


@dataclass(frozen=True)
class S3:
    """A running server. Its buckets are the directories below `root`, its objects the files in them."""

    endpoint: str
    root: Path
    ca_file: Path

    def environ(self, **more: str) -> dict[str, str]:
        own = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CA_BUNDLE": str(self.ca_file),
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return clean | own | more


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    root = tmp_path_factory.mktemp("s3")
    (root / "data" / "models").mkdir(parents=True)
    authority = Authority(root / "authority")
    authority.sign("server", "/CN=127.0.0.1")
    port = free_port()
    tls = ["--cert", str(authority.certificate("server")), "--key", str(authority.key("server"))]
    listen = ["--access", "key", "--secret", "secret", "--port", f"127.0.0.1:{port}", "--quiet", *tls]
    server = subprocess.Popen([str(_PROGRAM), *listen, "posix", str(root / "data")], stdout=subprocess.DEVNULL)
    try:
        await_port(server, port)
        yield S3(f"https://127.0.0.1:{port}", root / "data", authority.certificate("ca"))
    finally:
        server.terminate()
        server.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(server: subprocess.Popen[bytes], port: int, address: str = "127.0.0.1") -> None:
    """With time for the first build of the program."""
    while server.poll() is None:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            try:
                server.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError(f"the S3 server ended with {server.returncode}")
