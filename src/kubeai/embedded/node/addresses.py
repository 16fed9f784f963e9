"""An address for each Pod, so that several servers keep the same port on one machine.

Linux answers on all of 127.0.0.0/8: each Pod gets an address of its own there. Other systems have only 127.0.0.1:
there each container port gets a free port instead, and the Pod's annotations say which.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import sys
from collections.abc import Collection, Iterator

from .rewriting import Address

OWN_ADDRESSES = sys.platform == "linux"
_ATTEMPTS = 256


class NoAddressError(Exception):
    """Every address tried is in use: something is very wrong with this machine's loopback."""


def choose_address(pod_uid: str, ports: Collection[int], taken: Collection[str]) -> Address:
    """An address whose `ports` are free now. The same Pod gets the same one again when it can."""
    if not OWN_ADDRESSES:
        return Address("127.0.0.1", {port: _free_port() for port in ports})
    for candidate in candidates(pod_uid):
        if candidate not in taken and all(_free(candidate, port) for port in ports):
            return Address(candidate)
    raise NoAddressError(f"no free loopback address for the ports {sorted(ports)}")


def candidates(pod_uid: str) -> Iterator[str]:
    """Addresses in 127.64.0.0/10, far from what other programs use there; by the uid, so that they are stable."""
    for attempt in range(_ATTEMPTS):
        digest = hashlib.blake2s(f"{pod_uid}/{attempt}".encode(), digest_size=3).digest()
        yield f"127.{64 + digest[0] % 64}.{digest[1]}.{1 + digest[2] % 254}"


def _free(host: str, port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        # A server that has just stopped leaves connections behind that do not hinder the next one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
