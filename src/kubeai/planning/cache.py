"""Weights on a shared filesystem: download once before the first server starts.

A Model is loaded when the claim's annotations say so (see `cache_records`). Its directory is its own, and goes with
it; or, where the profile says `retain`, it belongs to the source: Models of the same source share it, and one that is
made again finds its download.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kubeai.api.k8s.objects import Condition, Job, PersistentVolumeClaim
from kubeai.api.k8s.resources import JOBS, MODELS, PERSISTENT_VOLUME_CLAIMS
from kubeai.api.model import Model
from kubeai.config.system import System
from kubeai.planning.actions import Action, Create, Delete
from kubeai.planning.cache_objects import build_claim, build_load_job
from kubeai.planning.cache_records import is_cached_at, is_kept, removers, write_record
from kubeai.planning.diagnosis import diagnose
from kubeai.planning.names import cache_directory, load_job, shared_load_job
from kubeai.planning.observed import Observed
from kubeai.planning.profile import Resolved
from kubeai.planning.reasons import TROUBLE, Reason

#: A Job that has failed for good is kept this long for people to look at, then tried again; longer, the longer it has
#: been failing.
RETRY_S = 60.0
MAX_RETRY_S = 900.0
#: How often to look after another Model's download, whose end tells nobody if it is taken away.
LOOK_AGAIN_S = 5.0
#: A Job has its Pod within a moment, if it may have one.
PODLESS_S = 15.0
#: After this time of trying a Model that is being deleted goes without having removed its weights.
GIVE_UP_S = 1800.0
LOADED = "The weights are on the cache volume."


@dataclass(frozen=True, slots=True)
class CacheStep:
    """What to do now about the cache, and how far it is."""

    actions: tuple[Action, ...]
    loaded: bool
    reason: Reason
    message: str
    requeue_after_s: float | None = None


def plan_cache(observed: Observed, system: System, resolved: Resolved, now: datetime) -> CacheStep | None:
    """The step towards a loaded cache; None for a Model without one. Servers must wait until it says `loaded`."""
    model, claim = observed.model, observed.cache_claim
    if resolved.cache is None:
        return None
    retain = resolved.cache.retain
    if claim is None:
        create = Create(PERSISTENT_VOLUME_CLAIMS, build_claim(model, resolved.cache))
        return _load(observed, system, resolved, [create], now)
    if claim.terminating:
        message = f"PersistentVolumeClaim {claim.name} is being deleted."
        return CacheStep((), False, Reason.CACHE_LOAD_FAILED, message)
    if claim.status.phase == "Lost":
        message = f"PersistentVolumeClaim {claim.name} has lost its volume: delete the claim, and it is made anew."
        return CacheStep((), False, Reason.CACHE_LOAD_FAILED, message)
    if is_cached_at(model, claim, retain):
        return CacheStep(tuple(delete_job(own(observed.load_job, model))), True, Reason.CACHE_LOADED, LOADED)
    if retain and is_kept(model, claim):
        record = write_record(model, claim, retain, now)
        return CacheStep((record,), True, Reason.CACHE_LOADED, LOADED)
    if retain and (remover := _remover(model, claim, now)):
        message = f"Waiting until Model {remover}, which is being deleted, has removed its weights of the same source."
        return _loading([], message, LOOK_AGAIN_S)
    return _load(observed, system, resolved, [], now)


def _load(observed: Observed, system: System, resolved: Resolved, actions: list[Action], now: datetime) -> CacheStep:
    model, job, claim = observed.model, observed.load_job, observed.cache_claim
    retain = bool(resolved.cache and resolved.cache.retain)
    if job is not None and job.name != (shared_load_job(model) if retain else load_job(model.name)):
        # Its end says nothing of the directory that the profile names now.
        if own(job, model):
            message = "A download to where the profile put the weights before is stopped."
            return _loading([*actions, *delete_job(job)], message, LOOK_AGAIN_S)
        job = None
    if job is None:
        actions.append(Create(JOBS, build_load_job(model, system, resolved)))
        return _loading(actions, "The download of the weights into the cache begins.")
    if not _may_be_there(job, model):
        # Nobody tells of the end of a Job that is no Model's: its name does not say which Models want it.
        message = f"Job {job.name} exists and belongs to something else: remove or rename it."
        return CacheStep(tuple(actions), False, Reason.NAME_CONFLICT, message, RETRY_S)
    if job.controller_uid != model.uid or job.terminating:
        return _waiting(observed, job, actions, now)
    if condition_of(job, "Complete"):
        # The Job stays until the annotation is seen: without both, the download would seem never to have been.
        if claim is not None:
            actions.append(write_record(model, claim, retain, now))
        return _loading(actions, "The weights are on the cache volume; this is being recorded.")
    if failed := condition_of(job, "Failed"):
        retry_s = retry_in(failed, _pause_s(model, failed), now)
        actions += delete_job(job) if retry_s <= 0 else []
        message = f"The download into the cache failed: {failure_of(observed, failed)}"
        return CacheStep(tuple(actions), False, Reason.CACHE_LOAD_FAILED, message, max(0.1, retry_s))
    requeue_after_s = None if observed.job_pods else LOOK_AGAIN_S
    if trouble := _trouble(observed, now):
        return CacheStep(tuple(actions), False, Reason.CACHE_LOAD_FAILED, trouble, requeue_after_s)
    return _loading(actions, _progress(claim), requeue_after_s)


def _waiting(observed: Observed, job: Job, actions: list[Action], now: datetime) -> CacheStep:
    """For another Model's Job, or an earlier one's that goes. What it suffers from, this Model suffers from, too."""
    failed = condition_of(job, "Failed")
    failure = failure_of(observed, failed) if failed else _trouble(observed, now)
    if job.terminating or condition_of(job, "Complete") or not failure:
        return _loading(actions, f"Waiting for Job {job.name}, which is not this Model's own.", LOOK_AGAIN_S)
    message = f"The download into the cache, which Job {job.name} of another Model does for this one, failed: {failure}"
    return CacheStep(tuple(actions), False, Reason.CACHE_LOAD_FAILED, message, LOOK_AGAIN_S)


def _trouble(observed: Observed, now: datetime) -> str | None:
    """What keeps the Job's Pod from its work."""
    found = (diagnose(pod) for pod in observed.job_pods)
    return next((diagnosis.message for diagnosis in found if diagnosis.reason in TROUBLE), _podless(observed, now))


