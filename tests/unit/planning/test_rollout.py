"""The rollout plan: which Pods go, how many come."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from kubeai.api.k8s.objects import Pod
from kubeai.planning.draining import UNKNOWN, Loads
from kubeai.planning.names import DRAINING_ANNOTATION
from kubeai.planning.rollout import REPLACE_DELAY_S, Rollout, Rules, in_deletion_order, plan_rollout, rules_of
from tests.builders import NOW, model, pod, system

NEW, OLD = "new", "old"


def current(name: str, ready: bool = True) -> Pod:
    return pod(name, hash=NEW, ready=ready)


def outdated(name: str, ready: bool = True) -> Pod:
    return pod(name, hash=OLD, ready=ready)


def failed(name: str, age_s: float = 60, hash: str = NEW) -> Pod:
    return pod(name, hash=hash, ready=False, age_s=age_s, status={"phase": "Failed", "reason": "Evicted"})


def terminating(name: str, hash: str = NEW) -> Pod:
    return pod(name, hash=hash, metadata={"deletionTimestamp": NOW.isoformat()})


def draining(name: str, hash: str = NEW, **settings: Any) -> Pod:
    return pod(name, hash=hash, metadata={"annotations": {DRAINING_ANNOTATION: NOW.isoformat()}}, **settings)


def plan(
    *pods: Pod, replicas: int = 3, surge: int | None = 1, hash: str | None = NEW, loads: Loads = UNKNOWN
) -> Rollout:
    """One step; a surge of None is strategy Recreate."""
    return plan_rollout(pods, hash=hash, replicas=replicas, rules=Rules(surge), now=NOW, loads=loads)


def removed(step: Rollout) -> list[str]:
    return [removal.pod.name for removal in step.remove]


STEPS = {
    "nothing to do while a replica still starts": (
        [current("a"), current("b"), current("c", ready=False)],
        {"removes": [], "creates": 0},
    ),
    "too few Pods: the difference is created": ([current("a")], {"removes": [], "creates": 2}),
    "too many Pods: one that is not ready goes": (
        [current("a"), current("b"), current("c", ready=False), current("d")],
        {"removes": ["c"], "creates": 0},
    ),
    "a rollout adds the surge Pod and replaces at once what is not ready": (
        [outdated("a", ready=False), outdated("b", ready=False), outdated("c")],
        {"removes": ["a", "b"], "creates": 3},
    ),
    "a rollout waits for readiness before the last old Pod goes": (
        [current("a"), current("b", ready=False), current("c", ready=False), outdated("d")],
        {"removes": [], "creates": 0},
    ),
    "the last old Pod goes when all new ones are ready, and the surge Pod is not created again": (
        [current("a"), current("b"), current("c"), outdated("d")],
        {"removes": ["d"], "creates": 0},
    ),
    "in the middle of a rollout one ready Pod is replaced": (
        [current("a"), outdated("b"), outdated("c"), outdated("d")],
        {"removes": ["b"], "creates": 0},
    ),
    "a replacement waits until the Pod that drains has given up its place": (
        [current("a"), draining("b", hash=OLD), outdated("c"), outdated("d")],
        {"removes": [], "creates": 0},
    ),
    "its place is free when the Pod that has drained is deleted": (
        [current("a"), terminating("b"), outdated("c"), outdated("d")],
        {"removes": [], "creates": 1},
    ),
    "a draining Pod is no replica": (
        [current("a"), current("b"), draining("c", ready=False)],
        {"removes": [], "creates": 1},
    ),
    "a draining Pod that failed is replaced like one that is gone": (
        [current("a"), current("b"), draining("c", status={"phase": "Failed"})],
        {"removes": [], "creates": 1},
    ),
    # fault O2
    "a failed Pod is no replica and is replaced": (
        [current("a"), current("b"), failed("c")],
        {"removes": ["c"], "creates": 1},
    ),
    # fault O2
    "a terminating Pod is no replica and is not deleted again": (
        [current("a"), current("b"), terminating("c")],
        {"removes": [], "creates": 1},
    ),
    "a failed Pod of an older hash is replaced at once, however young": (
        [current("a"), current("b"), failed("c", age_s=1, hash=OLD)],
        {"removes": ["c"], "creates": 1},
    ),
}


@pytest.mark.parametrize(("pods", "expected"), STEPS.values(), ids=STEPS.keys())
def test_one_step_with_a_surge_of_one(pods: list[Pod], expected: dict[str, object]) -> None:
    step = plan(*pods)
    assert {"removes": removed(step), "creates": step.create} == expected


def test_without_surge_one_ready_pod_is_replaced_in_place() -> None:
    # fault O3: no spare GPU is needed.
    step = plan(outdated("a"), outdated("b"), outdated("c"), surge=0)
    assert (removed(step), step.create) == (["a"], 0)
    step = plan(terminating("a"), outdated("b"), outdated("c"), surge=0)
    assert (removed(step), step.create) == ([], 1)


def test_without_surge_the_next_one_waits_for_the_replacement() -> None:
    step = plan(current("a", ready=False), outdated("b"), outdated("c"), surge=0)
    assert (removed(step), step.create) == ([], 0)


def test_a_surge_of_two_creates_no_more_new_pods_than_wanted() -> None:
    step = plan(*[current(n) for n in "abc"], *[outdated(n) for n in "de"], surge=2)
    assert (removed(step), step.create) == (["d"], 0)


def test_zero_replicas_leave_nothing_and_need_no_surge() -> None:
    step = plan(outdated("a"), current("b"), failed("c", age_s=1), terminating("d"), replicas=0, surge=2)
    assert (sorted(removed(step)), step.create) == (["a", "b", "c"], 0)


def test_a_model_that_cannot_be_followed_keeps_its_pods_but_still_scales_down() -> None:
    step = plan(outdated("a"), outdated("b", ready=False), replicas=1, hash=None)
    assert (removed(step), step.create) == (["b"], 0)
    assert plan(outdated("a"), replicas=3, hash=None) == Rollout()


def test_a_pod_that_failed_at_once_is_replaced_only_after_a_while() -> None:
    # fault O2: a node that refuses Pods must not be flooded with them.
    step = plan(failed("a", age_s=4), replicas=1)
    assert (removed(step), step.create) == ([], 0)
    assert step.wait_s == pytest.approx(REPLACE_DELAY_S - 4)


def test_a_pod_from_the_future_holds_its_place_no_longer_than_others() -> None:
    step = plan(failed("a", age_s=-3600), replicas=1)
    assert step.wait_s == pytest.approx(REPLACE_DELAY_S)


def test_the_reason_of_a_failure_is_told() -> None:
    evicted = pod("a", hash=NEW, ready=False, status={"phase": "Failed", "reason": "Evicted", "message": "disk full"})
    assert plan(evicted, replicas=1).remove[0].why == "Evicted: disk full"


def test_deletion_order_does_not_depend_on_the_order_of_the_list() -> None:
    pods = [
        pod(f"ready={ready} node={node} hash={hash} age={age_s}", ready=ready, node=node, hash=hash, age_s=age_s)
        for ready, node, hash, age_s in itertools.product([False, True], [None, "node"], [OLD, NEW], [10.0, 3600.0])
    ]
    shuffler = random.Random(1)
    for _ in range(200):
        shuffled = shuffler.sample(pods, len(pods))
        assert in_deletion_order(shuffled, NEW) == pods


def with_adapter(name: str, hash: str, *adapters: str) -> Pod:
    labels = {"pod-hash": hash} | {f"adapter.kubeai.org/{adapter}": "1" for adapter in adapters}
    return pod(name, metadata={"labels": labels})


ADAPTERS: dict[str, tuple[list[Pod], list[str]]] = {
    "the new Pod still loads what the old one serves": (
        [with_adapter("a", OLD, "x"), with_adapter("b", NEW)],
        [],
    ),
    "the new Pod has it": ([with_adapter("a", OLD, "x"), with_adapter("b", NEW, "x")], ["a"]),
    "the old one does not have it either": ([with_adapter("a", OLD), with_adapter("b", NEW)], ["a"]),
    "it is not wanted any more": ([with_adapter("a", OLD, "gone"), with_adapter("b", NEW)], ["a"]),
}


@pytest.mark.parametrize(("pods", "expected"), ADAPTERS.values(), ids=ADAPTERS.keys())
def test_an_old_pod_stays_until_the_new_ones_serve_its_adapters(pods: list[Pod], expected: list[str]) -> None:
    step = plan_rollout(pods, hash=NEW, replicas=1, rules=Rules(1), now=NOW, adapters=["x", "y"])
    assert removed(step) == expected


RECREATES = {
    "all old Pods go at once": ([outdated("a"), outdated("b", ready=False)], {"removes": ["a", "b"], "creates": 0}),
    "no new Pod comes while an old one drains": ([draining("a", hash=OLD)], {"removes": [], "creates": 0}),
    "no new Pod comes while an old one is being deleted": (
        [terminating("a", hash=OLD)],
        {"removes": [], "creates": 0},
    ),
    "then all new ones come": ([], {"removes": [], "creates": 2}),
    "an up-to-date Pod that is being deleted holds nobody up": ([terminating("a")], {"removes": [], "creates": 2}),
    "new Pods that came too early stay": ([current("a"), outdated("b")], {"removes": ["b"], "creates": 0}),
}


@pytest.mark.parametrize(("pods", "expected"), RECREATES.values(), ids=RECREATES.keys())
def test_one_step_of_recreate(pods: list[Pod], expected: dict[str, object]) -> None:
    # fault O3
    step = plan(*pods, replicas=2, surge=None)
    assert {"removes": sorted(removed(step)), "creates": step.create} == expected


RULES: dict[str, tuple[dict[str, Any], dict[str, Any], Rules]] = {
    "nothing said: as the system says": ({}, {"surge": 2}, Rules(2, 600)),
    "the system recreates": ({}, {"strategy": "Recreate", "surge": 1}, Rules(None, 600)),
    "the Model recreates": ({"strategy": "Recreate"}, {"surge": 1}, Rules(None, 600)),
    "the Model surges as much as the system": (
        {"strategy": "Surge"},
        {"strategy": "Recreate", "surge": 1},
        Rules(1, 600),
    ),
    "a surge of its own means Surge": ({"surge": 3}, {"strategy": "Recreate"}, Rules(3, 600)),
    "no surge of its own": ({"surge": 0}, {"surge": 2}, Rules(0, 600)),
    "a time-out of its own": ({"drainTimeoutSeconds": 5}, {"strategy": "Recreate"}, Rules(None, 5)),
    "no drain of its own": ({"drainTimeoutSeconds": 0}, {"drainTimeout": "1m"}, Rules(0, 0)),
    "the system's time-out": ({}, {"drainTimeout": "1m"}, Rules(0, 60)),
}


@pytest.mark.parametrize(("own", "default", "expected"), RULES.values(), ids=RULES.keys())
def test_the_models_own_rules_come_before_the_systems(
    own: dict[str, Any], default: dict[str, Any], expected: Rules
) -> None:
    assert rules_of(model(rollout=own), system(modelRollouts=default)) == expected


def load(**requests: int) -> Loads:
    return Loads({f"default/{name}": count for name, count in requests.items()}, complete=True)


def test_of_two_equal_pods_the_one_with_fewer_requests_goes() -> None:
    # fault P3
    step = plan(current("a"), current("b"), current("c"), replicas=2, loads=load(a=3, b=1, c=2))
    assert removed(step) == ["b"]


def test_a_rollout_replaces_the_pod_with_the_fewest_requests_first() -> None:
    step = plan(*[outdated(n) for n in "abc"], current("d"), loads=load(a=3, b=1, c=2))
    assert removed(step) == ["b"]


def test_a_pod_that_drains_is_taken_back_when_it_is_wanted_again_the_busiest_first() -> None:
    # fault P3
    step = plan(current("a"), draining("b"), draining("c"), replicas=2, loads=load(b=1, c=2))
    assert ([pod.name for pod in step.keep], step.create) == (["c"], 0)


KEPT = {
    "not one of an older hash": draining("b", hash=OLD),
    "not one that is not ready": draining("b", ready=False),
    "not one that failed": draining("b", status={"phase": "Failed"}),
}


@pytest.mark.parametrize("pod", KEPT.values(), ids=KEPT.keys())
def test_only_a_pod_that_would_serve_at_once_is_taken_back(pod: Pod) -> None:
    assert plan(current("a"), pod, replicas=2).keep == ()


def test_a_model_that_cannot_be_followed_takes_back_what_drains_because_it_can_make_no_new_pod() -> None:
    step = plan(draining("a", hash=OLD), replicas=1, hash=None)
    assert ([pod.name for pod in step.keep], step.create) == (["a"], 0)


def test_pods_of_the_same_second_have_a_fixed_order() -> None:
    twins = [pod("a", hash=NEW), pod("b", hash=NEW)]
    assert in_deletion_order(reversed(twins), NEW) == twins
