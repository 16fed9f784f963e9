"""Writes what a Pod's runner reports: one writer for each Pod, the newest status wins.

A status is a statement of the present, so while the API server is away or slow nothing queues up; when it answers
again it hears how things are now.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping
from typing import Any

from kubeai.api.k8s.resources import PODS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, ConnectionFailed

log = logging.getLogger(__name__)

JSONObject = dict[str, Any]
_RETRIES_S = (0.1, 0.3, 1.0, 3.0)


class PodWriter:
    """The only writer of one Pod's binding and status."""

    def __init__(self, client: Client, namespace: str, name: str, uid: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._uid = uid
        #: set: `_status` holds something that is not written yet
        self._news = asyncio.Event()
        self._status: JSONObject = {}
        self._written = asyncio.Event()
        self._written.set()

    def report(self, status: JSONObject) -> None:
        self._status = status
        self._written.clear()
        self._news.set()

    async def bind(self, node_name: str, annotations: Mapping[str, str]) -> None:
        patch: JSONObject = {"metadata": {"uid": self._uid}, "spec": {"nodeName": node_name}}
        if annotations:
            patch["metadata"]["annotations"] = dict(annotations)
        await self._insist(patch, None)

    async def run(self) -> None:
        """Write statuses until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            status = self._status
            await self._insist({"metadata": {"uid": self._uid}, "status": status}, "status")
            if not self._news.is_set():
                self._written.set()

    async def flush(self, timeout_s: float) -> None:
        """Until everything reported so far is written, or `timeout_s` is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._written.wait()

    async def finish(self) -> None:
        """The Pod has ended and was asked to go: let the API server forget it."""
        attempt = 0
        while not await self._settled(
            self._client.delete(PODS, self._name, namespace=self._namespace, uid=self._uid, grace_period_s=0)
        ):
            await asyncio.sleep(_pause_s(attempt))
            attempt += 1

    async def _insist(self, patch: JSONObject, subresource: str | None) -> None:
        """Write until it is written, overtaken by newer news, or pointless."""
        attempt = 0
        while not await self._settled(
            self._client.patch(
                PODS, self._name, patch, namespace=self._namespace, subresource=subresource, type="merge"
            )
        ):
            await asyncio.sleep(_pause_s(attempt))
            if subresource and self._news.is_set():
                return
            attempt += 1

    async def _settled(self, write: Awaitable[JSONObject]) -> bool:
        """Whether it is done, or pointless to try again: the Pod is gone, or another one has its name."""
        try:
            await write
        except ConnectionFailed:
            return False
        except APIError as error:
            if error.transient:
                return False
            if not error.not_found and not error.conflict:
                log.warning("the API server refused a write about pod %s: %s", self._name, error)
        return True


def _pause_s(attempt: int) -> float:
    return _RETRIES_S[min(attempt, len(_RETRIES_S) - 1)]
