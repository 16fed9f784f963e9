"""What of a Pod's life deserves an Event: the lines that `kubectl describe pod` ends with. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .life import ContainerLife, PodLife, Running, Starting, Waiting


@dataclass(frozen=True, slots=True)
class PodEvent:
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def pod_events(old: PodLife, new: PodLife) -> tuple[PodEvent, ...]:
    """What happened between two moments of one Pod's life."""
    pairs = zip(old.containers, new.containers, strict=True)
    return tuple(event for before, after in pairs for event in _container_events(before, after))


def _container_events(old: ContainerLife, new: ContainerLife) -> Iterator[PodEvent]:
    name = new.spec.name
    if new.stop and not old.stop:
        if new.stop.message:
            yield PodEvent("Warning", "Unhealthy", f"Container {name} is stopped: {new.stop.message}")
        else:
            yield PodEvent("Normal", "Killing", f"Stopping container {name}")
    if new.state == old.state:
        return
    match new.state:
        case Running() if not isinstance(old.state, Running):
            yield PodEvent("Normal", "Started", f"Started container {name}")
        case Starting("InstallingEngine", message) if getattr(old.state, "reason", "") != "InstallingEngine":
            yield PodEvent("Normal", "InstallingEngine", message)
        case Waiting("CrashLoopBackOff", message):
            yield PodEvent("Warning", "BackOff", _with_last_words(message, new))
        case Waiting(reason, message) if message:
            yield PodEvent("Warning", "Failed", f"{reason}: {message}")


def _with_last_words(message: str, container: ContainerLife) -> str:
    if container.last is None:
        return message
    said = container.last.message.strip().rpartition("\n")[2]
    return f"{message} (exit code {container.last.exit_code}{f': {said}' if said else ''})"
