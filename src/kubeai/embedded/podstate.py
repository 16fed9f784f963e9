"""A Pod in one word, as `kubectl get pods` shows it: the phase is too coarse for people."""

from __future__ import annotations

from typing import Any

JSONObject = dict[str, Any]


def ready_count(pod: JSONObject) -> tuple[int, int]:
    """How many of its containers are ready, and how many there are."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(bool(s.get("ready")) for s in statuses), len(pod["spec"].get("containers") or ())


def restarts(pod: JSONObject) -> str:
    status = pod.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return str(sum(s.get("restartCount", 0) for s in statuses))


def summary(pod: JSONObject) -> str:
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    init = _init_summary(pod, status.get("initContainerStatuses") or [])
    if init:
        return init
    shown = str(status.get("reason") or status.get("phase") or "Unknown")
    statuses = status.get("containerStatuses") or []
    # The last container that has something to say wins; one that still runs keeps the Pod from being Completed.
    for container in reversed(statuses):
        if reason := _reason(container.get("state") or {}):
            shown = reason
    if shown == "Completed" and any("running" in (c.get("state") or {}) for c in statuses):
        return "Running" if _is_ready(status) else "NotReady"
    return shown


def _is_ready(status: JSONObject) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())


def _reason(state: JSONObject) -> str:
    waiting, terminated = state.get("waiting"), state.get("terminated")
    if waiting:
        return str(waiting.get("reason") or "")
    if not terminated:
        return ""
    if terminated.get("reason"):
        return str(terminated["reason"])
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"


def _init_summary(pod: JSONObject, statuses: list[JSONObject]) -> str:
    """`Init:1/2`, or what is wrong with the init container whose turn it is; "" when they are through."""
    total = len(pod["spec"].get("initContainers") or ())
    for index, container in enumerate(statuses):
        state = container.get("state") or {}
        terminated = state.get("terminated")
        if terminated and terminated.get("exitCode") == 0:
            continue
        if terminated:
            return f"Init:{_reason(state)}"
        reason = (state.get("waiting") or {}).get("reason", "")
        return f"Init:{reason}" if reason not in ("", "PodInitializing") else f"Init:{index}/{total}"
    return ""
