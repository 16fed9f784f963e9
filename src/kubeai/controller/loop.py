"""The operator's loop: changes wake the Models that they concern, and workers take one step for each.

One worker at a time for a Model, many Models at once (fault O1). What failed is tried again: at once where somebody
else was faster, with growing pauses where the server is in trouble, and loudly where we are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from kubeai.api.k8s.objects import ConfigMap, Job, Object, PersistentVolumeClaim, Pod
from kubeai.api.model import Model
from kubeai.config.system import System
from kubeai.controller.adapters import Adapters
from kubeai.controller.engine_api import VLLM
from kubeai.controller.loads import LoadSource
from kubeai.controller.observe import Key, Observer
from kubeai.controller.owned import OwnedPods
from kubeai.controller.reconcile import Reconciler
from kubeai.controller.triggers import model_in_name, model_of_pod, models_of_claim, owning_model
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.kube.events import EventRecorder
from kubeai.kube.expectations import Expectations
from kubeai.kube.informer import Informer
from kubeai.kube.workqueue import Workqueue
from kubeai.telemetry.registry import Metrics

log = logging.getLogger(__name__)


class Controller:
    """Keeps every Model's Pods, volumes, Jobs and status as they should be."""

    def __init__(
        self,
        client: Client,
        system: System,
        models: Informer[Model],
        pods: Informer[Pod],
        jobs: Informer[Job],
        claims: Informer[PersistentVolumeClaim],
        config_maps: Informer[ConfigMap],
        recorder: EventRecorder,
        metrics: Metrics,
        loads: LoadSource,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Subscribes to the informers; the caller runs them. `clock` gives the times that are written down."""
        self._informers = (models, pods, jobs, claims, config_maps)
        self._models = models
        self._jobs = jobs
        self._metrics = metrics
        self._queue: Workqueue[Key] = Workqueue()
        self._expectations: Expectations[Key] = Expectations()
        self._owned = OwnedPods(pods)
        self._adapters = Adapters(client, VLLM(), self._queue.add, override=system.allow_pod_address_override)
        self._reconciler = Reconciler(
            client,
            system,
            Observer(models, pods, self._owned, jobs, claims, config_maps),
            recorder,
            self._expectations,
            loads,
            self._adapters,
            clock=clock,
            loop_time=lambda: asyncio.get_running_loop().time(),
        )
        models.on_change(self._on_model)
        pods.on_change(self._on_pod)
        jobs.on_change(self._on_owned)
        config_maps.on_change(self._on_owned)
        claims.on_change(self._on_claim)

    async def run(self, workers: int = 8) -> None:
        """Work until cancelled; may be run again, as often as this process becomes the leader.

        Nothing is done before all caches are complete: what is missing in them looks gone.
        """
        for informer in self._informers:
            await informer.wait_synced()
        for model in self._models.all():  # somebody else may have led meanwhile, or an earlier run was cut off
            self._queue.add((model.namespace, model.name))
        async with self._adapters.working(), asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._reconcile(key)
            finally:
                self._queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        with self._metrics.reconcile_duration.time():
            result = await self._attempt(key)
        self._metrics.reconciles.labels(result=result).inc()

    async def _attempt(self, key: Key) -> str:
        try:
            done = await self._reconciler.reconcile(key)
        except ConnectionFailed as error:
            log.warning("%s/%s: %s; trying again", *key, error)
            self._queue.retry(key)
            return "unreachable"
        except APIError as error:
            return self._refused(key, error)
        except Exception:  # a bug: the other Models must not suffer from it
            log.exception("%s/%s: the operator failed; trying again", *key)
            self._queue.retry(key)
            return "bug"
        self._queue.forget(key)
        if done.requeue_after_s is not None:
            self._queue.add_after(key, done.requeue_after_s)
        return done.result

    def _refused(self, key: Key, error: APIError) -> str:
        if error.conflict or error.already_exists:
            # Somebody changed it first: that change is on its way to us, and will be looked at then.
            self._queue.retry(key)
            return "conflict"
        log.warning("%s/%s: the API server refused: %s; trying again", *key, error.message)
        self._queue.retry(key, error.retry_after_s or 0.0)
        return "refused"

    def _on_model(self, old: Model | None, new: Model | None) -> None:
        if model := new or old:
            self._queue.add((model.namespace, model.name))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if not (pod := new or old) or not (key := model_of_pod(pod, self._jobs.get)):
            return
        if owning_model(pod) and (uid := pod.controller_uid):
            self._expectations.observe(key, self._owned.facts(uid))
        if new is None:
            self._reconciler.forget_pod(pod.uid)
        self._queue.add(key)

    def _on_owned(self, old: Object | None, new: Object | None) -> None:
        if not (obj := new or old):
            return
        if key := owning_model(obj):
            self._queue.add(key)
        elif (key := model_in_name(obj)) and self._models.get(*key):
            self._queue.add(key)  # it stands where the Model's own should be

    def _on_claim(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        if claim := new or old:
            for key in models_of_claim(claim, self._models.all()):
                self._queue.add(key)
