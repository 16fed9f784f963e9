"""Keeps one Lease as an API server does, on a network that can be cut, slow or lossy for each candidate."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from kubeai.api.k8s.resources import LEASES, Resource
from kubeai.kube.errors import APIError, ConnectionFailed

JSON = dict[str, Any]
#: deaf: nothing arrives; mute: it arrives but the answer is lost; stuck: there is never an answer; slow: a request
#: takes 6 s to arrive; late: its answer does.
Fault = Literal["", "deaf", "mute", "stuck", "slow", "late", "refused"]
ONE_WAY_S = 0.01
SLOW_S = 6.0


@dataclass
class LeaseServer:
    lease: JSON | None = None
    version: int = 0
    #: The holders as they were written, in order.
    holders: list[str] = field(default_factory=list)

    def read(self) -> JSON:
        if self.lease is None:
            raise APIError(404, "NotFound", "no lease")
        return deepcopy(self.lease)

    def write(self, lease: JSON, *, new: bool) -> JSON:
        if new and self.lease is not None:
            raise APIError(409, "AlreadyExists", "the lease exists")
        known = None if new else self.read()["metadata"]["resourceVersion"]
        if lease["metadata"].get("resourceVersion") != known:
            raise APIError(409, "Conflict", "the lease has changed")
        self.version += 1
        self.lease = deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        self.holders.append(self.spec["holderIdentity"])
        return deepcopy(self.lease)

    @property
    def spec(self) -> JSON:
        spec: JSON = self.read()["spec"]
        return spec

    def touch(self) -> None:
        """Somebody annotates the lease."""
        assert self.lease is not None
        self.version += 1
        self.lease["metadata"] |= {"annotations": {"touched": "yes"}, "resourceVersion": str(self.version)}


@dataclass
class Line:
    """One candidate's connection to the server."""

    server: LeaseServer
    fault: Fault = ""
    writes: int = 0

    async def get(self, resource: Resource, name: str, /) -> JSON:
        assert (resource, name) == (LEASES, "leader")
        await self._there()
        return await self._back(self.server.read())

    async def create(self, resource: Resource, obj: JSON, /) -> JSON:
        await self._there()
        self.writes += 1
        return await self._back(self.server.write(obj, new=True))

    async def replace(self, resource: Resource, obj: JSON, /) -> JSON:
        await self._there()
        self.writes += 1
        return await self._back(self.server.write(obj, new=False))

    async def _there(self) -> None:
        await asyncio.sleep(SLOW_S if self.fault == "slow" else ONE_WAY_S)
        if self.fault == "stuck":
            await asyncio.Event().wait()
        if self.fault == "deaf":
            raise ConnectionFailed("no route")
        if self.fault == "refused":
            raise APIError(403, "Forbidden", "leases are not for you")

    async def _back(self, answer: JSON) -> JSON:
        await asyncio.sleep(SLOW_S if self.fault == "late" else ONE_WAY_S)
        if self.fault == "mute":
            raise ConnectionFailed("the answer is lost")
        return answer
