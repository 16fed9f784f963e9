"""Tells a Pod's life by hand: time moves only by `after`, processes and probes do what the test says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from kubeai.embedded.node.containers import ProbeKind, parse_pod
from kubeai.embedded.node.life import Event, Exited, PodLife, Probed, Started, Step
from kubeai.embedded.node.lifecycle import apply
from kubeai.embedded.node.podstatus import Place, pod_status
from kubeai.embedded.node.steps import advance, wake_at
from tests.builders import NOW, pod_body

STARTUP, READINESS, LIVENESS = ProbeKind.STARTUP, ProbeKind.READINESS, ProbeKind.LIVENESS


def http_probe(**fields: Any) -> dict[str, Any]:
    return {"httpGet": {"path": "/health", "port": 8000}, **fields}


class Story:
    def __init__(self, *containers: dict[str, Any], life: PodLife | None = None, **spec: Any) -> None:
        self.life = life or PodLife.of(parse_pod(pod_body("p", *containers, **spec)))
        self.now = NOW

    def after(self, seconds: float) -> Story:
        self.now += timedelta(seconds=seconds)
        return self

    def then(self, *events: Event) -> list[Step]:
        """What there is to do after these events."""
        for event in events:
            self.life = apply(self.life, event, self.now)
        self.life, steps = advance(self.life, self.now)
        return list(steps)

    def running(self, name: str = "server") -> list[Step]:
        """The container starts."""
        self.then()
        return self.then(Started(name))

    def exits(self, code: int | None = 1, name: str = "server", tail: str = "") -> list[Step]:
        return self.then(Exited(name, code, tail))

    def probed(self, kind: ProbeKind, passed: bool, message: str = "refused") -> list[Step]:
        return self.then(Probed("server", kind, passed, message))

    @property
    def status(self) -> dict[str, Any]:
        return pod_status(self.life, Place("127.0.0.9", NOW), {}, self.now)

    @property
    def server(self) -> dict[str, Any]:
        """The status of the first main container."""
        found: dict[str, Any] = self.status["containerStatuses"][0]
        return found

    @property
    def conditions(self) -> dict[str, str]:
        return {c["type"]: c["status"] for c in self.status["conditions"]}

    def wakes_in_s(self) -> float | None:
        wake: datetime | None = wake_at(self.life)
        return None if wake is None else (wake - self.now).total_seconds()
