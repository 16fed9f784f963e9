"""Restarts, init containers and termination: what a Pod does when its processes come and go."""

from __future__ import annotations

import pytest

from kubeai.embedded.node.life import Abandon, Delete, Kill, Progress, Signal, Start, Started, StartFailed
from tests.builders import container
from tests.unit.embedded.node.story import Story

TERM, KILL = Kill("server", Signal.TERM), Kill("server", Signal.KILL)


def test_a_new_pod_starts_its_containers_together() -> None:
    assert Story(container("a"), container("b")).then() == [Start("a"), Start("b")]


def test_a_start_is_asked_for_once() -> None:
    story = Story()
    story.then()
    assert story.after(60).then() == []


def test_a_pod_without_probes_is_ready_as_soon_as_it_runs() -> None:
    story = Story()
    story.running()
    assert story.status["phase"] == "Running"
    assert set(story.conditions.values()) == {"True"}


def test_init_containers_run_one_after_another_and_before_the_others() -> None:
    story = Story(container(), initContainers=[container("first"), container("second")])
    assert story.then() == [Start("first")]
    assert story.then(Started("first")) == []
    assert story.exits(0, "first") == [Start("second")]
    story.then(Started("second"))
    assert story.exits(0, "second") == [Start("server")]


def test_the_pod_says_which_init_container_it_waits_for() -> None:
    story = Story(container(), initContainers=[container("loader")])
    story.running("loader")
    initialized = next(c for c in story.status["conditions"] if c["type"] == "Initialized")
    assert initialized["message"] == "containers with incomplete status: [loader]"
    assert story.status["phase"] == "Pending"
    assert story.server["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_failed_init_container_is_retried_and_its_success_is_final() -> None:
    story = Story(container(), initContainers=[container("loader")])
    story.running("loader")
    assert story.exits(1, "loader") == []
    assert story.after(1).then() == [Start("loader")]
    story.then(Started("loader"))
    assert story.exits(0, "loader") == [Start("server")]


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    story = Story(container(), initContainers=[container("loader")], restartPolicy="Never")
    story.running("loader")
    assert story.exits(3, "loader") == []
    assert story.status["phase"] == "Failed"


def test_crashes_in_a_row_wait_longer_and_longer() -> None:
    story, waited = Story(), []
    for _ in range(8):
        story.running()
        story.exits()
        waited.append(story.wakes_in_s())
        story.after(waited[-1] or 0)
    assert waited == [1, 10, 20, 40, 80, 160, 300, 300]


def test_a_server_that_ran_for_long_is_restarted_at_once_again() -> None:
    story = Story()
    for _ in range(3):
        story.running()
        story.exits()
        story.after(story.wakes_in_s() or 0)
    story.running()
    story.after(600).exits()
    assert story.wakes_in_s() == 1


def test_a_crash_is_told_with_its_code_and_last_words() -> None:
    story = Story()
    story.running()
    story.after(3).exits(2, tail="no such model: x")
    assert story.server["state"] == {
        "waiting": {
            "reason": "CrashLoopBackOff",
            "message": "back-off 1s restarting failed container=server pod=p",
        }
    }
    assert story.server["lastState"]["terminated"] == {
        "exitCode": 2,
        "reason": "Error",
        "message": "no such model: x",
        "startedAt": "2026-01-02T03:04:05Z",
        "finishedAt": "2026-01-02T03:04:08Z",
    }
    story.after(1).then()
    assert story.server["restartCount"] == 1


def test_a_signal_counts_as_128_and_its_number() -> None:
    story = Story(restartPolicy="Never")
    story.running()
    story.exits(-9)
    assert story.server["state"]["terminated"]["exitCode"] == 137
    assert story.server["state"]["terminated"]["signal"] == 9


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        pytest.param("Always", 0, "Running", id="a server that ends is started again"),
        pytest.param("OnFailure", 0, "Succeeded", id="a job that is done stays done"),
        pytest.param("OnFailure", 1, "Running", id="a job that failed is tried again"),
        pytest.param("Never", 0, "Succeeded", id="once and successful"),
        pytest.param("Never", 1, "Failed", id="once and failed"),
        pytest.param("Never", None, "Failed", id="an end that nobody saw is a failure"),
    ],
)
def test_restart_policy(policy: str, code: int | None, phase: str) -> None:
    story = Story(restartPolicy=policy)
    story.running()
    story.exits(code)
    assert story.status["phase"] == phase
    assert (story.wakes_in_s() is not None) == (phase == "Running")


def test_a_start_that_fails_says_why_and_is_tried_again() -> None:
    story = Story()
    story.then()
    story.then(StartFailed("server", "ErrImagePull", "no recipe"))
    assert story.server["state"] == {"waiting": {"reason": "ErrImagePull", "message": "no recipe"}}
    assert story.after(1).then() == [Start("server")]
    assert story.server["restartCount"] == 0


def test_a_long_start_tells_its_progress() -> None:
    story = Story()
    story.then()
    story.then(Progress("server", "InstallingEngine", "downloading torch (800 MB)"))
    assert story.server["state"]["waiting"]["reason"] == "InstallingEngine"


def test_progress_that_comes_late_changes_nothing() -> None:
    story = Story()
    story.running()
    story.then(Progress("server", "InstallingEngine", "late"))
    assert "running" in story.server["state"]


def test_deletion_asks_first_and_kills_after_the_grace() -> None:
    story = Story()
    story.running()
    assert story.then(Delete(30)) == [TERM]
    assert story.wakes_in_s() == 30
    assert story.after(29).then() == []
    assert story.after(1).then() == [KILL]
    assert story.wakes_in_s() is None
    story.exits(-9)
    assert story.life.over


def test_a_deleted_pod_restarts_nothing() -> None:
    story = Story()
    story.running()
    story.then(Delete(30))
    assert story.exits(1) == []
    assert story.wakes_in_s() is None


def test_a_second_deletion_can_only_shorten_the_grace() -> None:
    story = Story()
    story.running()
    story.then(Delete(30))
    assert story.then(Delete(60)) == []
    assert story.then(Delete(0)) == [KILL]


def test_a_start_is_given_up_when_the_pod_is_deleted() -> None:
    story = Story()
    story.then()
    assert story.then(Delete(30)) == [Abandon("server")]
    assert story.life.over


def test_a_process_that_started_in_the_moment_of_deletion_is_stopped() -> None:
    story = Story()
    story.then()
    story.then(Delete(30))
    assert story.then(Started("server")) == [TERM]


def test_a_waiting_container_is_not_started_after_deletion() -> None:
    story = Story()
    story.running()
    story.exits()
    story.then(Delete(30))
    assert story.after(60).then() == []
    assert story.life.over


def test_all_containers_of_a_pod_must_end_before_it_is_over() -> None:
    story = Story(container("a"), container("b"), restartPolicy="Never")
    story.then()
    story.then(Started("a"), Started("b"))
    phases = []
    for name in ("a", "b"):
        story.exits(0, name)
        phases.append((story.status["phase"], story.life.over))
    assert phases == [("Running", False), ("Succeeded", True)]
