"""One worker a key, no lost work, growing retries: in virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.kube.workqueue import QueueClosed, Workqueue


async def test_a_key_added_twice_is_worked_on_once() -> None:
    queue: Workqueue[str] = Workqueue()
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_a_key_added_while_it_is_worked_on_comes_again_when_done() -> None:
    queue: Workqueue[str] = Workqueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


@pytest.mark.looptime
async def test_retries_come_later_and_later_until_one_succeeds() -> None:
    queue: Workqueue[str] = Workqueue(first_retry_s=1, last_retry_s=4)
    loop = asyncio.get_running_loop()
    times = []
    queue.add("a")
    for _ in range(5):
        await queue.get()
        times.append(loop.time())
        queue.retry("a")
        queue.done("a")
    assert [round(b - a, 3) for a, b in pairwise(times)] == [1, 2, 4, 4]
    queue.forget("a")
    await queue.get()
    queue.retry("a")
    queue.done("a")
    before = loop.time()
    await queue.get()
    assert round(loop.time() - before, 3) == 1


@pytest.mark.looptime
async def test_the_earliest_of_several_delays_wins() -> None:
    queue: Workqueue[str] = Workqueue()
    loop = asyncio.get_running_loop()
    queue.add_after("a", 9)
    queue.add_after("a", 3)
    queue.add_after("a", 5)
    await queue.get()
    assert round(loop.time(), 3) == 3


async def test_a_closed_queue_lets_its_workers_end() -> None:
    queue: Workqueue[str] = Workqueue()
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(QueueClosed):
        await worker


async def test_a_wake_up_of_a_cancelled_worker_goes_to_another() -> None:
    queue: Workqueue[str] = Workqueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"
    await asyncio.gather(first, return_exceptions=True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "work", "done"])), max_size=60))
def test_no_key_has_two_workers_and_no_add_is_lost(steps: list[tuple[str, str]]) -> None:
    async def play() -> None:
        queue: Workqueue[str] = Workqueue()
        working: set[str] = set()
        owed: set[str] = set()
        for key, step in steps:
            if step == "add":
                queue.add(key)
                owed.add(key)
            elif step == "work" and len(queue):
                got = await queue.get()
                assert got not in working
                working.add(got)
                owed.discard(got)
            elif step == "done" and key in working:
                working.discard(key)
                queue.done(key)
        for key in list(working):
            queue.done(key)
        assert {await queue.get() for _ in range(len(queue))} == owed

    asyncio.run(play())


async def test_a_key_that_fails_for_days_is_still_tried_again() -> None:
    queue: Workqueue[str] = Workqueue()
    for _ in range(2000):
        queue.retry("a")
