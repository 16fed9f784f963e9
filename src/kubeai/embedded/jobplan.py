"""What a Job needs next: a pure decision over the Job and its Pods.

Names of Pods follow from the Job's uid and a count, so that planning twice over the same (perhaps stale) view names the
same Pods, and a Pod that is there already is simply done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Any

from msgspec import field

from kubeai.api.k8s.names import random_suffix
from kubeai.api.k8s.objects import Object, Pod
from kubeai.embedded.admission.jobs import JOB_NAME

JSONObject = dict[str, Any]

_FIRST_BACKOFF_S = 10.0
_LAST_BACKOFF_S = 600.0


class Job(Object, frozen=True):
    """A Job with its spec and status as they are."""

    spec: JSONObject = field(default_factory=dict)
    status: JSONObject = field(default_factory=dict)

    def condition(self, type: str) -> JSONObject | None:
        conditions = self.status.get("conditions") or ()
        return next((c for c in conditions if c.get("type") == type and c.get("status") == "True"), None)


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to do for a Job: Pods to create and to delete, the status to write (None: as it is), whether it goes."""

    create: tuple[JSONObject, ...] = ()
    delete: tuple[Pod, ...] = ()
    status: JSONObject | None = None
    remove: bool = False
    requeue_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Counts:
    """The Pods of a Job by what became of them."""

    active: tuple[Pod, ...]
    failed: tuple[Pod, ...]
    terminating: int
    succeeded_count: int
    failed_count: int


def _counts(job: Job, pods: Sequence[Pod]) -> _Counts:
    ended = {phase: tuple(p for p in pods if p.status.phase == phase) for phase in ("Succeeded", "Failed")}
    alive = [pod for pod in pods if not pod.finished]
    return _Counts(
        active=tuple(pod for pod in alive if not pod.terminating),
        failed=ended["Failed"],
        terminating=sum(pod.terminating for pod in alive),
        # What was counted stays counted, even if somebody deletes the Pod.
        succeeded_count=max(job.status.get("succeeded", 0), len(ended["Succeeded"])),
        failed_count=max(job.status.get("failed", 0), len(ended["Failed"])),
    )


def plan_job(job: Job, pods: Sequence[Pod], now: datetime) -> JobPlan:
    if job.terminating:
        return JobPlan()
    counts = _counts(job, pods)
    for type in ("Complete", "Failed"):
        if (condition := job.condition(type)) is not None:
            return _plan_finished(job, counts, condition, now)
    if failure := _failure(job, counts, now):
        return _finished(job, counts, "Failed", *failure, now)
    if _is_complete(job, counts):
        return _finished(
            job, counts, "Complete", "CompletionsReached", "Reached expected number of succeeded pods", now
        )
    return _plan_running(job, pods, counts, now)


def _plan_finished(job: Job, counts: _Counts, condition: JSONObject, now: datetime) -> JobPlan:
    """All is done, but Pods may be left to stop, and the Job may have a time to live."""
    ttl_s = job.spec.get("ttlSecondsAfterFinished")
    if ttl_s is None:
        return JobPlan(delete=counts.active)
    left_s = (_time(condition["lastTransitionTime"]) + timedelta(seconds=ttl_s) - now).total_seconds()
    if left_s <= 0:
        return JobPlan(remove=True)
    return JobPlan(delete=counts.active, requeue_after_s=left_s)


