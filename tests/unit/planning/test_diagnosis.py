"""One word and one sentence for each way in which a Pod is not ready (fault O4)."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.k8s.objects import Pod
from kubeai.planning.diagnosis import diagnose
from kubeai.planning.reasons import Reason
from tests.builders import pod


def with_server(state: dict[str, Any], name: str = "server", **more: Any) -> Pod:
    return pod(ready=False, status={"containerStatuses": [{"name": name, "ready": False, "state": state, **more}]})


def with_init(state: dict[str, Any], **more: Any) -> Pod:
    init = {"name": "loader", "ready": False, "state": state, **more}
    server = {"name": "server", "ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}
    return pod(ready=False, status={"phase": "Pending", "initContainerStatuses": [init], "containerStatuses": [server]})


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


RUNNING: dict[str, Any] = {"running": {}}
DIED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "loading\nout of memory\n"}}
NO_NODE = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: insufficient cpu"}]}

CASES: dict[str, tuple[Pod, Reason, str]] = {
    "no node fits": (
        pod(ready=False, node=None, status=NO_NODE),
        Reason.UNSCHEDULABLE,
        "No node can take the replica: 0/1 nodes: insufficient cpu",
    ),
    "not scheduled yet": (pod("p", ready=False, node=None), Reason.WAITING_FOR_NODE, "Pod p waits for a node."),
    "on its node, nothing known": (
        pod("p", ready=False),
        Reason.CREATING,
        "Pod p is being set up on its node.",
    ),
    "image cannot be pulled": (
        with_server(waiting("ImagePullBackOff", "no such image x:1")),
        Reason.IMAGE_PULL_FAILED,
        "no such image x:1",
    ),
    "image cannot be pulled, without a message": (
        with_server(waiting("ErrImagePull")),
        Reason.IMAGE_PULL_FAILED,
        "Container server waits: ErrImagePull.",
    ),
    "engine is being installed": (
        with_server(waiting("InstallingEngine", "installing engine infinity: 40%")),
        Reason.INSTALLING_ENGINE,
        "installing engine infinity: 40%",
    ),
    "engine is missing": (
        with_server(waiting("EngineNotInstalled", "run kubeai engines install vllm")),
        Reason.ENGINE_MISSING,
        "run kubeai engines install vllm",
    ),
    "a Secret is missing": (
        with_server(waiting("CreateContainerConfigError", 'secret "s" not found')),
        Reason.CONTAINER_CONFIG_ERROR,
        'secret "s" not found',
    ),
    "the kubelet has not read a Secret in time": (
        with_server(
            waiting("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition")
        ),
        Reason.CREATING,
        "Pod p is being set up on its node.",
    ),
    "the image is not pulled in time": (
        with_server(waiting("ErrImagePull", "failed to pull x:1: context deadline exceeded")),
        Reason.IMAGE_PULL_FAILED,
        "failed to pull x:1: context deadline exceeded",
    ),
    "crash loop, with the last words": (
        with_server(waiting("CrashLoopBackOff"), lastState=DIED, restartCount=3),
        Reason.CRASH_LOOP,
        "The server died 3 times, the last time with exit code 1; its last words:\nloading\nout of memory",
    ),
    "it runs again after a crash": (
        with_server(RUNNING, lastState=DIED, restartCount=1),
        Reason.CRASH_LOOP,
        "The server died with exit code 1; its last words:\nloading\nout of memory",
    ),
    "killed for its memory": (
        with_server({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        Reason.CRASH_LOOP,
        "The server died with exit code 137 (OOMKilled).",
    ),
    "weights are being downloaded": (
        with_init(RUNNING),
        Reason.DOWNLOADING,
        "The weights are being downloaded.",
    ),
    "the download fails": (
        with_init(waiting("CrashLoopBackOff"), lastState=DIED, restartCount=2),
        Reason.DOWNLOAD_FAILED,
        "The loader died 2 times, the last time with exit code 1; its last words:\nloading\nout of memory",
    ),
    "weights are there, the server loads them": (
        pod(
            ready=False,
            status={
                "initContainerStatuses": [{"name": "loader", "ready": True, "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [{"name": "server", "ready": False, "state": RUNNING}],
            },
        ),
        Reason.STARTING,
        "The server is starting and loads the model.",
    ),
    "Ollama's loader is at work beside the server": (
        pod(
            ready=False,
            status={
                "containerStatuses": [
                    {"name": "server", "ready": True, "state": RUNNING},
                    {"name": "loader", "ready": False, "state": RUNNING},
                ]
            },
        ),
        Reason.DOWNLOADING,
        "The loader is bringing the model to the server.",
    ),
    "evicted": (
        pod("p", ready=False, status={"phase": "Failed", "reason": "Evicted", "message": "low on disk"}),
        Reason.POD_FAILED,
        "Pod p failed: low on disk",
    ),
}


@pytest.mark.parametrize(("pod", "reason", "message"), CASES.values(), ids=CASES.keys())
def test_why_a_pod_is_not_ready(pod: Pod, reason: Reason, message: str) -> None:
    found = diagnose(pod)
    assert (found.reason, found.message) == (reason, message)


def test_only_the_end_of_a_long_log_is_kept() -> None:
    log = "\n".join(f"line {number}" for number in range(1000))
    found = diagnose(with_server({"terminated": {"exitCode": 1, "message": log}}))
    assert found.message.splitlines()[1:] == [f"line {number}" for number in range(990, 1000)]


def test_one_endless_line_does_not_fill_the_status() -> None:
    found = diagnose(with_server({"terminated": {"exitCode": 1, "message": "x" * 100_000}}))
    assert len(found.message) < 2100
