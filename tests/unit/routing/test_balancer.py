"""The balancer's slots: waiting, waking, deadlines, and counts that end at exactly zero."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from kubeai.api.model import LoadBalancing, PrefixHash
from kubeai.routing.balancer import Balancer, ModelRemoved, NoEndpoint, Patience, Turn, TurnedAway
from kubeai.telemetry.registry import Metrics
from tests.builders import endpoint

LEAST_LOAD = LoadBalancing()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def balancer(metrics: Metrics) -> Balancer:
    return Balancer(metrics)


class Requests:
    """Requests that hold their slots until told to end; `served` is the order in which they got them."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._end = asyncio.Event()
        self.served: list[tuple[str, str]] = []
        self.refused: list[str] = []

    async def run(self, name: str, adapter: str | None = None, timeout_s: float | None = None) -> None:
        try:
            async with self._balancer.slot("m", adapter=adapter, timeout_s=timeout_s) as found:
                self.served.append((name, found.name))
                await self._end.wait()
        except NoEndpoint:
            self.refused.append(name)

    def end_all(self) -> None:
        self._end.set()


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_slot_counts_for_as_long_as_it_is_held(balancer: Balancer) -> None:
    balancer.set_group("m", [endpoint("a")], LEAST_LOAD)
    async with balancer.slot("m", timeout_s=1) as found:
        assert (found, balancer.in_flight("m")) == (endpoint("a"), 1)
    assert balancer.in_flight("m") == 0


async def test_who_may_not_even_wait_leaves_nothing_behind(balancer: Balancer, metrics: Metrics) -> None:
    with pytest.raises(TurnedAway):
        await balancer.slot("unknown", patience=Patience(None, max_waiting=0)).__aenter__()
    assert b"unknown" not in metrics.render()


async def test_a_failing_request_gives_its_slot_back(balancer: Balancer) -> None:
    balancer.set_group("m", [endpoint("a")], LEAST_LOAD)
    with pytest.raises(ConnectionError):
        async with balancer.slot("m", timeout_s=1):
            raise ConnectionError
    assert balancer.in_flight("m") == 0


async def test_a_slot_is_entered_only_once(balancer: Balancer) -> None:
    balancer.set_group("m", [endpoint("a")], LEAST_LOAD)
    slot = balancer.slot("m", timeout_s=1)
    async with slot:
        with pytest.raises(RuntimeError, match="only once"):
            await slot.__aenter__()
    assert balancer.in_flight("m") == 0


@pytest.mark.looptime
async def test_gives_up_at_the_deadline(balancer: Balancer) -> None:
    with pytest.raises(NoEndpoint, match="no endpoint of m became ready within 30 seconds"):
        async with balancer.slot("m", timeout_s=30):
            pytest.fail("there is no endpoint")
    assert asyncio.get_running_loop().time() == 30


async def test_does_not_wait_at_all_without_time_for_it(balancer: Balancer) -> None:
    with pytest.raises(NoEndpoint):
        await balancer.slot("m", timeout_s=0).__aenter__()


async def test_waiters_are_served_in_the_order_of_their_arrival(balancer: Balancer) -> None:
    requests = Requests(balancer)
    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(requests.run(str(number)))
        await settle()
        assert balancer.waiting("m") == 5
        balancer.set_group("m", [endpoint("a"), endpoint("b")], LEAST_LOAD)
        await settle()
        requests.end_all()
    assert requests.served == [("0", "a"), ("1", "b"), ("2", "a"), ("3", "b"), ("4", "a")]
    assert balancer.waiting("m") == 0


# fault P1
async def test_an_adapter_that_loads_while_a_request_waits_for_it_serves_it(balancer: Balancer) -> None:
    requests = Requests(balancer)
    balancer.set_group("m", [endpoint("a")], LEAST_LOAD)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(requests.run("tuned", "lora"))
        tasks.create_task(requests.run("plain"))
        await settle()
        assert requests.served == [("plain", "a")]
        balancer.set_group("m", [endpoint("a", "lora")], LEAST_LOAD)
        await settle()
        requests.end_all()
    assert requests.served == [("plain", "a"), ("tuned", "a")]


async def test_an_endpoint_that_comes_and_goes_in_one_moment_still_serves_who_waited(balancer: Balancer) -> None:
    requests = Requests(balancer)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(requests.run("first"))
        await settle()
        balancer.set_group("m", [endpoint("a")], LEAST_LOAD)
        balancer.set_group("m", [], LEAST_LOAD)
        await settle()
        requests.end_all()
    assert requests.served == [("first", "a")]


async def test_a_waiter_that_is_cancelled_leaves_the_others_their_turn(balancer: Balancer) -> None:
    requests = Requests(balancer)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(requests.run("first"))
        tasks.create_task(requests.run("second"))
        await settle()
        first.cancel()
        balancer.set_group("m", [endpoint("a")], LEAST_LOAD)
        await settle()
        requests.end_all()
    assert requests.served == [("second", "a")]


