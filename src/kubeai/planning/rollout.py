"""Which Pods go, which stay and how many come, so that the wanted number of up-to-date Pods runs.

Rules (all of them on Pods that are not already going away):
- A Pod that failed or was evicted is no replica: it is removed and replaced, but not faster than every
  `REPLACE_DELAY_S`, so that a node that refuses Pods at once is not flooded with them.
- A Pod of another hash that is not ready serves nobody: it goes at once.
- Strategy Surge: while a Pod of another hash runs, up to `surge` Pods more than wanted may exist; those of another hash
  that drain are counted, because they hold what a new Pod needs. One that is ready goes when everything that is left is
  ready (and serves the adapters that it does) and enough is left, one at a time: so at most one of the wanted Pods is
  missing without surge, and none with it.
- Strategy Recreate: all Pods of another hash go, and only when they are gone new ones come.
- Never are more up-to-date Pods created than wanted, so that what is created stays.
- A Pod that drains is no replica. If one is wanted again it is taken back rather than replaced.
- Of two Pods that are worth the same the one with fewer requests goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kubeai.api.k8s.objects import Pod
from kubeai.api.model import Model
from kubeai.api.replicas import RolloutSettings
from kubeai.config.system import System
from kubeai.planning.draining import UNKNOWN, Loads, Removal, drains
from kubeai.planning.names import ADAPTER_LABEL_PREFIX, POD_HASH_LABEL, is_draining

REPLACE_DELAY_S = 10.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the Model and the system configuration say about rollouts."""

    #: How many Pods more than wanted may exist; None: strategy Recreate.
    surge: int | None = 0
    drain_timeout_s: float = 0.0


def rules_of(model: Model, system: System) -> Rules:
    own, default = model.spec.rollout or RolloutSettings(), system.model_rollouts
    surge = default.surge if own.surge is None else own.surge
    # Who says how many more there may be does not want to be without any.
    strategy = own.strategy or (default.strategy if own.surge is None else "Surge")
    drain_s = default.drain_timeout_s if own.drain_timeout_seconds is None else float(own.drain_timeout_seconds)
    return Rules(surge if strategy == "Surge" else None, drain_s)


@dataclass(frozen=True, slots=True)
class Rollout:
    """The step to take now."""

    #: Pods that are to go and are not marked yet.
    remove: tuple[Removal, ...] = ()
    #: Pods that are marked and shall stay after all.
    keep: tuple[Pod, ...] = ()
    create: int = 0
    #: Until a failed Pod may be replaced.
    wait_s: float | None = None


def plan_rollout(
    pods: Sequence[Pod],
    *,
    hash: str | None,
    replicas: int,
    rules: Rules,
    now: datetime,
    loads: Loads = UNKNOWN,
    broken: Collection[str] = (),
    adapters: Collection[str] = (),
) -> Rollout:
    """One step from `pods` towards `replicas` Pods of `hash`, which are to serve `adapters`.

    `broken` are uids of Pods that a new one of the same hash would do better than.

    Without a hash (the Model cannot be followed now) nothing is created or replaced; too many Pods still go.
    """
    present = [pod for pod in pods if not pod.terminating]
    finished = [pod for pod in present if pod.finished and not is_draining(pod)]
    live = [pod for pod in present if not pod.finished and not is_draining(pod)]
    held = _held(finished, hash, now) if replicas and hash else []
    removals = [Removal(pod, _failure(pod)) for pod in in_deletion_order(finished, hash, loads) if pod not in held]
    live, stale = _without_stale(live, hash, loads, broken)
    removals += stale
    room = _room(pods, live, hash, replicas, rules)
    surplus = in_deletion_order(live, hash, loads)[: max(0, len(live) - room.pods)]
    removals += [Removal(pod, "more replicas than wanted") for pod in surplus]
    live = [pod for pod in live if pod not in surplus]
    replaced = _replaceable(live, hash, replicas, room, loads) if hash and not surplus else []
    replaced = replaced if room.closed else [pod for pod in replaced if not _misses(live, pod, hash, adapters)]
    removals += [Removal(pod, "replaced by the new revision") for pod in replaced]
    live = [pod for pod in live if pod not in replaced]
    room = replace(room, taken=room.taken + len(replaced))
    keep = _wanted_again(drains(present), hash, loads)[: _missing(live, hash, replicas, room)]
    create = _missing([*live, *keep], hash, replicas, room) - len(held) if hash else 0
    return Rollout(tuple(removals), tuple(keep), max(0, create), _wait(held, now))


