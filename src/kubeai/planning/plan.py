"""One Model's next step: observed in, plan out. The whole operator is this function, called again and again.

Each part decides for itself and returns what it wants done; a part that cannot go on says why, and the parts after
it wait. Nothing here acts, waits, or knows the time except by `now`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count, islice
from typing import Any

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import PODS
from kubeai.config.system import System
from kubeai.planning.actions import Action, Create, Delete, Drain, Event, Patch, Plan
from kubeai.planning.adoption import adopted, candidates, with_hash
from kubeai.planning.cache import CacheStep, plan_cache
from kubeai.planning.cache_eviction import plan_eviction
from kubeai.planning.diagnosis import diagnose
from kubeai.planning.draining import UNKNOWN, Departures, Removal, drains, plan_departures
from kubeai.planning.errors import PlanningError
from kubeai.planning.files import plan_files
from kubeai.planning.names import POD_HASH_LABEL, is_draining, pod_name
from kubeai.planning.observed import Observed
from kubeai.planning.pods.build import build_pod, hash_of, loader_of, with_name
from kubeai.planning.profile import resolve
from kubeai.planning.reasons import TROUBLE
from kubeai.planning.rollout import Rollout, Rules, plan_rollout, rules_of
from kubeai.planning.status import Outcome, build_status, status_events, status_patch
from kubeai.planning.upkeep import bounded_replicas, model_patch


def plan_model(observed: Observed, system: System, now: datetime) -> Plan:
    """What to do for this Model now. Called again with the same arguments it gives the same plan."""
    if observed.model.terminating:
        return _plan_deletion(observed, system, now)
    model = observed.model
    upkeep = model_patch(model)
    prepared = _prepare(observed, system, now)
    hash = hash_of(prepared.pod) if prepared.pod else None
    foreign = candidates(observed.pods, hash) if observed.specs is not None else []
    specs = observed.specs or {}
    if unread := tuple(pod for pod in foreign if pod.uid not in specs):
        return Plan(wants_specs=unread)
    alike = adopted(foreign, prepared.pod, specs) if prepared.pod else []
    observed = _with_adopted(observed, alike, hash)
    rules = rules_of(model, system)
    rollout = plan_rollout(
        observed.pods,
        hash=hash,
        replicas=bounded_replicas(model) or 0,
        rules=rules,
        now=now,
        loads=observed.loads or UNKNOWN,
        broken=_broken(observed, prepared.pod),
        adapters=model.adapters,
    )
    departures = _departures(observed, rules, rollout, now)
    creates = _creates(observed, prepared.pod, rollout)
    return _finish(
        observed,
        _outcome(observed, prepared, rollout, departures),
        now,
        actions=(
            *([Patch.of_model(model, upkeep)] if upkeep else []),
            *prepared.actions,
            *(_adopt(pod, hash) for pod in alike),
            *(Drain.of(pod, None) for pod in rollout.keep),
            *_leave(departures, now),
            *creates,
        ),
        done=(*_taken_over(alike), *_kept(rollout.keep), *_left(departures, rules), *_created(creates)),
        departures=departures,
        requeue_after_s=_soonest(rollout.wait_s, prepared.cache.requeue_after_s if prepared.cache else None),
    )


def _with_adopted(observed: Observed, alike: Sequence[Pod], hash: str | None) -> Observed:
    if not alike or hash is None:
        return observed
    pods = tuple(with_hash(pod, hash) if pod in alike else pod for pod in observed.pods)
    return replace(observed, pods=pods)


def _adopt(pod: Pod, hash: str | None) -> Patch:
    # With the uid: another Pod of that name must not be said to be what this one is.
    return Patch(PODS, pod.namespace, pod.name, {"metadata": {"uid": pod.uid, "labels": {POD_HASH_LABEL: hash}}})


def _taken_over(pods: Sequence[Pod]) -> list[Event]:
    if not pods:
        return []
    names = ", ".join(pod.name for pod in pods)
    return [Event("Normal", "PodsTakenOver", f"{names}: made by another revision, and the same as a new one.")]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What must be there before Pods can be: the template itself, files, cache."""

    actions: tuple[Action, ...] = ()
    pod: dict[str, Any] | None = None
    cache: CacheStep | None = None
    problem: PlanningError | None = None


def _prepare(observed: Observed, system: System, now: datetime) -> _Prepared:
    cache: CacheStep | None = None
    try:
        resolved = resolve(observed.model, system)
        pod = build_pod(observed.model, system)
        files = plan_files(observed.model, observed.files)
        cache = plan_cache(observed, system, resolved, now)
    except PlanningError as problem:
        return _Prepared(problem=problem)
    actions = (*files, *(cache.actions if cache else ()))
    ready = cache is None or cache.loaded
    return _Prepared(actions, pod if ready else None, cache)


def _broken(observed: Observed, pod: dict[str, Any] | None) -> frozenset[str]:
    """Pods that another loader has got into trouble: the hash does not tell them from what is wanted."""
    if pod is None:
        return frozenset()
    loader = loader_of(pod["metadata"]["annotations"])
    others = (pod for pod in observed.pods if not pod.ready and loader_of(pod.annotations) != loader)
    return frozenset(pod.uid for pod in others if diagnose(pod).reason in TROUBLE)


