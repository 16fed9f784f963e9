"""Whole plans: what is done for a Model, what its status says, which Events are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kubeai.api.k8s.objects import ConfigMap, Pod
from kubeai.api.k8s.resources import CONFIG_MAPS, PODS
from kubeai.api.model import Model, ModelStatus
from kubeai.planning.actions import Create, Delete, Drain, Event, Patch, Plan
from kubeai.planning.draining import Loads
from kubeai.planning.files import build_config_map
from kubeai.planning.names import DRAINING_ANNOTATION
from kubeai.planning.observed import Failure, Observed
from kubeai.planning.plan import plan_model
from kubeai.planning.pods.build import build_pod, hash_of
from kubeai.planning.reasons import Reason
from tests.builders import NOW, model, pod, system

LABELS = {"features.kubeai.org/TextGeneration": "true"}


def settled(**spec: Any) -> Model:
    """A Model whose labels and replicas are as they should be."""
    metadata = {"labels": LABELS} | spec.pop("metadata", {})
    return model(metadata=metadata, **{"replicas": 0, **spec})


def plan(m: Model, *pods: Pod, **observed: Any) -> Plan:
    return plan_model(Observed(m, pods, **observed), system(), NOW)


def replica(m: Model, name: str = "p", **settings: Any) -> Pod:
    return pod(name, of=m, hash=hash_of(build_pod(m, system())), **settings)


def with_status(m: Model, p: Plan) -> Model:
    """The Model after the plan's status was written."""
    return m.model_copy(update={"status": ModelStatus.model_validate(p.status)})


def condition(p: Plan, type: str) -> tuple[str, str, str]:
    found = next(c for c in (p.status or {})["conditions"] if c["type"] == type)
    return found["status"], found["reason"], found["message"]


def kinds(p: Plan) -> list[str]:
    return [f"{type(action).__name__} {action.resource.kind}" for action in p.actions]


def test_a_new_model_gets_its_labels_its_replicas_and_its_pods_in_one_plan() -> None:
    result = plan(model(minReplicas=2))
    patch, *creates = result.actions
    assert isinstance(patch, Patch)
    assert patch.patch == {"metadata": {"labels": LABELS, "resourceVersion": "7"}, "spec": {"replicas": 2}}
    assert [type(action) for action in creates] == [Create, Create]


def test_the_model_controls_its_pods() -> None:
    (create,) = plan(settled(replicas=1)).actions
    assert isinstance(create, Create)
    assert create.object["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "kubeai.org/v1",
            "kind": "Model",
            "name": "m",
            "uid": "uid-of-m",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_planning_twice_from_the_same_view_gives_the_same_names() -> None:
    observed = Observed(settled(replicas=3))
    assert plan_model(observed, system(), NOW) == plan_model(observed, system(), NOW)


def test_the_name_of_a_pod_that_is_still_there_is_not_used_again() -> None:
    m = settled(replicas=1)
    (first,) = plan(m).actions
    going = replica(m, first.name, metadata={"deletionTimestamp": NOW.isoformat()})
    (second,) = plan(m, going).actions
    assert second.name != first.name


def test_when_all_is_as_it_should_be_nothing_is_written() -> None:
    # fault O6
    m = settled(replicas=1)
    ready = replica(m)
    m = with_status(m, plan(m, ready))
    assert plan(m, ready) == Plan()


def test_a_scale_down_lets_a_ready_pod_drain_and_says_why() -> None:
    # fault P3
    m = settled(replicas=0)
    result = plan(m, replica(m, metadata={"resourceVersion": "5"}))
    assert result.actions == (Drain("default", "p", "uid-of-p", "5", NOW),)
    limit = "their requests may end within 600 seconds"
    assert result.done == (Event("Normal", "PodsDraining", f"Draining p: more replicas than wanted; {limit}."),)


def test_a_scale_down_deletes_at_once_what_never_served() -> None:
    m = settled(replicas=0)
    result = plan(m, replica(m, ready=False))
    assert result.actions == (Delete(PODS, "default", "p", "uid-of-p"),)
    assert result.done == (Event("Normal", "PodsDeleted", "Deleted p: more replicas than wanted."),)


def draining(m: Model, age_s: float = 1, **settings: Any) -> Pod:
    mark = {DRAINING_ANNOTATION: (NOW - timedelta(seconds=age_s)).isoformat()}
    return replica(m, metadata={"annotations": mark, "resourceVersion": "5"}, **settings)


DRAINS: dict[str, tuple[float, Loads, str | None]] = {
    "a request is left": (1, Loads({"default/p": 1}, complete=True), None),
    "a gateway may still send one": (1, Loads({"default/p": 0}, complete=True), None),
    "a gateway was not heard": (1, Loads(), None),
    "no gateway names it": (1, Loads({"default/q": 9}, complete=True), "its requests have ended"),
    "its time is over": (600, Loads({"default/p": 1}), "its requests did not end within 600 seconds"),
}


@pytest.mark.parametrize(("age_s", "loads", "why"), DRAINS.values(), ids=DRAINS.keys())
def test_a_draining_pod_is_deleted_when_it_is_idle_or_late(age_s: float, loads: Loads, why: str | None) -> None:
    # fault P3
    m = settled(replicas=0)
    result = plan(m, draining(m, age_s), loads=loads)
    if why is None:
        assert (result.actions, result.done) == ((), ())
        assert result.requeue_after_s is not None
    else:
        assert result.actions == (Delete(PODS, "default", "p", "uid-of-p"),)
        assert result.done == (Event("Normal", "PodsDeleted", f"Deleted p: {why}."),)


def test_a_pod_that_is_wanted_again_is_taken_back() -> None:
    m = settled(replicas=1)
    result = plan(m, draining(m))
    assert result.actions == (Drain("default", "p", "uid-of-p", "5", None),)
    assert condition(result, "Ready")[1] == "Ready"


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param("yes", id="somebody's hand"),
        pytest.param((NOW + timedelta(days=30)).isoformat(), id="a clock that was wrong: it would drain for a month"),
    ],
)
def test_a_mark_that_says_no_time_is_set_anew(mark: str) -> None:
    m = settled(replicas=0)
    bad = replica(m, metadata={"annotations": {DRAINING_ANNOTATION: mark}})
    assert plan(m, bad).actions == (Drain.of(bad, NOW),)


