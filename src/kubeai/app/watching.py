"""Who looks on while requests are served: the access log, and traces where they are asked for."""

from __future__ import annotations

import os

from kubeai.config.system import System
from kubeai.gateway.access_log import AccessLog
from kubeai.gateway.watching import Watcher
from kubeai.telemetry.traces import tracer_provider


def watchers(system: System, *, logs: bool) -> list[Watcher]:
    """`logs`: whether requests are logged where the configuration does not say."""
    found: list[Watcher] = []
    wanted = system.gateway.access_log
    if logs if wanted is None else wanted:
        found.append(AccessLog())
    provider = tracer_provider(os.environ)
    if provider is not None:
        from kubeai.gateway.tracing import Tracing  # it needs what is installed only with the extra

        found.append(Tracing(provider))
    return found
