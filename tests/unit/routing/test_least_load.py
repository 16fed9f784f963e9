"""LeastLoad: fewest requests in flight; among equals everybody has a turn."""

from __future__ import annotations

import pytest

from kubeai.routing.endpoint import Endpoint, Member
from kubeai.routing.least_load import LeastLoad
from kubeai.routing.strategy import Pool


def pool_of(*loads: int) -> Pool:
    return Pool(tuple(Member(Endpoint(f"e{i}", "10.0.0.1", 8000), load) for i, load in enumerate(loads)), sum(loads))


def pick(strategy: LeastLoad, pool: Pool) -> str:
    return strategy.pick(pool, pool.members, "").member.endpoint.name


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        pytest.param((3,), "e0", id="the only one, however busy"),
        pytest.param((1, 0), "e1", id="an idle one before a busy one"),
        pytest.param((2, 3, 1, 4), "e2", id="the least loaded of many"),
        pytest.param((5, 5, 4), "e2", id="the last of many"),
    ],
)
@pytest.mark.parametrize("turn", range(4))
def test_takes_the_least_loaded_whosever_turn_it_is(loads: tuple[int, ...], expected: str, turn: int) -> None:
    strategy = LeastLoad()
    for _ in range(turn):
        pick(strategy, pool_of(*(0 for _ in loads)))
    assert pick(strategy, pool_of(*loads)) == expected


def test_everybody_has_a_turn_when_all_are_idle() -> None:
    strategy, pool = LeastLoad(), pool_of(0, 0, 0)
    assert [pick(strategy, pool) for _ in range(4)] == ["e0", "e1", "e2", "e0"]


def test_everybody_has_a_turn_when_all_are_equally_busy() -> None:
    strategy, pool = LeastLoad(), pool_of(2, 2, 2)
    assert {pick(strategy, pool) for _ in range(3)} == {"e0", "e1", "e2"}