def test_with_a_time_out_of_zero_nothing_drains() -> None:
    m = settled(replicas=0)
    config = system(modelRollouts={"drainTimeout": "0s"})
    assert plan_model(Observed(m, (replica(m),)), config, NOW).actions == (Delete(PODS, "default", "p", "uid-of-p"),)


def test_the_gateways_are_asked_only_when_a_pod_that_may_be_busy_is_to_go() -> None:
    m, none = settled(replicas=1), settled(replicas=0)
    assert not plan(m, replica(m)).wants_loads
    assert plan(none, replica(m)).wants_loads
    assert plan(none, draining(m)).wants_loads
    assert not plan(none, replica(m), loads=Loads()).wants_loads
    assert not plan(none, replica(m, ready=False, status={"podIP": None})).wants_loads


def test_a_model_that_is_deleted_lets_its_pods_drain_before_its_cache_goes() -> None:
    # fault P3
    gone = {"deletionTimestamp": NOW.isoformat(), "finalizers": ["kubeai.org/cache-eviction"]}
    m = settled(replicas=1, cacheProfile="fast", metadata=gone)
    other = settled()
    assert kinds(plan(m, replica(other))) == ["Drain Pod"]
    assert kinds(plan(m, draining(other))) == []
    idle = plan(m, draining(other), loads=Loads(complete=True))
    assert kinds(idle) == ["Delete Pod", "Patch Model"]


BOUNDS = {
    "nothing said: the minimum": ({"minReplicas": 1}, 1),
    "below the minimum": ({"replicas": 0, "minReplicas": 2}, 2),
    "above the maximum": ({"replicas": 9, "maxReplicas": 3}, 3),
    "inside": ({"replicas": 2, "minReplicas": 1, "maxReplicas": 3}, 2),
    "autoscaling is disabled: left alone": ({"replicas": 9, "maxReplicas": 3, "autoscalingDisabled": True}, 9),
}


@pytest.mark.parametrize(("spec", "pods"), BOUNDS.values(), ids=BOUNDS.keys())
def test_replicas_are_kept_in_bounds(spec: dict[str, Any], pods: int) -> None:
    result = plan(model(metadata={"labels": LABELS}, **spec))
    assert kinds(result).count("Create Pod") == pods
    patched = [dict(a.patch)["spec"]["replicas"] for a in result.actions if isinstance(a, Patch)]
    assert patched == ([pods] if spec.get("replicas") != pods else [])


