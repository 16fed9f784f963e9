"""What users see of a Model: counted replicas, and conditions that say why it is as it is.

`Ready` is about serving now, `Progressing` about the way to what is wanted, `Scheduled` about nodes, `CacheLoaded`
about the weights, `AdaptersLoaded` about the adapters. The reason of `Ready` is what the gateway tells a client that
waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from kubeai.api.k8s.objects import Pod
from kubeai.api.model import CacheStatus, Model, ModelCondition, ModelStatus, ReplicaStatus
from kubeai.planning.actions import Event
from kubeai.planning.adapters import judge_adapters
from kubeai.planning.cache import LOADED, CacheStep
from kubeai.planning.cache_records import is_cached
from kubeai.planning.diagnosis import Diagnosis, diagnose
from kubeai.planning.errors import PlanningError
from kubeai.planning.names import POD_HASH_LABEL
from kubeai.planning.observed import Observed
from kubeai.planning.reasons import TROUBLE, Reason

#: Conditions whose normal changes are told by other Events.
_QUIET = ("Progressing", "Scheduled")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the planner found out, from which the status is told."""

    replicas: int = 0
    #: Hash of the Pods that are wanted; None if they could not be built.
    hash: str | None = None
    #: Pods that are neither finished, nor going away, nor to go by this plan.
    kept: tuple[Pod, ...] = ()
    #: Failed Pods that hold their place until they may be replaced.
    failed: tuple[Pod, ...] = ()
    #: How many Pods finish their requests before they go.
    draining: int = 0
    #: How many Pods are being deleted.
    going: int = 0
    #: How many Pods this plan makes.
    created: int = 0
    cache: CacheStep | None = None
    problem: PlanningError | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    status: Literal["True", "False"]
    reason: Reason
    message: str


def build_status(observed: Observed, outcome: Outcome, now: datetime) -> ModelStatus:
    model = observed.model
    replicas = [pod for pod in observed.pods if not pod.terminating and not pod.finished]
    verdicts = {"Ready": _ready(observed, outcome), "Progressing": _progressing(observed, outcome)}
    if outcome.replicas and not model.terminating:
        verdicts["Scheduled"] = _scheduled(observed, outcome)
    if model.spec.cache_profile and not model.terminating:
        verdicts["CacheLoaded"] = _cache_loaded(observed, outcome)
    if model.adapters and not model.terminating:
        loaded, found = judge_adapters(model, outcome.kept, observed.adapter_troubles)
        verdicts["AdaptersLoaded"] = _Verdict("True" if loaded else "False", found.reason, found.message)
    cached = bool(outcome.cache and outcome.cache.loaded) or (
        observed.cache_claim is not None and is_cached(model, observed.cache_claim)
    )
    return ModelStatus(
        replicas=ReplicaStatus(all=len(replicas), ready=sum(pod.ready for pod in outcome.kept)),
        cache=CacheStatus(loaded=cached) if model.spec.cache_profile else None,
        conditions=[_condition(model, type, verdict, now) for type, verdict in verdicts.items()],
        observed_generation=model.metadata.generation,
    )


def status_patch(old: ModelStatus, new: ModelStatus) -> dict[str, Any] | None:
    """A merge patch of the status, or None if nothing changed."""
    if old == new:
        return None
    patch = new.model_dump(mode="json", by_alias=True, exclude_none=True)
    return patch if new.cache or not old.cache else patch | {"cache": None}


def status_events(old: ModelStatus, new: ModelStatus) -> list[Event]:
    """One Event for each reason that is new: of progress and scheduling only trouble, of the others always."""
    before = {condition.type: condition.reason for condition in old.conditions or ()}
    told: dict[str, Event] = {}
    for condition in new.conditions or ():
        trouble = condition.reason in TROUBLE
        if before.get(condition.type) != condition.reason and (trouble or condition.type not in _QUIET):
            event = Event("Warning" if trouble else "Normal", condition.reason, condition.message)
            told.setdefault(condition.reason, event)
    return list(told.values())


def _condition(model: Model, type: str, verdict: _Verdict, now: datetime) -> ModelCondition:
    old = model.condition(type)
    since = old.last_transition_time if old and old.status == verdict.status else None
    return ModelCondition(
        type=type,
        status=verdict.status,
        reason=verdict.reason.value,
        message=verdict.message,
        last_transition_time=since or now.replace(microsecond=0),
        observed_generation=model.metadata.generation,
    )


def _ready(observed: Observed, outcome: Outcome) -> _Verdict:
    ready = sum(pod.ready for pod in outcome.kept)
    if observed.model.terminating:
        return _terminating(outcome)
    if ready:
        return _Verdict("True", Reason.READY, f"{ready} of {max(ready, outcome.replicas)} replicas are ready.")
    if blocker := _blocker(observed, outcome):
        return _Verdict("False", blocker.reason, blocker.message)
    if outcome.replicas == 0:
        return _Verdict("False", Reason.SCALED_TO_ZERO, _at_zero(observed.model))
    found = _worst(outcome)
    return _Verdict("False", found.reason, found.message)


