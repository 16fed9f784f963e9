"""The last steps of a Model with a cache: its download stops, its weights are removed, and it may go.

Nothing may hold a Model for ever (fault C3): where there is nothing to remove it goes at once, and where removing does
not succeed in half an hour it goes all the same and says what it leaves behind.

A directory that Models share is removed in two steps. First the claim stops to call it complete, so that no new Model
takes it for its own while it is being emptied; the Job follows when that is seen, and nobody has come meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from kubeai.api.k8s.objects import PersistentVolumeClaim
from kubeai.api.k8s.resources import JOBS
from kubeai.api.model import CACHE_FINALIZER, EVICT_CACHE_ANNOTATION, Model
from kubeai.config.system import System
from kubeai.planning.actions import Action, Create, Patch
from kubeai.planning.cache import (
    GIVE_UP_S,
    LOOK_AGAIN_S,
    RETRY_S,
    CacheStep,
    condition_of,
    delete_job,
    failure_of,
    own,
    retry_in,
)
from kubeai.planning.cache_objects import build_evict_job
from kubeai.planning.cache_records import (
    is_cached,
    is_kept,
    is_shared,
    record_of,
    remove_record,
    write_removal,
)
from kubeai.planning.errors import PlanningError
from kubeai.planning.names import cache_directory, shared_load_job
from kubeai.planning.observed import Observed
from kubeai.planning.profile import Resolved, resolve
from kubeai.planning.reasons import Reason


def plan_eviction(observed: Observed, system: System, now: datetime) -> CacheStep | None:
    """The step of a terminating Model towards an empty directory; None when nothing holds the Model back."""
    model, claim = observed.model, observed.cache_claim
    if CACHE_FINALIZER not in (model.metadata.finalizers or ()):
        return None
    stopping = delete_job(own(observed.load_job, model))
    release = (*stopping, *delete_job(own(observed.evict_job, model)), _release(model))
    if claim is None or _holds_nothing(model, claim):
        return _evicting(release, "There is nothing to remove from the cache.")
    if own(observed.load_job, model):  # another Model's may fill a directory that they share
        return _evicting(tuple(stopping), "Waiting for the download to stop.")
    resolved = _if_resolved(model, system)
    directories = _directories(observed, claim, resolved)
    if not directories:
        return _evicting((remove_record(model, claim), *release), "The weights stay on the cache volume.")
    job = own(observed.evict_job, model)
    if job is not None and condition_of(job, "Complete"):
        return _evicting(
            (remove_record(model, claim, _shared_of(model, directories)), *release),
            "The weights are removed from the cache.",
        )
    if _gives_up(model, now):
        message = f"The weights could not be removed: {' and '.join(directories)} is left on volume claim {claim.name}."
        return CacheStep((remove_record(model, claim), *release), False, Reason.CACHE_EVICTION_FAILED, message)
    if (shared := _shared_of(model, directories)) and not _is_announced(model, claim):
        return _evicting((write_removal(model, claim, shared, now),), "The weights will be removed.", LOOK_AGAIN_S)
    return _remove(observed, system, resolved, directories, now)


def _is_announced(model: Model, claim: PersistentVolumeClaim) -> bool:
    """Whether everybody can see that the directory is being removed."""
    record = record_of(model, claim)
    return bool(record and record.removing) and not is_kept(model, claim)


def _remove(
    observed: Observed, system: System, resolved: Resolved | None, directories: Sequence[str], now: datetime
) -> CacheStep:
    job = observed.evict_job
    if job is None:
        create = Create(JOBS, build_evict_job(observed.model, system, resolved, *directories))
        return _evicting((create,), "The weights are being removed.", RETRY_S)
    if job.controller_uid != observed.model.uid:
        message = f"Job {job.name} exists and belongs to something else: remove it, so that the weights can be removed."
        return CacheStep((), False, Reason.NAME_CONFLICT, message, RETRY_S)
    if failed := condition_of(job, "Failed"):
        retry_s = retry_in(failed, RETRY_S, now)
        message = f"The weights could not be removed from the cache: {failure_of(observed, failed)}"
        actions = tuple(delete_job(job)) if retry_s <= 0 else ()
        return CacheStep(actions, False, Reason.CACHE_EVICTION_FAILED, message, max(0.1, retry_s))
    return _evicting((), "The weights are being removed from the cache.", RETRY_S)


def _directories(observed: Observed, claim: PersistentVolumeClaim, resolved: Resolved | None) -> tuple[str, ...]:
    """What is to be removed. Nothing where the weights are kept for others or for a Model to come."""
    model = observed.model
    record = record_of(model, claim)
    # What was recorded counts, whatever the profile says by now. Without a record there are the remains of a download.
    retain = bool(resolved and resolved.cache and resolved.cache.retain)
    shared = record.shared if record else (cache_directory(model, retain) if retain else None)
    own = cache_directory(model, retain=False)
    if shared is None:
        return (own,)
    left = (own,) if record and record.left_own else ()
    wanted = model.annotations.get(EVICT_CACHE_ANNOTATION) == "true"
    goes = wanted and not _is_filled(observed) and not is_shared(model, claim, shared)
    return (*left, shared) if goes else left


def _is_filled(observed: Observed) -> bool:
    """Whether another Model downloads into the shared directory."""
    job = observed.load_job
    return job is not None and not job.terminating and job.name == shared_load_job(observed.model)


def _shared_of(model: Model, directories: Sequence[str]) -> str | None:
    return next((each for each in directories if each != cache_directory(model, retain=False)), None)


def _holds_nothing(model: Model, claim: PersistentVolumeClaim) -> bool:
    """The volume is gone, is going with all that is on it, or never was."""
    return (
        claim.terminating
        or claim.status.phase == "Lost"
        or (claim.status.phase == "Pending" and not is_cached(model, claim))
    )


def _release(model: Model) -> Patch:
    remaining = [name for name in model.metadata.finalizers or () if name != CACHE_FINALIZER]
    return Patch.of_model(model, {"metadata": {"finalizers": remaining}})


def _gives_up(model: Model, now: datetime) -> bool:
    since = model.metadata.deletion_timestamp
    return since is not None and now - since > timedelta(seconds=GIVE_UP_S)


def _if_resolved(model: Model, system: System) -> Resolved | None:
    try:
        return resolve(model, system)
    except PlanningError:
        return None


def _evicting(actions: tuple[Action, ...], message: str, requeue_after_s: float | None = None) -> CacheStep:
    return CacheStep(actions, False, Reason.TERMINATING, message, requeue_after_s)