def test_stale_feature_labels_go_and_other_labels_stay() -> None:
    m = model(replicas=0, metadata={"labels": {"features.kubeai.org/Old": "true", "team": "x"}})
    (patch,) = plan(m).actions
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["labels"] == LABELS | {"features.kubeai.org/Old": None}


LOADED = settled(replicas=1, engine="OLlama", url="ollama://m")


def loading(image: str, reason: str, ready: bool = False) -> Pod:
    """A Pod that was made with this loader, which waits for that reason."""
    waits = {"name": "loader", "ready": False, "state": {"waiting": {"reason": reason}}}
    status = {} if ready else {"containerStatuses": [waits]}
    annotations = {"annotations": {"kubeai.org/loader-image": image}}
    return replica(LOADED, metadata=annotations, ready=ready, status=status)


STUCK = {
    "in trouble with another loader": (loading("old", "ImagePullBackOff"), ["Delete Pod", "Create Pod"]),
    "in trouble with this loader": (loading("new", "ImagePullBackOff"), []),
    "on its way with another loader": (loading("old", "ContainerCreating"), []),
    "ready with another loader": (loading("old", "", ready=True), []),
}


@pytest.mark.parametrize(("pod", "expected"), STUCK.values(), ids=STUCK.keys())
def test_a_pod_is_replaced_for_its_loader_only_when_that_may_help(pod: Pod, expected: list[str]) -> None:
    config = system(modelLoading={"image": "new"})
    assert kinds(plan_model(Observed(LOADED, (pod,), loads=Loads()), config, NOW)) == expected


# Files.

FILES = [{"path": "/etc/a", "content": "text"}]


def files_map(m: Model, **data: str) -> ConfigMap:
    return msgspec.convert(build_config_map(m) | {"data": data}, ConfigMap)


def test_a_model_without_files_has_no_config_map() -> None:
    # fault O6
    assert kinds(plan(settled(replicas=1))) == ["Create Pod"]


def test_files_come_before_the_pods_that_mount_them() -> None:
    assert kinds(plan(settled(replicas=1, files=FILES))) == ["Create ConfigMap", "Create Pod"]


def test_an_edited_file_is_patched_and_the_pods_are_replaced() -> None:
    m = settled(replicas=1, files=FILES)
    old = replica(settled(files=[{"path": "/etc/a", "content": "old"}]))
    result = plan(m, old, files=files_map(m, _etc_a="old", _gone="x"))
    patch = result.actions[0]
    assert patch == Patch(CONFIG_MAPS, "default", "model-m-files", {"data": {"_etc_a": "text", "_gone": None}})
    assert kinds(result)[1:] == ["Drain Pod"]


def test_files_that_are_no_longer_wanted_go() -> None:
    m = settled()
    assert kinds(plan(m, files=files_map(m, a="x"))) == ["Delete ConfigMap"]


def test_a_config_map_of_somebody_else_is_left_alone_and_named() -> None:
    foreign = msgspec.convert({"metadata": {"name": "model-m-files", "uid": "x"}, "data": {}}, ConfigMap)
    result = plan(settled(replicas=1, files=FILES), files=foreign)
    assert result.actions == ()
    assert condition(result, "Ready")[:2] == ("False", Reason.NAME_CONFLICT)
    assert plan(settled(), files=foreign).actions == ()


# Status.


def starting(m: Model, name: str = "p") -> Pod:
    server = {"name": "server", "ready": False, "state": {"running": {}}}
    return replica(m, name, ready=False, status={"containerStatuses": [server]})


def crashing(m: Model, name: str = "p") -> Pod:
    server = {"name": "server", "state": {"terminated": {"exitCode": 1, "message": "boom"}}, "restartCount": 1}
    return replica(m, name, ready=False, status={"containerStatuses": [server]})


def homeless(m: Model, name: str = "p") -> Pod:
    no_room = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes have a GPU."}
    return replica(m, name, ready=False, node=None, status={"phase": "Pending", "conditions": [no_room]})