def _progressing(observed: Observed, outcome: Outcome) -> _Verdict:
    if observed.model.terminating:
        return _terminating(outcome)
    if blocker := _blocker(observed, outcome):
        waits = blocker.reason not in TROUBLE
        return _Verdict("True" if waits else "False", blocker.reason, blocker.message)
    ready = sum(pod.ready for pod in outcome.kept)
    current = sum(pod.labels.get(POD_HASH_LABEL) == outcome.hash for pod in outcome.kept)
    if ready == current == len(outcome.kept) == outcome.replicas:
        if outcome.draining:
            return _Verdict("True", Reason.DRAINING, f"{_pods(outcome.draining)} finishing requests before going.")
        return _Verdict("False", Reason.COMPLETE, "What runs is what is wanted.")
    found = _worst(outcome)
    if found.reason in TROUBLE:
        return _Verdict("False", found.reason, found.message + _way_out(found, current, outcome))
    if current < len(outcome.kept):
        return _Verdict("True", Reason.ROLLING_OUT, f"{current} of {outcome.replicas} replicas are up to date.")
    if found.reason in (Reason.DRAINING, Reason.ROLLING_OUT):
        return _Verdict("True", found.reason, found.message)
    return _Verdict("True", Reason.SCALING, f"{ready} of {outcome.replicas} replicas are ready.")


def _way_out(found: Diagnosis, current: int, outcome: Outcome) -> str:
    """A rollout that has no room for the Pod which it needs first."""
    if found.reason is not Reason.UNSCHEDULABLE or current == len(outcome.kept):
        return ""
    return " The rollout waits for it; with spec.rollout.surge 0 an old Pod makes room first."


def _scheduled(observed: Observed, outcome: Outcome) -> _Verdict:
    homeless = [pod for pod in outcome.kept if not _has_place(pod)]
    placed = len(outcome.kept) - len(homeless)
    if placed >= outcome.replicas and not homeless:
        return _Verdict("True", Reason.SCHEDULED, f"{_pods(placed)} on a node.")
    if blocker := _blocker(observed, outcome):
        return _Verdict("False", blocker.reason, blocker.message)
    found = _worst(replace(outcome, kept=tuple(homeless), failed=()))
    return _Verdict("False", found.reason, found.message)


def _has_place(pod: Pod) -> bool:
    """What serves runs somewhere, whether or not somebody has written down on which node."""
    return pod.scheduled or pod.ready


def _cache_loaded(observed: Observed, outcome: Outcome) -> _Verdict:
    if outcome.cache:
        return _Verdict("True" if outcome.cache.loaded else "False", outcome.cache.reason, outcome.cache.message)
    # Somebody's mistake keeps the planner from looking further; what is on the volume stays there.
    if observed.cache_claim is not None and is_cached(observed.model, observed.cache_claim):
        return _Verdict("True", Reason.CACHE_LOADED, LOADED)
    assert outcome.problem is not None
    return _Verdict("False", outcome.problem.reason, outcome.problem.message)


def _terminating(outcome: Outcome) -> _Verdict:
    if outcome.cache:
        return _Verdict("False", outcome.cache.reason, outcome.cache.message)
    return _Verdict("False", Reason.TERMINATING, "The Model is being deleted.")


def _blocker(observed: Observed, outcome: Outcome) -> Diagnosis | None:
    """What keeps Pods from being made at all."""
    if outcome.problem:
        return Diagnosis(outcome.problem.reason, outcome.problem.message)
    if observed.failure:
        return Diagnosis(observed.failure.reason, observed.failure.message)
    if outcome.cache and not outcome.cache.loaded:
        return Diagnosis(outcome.cache.reason, outcome.cache.message)
    return None


def _worst(outcome: Outcome) -> Diagnosis:
    """Of all replicas that are not ready, the one that somebody should look at first."""
    found = [diagnose(pod) for pod in (*outcome.failed, *outcome.kept) if not pod.ready]
    missing = outcome.replicas - len(outcome.kept)
    if not found and not outcome.created and outcome.draining:
        message = f"{_pods(outcome.draining)} finishing requests before a new one is made."
        return Diagnosis(Reason.DRAINING, message)
    if not found and not outcome.created and outcome.going:
        return Diagnosis(Reason.ROLLING_OUT, f"{_pods(outcome.going)} being deleted before new ones are made.")
    if not found:
        return Diagnosis(Reason.CREATING, f"{_pods(missing)} being created.")
    return min(found, key=lambda diagnosis: diagnosis.reason not in TROUBLE)


def _at_zero(model: Model) -> str:
    if model.spec.autoscaling_disabled:
        return "No replica is wanted: autoscaling is disabled and spec.replicas is 0."
    return "No replica is running; a request starts one."


def _pods(count: int) -> str:
    return "1 Pod is" if count == 1 else f"{max(count, 0)} Pods are"