def _creates(observed: Observed, pod: dict[str, Any] | None, rollout: Rollout) -> list[Create]:
    if pod is None:
        return []
    names = islice(_free_names(observed, hash_of(pod)), rollout.create)
    return [Create(PODS, with_name(pod, name)) for name in names]


def _free_names(observed: Observed, hash: str) -> Iterator[str]:
    """Names in a fixed order, without those of Pods that are still there: the same names for the same observation."""
    taken = {pod.name for pod in observed.pods}
    for index in count():
        name = pod_name(observed.model, hash, index)
        if name not in taken:
            taken.add(name)
            yield name


def _departures(observed: Observed, rules: Rules, rollout: Rollout, now: datetime) -> Departures:
    return plan_departures(
        rollout.remove,
        [pod for pod in drains(observed.pods) if pod not in rollout.keep],
        loads=observed.loads or UNKNOWN,
        timeout_s=rules.drain_timeout_s,
        now=now,
    )


def _leave(departures: Departures, now: datetime) -> list[Action]:
    return [
        *(Delete.of(PODS, removal.pod) for removal in departures.delete),
        *(Drain.of(removal.pod, now) for removal in departures.mark),
    ]


def _outcome(observed: Observed, prepared: _Prepared, rollout: Rollout, departures: Departures) -> Outcome:
    removed = {removal.pod.uid for removal in rollout.remove}
    marked = {pod.uid for pod in drains(observed.pods)} - {pod.uid for pod in rollout.keep}
    deleted = {removal.pod.uid for removal in departures.delete}
    staying = [pod for pod in observed.pods if not pod.terminating and pod.uid not in removed | marked]
    return Outcome(
        replicas=bounded_replicas(observed.model) or 0,
        hash=hash_of(prepared.pod) if prepared.pod else None,
        kept=tuple(pod for pod in staying if not pod.finished),
        failed=tuple(pod for pod in staying if pod.finished),
        draining=len((removed | marked) - deleted),
        going=sum(pod.terminating for pod in observed.pods) + len(deleted),
        created=rollout.create,
        cache=prepared.cache,
        problem=prepared.problem,
    )


def _plan_deletion(observed: Observed, system: System, now: datetime) -> Plan:
    """Servers first, then what they have left on shared volumes; the rest goes with its owner."""
    staying = [pod for pod in observed.pods if not pod.terminating and not is_draining(pod)]
    everybody = Rollout(remove=tuple(Removal(pod, "the Model is being deleted") for pod in staying))
    rules = rules_of(observed.model, system)
    departures = _departures(observed, rules, everybody, now)
    busy = departures.mark or departures.wait_s is not None
    cache = None if busy else plan_eviction(observed, system, now)
    return _finish(
        observed,
        Outcome(cache=cache),
        now,
        actions=(*_leave(departures, now), *(cache.actions if cache else ())),
        done=tuple(_left(departures, rules)),
        departures=departures,
        requeue_after_s=cache.requeue_after_s if cache else None,
    )


def _finish(
    observed: Observed,
    outcome: Outcome,
    now: datetime,
    *,
    actions: tuple[Action, ...],
    done: tuple[Event, ...],
    departures: Departures,
    requeue_after_s: float | None,
) -> Plan:
    old = observed.model.status
    new = build_status(observed, outcome, now)
    return Plan(
        actions=actions,
        done=done,
        status=status_patch(old, new),
        events=tuple(status_events(old, new)),
        wants_loads=observed.loads is None and departures.by_load,
        requeue_after_s=_soonest(requeue_after_s, departures.wait_s),
        problem=str(outcome.problem) if outcome.problem else None,
    )


def _created(creates: Sequence[Create]) -> list[Event]:
    if not creates:
        return []
    return [Event("Normal", "PodsCreated", f"Created {', '.join(create.name for create in creates)}.")]


def _left(departures: Departures, rules: Rules) -> list[Event]:
    limit = f"; their requests may end within {rules.drain_timeout_s:g} seconds"
    return [
        *_told("PodsDraining", "Draining", departures.mark, limit),
        *_told("PodsDeleted", "Deleted", departures.delete),
    ]


def _told(reason: str, verb: str, removals: Sequence[Removal], more: str = "") -> list[Event]:
    """One for each cause: `kubectl describe` shows a line for each Event."""
    causes: dict[str, list[str]] = {}
    for removal in removals:
        causes.setdefault(removal.why, []).append(removal.pod.name)
    return [Event("Normal", reason, f"{verb} {', '.join(names)}: {why}{more}.") for why, names in causes.items()]


def _kept(pods: Sequence[Pod]) -> list[Event]:
    if not pods:
        return []
    return [Event("Normal", "PodsKept", f"{', '.join(pod.name for pod in pods)}: wanted again, no longer draining.")]


def _soonest(*times_s: float | None) -> float | None:
    return min((time_s for time_s in times_s if time_s is not None), default=None)