ONE = settled(replicas=1)
TWO = settled(replicas=2)
STATES: dict[str, tuple[Observed, tuple[str, str], tuple[str, str], tuple[int, int]]] = {
    "scaled to zero": (Observed(settled()), ("False", "ScaledToZero"), ("False", "Complete"), (0, 0)),
    "to be created": (Observed(ONE), ("False", "Creating"), ("True", "Scaling"), (0, 0)),
    "starting": (Observed(ONE, (starting(ONE),)), ("False", "Starting"), ("True", "Scaling"), (1, 0)),
    "ready": (Observed(ONE, (replica(ONE),)), ("True", "Ready"), ("False", "Complete"), (1, 1)),
    "one of two is ready": (
        Observed(TWO, (replica(TWO), starting(TWO, "q"))),
        ("True", "Ready"),
        ("True", "Scaling"),
        (2, 1),
    ),
    "one of two crashes": (
        Observed(TWO, (replica(TWO), crashing(TWO, "q"))),
        ("True", "Ready"),
        ("False", "CrashLoop"),
        (2, 1),
    ),
    "the trouble is told, not the start beside it": (
        Observed(TWO, (starting(TWO), crashing(TWO, "q"))),
        ("False", "CrashLoop"),
        ("False", "CrashLoop"),
        (2, 0),
    ),
    "scaling down": (
        Observed(settled(), (replica(ONE),)),
        ("False", "ScaledToZero"),
        ("True", "Draining"),
        (1, 0),
    ),
    "an old revision still serves": (
        Observed(ONE, (pod("old", of=ONE, hash="old"),)),
        ("False", "Draining"),
        ("True", "Draining"),
        (1, 0),
    ),
    "unknown profile": (
        Observed(settled(replicas=1, resourceProfile="x:1")),
        ("False", "UnknownResourceProfile"),
        ("False", "UnknownResourceProfile"),
        (0, 0),
    ),
    "a mistake is told at zero replicas too": (
        Observed(settled(resourceProfile="x:1")),
        ("False", "UnknownResourceProfile"),
        ("False", "UnknownResourceProfile"),
        (0, 0),
    ),
    "a mistake while old Pods serve": (
        Observed(settled(replicas=1, resourceProfile="x:1"), (replica(ONE),)),
        ("True", "Ready"),
        ("False", "UnknownResourceProfile"),
        (1, 1),
    ),
    "the API server refuses": (
        Observed(ONE, failure=Failure("exceeded quota")),
        ("False", "Refused"),
        ("False", "Refused"),
        (0, 0),
    ),
    "being deleted": (
        Observed(settled(replicas=1, metadata={"deletionTimestamp": NOW.isoformat()}), (replica(ONE),)),
        ("False", "Terminating"),
        ("False", "Terminating"),
        (1, 0),
    ),
}


@pytest.mark.parametrize(("observed", "ready", "progressing", "counted"), STATES.values(), ids=STATES.keys())
def test_the_status_tells(
    observed: Observed, ready: tuple[str, str], progressing: tuple[str, str], counted: tuple[int, int]
) -> None:
    result = plan_model(observed, system(), NOW)
    assert condition(result, "Ready")[:2] == ready
    assert condition(result, "Progressing")[:2] == progressing
    assert result.status is not None
    assert result.status["replicas"] == {"all": counted[0], "ready": counted[1]}
    assert result.status["observedGeneration"] == 1
    assert all(len(c["message"]) > 5 and c["observedGeneration"] == 1 for c in result.status["conditions"])


def test_failed_and_terminating_pods_are_not_counted_as_replicas() -> None:
    # fault O2
    failed = replica(ONE, "failed", ready=False, status={"phase": "Failed"})
    going = replica(ONE, "going", metadata={"deletionTimestamp": NOW.isoformat()})
    result = plan(ONE, failed, going, replica(ONE))
    assert (result.status or {})["replicas"] == {"all": 1, "ready": 1}


def test_at_zero_the_message_says_that_a_request_starts_it() -> None:
    assert "a request starts one" in condition(plan(settled()), "Ready")[2]
    disabled = plan(settled(autoscalingDisabled=True))
    assert "autoscaling is disabled" in condition(disabled, "Ready")[2]


def test_the_last_words_of_a_crash_are_in_the_condition() -> None:
    # fault O4
    assert condition(plan(ONE, crashing(ONE)), "Ready")[2].endswith("its last words:\nboom")


def test_the_time_of_a_condition_is_that_of_its_last_change() -> None:
    first = plan(ONE)
    m = with_status(ONE, first)
    later = NOW.replace(year=2027)
    unchanged = plan_model(Observed(m, (starting(m),)), system(), later)
    assert unchanged.status is not None
    times = {c["type"]: c["lastTransitionTime"] for c in unchanged.status["conditions"]}
    assert times == {
        "Ready": "2026-01-02T03:04:05Z",
        "Progressing": "2026-01-02T03:04:05Z",
        "Scheduled": "2027-01-02T03:04:05Z",
    }
    m = with_status(m, unchanged)
    later = NOW.replace(year=2028)
    changed = plan_model(Observed(m, (replica(m),)), system(), later)
    assert changed.status is not None
    times = {c["type"]: c["lastTransitionTime"] for c in changed.status["conditions"]}
    assert times == {
        "Ready": "2028-01-02T03:04:05Z",
        "Progressing": "2028-01-02T03:04:05Z",
        "Scheduled": "2027-01-02T03:04:05Z",
    }


