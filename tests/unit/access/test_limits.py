from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.access.limits import Limiter, Refusal


def admitted(limiter: Limiter, *times: float) -> list[bool]:
    return [limiter.admit(now) is None for now in times]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([0, 0, 0], [True, True, False], id="a minute's worth may come at once"),
        pytest.param([0, 0, 29, 30], [True, True, False, True], id="then one for each part of the minute"),
        pytest.param([0, 0, 600, 600, 600], [True, True, True, True, False], id="only a minute's worth is saved"),
    ],
)
def test_requests_a_minute(times: list[float], expected: list[bool]) -> None:
    assert admitted(Limiter(requests_per_minute=2), *times) == expected


def test_who_is_refused_is_told_when_to_come_again_and_is_admitted_then() -> None:
    limiter = Limiter(requests_per_minute=2)
    admitted(limiter, 0, 0)
    assert limiter.admit(10) == Refusal("2 requests a minute", 20)
    assert limiter.admit(30) is None


def test_tokens_are_paid_for_afterwards_and_debts_are_waited_for() -> None:
    limiter = Limiter(tokens_per_minute=60)
    assert admitted(limiter, 0) == [True]
    limiter.charge(90, 10)
    assert limiter.admit(10) == Refusal("60 tokens a minute", 31)
    assert limiter.admit(41) is None


def test_a_refused_request_costs_nothing() -> None:
    limiter = Limiter(requests_per_minute=1, tokens_per_minute=60)
    limiter.charge(61, 0)
    assert admitted(limiter, 0, 0, 2) == [False, False, True]


def test_what_runs_at_a_time_is_bounded_and_counted_by_with() -> None:
    limiter = Limiter(concurrency=1)
    assert limiter.admit(0) is None
    with limiter.running:
        assert limiter.admit(0) == Refusal("1 requests at a time", 1)
    assert limiter.admit(0) is None


@given(
    per_minute=st.integers(1, 1000),
    pauses=st.lists(st.floats(0, 90), min_size=1, max_size=200),
)
def test_in_any_span_no_more_is_admitted_than_was_saved_and_earned(per_minute: int, pauses: list[float]) -> None:
    limiter = Limiter(requests_per_minute=per_minute)
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        if limiter.admit(now) is None:
            times.append(now)
    for first, start in enumerate(times):
        for count, end in enumerate(times[first:], start=1):
            assert count <= per_minute * (1 + (end - start) / 60) + 1e-6
