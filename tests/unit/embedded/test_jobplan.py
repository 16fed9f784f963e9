from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kubeai.api.k8s.objects import Pod
from kubeai.embedded.jobplan import Job, JobPlan, plan_job
from tests.builders import NOW, job_manifest

STAMP = "2026-01-02T03:04:05Z"


def _job(*, status: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None, **spec: Any) -> Job:
    body = job_manifest("j", **spec)
    body["metadata"] |= {"uid": "uid-of-j", "namespace": "default"} | (metadata or {})
    body["spec"] = {"parallelism": 1, "backoffLimit": 6} | body["spec"]
    return msgspec.convert(body | {"status": status or {}}, Job)


def _pod(
    name: str, phase: str, *, ended_s: float = 0, restarts: int = 0, ready: bool = False, going: bool = False
) -> Pod:
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"uid-of-{name}"}
    if going:
        metadata["deletionTimestamp"] = STAMP
    ended = {"terminated": {"finishedAt": (NOW - timedelta(seconds=ended_s)).isoformat()}}
    container = {"name": "work", "restartCount": restarts} | ({"state": ended} if phase == "Failed" else {})
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": phase, "containerStatuses": [container], "conditions": conditions}
    return msgspec.convert({"metadata": metadata, "status": status}, Pod)


def _conditions(plan: JobPlan) -> dict[str, str]:
    assert plan.status is not None
    return {c["type"]: c["reason"] for c in plan.status.get("conditions", []) if c["status"] == "True"}


def _counts(plan: JobPlan) -> dict[str, int]:
    assert plan.status is not None
    return {name: plan.status[name] for name in ("active", "succeeded", "failed")}


@pytest.mark.parametrize(
    ("spec", "phases", "created", "deleted"),
    [
        pytest.param({"completions": 1}, [], 1, 0, id="one to begin with"),
        pytest.param({"completions": 5, "parallelism": 3}, [], 3, 0, id="no more than run at once"),
        pytest.param({"completions": 5, "parallelism": 3}, ["Running"], 2, 0, id="those that run count"),
        pytest.param({"completions": 2, "parallelism": 3}, ["Succeeded"], 1, 0, id="no more than are missing"),
        pytest.param({"parallelism": 2}, [], 2, 0, id="a work queue starts all"),
        pytest.param({"parallelism": 2}, ["Succeeded", "Running"], 0, 0, id="a work queue only ends after a success"),
        pytest.param({"completions": 5, "parallelism": 1}, ["Running", "Running"], 0, 1, id="too many are stopped"),
        pytest.param({"completions": 2, "suspend": True}, ["Running"], 0, 1, id="a suspended Job has none"),
        pytest.param({"completions": 1, "parallelism": 0}, [], 0, 0, id="none at once is none"),
    ],
)
def test_pods_to_make_and_to_stop(spec: dict[str, Any], phases: list[str], created: int, deleted: int) -> None:
    plan = plan_job(_job(**spec), [_pod(f"p{n}", phase) for n, phase in enumerate(phases)], NOW)
    assert (len(plan.create), len(plan.delete)) == (created, deleted)


def test_the_same_view_names_the_same_pods_and_another_one_others() -> None:
    job = _job(completions=3, parallelism=3)
    first = plan_job(job, [], NOW).create
    assert plan_job(job, [], NOW).create == first
    names = {pod["metadata"]["name"] for pod in first}
    assert len(names) == 3
    failed = [_pod(name, "Failed", ended_s=60) for name in names]
    again = {pod["metadata"]["name"] for pod in plan_job(job, failed, NOW).create}
    assert len(again) == 3
    assert not names & again


def test_a_pod_belongs_to_its_job() -> None:
    (pod,) = plan_job(_job(completions=1), [], NOW).create
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Job", "uid-of-j", True)
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"
    assert pod["spec"]["containers"][0]["name"] == "work"


def test_a_job_completes() -> None:
    plan = plan_job(_job(completions=2), [_pod("a", "Succeeded"), _pod("b", "Succeeded")], NOW)
    assert _conditions(plan) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert _counts(plan) == {"active": 0, "succeeded": 2, "failed": 0}
    assert plan.status is not None
    assert plan.status["completionTime"] == STAMP


