"""The autoscaler: every interval it observes the load, decides for each Model, and scales those that need it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from kubeai.api.address import address
from kubeai.api.k8s.resources import MODELS, Resource
from kubeai.api.model import Model
from kubeai.config.system import ModelAutoscaling
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.telemetry.registry import Metrics

from .checkpoint import Checkpoint
from .observe import Fetch, Observation, http_metrics, observe
from .policy import Decision, Rules, decide
from .report import Recorder, Report
from .window import Window, whole_intervals, window_size

log = logging.getLogger(__name__)

_SCRAPE_TIMEOUT_S = 5.0


class Models(Protocol):
    """The part of the Models' informer that is needed here."""

    async def wait_synced(self) -> None: ...

    def all(self) -> list[Model]: ...


class Client(Protocol):
    """The part of the Kubernetes client that is needed here."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]: ...

    async def create(self, resource: Resource, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]: ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: dict[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of one Model from interval to interval."""

    window: Window
    asked_down: int = 0


class Autoscaler:
    """Only one of all processes may run this at a time: the leader."""

    def __init__(
        self,
        client: Client,
        models: Models,
        metric_addresses: Callable[[], Sequence[str]],
        settings: ModelAutoscaling,
        namespace: str,
        recorder: Recorder,
        metrics: Metrics,
        *,
        open_metrics: Callable[[], AbstractAsyncContextManager[Fetch]] = http_metrics,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._models = models
        self._metric_addresses = metric_addresses
        self._interval_s = settings.interval_s
        self._time_window_s = settings.time_window_s
        self._rules = rules_of(settings)
        self._namespace = namespace
        self._checkpoint = Checkpoint(client, namespace, settings.state_config_map_name)
        self._report = Report(recorder, metrics)
        self._open_metrics = open_metrics
        self._wall_clock = wall_clock
        #: What an earlier leader has saved, for Models that were not seen in a round yet.
        self._restored: dict[str, float] = {}
        #: By the Model's address; only Models that exist.
        self._histories: dict[str, History] = {}

    async def run(self) -> None:
        """Scale until cancelled. What an earlier run remembered is forgotten: another leader may have acted since."""
        await self._models.wait_synced()
        self._restored, self._histories = await self._restore(), {}
        loop = asyncio.get_running_loop()
        next_round = loop.time()
        async with self._open_metrics() as fetch:
            with self._report:
                while True:
                    next_round = max(next_round + self._interval_s, loop.time())
                    await asyncio.sleep(next_round - loop.time())
                    await self._round(fetch)

    async def _restore(self) -> dict[str, float]:
        """Without the averages a busy Model would look idle, so there is no start without an answer."""
        while True:
            try:
                return await self._checkpoint.load()
            except (APIError, ConnectionFailed) as error:
                log.warning("the autoscaler's state cannot be read, trying again: %s", error)
                await asyncio.sleep(self._interval_s)

    async def _round(self, fetch: Fetch) -> None:
        seen = await observe(self._metric_addresses(), fetch, min(_SCRAPE_TIMEOUT_S, self._interval_s))
        self._report.seen(seen)
        models = {self._address(model): model for model in self._models.all() if not model.terminating}
        self._histories = {name: self._record(name, model, seen) for name, model in models.items()}
        self._restored.clear()  # a Model of that name that comes later is another one
        self._report.averages({name: history.window.average for name, history in self._histories.items()})
        for name, model in models.items():
            if not model.spec.autoscaling_disabled:
                await self._scale(name, model, seen.complete)
        await self._save()

    def _address(self, model: Model) -> str:
        """What the gateways call it in their metrics."""
        return address(model.namespace, model.name, self._namespace)

    def _record(self, name: str, model: Model, seen: Observation) -> History:
        size = window_size(model.spec.autoscaling_window_seconds or self._time_window_s, self._interval_s)
        history = self._histories.get(name)
        if history is None:
            history = History(Window.filled(size, self._restored.get(name, 0.0)))
        window = history.window.resized(size)
        active = seen.active.get(name, 0.0)
        if not seen.complete:  # what was not seen must not make the average fall
            active = max(active, window.average)
        # Whose autoscaling is disabled asks for nothing.
        return History(window.record(active), 0 if model.spec.autoscaling_disabled else history.asked_down)

    async def _scale(self, name: str, model: Model, complete: bool) -> None:
        history = self._histories[name]
        decision = decide(model.spec, history.window, history.asked_down, complete=complete, rules=self._rules)
        self._histories[name] = History(history.window, decision.asked_down)
        self._report.decided(name, decision)
        if decision.changes and await self._write(model, decision):
            await self._report.scaled(name, model, decision)

    async def _write(self, model: Model, decision: Decision) -> bool:
        patch = {"spec": {"replicas": decision.replicas}}
        try:
            await self._client.patch(MODELS, model.name, patch, namespace=model.namespace, subresource="scale")
        except (
            APIError,
            ConnectionFailed,
        ) as error:  # the next interval decides anew; the other Models must not wait for this one
            log.warning("Model %s cannot be scaled to %d: %s", model.name, decision.replicas, error)
            return False
        return True

    async def _save(self) -> None:
        averages = {name: history.window.average for name, history in self._histories.items()}
        try:
            await self._checkpoint.save(averages, self._wall_clock())
        except (APIError, ConnectionFailed) as error:
            log.warning("the autoscaler's state cannot be saved: %s", error)


def rules_of(settings: ModelAutoscaling) -> Rules:
    burst_window_s = settings.burst_window_s or 2 * settings.interval_s
    return Rules(
        settings.interval_s,
        max(1, whole_intervals(burst_window_s, settings.interval_s)),
        settings.burst_threshold_percent / 100,
    )
