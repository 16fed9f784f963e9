"""The decision, as tables: load and replicas in, replicas and the reason out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.model import ModelSpec
from kubeai.scaling.policy import Decision, Rules, decide
from kubeai.scaling.window import Window
from tests.builders import model


def spec_of(replicas: int | None, target: int = 1, **fields: Any) -> ModelSpec:
    return model(replicas=replicas, targetRequests=target, **fields).spec


def steady(load: float, size: int = 6) -> Window:
    return Window.filled(size, load)


def decided(spec: ModelSpec, window: Window, asked_down: int = 99, complete: bool = True) -> Decision:
    return decide(spec, window, asked_down, complete=complete, rules=Rules(10))


@pytest.mark.parametrize(
    ("load", "target", "current", "expected"),
    [
        pytest.param(0, 100, 0, 0, id="an idle model stays at zero"),
        pytest.param(1, 100, 0, 1, id="a single request needs a replica"),
        pytest.param(0.01, 100, 1, 1, id="a trace of load keeps the last replica"),
        pytest.param(0, 100, 1, 0, id="no load at all needs none"),
        pytest.param(100, 100, 1, 1, id="exactly the target fits"),
        pytest.param(100.1, 100, 1, 2, id="more than the target needs one more"),
        pytest.param(350, 100, 2, 4, id="up by several"),
        pytest.param(150, 100, 5, 2, id="down by several"),
        pytest.param(3, 1, 3, 3, id="as it should be"),
    ],
)
def test_replicas_follow_the_average(load: float, target: int, current: int, expected: int) -> None:
    assert decided(spec_of(current, target), steady(load)).replicas == expected


@pytest.mark.parametrize(
    ("load", "bounds", "expected", "reason"),
    [
        pytest.param(0, {"minReplicas": 2}, 2, "but minReplicas is 2", id="not under the minimum"),
        pytest.param(9, {"maxReplicas": 4}, 4, "but maxReplicas is 4", id="not over the maximum"),
        pytest.param(9, {}, 9, "9 active requests on average, 1 to a replica, need 9", id="no maximum"),
    ],
)
def test_bounds_hold_and_are_named(load: float, bounds: dict[str, int], expected: int, reason: str) -> None:
    decision = decided(spec_of(3, **bounds), steady(load))
    assert decision.replicas == expected
    assert reason in decision.reason


def test_a_model_that_was_never_scaled_counts_as_stopped() -> None:
    assert decided(spec_of(None), steady(2)) == Decision(
        0, 2, "2 active requests on average, 1 to a replica, need 2", "average"
    )


@pytest.mark.parametrize(
    ("delay_s", "expected"),
    [
        pytest.param(0, [1], id="without a delay at once"),
        pytest.param(30, [3, 3, 3, 1], id="after three intervals that asked for it"),
        pytest.param(25, [3, 3, 3, 1], id="a part of an interval is a whole one"),
    ],
)
def test_scales_down_only_after_the_delay(delay_s: int, expected: list[int]) -> None:
    spec, asked_down, replicas = spec_of(3, scaleDownDelaySeconds=delay_s), 0, []
    for _ in expected:
        decision = decided(spec, steady(1), asked_down)
        asked_down = decision.asked_down
        replicas.append(decision.replicas)
    assert replicas == expected


def test_says_how_long_it_still_waits() -> None:
    assert decided(spec_of(3), steady(1), asked_down=1).reason.endswith("need 1, if that lasts for 20 s")


@pytest.mark.parametrize("load", [3, 4])
def test_load_that_needs_the_replicas_starts_the_delay_anew(load: float) -> None:
    assert decided(spec_of(3), steady(load), asked_down=2).asked_down == 0


# fault A4
def test_a_round_that_did_not_see_everything_never_scales_down_and_leaves_the_delay_as_it_was() -> None:
    decision = decided(spec_of(3), steady(0), asked_down=2, complete=False)
    assert (decision.replicas, decision.asked_down) == (3, 2)
    assert "not every gateway could be asked" in decision.reason


# fault A4
def test_a_round_that_did_not_see_everything_still_scales_up() -> None:
    assert decided(spec_of(1), steady(5), complete=False).replicas == 5


# fault A3
@pytest.mark.parametrize(
    ("samples", "current", "expected"),
    [
        pytest.param((0, 0, 0, 0, 8), 1, 2, id="a spike of one interval is averaged"),
        pytest.param((0, 0, 0, 8, 8), 1, 8, id="many more than the replicas for two intervals is a burst"),
        pytest.param((5, 5, 5, 8, 8), 5, 8, id="so is half as many again"),
        pytest.param((0, 0, 0, 8, 8), 0, 8, id="also from zero"),
        pytest.param((5, 5, 5, 7, 7), 5, 6, id="less than that is averaged"),
        pytest.param((0, 0, 0, 8, 8), 8, 8, id="what a burst brought stays while it lasts"),
        pytest.param((0, 0, 8, 8, 5), 8, 5, id="and goes as far as the load does"),
        pytest.param((8, 8, 8, 0, 0), 8, 5, id="a burst that is over is averaged"),
    ],
)
def test_bursts(samples: tuple[float, ...], current: int, expected: int) -> None:
    assert decided(spec_of(current), Window(samples)).replicas == expected


# fault A3
@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param(Rules(10, burst_intervals=3), 5, id="a load that did not last as long as it has to"),
        pytest.param(Rules(10, burst_factor=4), 5, id="a load that does not ask for enough more"),
        pytest.param(Rules(10, burst_intervals=1), 12, id="a load that was just seen"),
    ],
)
def test_what_a_burst_is_can_be_said(rules: Rules, expected: int) -> None:
    window = Window((0, 0, 0, 12, 12))
    assert decide(spec_of(4), window, 0, complete=True, rules=rules).replicas == expected


@pytest.mark.parametrize(
    ("samples", "current", "bounds", "cause"),
    [
        pytest.param((0, 0, 5, 5), 1, {}, "burst", id="a burst"),
        pytest.param((8, 8, 9), 8, {}, "average", id="the average"),
        pytest.param((0, 0, 8, 8), 8, {}, "present", id="the load that is there now"),
        pytest.param((0, 0, 0), 3, {"minReplicas": 1}, "minimum", id="the lower bound"),
        pytest.param((9, 9, 9), 3, {"maxReplicas": 4}, "maximum", id="the upper bound"),
    ],
)
def test_a_decision_says_what_decided(
    samples: tuple[float, ...], current: int, bounds: dict[str, int], cause: str
) -> None:
    assert decided(spec_of(current, **bounds), Window(samples)).cause == cause


@given(
    samples=st.lists(st.floats(0, 1000), min_size=1, max_size=10),
    current=st.integers(0, 20),
    low=st.integers(0, 5),
    more=st.integers(0, 10),
    asked_down=st.integers(0, 9),
    complete=st.booleans(),
)
def test_whatever_happens_the_decision_is_in_bounds_or_no_change(
    samples: list[float], current: int, low: int, more: int, asked_down: int, complete: bool
) -> None:
    spec = spec_of(current, minReplicas=low, maxReplicas=max(1, low + more))
    decision = decided(spec, Window(tuple(samples)), asked_down, complete)
    assert low <= decision.replicas <= max(1, low + more) or not decision.changes
    assert decision.reason