@dataclass(frozen=True, slots=True)
class _Room:
    """How many Pods there may be."""

    pods: int
    #: Places of them that Pods of another hash hold which drain.
    taken: int
    #: How many wanted Pods may be missing while others are replaced.
    gap: int
    #: New Pods must wait until the last one of another hash is gone.
    closed: bool = False


def _room(pods: Sequence[Pod], live: Sequence[Pod], hash: str | None, replicas: int, rules: Rules) -> _Room:
    taken = sum(_outdated(pod, hash) for pod in drains(pods))
    if rules.surge is None:
        closed = any(_outdated(pod, hash) for pod in pods)
        return _Room(replicas, taken, gap=replicas, closed=closed)
    rolls = replicas and hash and (taken or any(_outdated(pod, hash) for pod in live))
    return _Room(replicas + (rules.surge if rolls else 0), taken, gap=0 if rules.surge else 1)


def in_deletion_order(pods: Iterable[Pod], hash: str | None, loads: Loads = UNKNOWN) -> list[Pod]:
    """Those that are missed least first: not ready, unscheduled, of another hash, with few requests, youngest."""
    return sorted(
        pods,
        key=lambda pod: (
            pod.ready,
            pod.scheduled,
            not _outdated(pod, hash),
            loads.of(pod),
            -_created(pod),
            pod.name,
        ),
    )


def _without_stale(
    live: list[Pod], hash: str | None, loads: Loads, broken: Collection[str]
) -> tuple[list[Pod], list[Removal]]:
    """Take out those that are not ready and of another hash, or broken."""
    idle = [pod for pod in in_deletion_order(live, hash, loads) if hash and not pod.ready]
    stale = [Removal(pod, "out of date and not ready") for pod in idle if _outdated(pod, hash)]
    stale += [Removal(pod, "in trouble, and made with another loader") for pod in idle if pod.uid in broken]
    gone = {removal.pod.uid: removal for removal in stale}
    return [pod for pod in live if pod.uid not in gone], list(gone.values())


def _replaceable(live: Sequence[Pod], hash: str, replicas: int, room: _Room, loads: Loads) -> list[Pod]:
    """The ready Pods of another hash whose turn has come."""
    outdated = [pod for pod in in_deletion_order(live, hash, loads) if _outdated(pod, hash)]
    if room.closed:
        return outdated
    if not all(pod.ready for pod in live) or _missing(live, hash, replicas, room):
        return []
    return outdated[:1] if len(live) - 1 >= replicas - room.gap else []


def _misses(live: Sequence[Pod], victim: Pod, hash: str | None, adapters: Collection[str]) -> bool:
    """Whether an adapter that the victim serves is still being loaded where it shall be served from now on."""
    served = {label for name in adapters if (label := ADAPTER_LABEL_PREFIX + name) in victim.labels}
    return any(served - pod.labels.keys() for pod in live if not _outdated(pod, hash))


def _wanted_again(draining: Sequence[Pod], hash: str | None, loads: Loads) -> list[Pod]:
    """Pods that drain and would serve at once if they were let; the busiest first."""
    serving = [pod for pod in draining if pod.ready and not pod.finished and not _outdated(pod, hash)]
    return in_deletion_order(serving, hash, loads)[::-1]


def _missing(live: Sequence[Pod], hash: str | None, replicas: int, room: _Room) -> int:
    """How many up-to-date Pods may come now."""
    current = sum(not _outdated(pod, hash) for pod in live)
    return 0 if room.closed else max(0, min(replicas - current, room.pods - room.taken - len(live)))


def _held(finished: Sequence[Pod], hash: str | None, now: datetime) -> list[Pod]:
    """Failed Pods that hold their place a little longer: they are too young to be replaced already."""
    delay = timedelta(seconds=REPLACE_DELAY_S)
    return [pod for pod in finished if not _outdated(pod, hash) and now - _born(pod, now) < delay]


def _wait(held: Sequence[Pod], now: datetime) -> float | None:
    ages = [(now - _born(pod, now)).total_seconds() for pod in held]
    return max(0.1, REPLACE_DELAY_S - max(ages)) if ages else None


def _born(pod: Pod, now: datetime) -> datetime:
    # Clocks differ: a Pod from the future must not hold its place longer than the delay.
    return min(pod.metadata.creation_timestamp or now, now)


def _created(pod: Pod) -> float:
    created = pod.metadata.creation_timestamp
    return created.timestamp() if created else float("inf")


def _outdated(pod: Pod, hash: str | None) -> bool:
    return hash is not None and pod.labels.get(POD_HASH_LABEL) != hash


def _failure(pod: Pod) -> str:
    status = pod.status
    reason = status.reason or status.phase or "Failed"
    return f"{reason}: {status.message}" if status.message else reason
