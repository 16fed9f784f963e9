"""The Job controller: sees to it that Jobs get their Pods. It speaks the Kubernetes API, like all that is no server.

Everything that is decided is decided in `jobplan`; here it is observed and carried out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import JOBS, PODS
from kubeai.embedded.admission.jobs import JOB_NAME
from kubeai.embedded.jobplan import Job, JobPlan, plan_job
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.kube.events import EventRecorder, EventType
from kubeai.kube.informer import Informer
from kubeai.kube.workqueue import Workqueue

log = logging.getLogger(__name__)

Key = tuple[str, str]


def _now() -> datetime:
    return datetime.now(UTC)


class JobController:
    """Works on the Jobs of all namespaces, one at a time: a machine has few."""

    def __init__(self, client: Client, now: Callable[[], datetime] = _now) -> None:
        self._client = client
        self._recorder = EventRecorder(client, "job-controller", "local")
        self._now = now
        self._queue: Workqueue[Key] = Workqueue()
        self._jobs = Informer(client, JOBS, msgspec.json.Decoder(Job).decode, namespace="")
        self._pods = Informer(
            client,
            PODS,
            msgspec.json.Decoder(Pod).decode,
            namespace="",
            labels=JOB_NAME,
            indexers={"job": lambda pod: [pod.controller_uid or ""]},
        )

    async def run(self) -> None:
        """Until cancelled."""
        self._jobs.on_change(self._job_changed)
        self._pods.on_change(self._pod_changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._jobs.run())
            group.create_task(self._pods.run())
            group.create_task(self._work())

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        if new is not None:
            self._queue.add((new.namespace, new.name))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        if pod is not None:
            self._queue.add((pod.namespace, pod.labels[JOB_NAME]))

    async def _work(self) -> None:
        # Without the Pods each Job would look as if it had not begun.
        await self._jobs.wait_synced()
        await self._pods.wait_synced()
        while True:
            key = await self._queue.get()
            try:
                await self._reconcile(key)
                self._queue.forget(key)
            except APIError as error:
                # A conflict only means that the Job has changed since it was read: its event is on the way.
                if not error.conflict:
                    log.warning("Job %s/%s: %s; trying again", *key, error)
                self._queue.retry(key)
            except Exception:  # a Job in a state that nobody thought of: the others must not suffer from it
                log.exception("Job %s/%s: trying again", *key)
                self._queue.retry(key)
            finally:
                self._queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        job = self._jobs.get(*key)
        if job is None:
            return
        plan = plan_job(job, self._pods.by_index("job", job.uid), self._now())
        await self._execute(job, plan)
        if plan.requeue_after_s is not None:
            self._queue.add_after(key, plan.requeue_after_s)

    async def _execute(self, job: Job, plan: JobPlan) -> None:
        if plan.remove:
            await self._client.delete(JOBS, job.name, namespace=job.namespace, uid=job.uid, propagation="Background")
            return
        for pod in plan.delete:
            await self._delete(pod)
        for body in plan.create:
            await self._create(job, body)
            await self._tell(job, "Normal", "SuccessfulCreate", f"Created pod: {body['metadata']['name']}")
        if plan.status is not None:
            # With its version, so that counts which are older than the stored ones never replace them.
            version = job.metadata.resource_version
            patch = {"metadata": {"resourceVersion": version}, "status": _replacing(job.status, plan.status)}
            await self._client.patch(JOBS, job.name, patch, namespace=job.namespace, subresource="status")
            await self._tell_end(job, plan.status)

    async def _tell_end(self, job: Job, status: dict[str, Any]) -> None:
        for condition in status.get("conditions", ()):
            if condition["type"] == "Complete":
                await self._tell(job, "Normal", "Completed", "Job completed")
            elif condition["type"] == "Failed":
                await self._tell(job, "Warning", condition["reason"], condition["message"])

    async def _tell(self, job: Job, type: EventType, reason: str, message: str) -> None:
        involved = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "namespace": job.namespace}
        await self._recorder.record(involved | {"uid": job.uid}, type, reason, message)

    async def _create(self, job: Job, body: dict[str, Any]) -> None:
        try:
            await self._client.create(PODS, body, job.namespace)
        except APIError as error:
            # The name follows from the Job: whoever made the Pod, it is the one that is wanted.
            if not error.already_exists:
                raise

    async def _delete(self, pod: Pod) -> None:
        try:
            await self._client.delete(PODS, pod.name, namespace=pod.namespace, uid=pod.uid)
        except APIError as error:
            if not (error.not_found or error.conflict):
                raise


def _replacing(old: dict[str, object], new: dict[str, object]) -> dict[str, object]:
    """A merge patch that leaves nothing of the old status."""
    return {name: None for name in old if name not in new} | new
