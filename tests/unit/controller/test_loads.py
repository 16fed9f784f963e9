"""Asking the gateways how many requests each Pod has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from kubeai.api.model import LoadBalancing
from kubeai.controller.loads import GatewayLoads
from kubeai.planning.draining import Loads
from kubeai.routing.balancer import Balancer
from kubeai.telemetry.names import MetricSpec
from kubeai.telemetry.registry import Metrics
from kubeai.telemetry.scrape import Fetch
from tests.builders import endpoint, pod


class Gateways:
    """Some gateways' metrics by their address."""

    def __init__(self, **pages: str | Exception) -> None:
        self.pages = pages
        self.asked: list[str] = []
        #: The Models of each round.
        self.models: list[Collection[str]] = []
        self.called = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def open(self, metric: MetricSpec, models: Collection[str]) -> AsyncIterator[Fetch]:
        self.models.append(models)
        yield self._fetch

    async def _fetch(self, address: str) -> str:
        self.asked.append(address)
        self.called.set()
        await self.gate.wait()
        page = self.pages[address]
        if isinstance(page, Exception):
            raise page
        return page

    def loads(self, own: Callable[[Collection[str]], dict[str, int]] | None = None) -> GatewayLoads:
        return GatewayLoads(lambda: list(self.pages), "default", own, open_metrics=self.open)


M, N = ("default", "m"), ("other", "n")


async def page(*held: str, present: tuple[str, ...] = ()) -> str:
    """The metrics of a gateway with one request on each endpoint of `held`; `present` are those that it still uses."""
    metrics = Metrics(CollectorRegistry())
    balancer = Balancer(metrics)
    for number, name in enumerate(held):
        balancer.set_group(f"m{number}", [endpoint(name)], LoadBalancing())
        await balancer.slot(f"m{number}", timeout_s=0).__aenter__()
        balancer.set_group(f"m{number}", [endpoint(name)] if name in present else [], LoadBalancing())
    for name in set(present) - set(held):
        balancer.set_group(name, [endpoint(name)], LoadBalancing())
    return metrics.render().decode()


async def test_the_requests_of_all_gateways_are_summed() -> None:
    gateways = Gateways(a=await page("ns/p", "ns/q"), b=await page("ns/p", present=("ns/p", "ns/r")))
    assert await gateways.loads().read(M) == Loads({"ns/p": 2, "ns/q": 1, "ns/r": 0}, complete=True)


async def test_a_pod_is_idle_when_no_gateway_names_it() -> None:
    left = Loads({"default/p": 0}, complete=True)
    assert [left.idle(pod("p")), left.idle(pod("q")), Loads().idle(pod("q"))] == [False, True, False]


@pytest.mark.parametrize("failure", [ConnectionRefusedError("refused"), TimeoutError()], ids=["refuses", "hangs"])
async def test_a_gateway_that_does_not_answer_makes_it_incomplete(failure: Exception) -> None:
    gateways = Gateways(a=await page("ns/p"), b=failure)
    assert await gateways.loads().read(M) == Loads({"ns/p": 1}, complete=False)


async def test_where_no_gateway_is_known_this_process_own_one_is_asked() -> None:
    assert await Gateways().loads(lambda models: {"ns/p": 3} if list(models) == ["m"] else {}).read(M) == Loads(
        {"ns/p": 3}, complete=True
    )


async def test_to_know_of_no_gateway_is_not_to_know_that_all_is_idle() -> None:
    assert await Gateways().loads().read(M) == Loads(complete=False)


async def test_many_who_ask_share_one_answer_that_is_younger_than_their_question() -> None:
    gateways = Gateways(a=await page("ns/old"))
    loads = gateways.loads()
    gateways.gate.clear()
    first = asyncio.create_task(loads.read(M))
    await gateways.called.wait()
    later = [asyncio.create_task(loads.read(M)) for _ in range(100)]
    await asyncio.sleep(0)
    gateways.gate.set()
    assert (await first).in_flight == {"ns/old": 1}
    gateways.pages["a"] = await page("ns/new")
    assert {tuple((await task).in_flight) for task in later} == {("ns/new",)}
    assert len(gateways.asked) == 2


async def test_they_are_asked_for_the_models_that_somebody_waits_for() -> None:
    gateways = Gateways(a=await page("ns/p"))
    loads = gateways.loads()
    gateways.gate.clear()
    first = asyncio.create_task(loads.read(M))
    await gateways.called.wait()
    later = [asyncio.create_task(loads.read(key)) for key in (N, M, N)]
    await asyncio.sleep(0)
    later[0].cancel()
    gateways.gate.set()
    await asyncio.gather(first, *later[1:])
    many = [asyncio.create_task(loads.read(("default", f"m{number}"))) for number in range(33)]
    await asyncio.gather(*many)
    assert gateways.models == [
        ["m"],
        ["m", "other/n"],
        ["m0"],
        [f"m{number}" for number in sorted(range(1, 33), key=str)],
    ]


async def test_those_whose_round_was_given_up_are_asked_for_in_the_next_one() -> None:
    gateways = Gateways(a=await page("ns/p"))
    loads = gateways.loads()
    gateways.gate.clear()
    first = asyncio.create_task(loads.read(M))
    await gateways.called.wait()
    waiting = [asyncio.create_task(loads.read(key)) for key in (N, M, ("default", "o"))]
    gateways.called.clear()
    gateways.gate.set()
    await first
    gateways.gate.clear()
    await gateways.called.wait()
    waiting[0].cancel()  # in whose name all three are asked for
    gateways.gate.set()
    await asyncio.gather(*waiting[1:])
    assert gateways.models[1:] == [["m", "o", "other/n"]] * 2


async def test_one_who_gives_up_does_not_leave_the_others_without_an_answer() -> None:
    gateways = Gateways(a=await page("ns/p"))
    loads = gateways.loads()
    gateways.gate.clear()
    first = asyncio.create_task(loads.read(M))
    await gateways.called.wait()
    second = asyncio.create_task(loads.read(M))
    await asyncio.sleep(0)
    first.cancel()
    gateways.gate.set()
    assert (await second).in_flight == {"ns/p": 1}
