"""Kubernetes Events: what was done to an object, and why something can't be, for `kubectl describe`.

What repeats is counted in one Event. Its name is made from what it says, so that a restarted process goes on counting
where the last one stopped, and a loop that fails every second does not fill the cluster. Recording is a courtesy: it
never fails the work that it tells of.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from kubeai.api.k8s.resources import EVENTS, Resource
from kubeai.kube.errors import APIError

log = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]
#: Limits of the API.
_MAX_MESSAGE = 1024
_MAX_NAME = 200
_REMEMBERED = 1024


class Events(Protocol):
    """The part of a `Client` that is needed here."""

    async def create(self, resource: Resource, obj: dict[str, Any]) -> dict[str, Any]: ...

    async def get(self, resource: Resource, name: str, namespace: str) -> dict[str, Any]: ...

    async def patch(
        self, resource: Resource, name: str, patch: dict[str, Any], *, namespace: str
    ) -> dict[str, Any]: ...


@dataclass(slots=True)
class _Series:
    """One Event as we know it."""

    #: 0: not known yet whether it exists.
    count: int = 0
    #: Repetitions that are not written yet.
    waiting: int = 0
    #: Loop time of the last write.
    written: float = float("-inf")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EventRecorder:
    """Writes Events in the name of one component of one process."""

    def __init__(
        self,
        client: Events,
        component: str,
        instance: str,
        *,
        quiet_s: float = 5.0,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Repetitions within `quiet_s` are only counted, and written with the next one after it."""
        self._client = client
        self._quiet_s = quiet_s
        self._component = component
        self._instance = instance
        self._now = now
        #: By (namespace, name) of the Event, the least recently used first.
        self._series: OrderedDict[tuple[str, str], _Series] = OrderedDict()

    async def record(
        self, obj_ref: Mapping[str, Any], type: EventType, reason: str, message: str, action: str = ""
    ) -> None:
        """`obj_ref` is an ObjectReference (apiVersion, kind, name, namespace, uid). Never raises."""
        event = self._event(obj_ref, type, reason, message[:_MAX_MESSAGE], action)
        series = self._remember(event)
        series.waiting += 1
        now_s = asyncio.get_running_loop().time()
        if now_s - series.written < self._quiet_s:
            return
        series.written = now_s
        added, series.waiting = series.waiting, 0
        try:
            series.count = await self._write(event, series.count, added)
        except APIError as error:
            series.waiting += added
            log.warning("the event %s of %s was not written: %s", reason, obj_ref.get("name"), error)

    async def _write(self, event: dict[str, Any], known: int, added: int) -> int:
        """Count up the Event, or create it. Returns its count."""
        try:
            if known:
                return await self._count_up(event, known + added)
            await self._client.create(EVENTS, {**event, "count": added})
        except APIError as error:
            if error.not_found and known:
                # It expired: the server keeps Events for an hour. What we knew of it is void.
                return await self._write(event, 0, added)
            if not error.already_exists:
                raise
            metadata = event["metadata"]
            found = await self._client.get(EVENTS, metadata["name"], metadata["namespace"])
            return await self._count_up(event, int(found.get("count") or 1) + added)
        return added

    async def _count_up(self, event: dict[str, Any], count: int) -> int:
        metadata = event["metadata"]
        patch = {"count": count, "lastTimestamp": event["lastTimestamp"]}
        await self._client.patch(EVENTS, metadata["name"], patch, namespace=metadata["namespace"])
        return count

    def _remember(self, event: dict[str, Any]) -> _Series:
        key = (event["metadata"]["namespace"], event["metadata"]["name"])
        series = self._series.setdefault(key, _Series())
        self._series.move_to_end(key)
        if len(self._series) > _REMEMBERED:
            self._series.popitem(last=False)
        return series

    def _event(
        self, obj_ref: Mapping[str, Any], type: EventType, reason: str, message: str, action: str
    ) -> dict[str, Any]:
        now = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = "\0".join((obj_ref.get("uid") or "", self._component, type, reason, message))
        name = f"{obj_ref.get('name', '')[:_MAX_NAME]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            # Events about objects without a namespace live in "default".
            "metadata": {"name": name, "namespace": obj_ref.get("namespace") or "default"},
            "involvedObject": dict(obj_ref),
            "type": type,
            "reason": reason,
            "message": message,
            **({"action": action} if action else {}),
            "source": {"component": self._component, "host": self._instance},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
