"""A real S3 server over a directory, with TLS by an authority of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.kubernetes.api_server import Program, free_ports
from scripts.kubernetes.authority import Authority

VERSITYGW = Path(__file__).parents[2] / "scripts" / "versitygw"


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
    (port,) = free_ports(1)
    tls = ["--cert", str(authority.certificate("server")), "--key", str(authority.key("server"))]
    listen = ["--access", "key", "--secret", "secret", "--port", f"127.0.0.1:{port}", "--quiet", *tls]
    server = Program(root / "server.log", VERSITYGW, *listen, "posix", root / "data")
    try:
        server.await_port("127.0.0.1", port)
        yield S3(f"https://127.0.0.1:{port}", root / "data", authority.certificate("ca"))
    finally:
        server.stop()
