"""Steps out: what there is to do for a Pod now, and when to look again.

Init containers run one after another, then all main ones together; a Pod that goes away gets SIGTERM, its grace, then
SIGKILL. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from .containers import Exec, ProbeKind
from .life import (
    Abandon,
    Check,
    ContainerLife,
    Kill,
    PodLife,
    ProbeLife,
    Running,
    Signal,
    Start,
    Starting,
    Step,
    Stop,
    Terminated,
    Waiting,
)


def advance(life: PodLife, now: datetime) -> tuple[PodLife, tuple[Step, ...]]:
    """What to do now. The returned life remembers that it was asked for, so nothing is asked for twice."""
    steps: list[Step] = []
    may_start = _may_start(life)

    def move(container: ContainerLife) -> ContainerLife:
        container, step = _move(life, container, container.spec.name in may_start, now)
        steps.extend(step)
        return container

    return replace(life, init=tuple(map(move, life.init)), main=tuple(map(move, life.main))), tuple(steps)


def _may_start(life: PodLife) -> frozenset[str]:
    """Whose turn it is: the first init container that has not succeeded, then all main ones."""
    if life.going or life.failed_init:
        return frozenset()
    if life.initialized:
        return frozenset(c.spec.name for c in life.main)
    turn = next(c for c in life.init if not (isinstance(c.state, Terminated) and c.state.succeeded))
    return frozenset({turn.spec.name})


def _move(
    life: PodLife, container: ContainerLife, may_start: bool, now: datetime
) -> tuple[ContainerLife, tuple[Step, ...]]:
    match container.state:
        case Waiting(retry_at=retry_at) if may_start and (retry_at is None or retry_at <= now):
            restarts = container.restarts + (container.last is not None)
            return replace(container, state=Starting(), restarts=restarts), (Start(container.spec.name),)
        case Starting() if life.going:
            return replace(container, state=Waiting()), (Abandon(container.spec.name),)
        case Running():
            if life.kill_at and (container.stop is None or container.stop.kill_at > life.kill_at):
                stop = container.stop or Stop("", life.kill_at)
                container = replace(container, stop=replace(stop, kill_at=life.kill_at))
            return _stop(container, now) if container.stop else _check(container, now)
        case _:
            return container, ()


def _stop(container: ContainerLife, now: datetime) -> tuple[ContainerLife, tuple[Step, ...]]:
    stop, name = container.stop, container.spec.name
    assert stop is not None
    if now >= stop.kill_at:
        steps = () if stop.kill_sent else (Kill(name, Signal.KILL),)
        return replace(container, stop=replace(stop, term_sent=True, kill_sent=True)), steps
    steps = () if stop.term_sent else (Kill(name, Signal.TERM),)
    return replace(container, stop=replace(stop, term_sent=True)), steps


def _check(container: ContainerLife, now: datetime) -> tuple[ContainerLife, tuple[Step, ...]]:
    """The probes that are due: the startup probe alone until it has passed, then the other two."""
    probes, steps = dict(container.probes), []
    for kind in _active(container):
        standing = probes.get(kind, ProbeLife())
        if standing.in_flight or _due(container, kind, standing) > now:
            continue
        probes[kind] = replace(standing, in_flight=True)
        steps.append(Check(container.spec.name, kind, container.spec.probes[kind]))
    return replace(container, probes=probes), tuple(steps)


def _active(container: ContainerLife) -> tuple[ProbeKind, ...]:
    wanted = container.spec.probes
    if not container.started:
        return (ProbeKind.STARTUP,)
    return tuple(k for k in (ProbeKind.READINESS, ProbeKind.LIVENESS) if k in wanted)


def _due(container: ContainerLife, kind: ProbeKind, standing: ProbeLife) -> datetime:
    assert isinstance(container.state, Running)
    if standing.next_at:
        return standing.next_at
    probe, started_at = container.spec.probes[kind], container.state.started_at
    # A look at a server that is coming up harms nobody; a liveness probe might kill it, and a command costs a process.
    early = kind is not ProbeKind.LIVENESS and not isinstance(probe.action, Exec)
    return started_at if early else started_at + timedelta(seconds=probe.initial_delay_s)


def wake_at(life: PodLife) -> datetime | None:
    """When `advance` has something to do though nothing happens until then."""
    times: list[datetime] = []
    may_start = _may_start(life)
    for container in life.containers:
        match container.state:
            case Waiting(retry_at=retry_at) if retry_at and container.spec.name in may_start:
                times.append(retry_at)
            case Running() if container.stop:
                if not container.stop.kill_sent:
                    times.append(container.stop.kill_at)
            case Running():
                standings = ((k, container.probes.get(k, ProbeLife())) for k in _active(container))
                times += [_due(container, k, s) for k, s in standings if not s.in_flight]
    return min(times, default=None)
