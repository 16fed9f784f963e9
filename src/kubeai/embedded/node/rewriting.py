"""A container's world mapped to this machine: its mounts are directories of the host, its network is one address.

A process sees no mount at `/model` and no network namespace of its own. So the paths, `0.0.0.0` and `localhost` in
its arguments and environment are rewritten before it starts. Text is changed only where a whole path or a whole
address stands, so that `https://host/model` and `/models` stay as they are. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: What every container may find at these paths is there on the host, too.
_SAME_ON_HOST = frozenset({"/dev/shm"})
_ANY_HOST = re.compile(r"(?<![\w.])0\.0\.0\.0(?![\w.])")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the servers of one Pod listen. `ports` maps a container's port to the real one where they differ."""

    host: str
    ports: Mapping[int, int] = field(default_factory=dict)

    def port(self, port: int) -> int:
        return self.ports.get(port, port)


@dataclass(frozen=True, slots=True)
class Rewriting:
    """`paths`: mount path -> directory or file of the host. `own_ports`: the ports of the Pod's containers."""

    address: Address
    paths: Mapping[str, str] = field(default_factory=dict)
    own_ports: frozenset[int] = frozenset()

    def args(self, args: Sequence[str]) -> tuple[str, ...]:
        """Also moves the port of `--port N` and `--port=N` where the Pod could not keep its own."""
        moved, port_next = [], False
        for arg in args:
            moved.append(self._port_value(arg) if port_next else self._port_flag(self.text(arg)))
            port_next = arg == "--port"
        return tuple(moved)

    def env(self, env: Mapping[str, str]) -> dict[str, str]:
        return {
            name: self._port_value(value) if name.endswith("PORT") else self.text(value) for name, value in env.items()
        }

    def text(self, text: str) -> str:
        text = _ANY_HOST.sub(self.address.host, text)
        text = re.sub(r"(?<![\w.])(localhost|127\.0\.0\.1):(\d+)\b", self._own_address, text)
        text = re.sub(rf"(?<={re.escape(self.address.host)}:)\d+\b", lambda m: self._port_value(m[0]), text)
        return self._move_paths(text)

    def path(self, path: str) -> str:
        """The host's path of a path inside the container."""
        return self._move_paths(path)

    def _own_address(self, match: re.Match[str]) -> str:
        """`localhost` is the Pod for a container, but only at the ports that the Pod has."""
        return f"{self.address.host}:{match[2]}" if int(match[2]) in self.own_ports else match[0]

    def _port_flag(self, arg: str) -> str:
        flag, equals, value = arg.partition("=")
        return f"--port={self._port_value(value)}" if equals and flag == "--port" else arg

    def _port_value(self, text: str) -> str:
        return str(self.address.port(int(text))) if text.isdecimal() else text

    def _move_paths(self, text: str) -> str:
        mounts = sorted((m for m in self.paths if m not in _SAME_ON_HOST), key=len, reverse=True)
        if not mounts:
            return text
        # One pass for all mounts: a moved path must not be moved again because the host has the same name.
        pattern = rf"(?<![\w./-])({'|'.join(map(re.escape, mounts))})(?![\w.-])"
        return re.sub(pattern, lambda m: self.paths[m[1]], text)
