"""Events in: how the life of a Pod changes by what happens to it.

Kubernetes' kubelet is the model: a container that exits is restarted after a growing delay, the startup probe holds
the other two back, a failed liveness or startup probe stops the container. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from .containers import Exec, Probe, ProbeKind, RestartPolicy
from .life import (
    ContainerLife,
    Delete,
    Event,
    Exited,
    PodLife,
    Probed,
    ProbeLife,
    Progress,
    Running,
    Started,
    StartFailed,
    Starting,
    Stop,
    Terminated,
    Waiting,
)

#: Seconds before the first, second, ... restart in a row. A server that dies once is back at once; one that keeps
#: dying waits as long as the kubelet would let it.
RESTART_DELAYS_S = (1, 10, 20, 40, 80, 160, 300)
#: Who ran this long has recovered: the next crash counts as the first.
RECOVERED_AFTER_S = 600
#: Bounds of the pause between two looks at a server that is not up yet, see `_pause_s`.
FASTEST_POLL_S = 0.02


def apply(life: PodLife, event: Event, now: datetime) -> PodLife:
    """The Pod's life after `event`."""
    match event:
        case Delete(grace_s):
            kill_at = now + timedelta(seconds=grace_s)
            return replace(life, kill_at=min(kill_at, life.kill_at) if life.kill_at else kill_at)
        case Progress(name, reason, message):
            return _update(life, name, lambda c: _progress(c, reason, message))
        case Started(name):
            return _update(life, name, lambda c: replace(c, state=Running(now), stop=None, probes={}))
        case StartFailed(name, reason, message):
            return _update(life, name, lambda c: _start_failed(c, reason, message, now))
        case Exited(name):
            return _update(life, name, lambda c: _exited(life, c, event, now))
        case Probed(name, kind):
            return _update(life, name, lambda c: _probed(life, c, kind, event, now))


def _update(life: PodLife, name: str, change: Callable[[ContainerLife], ContainerLife]) -> PodLife:
    def changed(group: Iterable[ContainerLife]) -> tuple[ContainerLife, ...]:
        return tuple(change(c) if c.spec.name == name else c for c in group)

    return replace(life, init=changed(life.init), main=changed(life.main))


def _progress(container: ContainerLife, reason: str, message: str) -> ContainerLife:
    if not isinstance(container.state, Starting):
        return container  # it arrived late: the start has ended
    return replace(container, state=Starting(reason, message))


def _start_failed(container: ContainerLife, reason: str, message: str, now: datetime) -> ContainerLife:
    retry_at = now + timedelta(seconds=_delay_s(container.crashes))
    return replace(container, state=Waiting(reason, message, retry_at), crashes=container.crashes + 1)


def _exited(life: PodLife, container: ContainerLife, event: Exited, now: datetime) -> ContainerLife:
    started_at = container.state.started_at if isinstance(container.state, Running) else None
    ended = _terminated(container, event, started_at, now)
    if life.going or not restarts(life.spec.restart_policy, ended, init=container in life.init):
        return replace(container, state=ended, stop=None, probes={})
    ran_s = (now - started_at).total_seconds() if started_at else 0
    crashes = 0 if ran_s >= RECOVERED_AFTER_S else container.crashes
    delay_s = _delay_s(crashes)
    message = f"back-off {delay_s:g}s restarting failed container={container.spec.name} pod={life.spec.name}"
    waiting = Waiting("CrashLoopBackOff", message, now + timedelta(seconds=delay_s))
    return replace(container, state=waiting, last=ended, crashes=crashes + 1, stop=None, probes={})


def _terminated(container: ContainerLife, event: Exited, started_at: datetime | None, now: datetime) -> Terminated:
    message = event.log_tail
    if container.stop and container.stop.message:
        message = f"{container.stop.message}\n{event.log_tail}".strip()
    if event.code is None:
        return Terminated(137, now, started_at, 0, "ContainerStatusUnknown", message)
    signal = -event.code if event.code < 0 else 0
    exit_code = 128 + signal if signal else event.code
    return Terminated(exit_code, now, started_at, signal, "Error" if exit_code else "Completed", message)


def restarts(policy: RestartPolicy, ended: Terminated, *, init: bool) -> bool:
    """Whether a container that ended so is run again."""
    if ended.succeeded:
        return policy is RestartPolicy.ALWAYS and not init
    return policy is not RestartPolicy.NEVER


def _delay_s(crashes: int) -> float:
    return RESTART_DELAYS_S[min(crashes, len(RESTART_DELAYS_S) - 1)]


def _probed(life: PodLife, container: ContainerLife, kind: ProbeKind, event: Probed, now: datetime) -> ContainerLife:
    if not isinstance(container.state, Running):
        return container  # an answer about a run that is over
    probe, old = container.spec.probes[kind], container.probes.get(kind, ProbeLife())
    new = _passed(probe, old) if event.passed else _failed(kind, probe, old, event.message, container.state, now)
    up = container.started and (kind is not ProbeKind.READINESS or new.passed)
    pause_s = probe.period_s if up else _pause_s(probe, container.state.started_at, now)
    new = replace(new, in_flight=False, next_at=now + timedelta(seconds=pause_s))
    container = replace(container, probes={**container.probes, kind: new})
    if kind is not ProbeKind.READINESS and new.failures >= probe.failure_threshold and not container.stop:
        message = f"{kind.value} probe failed: {event.message}"
        kill_at = now + timedelta(seconds=life.spec.grace_s)
        return replace(container, stop=Stop(message, kill_at))
    return container


def _passed(probe: Probe, old: ProbeLife) -> ProbeLife:
    successes = old.successes + 1
    return ProbeLife(passed=old.passed or successes >= probe.success_threshold, successes=successes)


def _failed(kind: ProbeKind, probe: Probe, old: ProbeLife, message: str, run: Running, now: datetime) -> ProbeLife:
    """Count a failure, at most one for each period, and none in the initial delay."""
    since = old.counted_at or run.started_at
    counts = now - run.started_at >= timedelta(seconds=probe.initial_delay_s) and (
        old.passed or now - since >= timedelta(seconds=probe.period_s)
    )
    failures = old.failures + 1 if counts else old.failures
    lost = kind is ProbeKind.READINESS and failures >= probe.failure_threshold
    return ProbeLife(
        passed=old.passed and not lost,
        failures=failures,
        counted_at=now if counts else old.counted_at,
        message=message,
    )


def _pause_s(probe: Probe, started_at: datetime, now: datetime) -> float:
    """How long until the next look at a server that is coming up.

    A twentieth of the time it has taken so far: a readiness is noticed at most 5 % late, and a server that needs
    minutes is not asked thousands of times. A command costs a process, so it keeps to its period.
    """
    if isinstance(probe.action, Exec):
        return probe.period_s
    age_s = (now - started_at).total_seconds()
    return min(probe.period_s, max(FASTEST_POLL_S, age_s / 20))