async def test_a_slot_that_comes_in_the_moment_of_the_cancel_is_given_back(balancer: Balancer) -> None:
    requests = Requests(balancer)
    task = asyncio.create_task(requests.run("first"))
    await settle()
    balancer.set_group("m", [endpoint("a")], LEAST_LOAD)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (balancer.in_flight("m"), requests.served) == (0, [])


async def test_who_waits_for_a_model_that_is_deleted_fails_at_once(balancer: Balancer) -> None:
    balancer.set_group("m", [], LEAST_LOAD)
    waiting = asyncio.ensure_future(balancer.slot("m", timeout_s=None).__aenter__())
    await settle()
    balancer.remove_group("m")
    with pytest.raises(ModelRemoved, match="m was deleted"):
        await waiting


# fault P2
async def test_a_deleted_model_leaves_nothing_behind_once_its_last_request_ended(
    balancer: Balancer, metrics: Metrics
) -> None:
    balancer.set_group("m", [endpoint("a")], LoadBalancing(strategy="PrefixHash"))
    async with balancer.slot("m", prefix="x", timeout_s=None):
        assert b'"a"' in metrics.render()
        balancer.remove_group("m")
        assert (balancer.in_flight("m"), list(balancer.endpoints("m"))) == (1, [])
    assert b'"m"' not in metrics.render()
    assert b'"a"' not in metrics.render()


@pytest.mark.looptime
async def test_a_name_that_never_was_a_model_leaves_nothing_behind(balancer: Balancer, metrics: Metrics) -> None:
    with pytest.raises(NoEndpoint):
        await balancer.slot("unknown", timeout_s=1).__aenter__()
    assert b"unknown" not in metrics.render()


async def test_has_endpoint_asks_for_the_adapter_too(balancer: Balancer) -> None:
    balancer.set_group("m", [endpoint("a", "lora")], LEAST_LOAD)
    answers = [balancer.has_endpoint(*query) for query in [("m",), ("m", "lora"), ("m", "other"), ("unknown",)]]
    assert answers == [True, True, False, False]


# fault P12
async def test_loads_are_exported(balancer: Balancer, metrics: Metrics) -> None:
    balancer.set_group("m", [endpoint("a"), endpoint("b")], LEAST_LOAD)
    async with balancer.slot("m", timeout_s=None):
        lines = metrics.render().decode().splitlines()
    assert 'kubeai_endpoints{request_model="m"} 2.0' in lines
    assert 'kubeai_endpoint_requests_in_flight{endpoint="a",request_model="m"} 1.0' in lines
    assert 'kubeai_inference_requests_waiting{request_model="m"} 0.0' in lines


async def test_loads_are_those_of_the_models_asked_for_with_endpoints_that_leave(balancer: Balancer) -> None:
    balancer.set_group("m", [endpoint("a")], LEAST_LOAD)
    balancer.set_group("n", [endpoint("b")], LEAST_LOAD)
    async with balancer.slot("m", timeout_s=None):
        balancer.set_group("m", [endpoint("c")], LEAST_LOAD)
        assert balancer.loads(["m", "unknown"]) == {"a": 1, "c": 0}
    assert balancer.loads(["m", "n"]) == {"b": 0, "c": 0}


async def test_prefix_lookups_are_counted(balancer: Balancer, metrics: Metrics) -> None:
    balancer.set_group("m", [endpoint("a")], LoadBalancing(strategy="PrefixHash"))
    async with balancer.slot("m", prefix="x", timeout_s=None):
        pass
    lines = metrics.render().decode().splitlines()
    assert 'kubeai_inference_requests_hash_lookup_initial_total{endpoint="a"} 1.0' in lines
    assert 'kubeai_inference_requests_hash_lookup_final_total{endpoint="a"} 1.0' in lines
    assert "kubeai_inference_requests_hash_lookup_iterations_count 1.0" in lines


class Chaos:
    """Requests, endpoints and time in any order; what is left in the end must be nothing."""

    def __init__(self) -> None:
        self.balancer = Balancer(Metrics(CollectorRegistry()))
        self._settings = LoadBalancing(strategy="PrefixHash", prefix_hash=PrefixHash(replication=4))
        self._tasks: list[asyncio.Task[None]] = []

    async def request(self, seconds: int) -> None:
        adapter = "lora" if seconds % 2 else None
        self._tasks.append(asyncio.create_task(self._request(adapter, seconds)))

    async def _request(self, adapter: str | None, seconds: int) -> None:
        async with self.balancer.slot("m", adapter=adapter, prefix=str(seconds), timeout_s=seconds):
            await asyncio.sleep(seconds)
            if seconds == 3:
                raise ConnectionError

    async def cancel(self, number: int) -> None:
        if self._tasks:
            self._tasks[number % len(self._tasks)].cancel()

    async def endpoints(self, number: int) -> None:
        present = [endpoint(name, *["lora"] * (i % 2)) for i, name in enumerate("abcd") if number >> i & 1]
        self.balancer.set_group("m", present, self._settings)

    async def remove(self, _: int) -> None:
        self.balancer.remove_group("m")

    async def time(self, seconds: int) -> None:
        await asyncio.sleep(seconds / 2)

    async def end(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)


