"""Scaling a Model from zero to one because somebody asks for it.

However many requests wait, one write is made: through the scale subresource, and only onto the state that was seen.
If someone else scaled in the meantime the write is refused and nothing is overwritten.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from kubeai.api.k8s.resources import MODELS, Resource
from kubeai.api.model import Model
from kubeai.kube.errors import APIError

log = logging.getLogger(__name__)

#: Others write to a Model, too (its status, for one), but not this often in a row.
_ATTEMPTS = 5


class Scales(Protocol):
    """The part of a Kubernetes client that is needed here."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]: ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> dict[str, Any]: ...


class Wake:
    """Wakes Models that have no replica."""

    def __init__(self, client: Scales) -> None:
        self._client = client
        #: Writes under way, by the Model's uid: who comes later rides along.
        self._running: dict[str, asyncio.Task[None]] = {}

    def ensure(self, model: Model) -> None:
        """See to it that the Model has a replica, if it may be scaled. Returns at once.

        Call it again while a request still waits: a write can fail, and a Model can be put to sleep again.
        """
        if model.spec.replicas or model.spec.autoscaling_disabled or model.uid in self._running:
            return
        task = asyncio.get_running_loop().create_task(self._scale(model), name=f"wake {model.name}")
        self._running[model.uid] = task
        task.add_done_callback(lambda _: self._running.pop(model.uid, None))

    async def close(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _scale(self, model: Model) -> None:
        try:
            scaled = await self._scale_seen(model, model.metadata.resource_version)
        except (APIError, OSError) as error:
            log.warning("model %s could not be scaled from zero: %s", model.name, error)
            return
        if scaled:
            log.info("model %s scaled from zero for a request", model.name)

    async def _scale_seen(self, model: Model, version: str) -> bool:
        """Whether this scaled it. The cache may lag behind, so a conflict is no reason to give up: look again."""
        for _ in range(_ATTEMPTS):
            try:
                patch = {"metadata": {"resourceVersion": version}, "spec": {"replicas": 1}}
                await self._client.patch(MODELS, model.name, patch, namespace=model.namespace, subresource="scale")
            except APIError as error:
                if not error.conflict:
                    raise
            else:
                return True
            current = await self._client.get(MODELS, model.name, model.namespace)
            if current["spec"].get("replicas"):
                return False
            version = current["metadata"]["resourceVersion"]
        return False