def _failure(job: Job, counts: _Counts, now: datetime) -> tuple[str, str] | None:
    """Reason and message, if the Job has failed."""
    deadline_s = job.spec.get("activeDeadlineSeconds")
    if deadline_s is not None and _age_s(job, now) >= deadline_s:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    limit = job.spec["backoffLimit"]
    restarts = _restarts(job, counts)
    if counts.failed_count > limit or (restarts and restarts >= limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    return None


def _age_s(job: Job, now: datetime) -> float:
    started = job.status.get("startTime")
    return (now - _time(started)).total_seconds() if started else 0.0


def _restarts(job: Job, counts: _Counts) -> int:
    """With OnFailure a Pod's containers are started again in place: then those are the failures."""
    if job.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return 0
    statuses = [s for p in counts.active for s in p.status.container_statuses or ()]
    statuses += [s for p in counts.active for s in p.status.init_container_statuses or ()]
    return sum(status.restart_count or 0 for status in statuses)


def _is_complete(job: Job, counts: _Counts) -> bool:
    wanted = job.spec.get("completions")
    if wanted is None:
        # A work queue: one success means that the work is done; the others just have to end.
        return counts.succeeded_count > 0 and not counts.active
    return bool(counts.succeeded_count >= wanted)


def _finished(job: Job, counts: _Counts, type: str, reason: str, message: str, now: datetime) -> JobPlan:
    status = _status(job, counts, now) | {"active": 0, "ready": 0}
    status["terminating"] = counts.terminating + len(counts.active)
    before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[type]
    others = [c for c in status.get("conditions", ()) if c["type"] not in (before, type)]
    status["conditions"] = [*others, *(_condition(t, "True", reason, message, now) for t in (before, type))]
    if type == "Complete":
        status["completionTime"] = _stamp(now)
    return JobPlan(delete=counts.active, status=status)


def _plan_running(job: Job, pods: Sequence[Pod], counts: _Counts, now: datetime) -> JobPlan:
    status = _status(job, counts, now)
    changed = status if status != job.status else None
    missing = _wanted(job, counts) - len(counts.active)
    if missing <= 0:
        surplus = sorted(counts.active, key=_stop_first)[:-missing] if missing else []
        return JobPlan(delete=tuple(surplus), status=changed, requeue_after_s=_deadline_left_s(job, now))
    left_s, wait_s = _deadline_left_s(job, now), _backoff_left_s(counts, now)
    if wait_s > 0:
        return JobPlan(status=changed, requeue_after_s=wait_s if left_s is None else min(wait_s, left_s))
    return JobPlan(_new_pods(job, pods, counts, missing), status=changed, requeue_after_s=left_s)


def _wanted(job: Job, counts: _Counts) -> int:
    """How many Pods should be active."""
    if job.spec.get("suspend"):
        return 0
    parallelism: int = job.spec["parallelism"]
    completions: int | None = job.spec.get("completions")
    if completions is None:
        return len(counts.active) if counts.succeeded_count else parallelism
    return min(parallelism, completions - counts.succeeded_count)


def _stop_first(pod: Pod) -> tuple[bool, bool, float]:
    """Those that have done least: not ready, not scheduled, youngest."""
    created = pod.metadata.creation_timestamp
    return pod.ready, pod.scheduled, -(created.timestamp() if created else 0.0)


def _deadline_left_s(job: Job, now: datetime) -> float | None:
    deadline_s = job.spec.get("activeDeadlineSeconds")
    return None if deadline_s is None else max(deadline_s - _age_s(job, now), 0.0)


def _backoff_left_s(counts: _Counts, now: datetime) -> float:
    """How long to wait before trying again: 10 s after a failure, then twice as long each time."""
    ended = [end for pod in counts.failed if (end := _ended_at(pod)) is not None]
    if not ended:
        return 0.0
    delay_s = min(_FIRST_BACKOFF_S * 2 ** min(counts.failed_count - 1, 16), _LAST_BACKOFF_S)
    return (max(ended) + timedelta(seconds=delay_s) - now).total_seconds()


def _ended_at(pod: Pod) -> datetime | None:
    states = [s.state.terminated for s in pod.status.container_statuses or () if s.state and s.state.terminated]
    return max((s.finished_at for s in states if s.finished_at), default=pod.metadata.creation_timestamp)


def _new_pods(job: Job, pods: Sequence[Pod], counts: _Counts, number: int) -> tuple[JSONObject, ...]:
    taken = {pod.name for pod in pods}
    made = counts.succeeded_count + counts.failed_count + len(counts.active) + counts.terminating
    names = (name for n in count(made) if (name := _pod_name(job, n)) not in taken)
    return tuple(_pod(job, name) for name in islice(names, number))


def _pod_name(job: Job, ordinal: int) -> str:
    return f"{job.name}-{random_suffix(hashlib.sha256(f'{job.uid}/{ordinal}'.encode()).digest())}"


def _pod(job: Job, name: str) -> JSONObject:
    template = job.spec["template"]
    metadata = template.get("metadata") or {}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": job.uid}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": job.namespace,
            "labels": {JOB_NAME: job.name} | (metadata.get("labels") or {}),
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": template["spec"],
    }


def _status(job: Job, counts: _Counts, now: datetime) -> JSONObject:
    status = dict(job.status)
    status |= {"active": len(counts.active), "ready": sum(pod.ready for pod in counts.active)}
    status |= {"succeeded": counts.succeeded_count, "failed": counts.failed_count, "terminating": counts.terminating}
    suspended = bool(job.spec.get("suspend"))
    if suspended:
        status.pop("startTime", None)
    else:
        status.setdefault("startTime", _stamp(now))
    if suspended != (job.condition("Suspended") is not None):
        word = ("True", "JobSuspended", "Job suspended") if suspended else ("False", "JobResumed", "Job resumed")
        others = [c for c in status.get("conditions") or () if c["type"] != "Suspended"]
        status["conditions"] = [*others, _condition("Suspended", *word, now)]
    return status


def _condition(type: str, status: str, reason: str, message: str, now: datetime) -> JSONObject:
    times = {"lastProbeTime": _stamp(now), "lastTransitionTime": _stamp(now)}
    return {"type": type, "status": status, "reason": reason, "message": message} | times


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
