"""Time-outs of many connections with one timer."""

from __future__ import annotations

import asyncio

import pytest

from kubeai.inference.deadlines import NEVER, Deadlines

pytestmark = pytest.mark.looptime


class Watched:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired_at: list[float] = []

    def expire(self) -> None:
        self.expired_at.append(asyncio.get_running_loop().time())


async def test_each_expires_once_and_at_most_one_interval_late() -> None:
    deadlines = Deadlines(0.5)
    watched = [Watched(1.0), Watched(1.2), Watched(NEVER)]
    for each in watched:
        deadlines.add(each)
    await asyncio.sleep(5)
    assert [each.expired_at for each in watched] == [[1.0], [1.5], []]
    for each in watched:
        deadlines.discard(each)


async def test_a_deadline_that_moves_is_kept() -> None:
    deadlines, watched = Deadlines(0.5), Watched(1.0)
    deadlines.add(watched)
    await asyncio.sleep(0.9)
    watched.deadline = 3.0
    await asyncio.sleep(5)
    assert watched.expired_at == [3.0]
    deadlines.discard(watched)


async def test_no_timer_runs_while_nothing_is_watched() -> None:
    deadlines, watched = Deadlines(0.5), Watched(1.0)
    deadlines.add(watched)
    deadlines.discard(watched)
    await asyncio.sleep(5)
    assert watched.expired_at == []
