"""The last log lines of servers that died, for the Model's conditions (fault O4).

Our own node leaves them in the container's status. A kubelet leaves nothing there unless a container asks for it, so
they are read from the log once for each death and kept as long as the Pod is looked at. A kubelet in trouble may never
answer, or stop in the middle: the Model's next step does not wait for that (fault O1).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import aclosing

import msgspec

from kubeai.api.k8s.objects import ContainerState, ContainerStateTerminated, ContainerStatus, Pod
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, ConnectionFailed

log = logging.getLogger(__name__)

_LINES = 10
_MAX_BYTES = 16 * 1024
#: A healthy kubelet answers within milliseconds.
_TIMEOUT_S = 5.0


class LastWords:
    """Adds to Pods what their containers said before they died."""

    def __init__(self, client: Client) -> None:
        self._client = client
        #: Pod's uid, container -> how often it had been restarted, and what was read then, also when it was nothing.
        #: Only Pods of the last look at a Model.
        self._known: dict[str, dict[str, tuple[int, str]]] = {}

    async def added_to(self, pods: Iterable[Pod]) -> tuple[Pod, ...]:
        return tuple(await asyncio.gather(*map(self._complete, pods)))

    def forget(self, uid: str) -> None:
        self._known.pop(uid, None)

    async def _complete(self, pod: Pod) -> Pod:
        if pod.ready or not any(map(_silent_death, pod.status.container_statuses or ())):
            return pod
        statuses = [await self._with_words(pod, status) for status in pod.status.container_statuses or ()]
        return msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, container_statuses=statuses))

    async def _with_words(self, pod: Pod, status: ContainerStatus) -> ContainerStatus:
        ended = _silent_death(status)
        if ended is None:
            return status
        name, restarts = status.name or "", status.restart_count or 0
        known = self._known.setdefault(pod.uid, {})
        if name not in known or known[name][0] != restarts:
            known[name] = (restarts, await self._read(pod, status))
        state = ContainerState(terminated=msgspec.structs.replace(ended, message=known[name][1]))
        # Where the state says more than "it died" (it waits, or runs again), that stays to be seen.
        alive = status.state is not None and status.state.terminated is None
        return msgspec.structs.replace(status, **{"last_state" if alive else "state": state})

    async def _read(self, pod: Pod, status: ContainerStatus) -> str:
        previous = status.state is None or status.state.terminated is None
        text = b""
        try:
            chunks = self._client.logs(
                pod.name, pod.namespace, container=status.name, tail_lines=_LINES, previous=previous
            )
            async with asyncio.timeout(_TIMEOUT_S), aclosing(chunks):
                async for chunk in chunks:
                    text = (text + chunk)[-_MAX_BYTES:]
        except (APIError, ConnectionFailed) as error:
            log.debug("Pod %s: the log of %s cannot be read: %s", pod.name, status.name, error)
        except TimeoutError:
            log.debug("Pod %s: its node does not send the log of %s", pod.name, status.name)
        return text.decode(errors="replace")


def _silent_death(status: ContainerStatus) -> ContainerStateTerminated | None:
    """How it died, if it did and left no message."""
    for state in (status.state, status.last_state):
        ended = state.terminated if state else None
        if ended is not None:
            return ended if ended.exit_code and not ended.message else None
    return None
