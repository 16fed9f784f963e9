"""What the autoscaler tells about its decisions: an Event on the Model, metrics, and the log.

Only the leader decides, so its numbers are served only while it leads: two processes must not tell two truths.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Protocol

from kubeai.api.model import Model
from kubeai.telemetry import names
from kubeai.telemetry.registry import Metrics, Sample

from .observe import Observation
from .policy import Decision

log = logging.getLogger(__name__)

#: Reason of the Event.
SCALED = "Scaled"


class Recorder(Protocol):
    """The part of `EventRecorder` that is needed here."""

    async def record(
        self, obj_ref: Mapping[str, Any], type: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None: ...


class Report:
    """`with report`: the numbers are served until the end of it."""

    def __init__(self, recorder: Recorder, metrics: Metrics) -> None:
        self._recorder = recorder
        self._scalings = metrics.autoscaler_scalings
        #: By the Model's address, of the last round; empty while this process does not decide.
        self._averages: Mapping[str, float] = {}
        self._replicas: dict[str, int] = {}
        #: Gateways that could not be asked; None while this process does not decide.
        self._blind: int | None = None
        metrics.sampled(names.AUTOSCALER_AVERAGE, lambda: _by_model(self._averages))
        metrics.sampled(names.AUTOSCALER_REPLICAS, lambda: _by_model(self._replicas))
        metrics.sampled(names.AUTOSCALER_BLIND, lambda: () if self._blind is None else [((), self._blind)])

    def __enter__(self) -> None:
        """Nothing is known before the first round."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._averages, self._replicas, self._blind = {}, {}, None

    def seen(self, seen: Observation) -> None:
        """A round begins with this."""
        self._blind = len(seen.blind)
        for address, reason in seen.blind.items():
            log.warning("active requests of the gateway at %s are unknown: %s", address, reason)

    def averages(self, averages: Mapping[str, float]) -> None:
        """By address, of all Models that there are."""
        self._averages = averages
        self._replicas = {name: replicas for name, replicas in self._replicas.items() if name in averages}

    def decided(self, name: str, decision: Decision) -> None:
        self._replicas[name] = decision.replicas

    async def scaled(self, name: str, model: Model, decision: Decision) -> None:
        """The decision was carried out."""
        direction = "up" if decision.replicas > decision.current else "down"
        self._scalings.labels(name, direction, decision.cause).inc()
        told = f"{decision.current} -> {decision.replicas} replicas: {decision.reason}"
        log.info("Model %s: %s", name, told)
        await self._recorder.record(model.reference(), "Normal", SCALED, told)


def _by_model(values: Mapping[str, float]) -> Iterable[Sample]:
    return [((name,), value) for name, value in values.items()]
