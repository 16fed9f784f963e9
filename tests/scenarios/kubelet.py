"""Stands in for the node where there is none: every Pod becomes ready, and goes when it is told to."""

from __future__ import annotations

import asyncio

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import PODS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.kube.informer import Informer

READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"}


class Kubelet:
    """Plays the node for the Pods of one informer."""

    def __init__(self, client: Client, pods: Informer[Pod]) -> None:
        self._client = client
        self._pods = pods

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:

            def on_pod(old: Pod | None, new: Pod | None) -> None:
                if new is not None and (new.terminating or not new.ready):
                    group.create_task(self._move(new))

            self._pods.on_change(on_pod)
            await asyncio.Event().wait()

    async def _move(self, pod: Pod) -> None:
        try:
            if pod.terminating:
                await self._client.delete(PODS, pod.name, namespace=pod.namespace, uid=pod.uid, grace_period_s=0)
            else:
                await self._client.patch(
                    PODS, pod.name, {"status": READY}, namespace=pod.namespace, subresource="status"
                )
        except APIError as error:
            # Gone already, and perhaps another has its name: a Pod that no node has does not wait for one.
            if not (error.not_found or error.conflict):
                raise
