"""Several processes of one gateway choose endpoints by what all of them have sent there."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from kubeai.api.model import LoadBalancing, PrefixHash
from kubeai.routing.balancer import Balancer, NoEndpoint
from kubeai.telemetry.pages import Memory
from kubeai.telemetry.registry import Metrics
from kubeai.telemetry.totals import strike_out
from tests.builders import endpoint

LEAST_LOAD = LoadBalancing()


def balancers(memory: Memory) -> list[Balancer]:
    """One for each process."""
    return [Balancer(Metrics(CollectorRegistry(), memory, number)) for number in range(len(memory.pages))]


async def hold(stack: AsyncExitStack, balancer: Balancer, prefix: str = "") -> str:
    """The endpoint of a request that runs until the stack ends."""
    return (await stack.enter_async_context(balancer.slot("m", prefix=prefix, timeout_s=0))).name


async def test_requests_of_all_processes_are_spread_as_if_they_came_to_one() -> None:
    processes = balancers(Memory(3))
    for balancer in processes:
        balancer.set_group("m", [endpoint(name) for name in "abcdef"], LEAST_LOAD)
    async with AsyncExitStack() as stack:
        chosen = [await hold(stack, balancer) for _ in range(4) for balancer in processes]
    assert Counter(chosen) == dict.fromkeys("abcdef", 2)


async def test_several_processes_choose_by_prefix_as_one_would() -> None:
    settings = LoadBalancing(strategy="PrefixHash", prefix_hash=PrefixHash(mean_load_factor=100))
    chosen = []
    for processes in (balancers(Memory(1)) * 2, balancers(Memory(2))):
        for balancer in processes:
            balancer.set_group("m", [endpoint(name) for name in "abc"], settings)
        async with AsyncExitStack() as stack:
            chosen.append([await hold(stack, balancer, "the same") for balancer in processes * 6])
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 3


async def test_what_a_dead_process_had_running_weighs_no_more() -> None:
    memory = Memory(2)
    alive, dead = balancers(memory)
    for balancer in (alive, dead):
        balancer.set_group("m", [endpoint("a"), endpoint("b")], LEAST_LOAD)
    async with AsyncExitStack() as stack:
        lost = [await hold(stack, dead) for _ in range(6)]
        strike_out(memory, 1)
        chosen = [await hold(stack, alive) for _ in range(2)]
        assert (len(lost), sorted(chosen)) == (6, ["a", "b"])
        assert [load.in_flight for load in alive.endpoints("m")] == [1, 1]


async def test_a_process_that_does_not_know_an_endpoint_yet_has_no_requests_there() -> None:
    first, second = balancers(Memory(2))
    second.set_group("m", [endpoint("a")], LEAST_LOAD)
    first.set_group("m", [endpoint("a"), endpoint("b")], LEAST_LOAD)
    async with AsyncExitStack() as stack:
        assert [await hold(stack, second) for _ in range(2)] == ["a", "a"]
        assert [await hold(stack, first) for _ in range(2)] == ["b", "b"]


async def test_a_place_that_another_process_has_given_back_is_for_who_waits_and_not_for_who_comes() -> None:
    first, second = balancers(Memory(2))
    for balancer in (first, second):
        balancer.set_group("m", [endpoint("a")], LoadBalancing(max_requests_per_replica=1))

    end = asyncio.Event()

    async def wait() -> None:
        async with first.slot("m"):
            await end.wait()

    async with AsyncExitStack() as stack:
        await hold(stack, second)
        waiting = asyncio.create_task(wait())
        while not first.waiting("m"):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
    with pytest.raises(NoEndpoint):
        async with first.slot("m", timeout_s=0):
            pass
    assert (first.waiting("m"), first.in_flight("m")) == (0, 1)
    end.set()
    await waiting


async def test_with_hundreds_of_endpoints_the_others_are_seen_within_a_millisecond() -> None:
    first, second = balancers(Memory(2))
    names = [f"e{number:03}" for number in range(300)]
    for balancer in (first, second):
        balancer.set_group("m", [endpoint(name) for name in names], LEAST_LOAD)
    async with AsyncExitStack() as stack:
        taken = {await hold(stack, second) for _ in range(299)}
        await asyncio.sleep(0.002)
        assert await hold(stack, first) in set(names) - taken


Step = tuple[int, str, int]
steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["begin", "begin", "end", "endpoints"]), st.integers(0, 15)),
    max_size=60,
)


# fault P12
@given(steps)
def test_the_sum_is_right_at_any_moment_and_zero_in_the_end(todo: list[Step]) -> None:
    asyncio.run(_mixed(todo))


async def _mixed(todo: list[Step]) -> None:
    memory = Memory(3)
    processes = balancers(memory)
    running: list[list[AsyncExitStack]] = [[], [], []]
    for number, step, value in todo:
        balancer, held = processes[number], running[number]
        if step == "begin" and balancer.has_endpoint("m"):
            held.append(AsyncExitStack())
            await hold(held[-1], balancer)
        elif step == "end" and held:
            await held.pop(value % len(held)).aclose()
        elif step == "endpoints":
            present = [endpoint(name) for bit, name in enumerate("abcd") if value >> bit & 1]
            balancer.set_group("m", present, LEAST_LOAD)
        assert total(memory) == sum(map(len, running))
    for held in running:
        for each in held:
            await each.aclose()
    assert total(memory) == 0


def total(memory: Memory) -> float:
    return sum(numbers[0] for pages in memory.pages for numbers in pages.in_flight.entries().values())
