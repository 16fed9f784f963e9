"""A Pod's state in a word, and which of its logs are of interest."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.k8s.objects import Pod
from kubeai.cli.logs import Run, lines_of, runs
from kubeai.cli.podstate import is_crashing, pod_state, ready_containers, restarts
from tests.builders import pod

RUNNING: dict[str, Any] = {"running": {}}
ENDED = {"terminated": {"exitCode": 0, "reason": "Completed"}}
FAILED = {"terminated": {"exitCode": 1, "reason": "Error"}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


def container(state: dict[str, Any], name: str = "server", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "restartCount": 0, "ready": False} | more


def made(main: dict[str, Any], *init: dict[str, Any], phase: str = "Pending", **metadata: Any) -> Pod:
    status = {"phase": phase, "containerStatuses": [main], "initContainerStatuses": list(init)}
    return pod("p-x-end", status=status, metadata=metadata)


@pytest.mark.parametrize(
    ("subject", "word"),
    [
        pytest.param(made(container(RUNNING), phase="Running"), "Running", id="runs"),
        pytest.param(
            made(
                container(RUNNING), phase="Running", annotations={"kubeai.org/draining-since": "2026-01-02T03:04:05Z"}
            ),
            "Draining",
            id="finishes its requests",
        ),
        pytest.param(made(container(waiting("ContainerCreating"))), "ContainerCreating", id="is being set up"),
        pytest.param(made(container(waiting("CrashLoopBackOff"))), "CrashLoopBackOff", id="waits after a crash"),
        pytest.param(made(container(FAILED), phase="Failed"), "Error", id="failed"),
        pytest.param(
            made(container(waiting("PodInitializing")), container(RUNNING, "loader")), "Init:0/1", id="downloads"
        ),
        pytest.param(
            made(container(waiting("PodInitializing")), container(waiting("CrashLoopBackOff"), "loader")),
            "Init:CrashLoopBackOff",
            id="cannot download",
        ),
        pytest.param(
            made(container(RUNNING), container(ENDED, "loader"), phase="Running"), "Running", id="has downloaded"
        ),
        pytest.param(
            made(container(RUNNING), phase="Running", deletionTimestamp="2026-01-01T00:00:00Z"),
            "Terminating",
            id="ends",
        ),
        pytest.param(pod(status={"phase": "Failed", "reason": "Evicted"}), "Evicted", id="was evicted"),
        pytest.param(pod(status={"phase": "Pending"}), "Pending", id="has no node yet"),
    ],
)
def test_state_in_a_word(subject: Pod, word: str) -> None:
    assert pod_state(subject) == word


def test_counts_of_containers_and_restarts() -> None:
    subject = made(container(RUNNING, ready=True, restartCount=2))
    assert (ready_containers(subject), restarts(subject)) == ("1/1", 2)


@pytest.mark.parametrize(
    ("state", "crashing"),
    [
        pytest.param(container(FAILED), True, id="ended badly"),
        pytest.param(container(ENDED), False, id="ended well"),
        pytest.param(container(waiting("CrashLoopBackOff"), restartCount=1), True, id="will be started again"),
        pytest.param(container(RUNNING, restartCount=1, ready=True), False, id="has recovered"),
        pytest.param(container(waiting("PodInitializing")), False, id="has not started"),
    ],
)
def test_whose_last_words_are_wanted(state: dict[str, Any], crashing: bool) -> None:
    statuses = made(state).status.container_statuses
    assert statuses is not None
    assert is_crashing(statuses[0]) is crashing


INITIALIZING = container(waiting("PodInitializing"))
LOADER = container(RUNNING, "loader")


@pytest.mark.parametrize(
    ("subject", "container_", "labels"),
    [
        pytest.param(made(container(RUNNING), container(ENDED, "loader")), None, ["[end] "], id="the server's"),
        pytest.param(made(INITIALIZING, LOADER), None, ["[end/loader] "], id="the download's before it starts"),
        pytest.param(made(container(RUNNING), LOADER), "loader", ["[end/loader] "], id="the one that was asked for"),
        pytest.param(made(INITIALIZING), None, [], id="nobody's yet"),
    ],
)
def test_logs_of_interest(subject: Pod, container_: str | None, labels: list[str]) -> None:
    assert [run.label for run in runs(subject, container_)] == labels


def test_a_restarted_container_is_another_run() -> None:
    first, second = (runs(made(container(RUNNING, restartCount=count)), None) for count in (0, 1))
    assert first == [Run("p-x-end", "uid-of-p-x-end", "server", 0)]
    assert first != second


async def test_lines_are_whole_wherever_chunks_end() -> None:
    async def chunks() -> Any:
        for chunk in (b"on", b"e\ntwo\nth", b"ree"):
            yield chunk

    assert [line async for line in lines_of(chunks())] == ["one", "two", "three"]
