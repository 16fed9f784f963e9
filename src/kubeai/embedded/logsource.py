"""Where the API server gets the logs of containers from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from kubeai.embedded.admission.pods import containers_of
from kubeai.embedded.status import bad_request

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class LogSource(Protocol):
    """Whoever runs the Pods."""

    def open(
        self,
        namespace: str,
        pod_name: str,
        pod_uid: str,
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        previous: bool,
    ) -> AsyncIterator[bytes]:
        """The log as it comes. Raises FileNotFoundError if the container has not run."""
        ...


def chosen_container(pod: dict[str, Any], asked: str) -> str:
    """The container whose log is meant."""
    name = pod["metadata"]["name"]
    known = [container["name"] for container in containers_of(pod["spec"])]
    if asked and asked not in known:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    running = [container["name"] for container in pod["spec"]["containers"]]
    chosen = asked or (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER, "")
    if chosen in known:
        return str(chosen)
    if len(running) == 1:
        return str(running[0])
    listed = " ".join(running)
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