@pytest.mark.parametrize(
    ("spec", "status", "pods", "reason"),
    [
        pytest.param(
            {"backoffLimit": 1},
            {},
            [_pod("a", "Failed"), _pod("b", "Failed"), _pod("c", "Running")],
            "BackoffLimitExceeded",
            id="too many Pods failed",
        ),
        pytest.param({"backoffLimit": 0}, {"failed": 1}, [], "BackoffLimitExceeded", id="one was counted and is gone"),
        pytest.param(
            {"backoffLimit": 2, "restart": "OnFailure"},
            {},
            [_pod("a", "Running", restarts=2)],
            "BackoffLimitExceeded",
            id="too many restarts in place",
        ),
        pytest.param(
            {"activeDeadlineSeconds": 10},
            {"startTime": "2026-01-02T03:03:00Z"},
            [_pod("a", "Running")],
            "DeadlineExceeded",
            id="too long",
        ),
    ],
)
def test_a_job_fails(spec: dict[str, Any], status: dict[str, Any], pods: list[Pod], reason: str) -> None:
    plan = plan_job(_job(completions=3, status=status, **spec), pods, NOW)
    assert _conditions(plan) == {"FailureTarget": reason, "Failed": reason}
    assert [pod.name for pod in plan.delete] == [pod.name for pod in pods if pod.status.phase == "Running"]
    assert plan.create == ()


@pytest.mark.parametrize(
    ("failures", "ended_s", "wait_s"),
    [
        pytest.param(1, 4, 6, id="ten seconds after the first"),
        pytest.param(1, 10, None, id="then at once"),
        pytest.param(3, 10, 30, id="twice as long each time"),
        pytest.param(6, 0, 320, id="and so on"),
    ],
)
def test_a_failure_is_waited_out(failures: int, ended_s: float, wait_s: float | None) -> None:
    pods = [_pod(f"p{number}", "Failed", ended_s=ended_s) for number in range(failures)]
    plan = plan_job(_job(completions=1), pods, NOW)
    assert (plan.requeue_after_s, len(plan.create)) == (wait_s, 1 if wait_s is None else 0)


def test_a_failure_is_waited_out_no_longer_than_the_job_may_last() -> None:
    started = {"startTime": (NOW - timedelta(seconds=5)).isoformat()}
    pods = [_pod("a", "Failed", ended_s=0)]
    plan = plan_job(_job(completions=1, activeDeadlineSeconds=8, status=started), pods, NOW)
    assert plan.requeue_after_s == 3


def test_what_runs_is_counted() -> None:
    pods = [_pod("a", "Running", ready=True), _pod("b", "Pending"), _pod("c", "Running", going=True)]
    plan = plan_job(_job(completions=9, parallelism=2), pods, NOW)
    assert plan.status is not None
    assert {n: plan.status[n] for n in ("active", "ready", "terminating")} == {
        "active": 2,
        "ready": 1,
        "terminating": 1,
    }


def test_a_job_as_it_is_needs_nothing() -> None:
    pods = [_pod("a", "Running")]
    first = plan_job(_job(completions=1), pods, NOW)
    assert plan_job(_job(completions=1, status=first.status), pods, NOW) == JobPlan()


FINISHED = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": STAMP}]}


@pytest.mark.parametrize(
    ("ttl_s", "later_s", "plan"),
    [
        pytest.param(None, 999, JobPlan(), id="without a time to live it stays"),
        pytest.param(60, 20, JobPlan(requeue_after_s=40), id="its time is not over"),
        pytest.param(60, 60, JobPlan(remove=True), id="its time is over"),
        pytest.param(0, 0, JobPlan(remove=True), id="it has no time at all"),
    ],
)
def test_a_finished_job_lives_as_long_as_it_is_told(ttl_s: int | None, later_s: float, plan: JobPlan) -> None:
    spec: dict[str, Any] = {} if ttl_s is None else {"ttlSecondsAfterFinished": ttl_s}
    assert plan_job(_job(status=FINISHED, **spec), [], NOW + timedelta(seconds=later_s)) == plan


def test_suspending_and_resuming_is_said() -> None:
    suspended = plan_job(_job(completions=1, suspend=True), [], NOW)
    assert _conditions(suspended) == {"Suspended": "JobSuspended"}
    resumed = plan_job(_job(completions=1, status=suspended.status), [], NOW)
    assert _conditions(resumed) == {}
    assert len(resumed.create) == 1


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    assert plan_job(_job(completions=1, metadata={"deletionTimestamp": STAMP}), [], NOW) == JobPlan()
