"""A cache that keeps weights: they belong to their source, and Models of the same source share them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from kubeai.api.k8s.objects import PersistentVolumeClaim
from kubeai.api.model import CACHE_FINALIZER, Model
from kubeai.planning.actions import Create, Patch, Plan
from kubeai.planning.names import cache_directory, load_job, shared_load_job
from kubeai.planning.observed import Observed
from kubeai.planning.plan import plan_model
from tests.builders import NOW, model
from tests.unit.planning.test_cache import SYSTEM, claim, job, kinds, loaded


def kept(name: str = "m", uid: str = "", going: bool = False, profile: str = "kept", **more: Any) -> Model:
    metadata = {
        "labels": {"features.kubeai.org/TextGeneration": "true"},
        "finalizers": [CACHE_FINALIZER],
        "uid": uid or f"uid-of-{name}",
        "annotations": more.pop("annotations", {}),
    }
    if going:
        metadata["deletionTimestamp"] = NOW.isoformat()
    return model(name, replicas=1, cacheProfile=profile, metadata=metadata, **more)


M = kept()
DIRECTORY = cache_directory(M, retain=True)
SOURCE = f"sources.kubeai.org/{DIRECTORY.removeprefix('/models/')}"


def record(of: Model, directory: str | None = DIRECTORY) -> dict[str, str]:
    value = {"uid": of.uid} | ({"directory": directory} if directory else {})
    return {f"models.kubeai.org/{of.name}": json.dumps(value)}


def on_volume(*records: dict[str, str], source: bool = True) -> Any:
    annotations = {SOURCE: "{}"} if source else {}
    for found in records:
        annotations |= found
    return claim(annotations=annotations, name="shared-model-cache-kept")


def plan(m: Model, **observed: Any) -> Plan:
    return plan_model(Observed(m, **observed), SYSTEM, NOW)


def annotations_of(p: Plan) -> dict[str, Any]:
    (patch,) = (a for a in p.actions if isinstance(a, Patch) and a.resource.kind == "PersistentVolumeClaim")
    texts = patch.patch["metadata"]["annotations"]
    return {key: json.loads(text) if text else None for key, text in texts.items()}


def test_the_directory_is_named_after_the_source_and_nothing_else() -> None:
    assert DIRECTORY.startswith("/models/hf-org-name-")
    assert cache_directory(kept("other"), retain=True) == DIRECTORY
    for other in (kept(url="hf://org/other"), kept(url="hf://org/name?revision=x"), kept(env={"HF_ENDPOINT": "x"})):
        assert cache_directory(other, retain=True) != DIRECTORY


def test_the_first_model_of_a_source_downloads_for_all() -> None:
    result = plan(M, cache_claim=on_volume(source=False))
    (create,) = result.actions
    assert isinstance(create, Create)
    assert create.name == shared_load_job(M) == shared_load_job(kept("other"))
    (loader,) = create.object["spec"]["template"]["spec"]["containers"]
    assert loader["args"] == ["hf://org/name", DIRECTORY]
    done = plan(M, cache_claim=on_volume(source=False), load_job=job(create.name, done="Complete"))
    written = annotations_of(done)
    assert written["models.kubeai.org/m"]["directory"] == DIRECTORY
    assert written[SOURCE]["url"] == "hf://org/name"


def test_a_second_model_waits_for_the_same_download() -> None:
    second = kept("second")
    result = plan(second, cache_claim=on_volume(source=False), load_job=job(shared_load_job(M)))
    assert (result.actions, result.requeue_after_s) == ((), 5)
    assert loaded(result)[1] == "CacheLoading"


def test_a_second_model_says_why_the_download_that_it_waits_for_has_failed() -> None:
    theirs = job(shared_load_job(M), done="Failed")
    result = plan(kept("second"), cache_claim=on_volume(source=False), load_job=theirs)
    assert (result.actions, result.requeue_after_s) == ((), 5)
    assert loaded(result)[:2] == ("False", "CacheLoadFailed")
    assert loaded(result)[2].endswith(f"Job {theirs.name} of another Model does for this one, failed: gave up")


def test_a_model_that_is_made_again_finds_its_download() -> None:
    again = kept(uid="another")
    result = plan(again, cache_claim=on_volume())
    assert kinds(result) == ["Patch PersistentVolumeClaim", "Create Pod"]
    assert annotations_of(result).keys() == {"models.kubeai.org/m"}
    assert loaded(result)[0] == "True"
    (create,) = (action for action in result.actions if isinstance(action, Create))
    (mount,) = (m for m in create.object["spec"]["containers"][0]["volumeMounts"] if m["name"] == "models")
    assert mount["subPath"] == DIRECTORY.lstrip("/")


def test_a_profile_that_begins_to_retain_loads_into_the_shared_directory() -> None:
    result = plan(M, cache_claim=on_volume(record(M, None), source=False))
    assert kinds(result) == ["Create Job"]


@pytest.mark.parametrize("done", ["Complete", "Failed", ""])
def test_a_download_to_where_the_profile_no_longer_puts_the_weights_is_not_taken_for_one_to_there(
    done: str,
) -> None:
    before = job(load_job(M.name), done=done)
    result = plan(M, cache_claim=on_volume(source=False), load_job=before)
    assert kinds(result) == ["Delete Job"]
    assert loaded(result)[1] == "CacheLoading"
    own = kept(profile="fast")
    result = plan(own, cache_claim=claim(), load_job=job(shared_load_job(own), done=done))
    assert kinds(result) == ["Delete Job"]


def test_a_model_with_a_directory_of_its_own_does_not_wait_for_a_shared_download() -> None:
    own = kept("second", profile="fast")
    assert kinds(plan(own, cache_claim=claim(), load_job=job(shared_load_job(M)))) == ["Create Job"]


def test_weights_from_before_the_profile_began_to_retain_go_with_their_model() -> None:
    before = on_volume(record(M, None), source=False)
    loaded_again = plan(M, cache_claim=before, load_job=job(shared_load_job(M), done="Complete"))
    written = annotations_of(loaded_again)["models.kubeai.org/m"]
    assert written.keys() == {"uid", "timestamp", "directory", "own"}
    both = {"models.kubeai.org/m": json.dumps(written)}
    # Another change of the record keeps it.
    announced = annotations_of(plan(GOING, cache_claim=on_volume(both)))["models.kubeai.org/m"]
    assert announced["own"] is True
    own = cache_directory(M, retain=False)
    for gone, found, directories in (
        (kept(going=True), on_volume(both), [own]),
        (GOING, on_volume({"models.kubeai.org/m": json.dumps(announced)}, source=False), [own, DIRECTORY]),
    ):
        (create,) = plan(gone, cache_claim=found).actions
        assert isinstance(create, Create)
        assert create.object["spec"]["template"]["spec"]["containers"][0]["command"] == ["rm", "-rf", *directories]
    done = plan(kept(going=True), cache_claim=on_volume(both), evict_job=job("evict-cache-m", done="Complete"))
    assert annotations_of(done) == {"models.kubeai.org/m": None}


def test_a_deleted_model_leaves_its_weights() -> None:
    result = plan(kept(going=True), cache_claim=on_volume(record(M)))
    assert kinds(result) == ["Patch PersistentVolumeClaim", "Patch Model"]
    assert annotations_of(result) == {"models.kubeai.org/m": None}


def test_a_deleted_model_does_not_stop_anothers_download() -> None:
    theirs = job(shared_load_job(M), owner="uid-of-other")
    result = plan(kept(going=True), cache_claim=on_volume(source=False), load_job=theirs)
    assert "Delete Job" not in kinds(result)


GOING = kept(going=True, annotations={"kubeai.org/evict-cache": "true"})


def removing(since: datetime = NOW) -> dict[str, str]:
    value = {"uid": GOING.uid, "directory": DIRECTORY, "removing": since.isoformat()}
    return {"models.kubeai.org/m": json.dumps(value)}


def test_weights_go_with_their_last_model_when_it_says_so() -> None:
    evicting = plan(GOING, cache_claim=on_volume(removing(), source=False))
    (create,) = evicting.actions
    assert isinstance(create, Create)
    assert create.object["spec"]["template"]["spec"]["containers"][0]["command"] == ["rm", "-rf", DIRECTORY]
    done = plan(GOING, cache_claim=on_volume(record(M)), evict_job=job("evict-cache-m", done="Complete"))
    assert annotations_of(done) == {"models.kubeai.org/m": None, SOURCE: None}
    shared = plan(GOING, cache_claim=on_volume(record(M), record(kept("other"))))
    assert kinds(shared) == ["Patch PersistentVolumeClaim", "Patch Model"]


NOT_ANNOUNCED = {
    "nobody knows of it": on_volume(record(M)),
    "there is no record, only remains": on_volume(source=False),
    "the directory is complete again": on_volume(removing()),
}


@pytest.mark.parametrize("found", NOT_ANNOUNCED.values(), ids=NOT_ANNOUNCED.keys())
def test_weights_stop_being_complete_before_they_are_removed(found: PersistentVolumeClaim) -> None:
    announced = plan(GOING, cache_claim=found)
    assert kinds(announced) == ["Patch PersistentVolumeClaim"]
    written = annotations_of(announced)
    assert written[SOURCE] is None
    assert written["models.kubeai.org/m"].keys() == {"uid", "timestamp", "directory", "removing"}


def test_weights_stay_if_somebody_comes_before_they_are_removed() -> None:
    came = plan(GOING, cache_claim=on_volume(removing(), record(kept("other")), source=False))
    assert kinds(came) == ["Patch PersistentVolumeClaim", "Patch Model"]
    downloading = job(shared_load_job(M), owner="uid-of-other")
    filled = plan(GOING, cache_claim=on_volume(source=False), load_job=downloading)
    assert kinds(filled) == ["Patch PersistentVolumeClaim", "Patch Model"]


def test_a_new_model_waits_while_its_directory_is_being_removed() -> None:
    result = plan(kept("new"), cache_claim=on_volume(removing(), source=False))
    assert (result.actions, result.requeue_after_s) == ((), 5)
    assert loaded(result)[1] == "CacheLoading"
    assert "Model m, which is being deleted" in loaded(result)[2]


def test_a_new_model_does_not_wait_for_one_that_was_taken_away_while_it_removed() -> None:
    long_ago = NOW - timedelta(minutes=31)
    assert kinds(plan(kept("new"), cache_claim=on_volume(removing(long_ago), source=False))) == ["Create Job"]


def test_a_new_model_takes_a_directory_only_while_nobody_begins_to_remove_it() -> None:
    found = claim(annotations={SOURCE: "{}"} | record(M), name="shared-model-cache-kept", resourceVersion="7")
    patch = plan(kept("new"), cache_claim=found).actions[0]
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["resourceVersion"] == "7"
