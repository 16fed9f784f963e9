"""The moving average."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.scaling.window import Window, whole_intervals, window_size


def test_the_average_is_that_of_the_last_samples() -> None:
    window = Window.filled(3)
    averages = [(window := window.record(sample)).average for sample in (3.0, 6.0, 9.0, 0.0)]
    assert averages == [1.0, 3.0, 6.0, 5.0]


@given(before=st.lists(st.floats(0, 1e9), min_size=1, max_size=20))
def test_an_idle_window_is_exactly_zero_whatever_was_before(before: list[float]) -> None:
    window = Window.filled(20)
    for sample in [*before, *[0.0] * 20]:
        window = window.record(sample)
    assert window.average == 0.0


@pytest.mark.parametrize(
    ("samples", "sustained"),
    [
        pytest.param((0.0, 5.0, 5.0), 5.0, id="a load that stays"),
        pytest.param((0.0, 0.0, 5.0), 0.0, id="a spike of one interval"),
        pytest.param((5.0, 5.0, 0.0), 0.0, id="a load that is over"),
        pytest.param((5.0,), 5.0, id="a window of one sample"),
    ],
)
def test_a_load_counts_as_sustained_from_its_second_interval_on(samples: tuple[float, ...], sustained: float) -> None:
    assert Window(samples).sustained(2) == sustained


@pytest.mark.parametrize(
    ("samples", "size", "resized"),
    [
        pytest.param((1.0, 2.0, 3.0), 3, (1.0, 2.0, 3.0), id="as it is"),
        pytest.param((1.0, 2.0, 3.0), 2, (2.0, 3.0), id="a shorter one keeps the last samples"),
        pytest.param((1.0, 3.0), 4, (2.0, 2.0, 1.0, 3.0), id="a longer one keeps the average"),
    ],
)
def test_a_window_can_be_resized(samples: tuple[float, ...], size: int, resized: tuple[float, ...]) -> None:
    assert Window(samples).resized(size) == Window(resized)


@pytest.mark.parametrize(
    ("window_s", "interval_s", "size"),
    [(600, 10, 60), (20, 2, 10), (25, 10, 3), (0.3, 0.1, 3), (1, 10, 1)],
)
def test_the_window_holds_as_many_samples_as_intervals_begin_in_it(
    window_s: float, interval_s: float, size: int
) -> None:
    assert window_size(window_s, interval_s) == size


def test_no_time_at_all_takes_no_interval() -> None:
    assert whole_intervals(0, 10) == 0