def _podless(observed: Observed, now: datetime) -> str | None:
    """A Job whose Pod may not be made looks like one that has just begun; the reason is in its Events only."""
    job = observed.load_job
    if job is None or observed.job_pods or condition_of(job, "Suspended"):
        return None
    if now - (job.metadata.creation_timestamp or now) < timedelta(seconds=PODLESS_S):
        return None
    return (
        f"Job {job.name} has no Pod. Its Events tell why (kubectl describe job {job.name}): a spent ResourceQuota, or "
        "a webhook or policy that refuses it."
    )


def _remover(model: Model, claim: PersistentVolumeClaim, now: datetime) -> str | None:
    """Who empties the directory just now; not who was taken away by force while doing so."""
    found = removers(model, claim, cache_directory(model, retain=True))
    return next((name for name, since in found if now - since <= timedelta(seconds=GIVE_UP_S)), None)


def _progress(claim: PersistentVolumeClaim | None) -> str:
    if claim is not None and claim.status.phase == "Pending":
        return f"The download waits for a volume: PersistentVolumeClaim {claim.name} is not bound yet."
    return "The weights are being downloaded into the cache."


def _loading(actions: list[Action], message: str, requeue_after_s: float | None = None) -> CacheStep:
    return CacheStep(tuple(actions), False, Reason.CACHE_LOADING, message, requeue_after_s)


def _pause_s(model: Model, failed: Condition) -> float:
    """As long as it has been failing already: so the pauses double, without anybody counting."""
    loading = model.condition("CacheLoaded")
    since = loading.last_transition_time if loading and loading.status == "False" else None
    until = failed.last_transition_time
    failing_s = (until - since).total_seconds() if since and until else 0.0
    return min(max(RETRY_S, failing_s), MAX_RETRY_S)


def own(job: Job | None, model: Model) -> Job | None:
    return job if job is not None and job.controller_uid == model.uid else None


def _may_be_there(job: Job, model: Model) -> bool:
    """An earlier Model of the name takes its Job along, and one of the same source may download for all; anybody
    else's Job stays until somebody removes it."""
    owner = next((owner for owner in job.metadata.owner_references or () if owner.controller), None)
    shared = job.name == shared_load_job(model)
    return owner is not None and owner.kind == MODELS.kind and (shared or owner.name == model.name)


def delete_job(job: Job | None) -> list[Action]:
    """With its Pods: they hold the volume."""
    return [Delete.of(JOBS, job, "Foreground")] if job is not None and not job.terminating else []


def condition_of(job: Job, type: str) -> Condition | None:
    return next((c for c in job.status.conditions or () if c.type == type and c.status == "True"), None)


def retry_in(failed: Condition, pause_s: float, now: datetime) -> float:
    since = failed.last_transition_time or now
    return (since + timedelta(seconds=pause_s) - now).total_seconds()


def failure_of(observed: Observed, failed: Condition) -> str:
    """The Pod's own words where it left some; the Job's condition only counts attempts."""
    words = [found.message for pod in observed.job_pods if (found := diagnose(pod)).reason in TROUBLE]
    return words[-1] if words else failed.message or failed.reason or "the Job gave up"
