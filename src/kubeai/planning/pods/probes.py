"""Probes: when a server counts as started, ready and alive.

Loading weights takes minutes to hours, so a generous startup probe guards the two others; until it has passed, the
others rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

#: Name of the server's port, by which probes refer to it: a patch that moves the port moves them too.
PORT_NAME = "http"
_NOTHING_SAID: Mapping[str, Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Probes:
    """One path asked in three rhythms."""

    path: str
    startup_limit_s: int
    startup_period_s: int = 2
    startup_delay_s: int = 0
    liveness_delay_s: int = 0

    def fields(self, said: Mapping[str, Mapping[str, int]] = _NOTHING_SAID) -> dict[str, Any]:
        """The probes as fields of a container. `said` are fields by kind (`startup`, ...) that come first."""
        probes = {
            "startupProbe": http_probe(
                self.path,
                period_s=self.startup_period_s,
                timeout_s=2,
                failures=self.startup_limit_s // self.startup_period_s,
                delay_s=self.startup_delay_s,
            ),
            "readinessProbe": http_probe(self.path, period_s=10, timeout_s=2, failures=3),
            "livenessProbe": http_probe(self.path, period_s=30, timeout_s=3, failures=3, delay_s=self.liveness_delay_s),
        }
        return {name: {**probe, **said.get(name.removesuffix("Probe"), {})} for name, probe in probes.items()}


def http_probe(
    path: str, *, period_s: int, timeout_s: int, failures: int, delay_s: int = 0, port: str | int = PORT_NAME
) -> dict[str, Any]:
    probe: dict[str, Any] = {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        "timeoutSeconds": timeout_s,
        "failureThreshold": failures,
    }
    return probe | ({"initialDelaySeconds": delay_s} if delay_s else {})
