"""The cache on a shared filesystem: loaded once before the first server, removed with the Model."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kubeai.api.k8s.objects import Job, PersistentVolumeClaim
from kubeai.api.k8s.resources import JOBS, PERSISTENT_VOLUME_CLAIMS
from kubeai.api.model import CACHE_FINALIZER, Model
from kubeai.config.system import System
from kubeai.planning.actions import Create, Delete, Patch, Plan
from kubeai.planning.cache_objects import build_claim, build_evict_job, build_load_job
from kubeai.planning.observed import Observed
from kubeai.planning.plan import plan_model
from kubeai.planning.profile import resolve
from tests.builders import NOW, model, pod, system

SECTIONS: dict[str, Any] = {
    "cacheProfiles": {
        "fast": {"sharedFilesystem": {"storageClassName": "rwx"}},
        "kept": {"sharedFilesystem": {"storageClassName": "rwx"}, "retain": True},
    },
    "modelServerPods": {"serviceAccountName": "models", "imagePullSecrets": [{"name": "pull"}]},
    "resourceProfiles": {"cpu": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "t"}]}},
}
SYSTEM = system(**SECTIONS)
LABELS = {"features.kubeai.org/TextGeneration": "true"}
ANNOTATION = "models.kubeai.org/m"
OWN = "/models/m-uid-of-m"


def cached(**metadata: Any) -> Model:
    metadata = {"labels": LABELS, "finalizers": [CACHE_FINALIZER]} | metadata
    return model(replicas=1, cacheProfile="fast", resourceProfile="cpu:1", metadata=metadata)


GOING = cached(deletionTimestamp=NOW.isoformat())


def claim(uid: str | None = None, phase: str = "Bound", **metadata: Any) -> PersistentVolumeClaim:
    annotations = {ANNOTATION: json.dumps({"uid": uid})} if uid else {}
    metadata = {"name": "shared-model-cache-fast", "namespace": "default", "annotations": annotations} | metadata
    return msgspec.convert({"metadata": metadata, "status": {"phase": phase}}, PersistentVolumeClaim)


def job(name: str, *, done: str = "", ago_s: float = 0, owner: str = "uid-of-m", **metadata: Any) -> Job:
    when = (NOW - timedelta(seconds=ago_s)).isoformat()
    conditions = [{"type": done, "status": "True", "lastTransitionTime": when, "message": "gave up"}] if done else []
    owners = [{"kind": "Model", "name": "m", "uid": owner, "controller": True}]
    metadata = {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "ownerReferences": owners} | metadata
    return msgspec.convert({"metadata": metadata, "status": {"conditions": conditions}}, Job)


def plan(m: Model, **observed: Any) -> Plan:
    return plan_model(Observed(m, **observed), SYSTEM, NOW)


def kinds(p: Plan) -> list[str]:
    return [f"{type(action).__name__} {action.resource.kind}" for action in p.actions]


def loaded(p: Plan) -> tuple[str, str, str, bool]:
    status = p.status or {}
    found = next(c for c in status["conditions"] if c["type"] == "CacheLoaded")
    return found["status"], found["reason"], found["message"], status["cache"]["loaded"]


def test_first_come_the_finalizer_the_claim_and_the_job_and_no_server_yet() -> None:
    result = plan(cached(finalizers=None))
    patch, *creates = result.actions
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["finalizers"] == [CACHE_FINALIZER]
    assert [action.name for action in creates] == ["shared-model-cache-fast", "load-cache-m"]
    assert loaded(result)[:2] == ("False", "CacheLoading")


def test_while_the_job_runs_nothing_is_done() -> None:
    result = plan(cached(), cache_claim=claim(), load_job=job("load-cache-m"))
    assert result.actions == ()
    assert loaded(result)[1] == "CacheLoading"


def test_a_finished_job_is_recorded_on_the_claim() -> None:
    # fault C3: also when the operator was down while it finished.
    result = plan(cached(), cache_claim=claim("older"), load_job=job("load-cache-m", done="Complete", ago_s=3600))
    (patch,) = result.actions
    assert isinstance(patch, Patch)
    record = json.loads(patch.patch["metadata"]["annotations"][ANNOTATION])
    assert record == {"uid": "uid-of-m", "timestamp": "2026-01-02T03:04:05Z"}


def test_once_the_record_is_seen_the_job_goes_and_the_servers_come() -> None:
    result = plan(cached(), cache_claim=claim("uid-of-m"), load_job=job("load-cache-m", done="Complete"))
    assert result.actions[0] == Delete(JOBS, "default", "load-cache-m", "uid-of-load-cache-m", "Foreground")
    assert kinds(result)[1:] == ["Create Pod"]
    assert loaded(result) == ("True", "CacheLoaded", "The weights are on the cache volume.", True)


@pytest.mark.parametrize("value", ["nonsense", "[]", "null", '{"uid":"of an earlier Model"}'])
def test_a_record_of_somebody_else_does_not_count(value: str) -> None:
    result = plan(cached(), cache_claim=claim(annotations={ANNOTATION: value}))
    assert kinds(result) == ["Create Job"]


def test_a_running_download_that_dies_says_why() -> None:
    died = {"name": "loader", "state": {"terminated": {"exitCode": 1, "message": "401 from the hub"}}}
    worker = pod("w", ready=False, status={"containerStatuses": [died]})
    result = plan(cached(), cache_claim=claim(), load_job=job("load-cache-m"), job_pods=(worker,))
    assert loaded(result)[:2] == ("False", "CacheLoadFailed")
    assert "401 from the hub" in loaded(result)[2]
    assert any(event.type == "Warning" for event in result.events)


@pytest.mark.parametrize(
    ("age_s", "found", "reason"),
    [
        pytest.param(14, {}, "CacheLoading", id="a moment ago"),
        pytest.param(16, {}, "CacheLoadFailed", id="for a while"),
        pytest.param(16, {"job_pods": (pod("w", ready=False),)}, "CacheLoading", id="and has a Pod"),
        pytest.param(16, {"load_job": "Suspended"}, "CacheLoading", id="by somebody's will"),
    ],
)
def test_a_job_without_a_pod_says_so_after_a_while(age_s: float, found: dict[str, Any], reason: str) -> None:
    created = (NOW - timedelta(seconds=age_s)).isoformat()
    loading = job("load-cache-m", done=found.pop("load_job", ""), creationTimestamp=created)
    result = plan(cached(), cache_claim=claim(), load_job=loading, **found)
    assert (loaded(result)[1], result.requeue_after_s) == (reason, None if found else 5.0)
    assert ("kubectl describe job load-cache-m" in loaded(result)[2]) == (reason == "CacheLoadFailed")


def test_a_failed_job_is_kept_to_be_looked_at_then_tried_again() -> None:
    young = plan(cached(), cache_claim=claim(), load_job=job("load-cache-m", done="Failed", ago_s=20))
    assert (young.actions, young.requeue_after_s) == ((), 40)
    assert loaded(young)[2] == "The download into the cache failed: gave up"
    old = plan(cached(), cache_claim=claim(), load_job=job("load-cache-m", done="Failed", ago_s=61))
    assert kinds(old) == ["Delete Job"]


@pytest.mark.parametrize(("failing_s", "pause_s"), [(10, 60), (300, 300), (7200, 900)])
def test_the_longer_it_has_been_failing_the_longer_it_waits(failing_s: int, pause_s: int) -> None:
    since = (NOW - timedelta(seconds=failing_s)).isoformat()
    condition = {"type": "CacheLoaded", "status": "False", "reason": "CacheLoading", "lastTransitionTime": since}
    m = Model.model_validate(cached().model_dump(by_alias=True) | {"status": {"conditions": [condition]}})
    assert plan(m, cache_claim=claim(), load_job=job("load-cache-m", done="Failed")).requeue_after_s == pause_s


def test_a_volume_that_is_not_there_yet_or_no_more_is_named() -> None:
    pending = plan(cached(), cache_claim=claim(phase="Pending"), load_job=job("load-cache-m"))
    assert "is not bound yet" in loaded(pending)[2]
    lost = plan(cached(), cache_claim=claim(phase="Lost"))
    assert (lost.actions, loaded(lost)[1]) == ((), "CacheLoadFailed")


def test_a_finished_download_waits_for_an_operator_that_was_down() -> None:
    # fault C3: nobody else takes the Job away.
    m = cached()
    assert "ttlSecondsAfterFinished" not in build_load_job(m, SYSTEM, resolve(m, SYSTEM))["spec"]


def test_the_job_of_an_earlier_model_of_this_name_is_waited_for() -> None:
    result = plan(cached(), cache_claim=claim(), load_job=job("load-cache-m", owner="somebody"))
    assert result.actions == ()
    assert "which is not this Model's own" in loaded(result)[2]
    assert result.requeue_after_s == 5


def test_a_claim_that_is_going_is_a_failure() -> None:
    result = plan(cached(), cache_claim=claim(deletionTimestamp=NOW.isoformat()))
    assert (result.actions, loaded(result)[1]) == ((), "CacheLoadFailed")


def test_without_its_profile_a_model_does_not_pretend_to_be_cached() -> None:
    m = cached()
    unknown = plan_model(Observed(m), system(), NOW)
    assert loaded(unknown)[:2] == ("False", "UnknownCacheProfile")
    there = plan_model(Observed(m, cache_claim=claim("uid-of-m")), system(), NOW)
    assert loaded(there) == ("True", "CacheLoaded", "The weights are on the cache volume.", True)


def test_servers_that_run_already_stay_when_the_record_is_lost() -> None:
    m = cached()
    result = plan(m, pods=(pod(of=m),), cache_claim=claim(), load_job=job("load-cache-m"))
    assert result.actions == ()


# Deletion.

RELEASE = Patch.of_model(GOING, {"metadata": {"finalizers": []}})


def test_a_deleted_model_stops_its_download_then_evicts_then_goes() -> None:
    stopping = plan(GOING, cache_claim=claim(), load_job=job("load-cache-m"))
    assert kinds(stopping) == ["Delete Job"]
    evicting = plan(GOING, cache_claim=claim())
    assert [action.name for action in evicting.actions] == ["evict-cache-m"]
    waiting = plan(GOING, cache_claim=claim(), evict_job=job("evict-cache-m"))
    assert waiting.actions == ()
    released = plan(GOING, cache_claim=claim("uid-of-m"), evict_job=job("evict-cache-m", done="Complete"))
    assert released.actions == (
        Patch(
            PERSISTENT_VOLUME_CLAIMS,
            "default",
            "shared-model-cache-fast",
            {"metadata": {"annotations": {ANNOTATION: None}}},
        ),
        Delete(JOBS, "default", "evict-cache-m", "uid-of-evict-cache-m", "Foreground"),
        RELEASE,
    )


NOTHING_TO_EVICT = {
    "the claim is gone": None,
    "the claim is going": claim("uid-of-m", deletionTimestamp=NOW.isoformat()),
    # fault C3
    "the claim was never bound": claim(phase="Pending"),
    "the volume is lost": claim("uid-of-m", phase="Lost"),
}


@pytest.mark.parametrize("found", NOTHING_TO_EVICT.values(), ids=NOTHING_TO_EVICT.keys())
def test_a_deleted_model_goes_at_once_when(found: PersistentVolumeClaim | None) -> None:
    result = plan(GOING, cache_claim=found, load_job=job("load-cache-m"))
    assert kinds(result) == ["Delete Job", "Patch Model"]
    assert result.actions[-1] == RELEASE


def test_an_eviction_that_fails_says_so_and_is_tried_again() -> None:
    result = plan(GOING, cache_claim=claim(), evict_job=job("evict-cache-m", done="Failed"))
    ready = next(c for c in (result.status or {})["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], result.requeue_after_s) == ("CacheEvictionFailed", 60)


def test_an_eviction_that_never_ends_lets_the_model_go_and_says_what_is_left() -> None:  # fault C3
    long_gone = cached(deletionTimestamp=(NOW - timedelta(minutes=31)).isoformat())
    result = plan(long_gone, cache_claim=claim("uid-of-m"), evict_job=job("evict-cache-m"))
    assert kinds(result) == ["Patch PersistentVolumeClaim", "Delete Job", "Patch Model"]
    (event,) = (event for event in result.events if event.reason == "CacheEvictionFailed")
    assert event.message == f"The weights could not be removed: {OWN} is left on volume claim shared-model-cache-fast."


def test_a_model_whose_profile_was_edited_away_can_still_be_deleted() -> None:
    result = plan_model(Observed(GOING, cache_claim=claim("uid-of-m")), system(), NOW)
    assert [action.name for action in result.actions] == ["evict-cache-m"]


# The objects.


def test_the_claim_is_shared_and_has_no_owner() -> None:
    profile = SYSTEM.cache_profiles["fast"]
    built = build_claim(cached(), profile)
    assert "ownerReferences" not in built["metadata"]
    assert built["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "rwx",
        "resources": {"requests": {"storage": "10Gi"}},
    }


def test_a_claim_for_a_volume_names_it_and_no_class() -> None:
    profiles = system(cacheProfiles={"v": {"sharedFilesystem": {"persistentVolumeName": "disk"}}}).cache_profiles
    spec = build_claim(cached(), profiles["v"])["spec"]
    assert (spec["storageClassName"], spec["volumeName"]) == ("", "disk")


def test_the_claim_is_as_the_profile_says() -> None:
    # fault C1
    own = {
        "storageClassName": "ebs",
        "size": "500Gi",
        "accessModes": ["ReadWriteOnce"],
        "annotations": {"backup": "no"},
    }
    built = build_claim(cached(), system(cacheProfiles={"v": {"sharedFilesystem": own}}).cache_profiles["v"])
    assert built["metadata"]["annotations"] == {"backup": "no"}
    assert built["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "ebs",
        "resources": {"requests": {"storage": "500Gi"}},
    }


def jobs_of(configured: System) -> list[dict[str, Any]]:
    m = cached()
    resolved = resolve(m, configured)
    return [build_load_job(m, configured, resolved), build_evict_job(m, configured, resolved, OWN)]


def test_jobs_have_settings_of_their_own() -> None:
    # fault C2
    own = {
        "resources": {"limits": {"memory": "1Gi"}},
        "serviceAccountName": "loaders",
        "nodeSelector": {"pool": "cheap"},
        "tolerations": [{"key": "spot"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "low",
        "jsonPatches": [{"op": "add", "path": "/metadata/labels/mesh", "value": "off"}],
    }
    for job in jobs_of(system(**SECTIONS | {"modelLoading": own})):
        template = job["spec"]["template"]
        assert template["metadata"]["labels"] == {"mesh": "off"}
        spec = template["spec"]
        keys = ("serviceAccountName", "nodeSelector", "tolerations", "affinity", "priorityClassName")
        assert {key: spec[key] for key in keys} == {key: own[key] for key in keys}
        assert spec["containers"][0]["resources"] == own["resources"]


def test_a_patch_that_does_not_fit_stops_the_download_but_never_the_deletion() -> None:
    wrong = system(**SECTIONS | {"modelLoading": {"jsonPatches": [{"op": "remove", "path": "/spec/none"}]}})
    loading = plan_model(Observed(cached(), cache_claim=claim()), wrong, NOW)
    assert loaded(loading)[1] == "InvalidPatch"
    assert "modelLoading.jsonPatches" in loaded(loading)[2]
    going = plan_model(Observed(GOING, cache_claim=claim("uid-of-m")), wrong, NOW)
    assert kinds(going) == ["Create Job"]


@pytest.mark.parametrize("kind", ["load", "evict"])
def test_jobs_run_where_the_servers_run(kind: str) -> None:
    # fault C2
    m = cached()
    resolved = resolve(m, SYSTEM)
    job = build_load_job(m, SYSTEM, resolved) if kind == "load" else build_evict_job(m, SYSTEM, resolved, OWN)
    spec = job["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "models"
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "t"}]


def test_jobs_run_where_the_model_itself_says() -> None:
    own = {"nodeSelector": {"zone": "b"}, "tolerations": [{"key": "spot"}]}
    m = model(replicas=1, cacheProfile="fast", resourceProfile="cpu:1", pods=own)
    spec = build_load_job(m, SYSTEM, resolve(m, SYSTEM))["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"disk": "ssd", "zone": "b"}
    assert spec["tolerations"] == [{"key": "t"}, {"key": "spot"}]


def test_the_evictor_needs_no_shell() -> None:
    # fault O8
    (container,) = build_evict_job(cached(), SYSTEM, None, OWN)["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["rm", "-rf", "/models/m-uid-of-m"]
    assert container["volumeMounts"] == [{"name": "model", "mountPath": "/models", "subPath": "models"}]


def test_the_loader_has_the_models_env() -> None:
    m = cached().model_copy(update={"spec": cached().spec.model_copy(update={"env": {"HTTPS_PROXY": "p"}})})
    create = plan(m).actions[-1]
    assert isinstance(create, Create)
    (container,) = create.object["spec"]["template"]["spec"]["containers"]
    assert [env["name"] for env in container["env"]] == ["HTTPS_PROXY", "HF_TOKEN"]
