"""One pass over one Model: observe, plan, execute, report.

The report comes last, so that it tells of what was really done; a refusal that a retry alone will not mend becomes a
condition of the Model like any other trouble.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import MODELS, PODS
from kubeai.api.model import Model
from kubeai.config.system import System
from kubeai.controller.adapters import Adapters
from kubeai.controller.execute import execute
from kubeai.controller.last_words import LastWords
from kubeai.controller.loads import LoadSource
from kubeai.controller.observe import Key, Observer
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.kube.events import EventRecorder
from kubeai.kube.expectations import Expectations
from kubeai.planning.actions import Action, Drain, Event, Patch, Plan
from kubeai.planning.draining import Loads
from kubeai.planning.observed import Failure, Observed
from kubeai.planning.plan import plan_model
from kubeai.planning.reasons import Reason
from kubeai.planning.refusals import Refusal, lasts, reason_of

log = logging.getLogger(__name__)

#: The cache shows our own writes within milliseconds; should it not, look again after this time.
LAG_S = 1.0


class Result(StrEnum):
    """How a pass ended, as a label of the metrics."""

    GONE = "gone"
    WAITING = "waiting"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Pass:
    result: Result
    requeue_after_s: float | None = None


class Reconciler:
    def __init__(
        self,
        client: Client,
        system: System,
        observer: Observer,
        recorder: EventRecorder,
        expectations: Expectations[Key],
        loads: LoadSource,
        adapters: Adapters,
        *,
        clock: Callable[[], datetime],
        loop_time: Callable[[], float],
    ) -> None:
        self._client = client
        self._system = system
        self._observer = observer
        self._recorder = recorder
        self._expectations = expectations
        self._loads = loads
        self._adapters = adapters
        self._last_words = LastWords(client)
        #: Of Pods that were about to be replaced, by uid.
        self._specs: dict[str, dict[str, Any]] = {}
        self._clock = clock
        self._loop_time = loop_time

    async def reconcile(self, key: Key) -> Pass:
        """Take the Model's next step. Raises `APIError` where it could not; then it is to be tried again."""
        return await self._pass(key, None)

    async def _pass(self, key: Key, loads: Loads | None) -> Pass:
        model = self._observer.models.get(*key)
        if model is None:
            self._expectations.forget(key)
            self._adapters.forget(key)
            return Pass(Result.GONE)
        if self._lags(key, model):
            return Pass(Result.WAITING, LAG_S)
        observed = self._observer.observe(model)
        troubles = self._adapters.look(key, model, observed.pods)
        pods = await self._last_words.added_to(observed.pods)
        observed = replace(observed, pods=pods, loads=loads, adapter_troubles=troubles, specs=self._specs)
        plan = plan_model(observed, self._system, self._clock())
        if plan.wants_specs:
            await self._read(plan.wants_specs)
            return await self._pass(key, loads)
        if plan.wants_loads:
            # From the start: the Model may have changed by the time that the gateways have answered.
            return await self._pass(key, await self._loads.read(key))
        if plan.problem:
            log.debug("%s/%s: %s", *key, plan.problem)
        for action in plan.actions:
            try:
                await self._perform(key, model, action)
            except APIError as error:
                if failure := self._failure(model, action, error):
                    await self._report_failure(observed, failure)
                raise
        await self._report(model, plan, (*plan.done, *plan.events))
        return Pass(_result(plan), plan.requeue_after_s)

    async def _read(self, pods: Sequence[Pod]) -> None:
        """The whole of these Pods, which the caches do not keep. A list by name costs no right to get single ones.

        They have been ready for a while, so that the server's cache knows them.
        """
        for pod in pods:
            found = await self._client.list(PODS, pod.namespace, fields=f"metadata.name={pod.name}", may_lag=True)
            self._specs[pod.uid] = next((each["spec"] for each in found if each["metadata"]["uid"] == pod.uid), {})

    def forget_pod(self, uid: str) -> None:
        """The Pod is gone from the cache."""
        self._specs.pop(uid, None)
        self._last_words.forget(uid)

    def _lags(self, key: Key, model: Model) -> bool:
        """Whether the cache does not show our own writes yet: a plan made from it would repeat them."""
        self._expectations.observe(key, self._observer.owned.facts(model.uid))
        return self._expectations.pending(key, self._loop_time())

    async def _perform(self, key: Key, model: Model, action: Action) -> None:
        written = await execute(self._client, action)
        log.info("%s/%s: %s", *key, _in_words(action))
        if written is None:
            return
        expect = self._expectations.created if written.kind == "appears" else self._expectations.deleted
        expect(key, written.fact, self._loop_time())
        # The watch may have been faster than the answer.
        self._expectations.observe(key, self._observer.owned.facts(model.uid))

    def _failure(self, model: Model, action: Action, error: APIError) -> Failure | None:
        """What is to be told about it; None where it is no more than bad timing."""
        if error.already_exists:
            there = self._observer.pods.get(model.namespace, action.name)
            if there is None or there.controller_uid == model.uid:
                return None  # the cache will show it, and then it is one of ours, or not
            message = f"Pod {action.name} exists and belongs to something else: remove or rename it."
            return Failure(message, Reason.NAME_CONFLICT)
        if error.not_found and isinstance(action, Patch):
            return None  # it was deleted in this moment, and the cache will show that
        refusal = Refusal(error.status, error.message, _causes(error))
        if not lasts(refusal):
            return None
        return Failure(f"The API server refused to {_in_words(action)}: {error.message}", reason_of(refusal))

    async def _report_failure(self, observed: Observed, failure: Failure) -> None:
        """Put it into the Model's conditions."""
        plan = plan_model(replace(observed, failure=failure), self._system, self._clock())
        await self._report(observed.model, plan, plan.events)

    async def _report(self, model: Model, plan: Plan, events: tuple[Event, ...]) -> None:
        if plan.status is not None:
            await self._write_status(model, {"status": plan.status})
        for event in events:
            await self._recorder.record(model.reference(), event.type, event.reason, event.message)

    async def _write_status(self, model: Model, patch: dict[str, Any]) -> None:
        try:
            await self._client.patch(MODELS, model.name, patch, namespace=model.namespace, subresource="status")
        except APIError as error:
            if not error.not_found:  # it may be gone by now, and nobody misses its status
                raise


def _causes(error: APIError) -> list[str]:
    causes = error.details.get("causes") or ()
    return [str(cause.get("reason", "")) for cause in causes if isinstance(cause, dict)]


def _result(plan: Plan) -> Result:
    if plan.problem:
        return Result.PROBLEM
    return Result.CHANGED if plan.actions or plan.status is not None else Result.UNCHANGED


def _in_words(action: Action) -> str:
    if isinstance(action, Drain):
        return f"{'drain' if action.since else 'keep'} Pod {action.name}"
    verb = type(action).__name__.lower()
    return f"{verb} {action.resource.kind} {action.name}"