def test_recreating_tells_what_it_waits_for() -> None:
    m = settled(replicas=1, rollout={"strategy": "Recreate"})
    going = pod("old", of=m, hash="old", metadata={"deletionTimestamp": NOW.isoformat()})
    waiting = plan(m, going)
    assert waiting.actions == ()
    told = ("RollingOut", "1 Pod is being deleted before new ones are made.")
    assert condition(waiting, "Ready") == ("False", *told)
    assert condition(waiting, "Progressing") == ("True", *told)


SCHEDULED: dict[str, tuple[Observed, tuple[str, str] | None]] = {
    "no replica is wanted": (Observed(settled()), None),
    "no Pod yet": (Observed(ONE), ("False", "Creating")),
    "a Pod waits for a node": (Observed(ONE, (replica(ONE, ready=False, node=None),)), ("False", "WaitingForNode")),
    "no node takes it": (Observed(ONE, (homeless(ONE),)), ("False", "Unschedulable")),
    "one of two has a node": (Observed(TWO, (replica(TWO), homeless(TWO, "q"))), ("False", "Unschedulable")),
    "a ready Pod whose node nobody has written down": (
        Observed(ONE, (replica(ONE, node=None),)),
        ("True", "Scheduled"),
    ),
    "all have a node, and one of them crashes": (Observed(ONE, (crashing(ONE),)), ("True", "Scheduled")),
    "no Pod can be made": (Observed(settled(replicas=1, resourceProfile="x:1")), ("False", "UnknownResourceProfile")),
}


@pytest.mark.parametrize(("observed", "expected"), SCHEDULED.values(), ids=SCHEDULED.keys())
def test_the_condition_scheduled_tells(observed: Observed, expected: tuple[str, str] | None) -> None:
    result = plan_model(observed, system(), NOW)
    found = {c["type"]: (c["status"], c["reason"]) for c in (result.status or {})["conditions"]}
    assert found.get("Scheduled") == expected


def test_a_rollout_without_room_for_its_surge_pod_says_how_to_go_on() -> None:
    # fault O3
    new = homeless(ONE, "new")
    observed = Observed(ONE, (pod("old", of=ONE, hash="old"), new))
    result = plan_model(observed, system(modelRollouts={"surge": 1}), NOW)
    assert condition(result, "Ready")[0] == "True"
    assert condition(result, "Progressing") == (
        "False",
        "Unschedulable",
        "No node can take the replica: 0/3 nodes have a GPU. The rollout waits for it; with spec.rollout.surge 0 an "
        "old Pod makes room first.",
    )


def test_an_event_is_told_once_for_each_new_reason() -> None:
    first = plan(settled(replicas=1, resourceProfile="x:1"))
    assert [(e.type, e.reason) for e in first.events] == [("Warning", "UnknownResourceProfile")]
    m = with_status(settled(replicas=1, resourceProfile="x:1"), first)
    assert plan(m) == Plan(problem=first.problem)


def test_a_failed_pod_makes_the_planner_look_again_when_it_may_be_replaced() -> None:
    failed = replica(ONE, ready=False, age_s=4, status={"phase": "Failed", "message": "no room"})
    result = plan(ONE, failed)
    assert result.requeue_after_s == pytest.approx(6)
    assert condition(result, "Ready") == ("False", "PodFailed", "Pod p failed: no room")


def test_a_deleted_model_loses_its_pods() -> None:
    m = settled(replicas=1, metadata={"deletionTimestamp": NOW.isoformat()})
    assert plan(m, replica(m)).actions == (Drain("default", "p", "uid-of-p", None, NOW),)
    assert plan(m, draining(m), loads=Loads(complete=True)).actions == (Delete(PODS, "default", "p", "uid-of-p"),)


def test_a_refusal_changes_only_what_is_told() -> None:
    observed = Observed(ONE)
    refused = replace(observed, failure=Failure("no"))
    assert plan_model(refused, system(), NOW).actions == plan_model(observed, system(), NOW).actions
