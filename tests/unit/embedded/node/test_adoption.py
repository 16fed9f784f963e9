"""What a Pod's life is after we were gone: its last status against the processes that are there."""

from __future__ import annotations

from typing import Any

from kubeai.embedded.node.adoption import restore
from kubeai.embedded.node.containers import parse_pod
from kubeai.embedded.node.life import Check, Exited, PodLife, Start
from kubeai.embedded.node.lifecycle import apply
from tests.builders import NOW, container, pod_body
from tests.unit.embedded.node.story import READINESS, STARTUP, Story, http_probe

SERVER = container(startupProbe=http_probe(), readinessProbe=http_probe())
STARTED_AT = {"startedAt": "2026-01-02T03:00:00Z"}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-02T03:00:00Z"}}


def said(state: dict[str, Any], name: str = "server", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "restartCount": 2, **more}


def restored(status: dict[str, Any], *running: str, **spec: Any) -> Story:
    life: PodLife = restore(parse_pod(pod_body("p", SERVER, **spec)), status, running, NOW)
    return Story(life=life)


def test_a_server_that_still_runs_stays_ready_and_is_looked_at() -> None:
    story = restored({"containerStatuses": [said({"running": STARTED_AT}, ready=True, started=True)]}, "server")
    assert story.conditions["Ready"] == "True"
    assert story.server["state"] == {"running": STARTED_AT}
    assert story.server["restartCount"] == 2
    steps = story.then()
    assert [step.kind for step in steps if isinstance(step, Check)] == [READINESS]


def test_a_server_that_was_still_starting_goes_on_starting() -> None:
    story = restored({"containerStatuses": [said({"running": STARTED_AT}, ready=False, started=False)]}, "server")
    steps = story.then()
    assert [step.kind for step in steps if isinstance(step, Check)] == [STARTUP]


def test_a_server_that_ended_unseen_is_restarted_at_once() -> None:
    story = restored({"containerStatuses": [said({"running": STARTED_AT}, ready=True, started=True)]})
    assert story.then() == [Start("server")]
    assert story.server["restartCount"] == 3
    assert story.server["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_process_whose_start_was_never_reported_is_adopted_all_the_same() -> None:
    story = restored({}, "server")
    assert "running" in story.server["state"]


def test_an_init_container_that_succeeded_is_not_run_again() -> None:
    status = {"initContainerStatuses": [said(DONE, "loader")]}
    story = restored(status, initContainers=[container("loader")])
    assert story.then() == [Start("server")]


def test_an_init_container_whose_end_nobody_saw_is_run_again() -> None:
    status = {"initContainerStatuses": [said({"running": STARTED_AT}, "loader")]}
    story = restored(status, initContainers=[container("loader")])
    assert story.then() == [Start("loader")]


def test_what_was_stopped_with_the_node_runs_again() -> None:
    story = restored({"containerStatuses": [said(DONE)]})
    assert story.then() == [Start("server")]


def test_a_job_that_is_done_stays_done() -> None:
    story = restored({"containerStatuses": [said(DONE)]}, restartPolicy="OnFailure")
    assert story.then() == []
    assert story.status["phase"] == "Succeeded"


def test_an_adopted_server_that_dies_is_restarted_like_any_other() -> None:
    story = restored({"containerStatuses": [said({"running": STARTED_AT}, ready=True, started=True)]}, "server")
    story.life = apply(story.life, Exited("server", None), story.now)
    assert story.server["state"]["waiting"]["reason"] == "CrashLoopBackOff"