Step = tuple[Callable[[Chaos, int], Awaitable[None]], int]
steps = st.lists(
    st.tuples(
        st.sampled_from(
            [Chaos.request, Chaos.request, Chaos.cancel, Chaos.endpoints, Chaos.endpoints, Chaos.remove, Chaos.time]
        ),
        st.integers(0, 15),
    ),
    max_size=40,
)


# fault P12
@given(steps=steps)
def test_nothing_is_in_flight_after_any_mix_of_ends_cancels_and_timeouts(steps: list[Step]) -> None:
    async def scenario() -> Balancer:
        chaos = Chaos()
        for step, number in steps:
            await step(chaos, number)
        await chaos.end()
        return chaos.balancer

    loop = looptime.new_event_loop(start=0)
    try:
        balancer = loop.run_until_complete(scenario())
    finally:
        loop.close()
    assert (balancer.in_flight("m"), balancer.waiting("m")) == (0, 0)
    assert [load.in_flight for load in balancer.endpoints("m") if load.in_flight] == []


def limited(requests: int) -> LoadBalancing:
    return LoadBalancing(max_requests_per_replica=requests)


class Crowd:
    """Callers' requests, each of which ends when it is told to."""

    def __init__(self, balancer: Balancer, max_waiting: int | None = None) -> None:
        self._balancer = balancer
        self._max_waiting = max_waiting
        self.ends: dict[str, asyncio.Event] = {}
        #: The order in which they got their places.
        self.served: list[str] = []
        self.turned_away: list[str] = []

    async def run(self, name: str, priority: int = 0) -> None:
        """The first letter of the name is the caller."""
        patience = Patience(None, Turn(name[0], priority), self._max_waiting)
        end = self.ends[name] = asyncio.Event()
        try:
            async with self._balancer.slot("m", patience=patience):
                self.served.append(name)
                await end.wait()
        except TurnedAway:
            self.turned_away.append(name)

    async def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()
            await settle()


async def test_a_replica_gets_no_more_than_its_limit_and_callers_take_turns(balancer: Balancer) -> None:
    balancer.set_group("m", [endpoint("e")], limited(2))
    crowd = Crowd(balancer)
    async with asyncio.TaskGroup() as tasks:
        for name in ("a1", "a2", "a3", "a4", "a5", "b1", "b2"):
            tasks.create_task(crowd.run(name))
        await settle()
        assert (crowd.served, balancer.in_flight("m"), balancer.waiting("m")) == (["a1", "a2"], 2, 5)
        assert (balancer.has_place("m"), balancer.has_endpoint("m")) == (False, True)
        await crowd.end("a1", "a2", "a3", "b1", "a4", "b2", "a5")
    assert crowd.served == ["a1", "a2", "a3", "b1", "a4", "b2", "a5"]
    assert (balancer.in_flight("m"), balancer.waiting("m"), balancer.has_place("m")) == (0, 0, True)


async def test_a_higher_priority_is_served_first(balancer: Balancer) -> None:
    balancer.set_group("m", [endpoint("e")], limited(1))
    crowd = Crowd(balancer)
    async with asyncio.TaskGroup() as tasks:
        for name, priority in (("a1", 0), ("a2", 0), ("b1", 5), ("c1", -5), ("d1", 5)):
            tasks.create_task(crowd.run(name, priority))
        await settle()
        await crowd.end("a1", "b1", "d1", "a2", "c1")
    assert crowd.served == ["a1", "b1", "d1", "a2", "c1"]


async def test_a_full_queue_makes_room_for_who_has_less_in_it(balancer: Balancer) -> None:
    # fault P7
    balancer.set_group("m", [endpoint("e")], limited(1))
    crowd = Crowd(balancer, max_waiting=3)
    async with asyncio.TaskGroup() as tasks:
        for name in ("a1", "a2", "a3", "a4", "a5", "b1"):
            tasks.create_task(crowd.run(name))
            await settle()
        assert (crowd.turned_away, balancer.waiting("m")) == (["a5", "a4"], 3)
        await crowd.end("a1", "a2", "b1", "a3")
    assert crowd.served == ["a1", "a2", "b1", "a3"]


async def test_a_limit_that_is_lifted_lets_all_in(balancer: Balancer) -> None:
    balancer.set_group("m", [endpoint("e")], limited(1))
    crowd = Crowd(balancer)
    async with asyncio.TaskGroup() as tasks:
        for name in ("a1", "a2", "b1"):
            tasks.create_task(crowd.run(name))
        await settle()
        balancer.set_group("m", [endpoint("e")], LEAST_LOAD)
        await settle()
        assert (crowd.served, balancer.in_flight("m")) == (["a1", "a2", "b1"], 3)
        await crowd.end("a1", "a2", "b1")


@pytest.mark.looptime
async def test_who_looks_while_waiting_may_give_up(balancer: Balancer) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        await balancer.slot("m", patience=Patience(60, look=look, look_interval_s=2)).__aenter__()
    assert (asyncio.get_running_loop().time(), balancer.waiting("m")) == (6, 0)
