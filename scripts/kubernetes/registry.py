"""A container registry on this machine that asks for a name and a password: Debian's `docker-registry`, with TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from scripts.kubernetes.api_server import Program, free_ports
from scripts.kubernetes.authority import Authority

#: Beside the registry, what writes its file of passwords.
PROGRAMS = ("docker-registry", "htpasswd")


@dataclass(frozen=True)
class Registry:
    """A running one."""

    #: HOST:PORT, as in the names of its images.
    address: str
    user: str
    password: str
    #: With `ca.crt`, whom to trust.
    certificates: Path


@contextmanager
def running(directory: Path, host: str) -> Iterator[Registry]:
    """An empty one that listens at this address; gone afterwards. Raises `RuntimeError` if it does not start."""
    user, password = "alice", "secret"
    authority = Authority(directory / "authority")
    authority.sign("registry", "/CN=registry", [host])
    passwords = directory / "passwords"
    subprocess.run(["htpasswd", "-Bbc", passwords, user, password], check=True, capture_output=True)
    (port,) = free_ports(1, host)
    address = f"{host}:{port}"
    tls = {"certificate": str(authority.certificate("registry")), "key": str(authority.key("registry"))}
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "images")}},
        "http": {"addr": address, "secret": password, "tls": tls},
        "auth": {"htpasswd": {"realm": "images", "path": str(passwords)}},
    }
    config = directory / "registry.yaml"
    config.write_text(yaml.safe_dump(settings))
    program = Program(directory / "registry.log", "docker-registry", "serve", str(config))
    certificates = directory / "certificates"
    certificates.mkdir()
    (certificates / "ca.crt").write_bytes(authority.certificate("ca").read_bytes())
    try:
        program.await_port(host, port)
        yield Registry(address, user, password, certificates)
    finally:
        program.stop()
