"""The decision: how many replicas a Model should have, and why, in words.

The load of the whole window decides. Two things are decided by the last intervals alone, because an average over
minutes is blind for them: a burst that asks for many more replicas than there are is followed at once, and replicas
that the present load keeps busy are not taken away just because it was quiet before. Fewer replicas are granted only
after the load has asked for fewer during the Model's scale-down delay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from kubeai.api.model import ModelSpec

from .window import Window, whole_intervals

#: What decided, as one word for programs.
Cause = Literal["average", "burst", "present", "minimum", "maximum"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same for all Models."""

    interval_s: float
    #: For how many intervals a load must last to be more than a spike.
    burst_intervals: int = 2
    #: How many times the present replicas a burst must ask for.
    burst_factor: float = 1.5


@dataclass(frozen=True, slots=True)
class Decision:
    current: int
    replicas: int
    #: For people; ends without a full stop so that it can be part of a sentence.
    reason: str
    cause: Cause
    #: For how many intervals in a row fewer replicas were asked for, this one included.
    asked_down: int = 0

    @property
    def changes(self) -> bool:
        return self.replicas != self.current


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the load asks for."""

    replicas: int
    reason: str
    cause: Cause


def decide(spec: ModelSpec, window: Window, asked_down: int, *, complete: bool, rules: Rules) -> Decision:
    """Decide for one Model.

    `asked_down` is that of the previous decision. `complete` is False when a part of the load could not be seen:
    then the true load may be higher, and nothing is scaled down.
    """
    current = spec.replicas or 0
    wish = _bounded(spec, _wish(spec, window, current, rules))
    decision = Decision(current, wish.replicas, wish.reason, wish.cause)
    if wish.replicas > current:
        return decision
    stay = replace(decision, replicas=current)
    if not complete:
        return replace(stay, reason=f"{wish.reason}, but not every gateway could be asked", asked_down=asked_down)
    if wish.replicas == current:
        return stay
    missing = whole_intervals(max(0, spec.scale_down_delay_seconds), rules.interval_s) - asked_down
    if missing > 0:
        reason = f"{wish.reason}, if that lasts for {missing * rules.interval_s:g} s"
        return replace(stay, reason=reason, asked_down=asked_down + 1)
    return replace(decision, asked_down=asked_down + 1)


def _wish(spec: ModelSpec, window: Window, current: int, rules: Rules) -> _Wish:
    average, sustained = window.average, window.sustained(rules.burst_intervals)
    by_average = math.ceil(average / spec.target_requests)
    by_sustained = math.ceil(sustained / spec.target_requests)
    if by_sustained > by_average and by_sustained >= rules.burst_factor * max(current, 1):
        return _asks(f"a burst of {_number(sustained)} active requests", by_sustained, spec, "burst")
    if by_average < current and by_average < by_sustained:
        return _asks(f"{_number(sustained)} active requests now", min(current, by_sustained), spec, "present")
    return _asks(f"{_number(average)} active requests on average", by_average, spec, "average")


def _bounded(spec: ModelSpec, wish: _Wish) -> _Wish:
    if wish.replicas < spec.min_replicas:
        return _Wish(spec.min_replicas, f"{wish.reason}, but minReplicas is {spec.min_replicas}", "minimum")
    if spec.max_replicas is not None and wish.replicas > spec.max_replicas:
        return _Wish(spec.max_replicas, f"{wish.reason}, but maxReplicas is {spec.max_replicas}", "maximum")
    return wish


def _asks(load: str, replicas: int, spec: ModelSpec, cause: Cause) -> _Wish:
    return _Wish(replicas, f"{load}, {spec.target_requests} to a replica, need {replicas}", cause)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"
