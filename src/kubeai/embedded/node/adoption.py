"""What is left of a Pod after we were gone: its life, from its last reported status and the processes that still run.

The status tells what had happened (an init container that succeeded is not run again); the processes tell what is
true now. Where they differ the processes win. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .containers import ContainerSpec, PodSpec, ProbeKind
from .life import ContainerLife, Exited, PodLife, ProbeLife, Running, Terminated, Waiting
from .lifecycle import apply, restarts

JSONObject = dict[str, Any]


def restore(spec: PodSpec, status: JSONObject, running: Collection[str], now: datetime) -> PodLife:
    """`running`: the containers whose processes are alive."""
    life = PodLife.of(spec)
    reported = {
        s.get("name", ""): s for key in ("initContainerStatuses", "containerStatuses") for s in status.get(key) or ()
    }
    life = replace(
        life,
        init=tuple(_restore(c, reported.get(c.spec.name), running, now) for c in life.init),
        main=tuple(_restore(c, reported.get(c.spec.name), running, now) for c in life.main),
    )
    life = _renew(life)
    for container in life.containers:
        if isinstance(container.state, Running) and container.spec.name not in running:
            # It ended unseen. Its restart does not wait: that was not the server's fault.
            life = apply(life, Exited(container.spec.name, None), now)
            life = _restart_now(life, container.spec.name)
    return life


def _restore(
    container: ContainerLife, reported: Mapping[str, Any] | None, running: Collection[str], now: datetime
) -> ContainerLife:
    reported = reported or {}
    state = reported.get("state") or {}
    container = replace(
        container,
        restarts=int(reported.get("restartCount") or 0),
        last=_terminated((reported.get("lastState") or {}).get("terminated"), now),
    )
    if container.spec.name in running or state.get("running"):
        started_at = _time((state.get("running") or {}).get("startedAt"), now)
        return replace(container, state=Running(started_at), probes=_standing(container.spec, reported, now))
    ended = _terminated(state.get("terminated"), now)
    return replace(container, state=ended) if ended else container


def _standing(spec: ContainerSpec, reported: Mapping[str, Any], now: datetime) -> dict[ProbeKind, ProbeLife]:
    """A server that was ready stays so until a probe says otherwise: adoption must not cut its endpoint."""
    passed = {
        ProbeKind.STARTUP: bool(reported.get("started")),
        ProbeKind.READINESS: bool(reported.get("ready")),
    }
    return {kind: ProbeLife(passed=True, next_at=now) for kind in spec.probes if passed.get(kind)}


def _renew(life: PodLife) -> PodLife:
    """What was stopped with the node runs again."""

    def renew(container: ContainerLife, *, init: bool) -> ContainerLife:
        ended = container.state
        if isinstance(ended, Terminated) and restarts(life.spec.restart_policy, ended, init=init):
            return replace(container, state=Waiting(), last=ended)
        return container

    return replace(
        life,
        init=tuple(renew(c, init=True) for c in life.init),
        main=tuple(renew(c, init=False) for c in life.main),
    )


def _restart_now(life: PodLife, name: str) -> PodLife:
    def hurry(container: ContainerLife) -> ContainerLife:
        if container.spec.name != name or not isinstance(container.state, Waiting):
            return container
        return replace(container, state=replace(container.state, retry_at=None), crashes=0)

    return replace(life, init=tuple(map(hurry, life.init)), main=tuple(map(hurry, life.main)))


def _terminated(body: Mapping[str, Any] | None, now: datetime) -> Terminated | None:
    if not body:
        return None
    started_at = body.get("startedAt")
    return Terminated(
        exit_code=int(body.get("exitCode") or 0),
        finished_at=_time(body.get("finishedAt"), now),
        started_at=_time(started_at, now) if started_at else None,
        signal=int(body.get("signal") or 0),
        reason=body.get("reason") or "",
        message=body.get("message") or "",
    )


def _time(text: str | None, default: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else default
