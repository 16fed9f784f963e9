"""Why a Pod is not ready, read from what its node and the scheduler say about it (fault O4).

The kubelet speaks in container states; people want one word and one sentence, with the server's last words if it
died.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kubeai.api.k8s.objects import ContainerStatus, Pod
from kubeai.planning.reasons import Reason

_MAX_LOG_LINES = 10
_MAX_LOG_CHARACTERS = 2000

#: Words of kubelets and of our node agent for a container that waits -> ours.
_WAITING: dict[str, Reason] = {
    "ErrImagePull": Reason.IMAGE_PULL_FAILED,
    "ImagePullBackOff": Reason.IMAGE_PULL_FAILED,
    "InvalidImageName": Reason.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": Reason.IMAGE_PULL_FAILED,
    "ImageInspectError": Reason.IMAGE_PULL_FAILED,
    "RegistryUnavailable": Reason.IMAGE_PULL_FAILED,
    "SignatureValidationFailed": Reason.IMAGE_PULL_FAILED,
    "CreateContainerConfigError": Reason.CONTAINER_CONFIG_ERROR,
    "CreateContainerError": Reason.CONTAINER_CONFIG_ERROR,
    "RunContainerError": Reason.CONTAINER_CONFIG_ERROR,
    "InstallingEngine": Reason.INSTALLING_ENGINE,
    "EngineNotInstalled": Reason.ENGINE_MISSING,
}
#: Parts of messages of a kubelet that had no answer in time and asks again: nothing is known to be wrong with the Pod.
_ASKS_AGAIN = ("timed out waiting for the condition", "context deadline exceeded")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One word for programs, one sentence for people."""

    reason: Reason
    message: str


def diagnose(pod: Pod) -> Diagnosis:
    """Why this Pod is not ready."""
    return next(_findings(pod))


def _findings(pod: Pod) -> Iterator[Diagnosis]:
    """In order of how far the Pod has come; the first one holds it up."""
    if pod.finished:
        yield Diagnosis(Reason.POD_FAILED, f"Pod {pod.name} failed: {pod.status.message or pod.status.reason or ''}")
    yield from _scheduling(pod)
    init = pod.status.init_container_statuses or []
    main = pod.status.container_statuses or []
    for status in (*init, *main):
        yield from _stuck(status, is_loader=status in init or status.name == "loader")
    if any(_running(status) for status in init):
        yield Diagnosis(Reason.DOWNLOADING, "The weights are being downloaded.")
    if any(_running(status) and not status.ready and status.name == "loader" for status in main):
        yield Diagnosis(Reason.DOWNLOADING, "The loader is bringing the model to the server.")
    if any(_running(status) for status in main):
        yield Diagnosis(Reason.STARTING, "The server is starting and loads the model.")
    yield Diagnosis(Reason.CREATING, f"Pod {pod.name} is being set up on its node.")


def _scheduling(pod: Pod) -> Iterator[Diagnosis]:
    if pod.scheduled:
        return
    condition = pod.condition("PodScheduled")
    if condition is not None and condition.status == "False":
        detail = condition.message or condition.reason or "no node fits"
        yield Diagnosis(Reason.UNSCHEDULABLE, f"No node can take the replica: {detail}")
    yield Diagnosis(Reason.WAITING_FOR_NODE, f"Pod {pod.name} waits for a node.")


def _stuck(status: ContainerStatus, is_loader: bool) -> Iterator[Diagnosis]:
    """A container that waits for somebody, or that dies again and again."""
    waiting = status.state.waiting if status.state else None
    if waiting and (reason := _WAITING.get(waiting.reason or "")) and not _asks_again(reason, waiting.message or ""):
        yield Diagnosis(reason, waiting.message or f"Container {status.name} waits: {waiting.reason}.")
    if not status.ready and (death := last_words(status)):
        reason = Reason.DOWNLOAD_FAILED if is_loader else Reason.CRASH_LOOP
        subject = "The loader" if is_loader else "The server"
        yield Diagnosis(reason, f"{subject} {_often(status.restart_count or 0)}{death}")


def _asks_again(reason: Reason, message: str) -> bool:
    return reason is Reason.CONTAINER_CONFIG_ERROR and any(words in message for words in _ASKS_AGAIN)


def _often(restarts: int) -> str:
    return "died" if restarts <= 1 else f"died {restarts} times, the last time"


def last_words(status: ContainerStatus) -> str | None:
    """How the container ended the last time, with the end of its log; None if it never failed."""
    for state in (status.state, status.last_state):
        ended = state.terminated if state else None
        if ended is None or (ended.exit_code == 0 and not ended.signal):
            continue
        how = f" with signal {ended.signal}" if ended.signal else f" with exit code {ended.exit_code}"
        why = f" ({ended.reason})" if ended.reason and ended.reason != "Error" else ""
        log = _tail(ended.message or "")
        return f"{how}{why}" + (f"; its last words:\n{log}" if log else ".")
    return None


def _tail(log: str) -> str:
    lines = log.strip().splitlines()[-_MAX_LOG_LINES:]
    return "\n".join(lines)[-_MAX_LOG_CHARACTERS:]


def _running(status: ContainerStatus) -> bool:
    return bool(status.state and status.state.running)
