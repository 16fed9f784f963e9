"""A Pod's state in one word, as people know it from kubectl."""

from __future__ import annotations

from kubeai.api.k8s.objects import ContainerStatus, Pod
from kubeai.planning.names import is_draining


def pod_state(pod: Pod) -> str:
    if pod.terminating:
        return "Terminating"
    if is_draining(pod) and not pod.finished:
        return "Draining"
    if pod.status.reason:
        return pod.status.reason
    init = pod.status.init_container_statuses or []
    for index, status in enumerate(init):
        if not _completed(status):
            trouble = container_trouble(status)
            return f"Init:{trouble}" if trouble else f"Init:{index}/{len(init)}"
    words = [container_trouble(status) for status in pod.status.container_statuses or ()]
    return next(filter(None, words), None) or pod.status.phase or "Unknown"


def container_trouble(status: ContainerStatus) -> str | None:
    """Why the container does not run, if there is a reason to tell."""
    state = status.state
    if state is None:
        return None
    if state.waiting and state.waiting.reason not in (None, "PodInitializing"):
        return state.waiting.reason
    if state.terminated:
        return state.terminated.reason or f"ExitCode:{state.terminated.exit_code}"
    return None


def _completed(status: ContainerStatus) -> bool:
    return bool(status.state and status.state.terminated and status.state.terminated.exit_code == 0)


def ready_containers(pod: Pod) -> str:
    """`1/2`: containers that are ready, of all."""
    statuses = pod.status.container_statuses or ()
    return f"{sum(bool(status.ready) for status in statuses)}/{len(pod.spec.containers or statuses)}"


def restarts(pod: Pod) -> int:
    return sum(status.restart_count or 0 for status in pod.status.container_statuses or ())


def is_crashing(status: ContainerStatus) -> bool:
    """Whether the container's last words are what a person wants to read."""
    state = status.state
    if state and state.terminated:
        return state.terminated.exit_code != 0
    return bool(status.restart_count) and not status.ready


def has_started(status: ContainerStatus) -> bool:
    """Whether there is, or was, a log of it."""
    state = status.state
    return bool(status.restart_count) or bool(state and (state.running or state.terminated))
