"""What operators of a cluster do on a normal day, while people use the models: nobody's answer is cut, none is lost."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from kubeai.api.k8s.resources import LEASES, MODELS
from kubeai.app.run import LEASE

from .load import ask, go_on, open_streams, problems, steady_load
from .site import GATEWAYS, OPERATOR, VALUES, Site, is_ready, name_of, paced

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


@pytest.fixture
async def url(site: Site) -> str:
    """Of the API, with one server of the Model `paced` up."""
    await site.create(paced(minReplicas=1, maxReplicas=1))
    url = await site.url()
    assert problems([await ask(url, "paced")]) == []
    return url


# fault P3
async def test_a_rollout_of_a_model(site: Site, url: str) -> None:
    before = await site.servers("paced")
    async with (
        steady_load(url, "paced", 10) as short,
        open_streams(url, "paced", 10, partial(site.release, "paced")) as streams,
    ):
        await site.client.patch(MODELS, "paced", {"spec": {"env": {"TAG": "new"}}})

        async def answered_anew() -> bool:
            return (await ask(url, "paced")).tag == "new"

        await site.eventually("the new server answers", answered_anew)
        assert set(before) < set(await site.servers("paced")), "nobody has told the old one to go while it has requests"

    async def replaced() -> bool:
        return len(after := await site.servers("paced")) == 1 and after != before

    await site.eventually("the old server is gone", replaced)
    assert problems([*short, *streams, await ask(url, "paced")]) == []


async def test_a_node_is_drained(site: Site, url: str) -> None:
    """Those who come meanwhile wait until there is a place for a server again."""
    (before,) = await site.servers("paced")
    async with open_streams(url, "paced", 20, partial(site.release, "paced")) as streams:
        drain = ["drain", "node", "--pod-selector=model=paced", "--force", "--delete-emptydir-data", "--timeout=60s"]
        draining = asyncio.create_task(site.kubectl(*drain))

        async def going() -> bool:
            told = before not in await site.servers("paced")
            return told and await site.endpoints("paced") == [0] * VALUES["replicaCount"]

        await site.eventually("the server is told to go, and all gateways know", going)
        late = asyncio.create_task(ask(url, "paced"))
    await draining
    await site.kubectl("uncordon", "node")
    assert problems([*streams, await late]) == []
    assert late.result().servers != {before}


# fault P4
async def test_an_upgrade_of_the_chart_under_100_open_streams(site: Site, url: str) -> None:
    before = await site.gateway_addresses()
    async with (
        steady_load(url, "paced", 4) as short,
        open_streams(url, "paced", 100, partial(site.release, "paced")) as streams,
    ):
        await site.install({"podAnnotations": {"upgrade": "1"}})
        await site.replaced(before)
        await go_on(streams)
    assert problems([*short, *streams]) == []


# fault P4
async def test_every_pod_of_kubeai_is_deleted_one_after_the_other(site: Site, url: str) -> None:
    """The leader among them: operator and gateway are one program."""
    async with (
        steady_load(url, "paced", 10) as short,
        open_streams(url, "paced", 40, partial(site.release, "paced")) as streams,
    ):
        for gateway, address in (await site.gateway_addresses()).items():
            await site.kubectl("delete", "pod", gateway, "--wait=false")
            await site.replaced({gateway: address})
            await go_on(streams)
    assert problems([*short, *streams]) == []


async def test_operator_and_gateway_become_two_programs_and_each_may_end(site: Site, url: str) -> None:
    before = await site.gateway_addresses()
    async with (
        steady_load(url, "paced", 4) as short,
        open_streams(url, "paced", 40, partial(site.release, "paced")) as streams,
    ):
        await site.install({"operator": {"separate": True}})
        await site.replaced(before)
        await go_on(streams)
        (operator,) = await site.pods(OPERATOR)
        site.kill(operator)
        gateway, address = (await site.gateway_addresses()).popitem()
        await site.kubectl("delete", "pod", gateway, "--wait=false")
        await site.create(paced("second"))
        assert problems([await ask(url, "second")]) == [], "it came from zero"
        await site.replaced({gateway: address})
        await go_on(streams)
    assert problems([*short, *streams]) == []


async def test_the_leader_dies(site: Site, url: str) -> None:
    """Only what went through it is cut; the other one takes over, and works with what there is."""
    pods = await site.pods(GATEWAYS)

    async def holder() -> str:
        return str((await site.client.get(LEASES, LEASE))["spec"]["holderIdentity"])

    async def one_of_them_leads() -> bool:  # and not one that an upgrade has told to go, and that goes on for a while
        return (await holder()).startswith(tuple(f"{name_of(pod)}_" for pod in pods))

    await site.eventually("one of the replicas leads", one_of_them_leads)
    leader = await holder()
    (dies,) = [pod for pod in pods if leader.startswith(f"{name_of(pod)}_")]
    (stays,) = [pod for pod in pods if pod is not dies]
    there = f"http://{stays['status']['podIP']}:8000/openai/v1"
    async with open_streams(there, "paced", 20, partial(site.release, "paced")) as streams:
        site.kill(dies)
        await site.create(paced("second", minReplicas=1))
        assert problems([await ask(there, "second")]) == []
        assert await holder() != leader
        await site.kubectl("rollout", "status", "deployment/kubeai", "--timeout=60s")
    assert problems(streams) == []
    assert VALUES["replicaCount"] == len(await site.gateways())


async def test_replicas_follow_the_load_and_go_without_cutting_anything(site: Site) -> None:
    """Counted in all gateways, from nothing to three servers and back."""
    model = paced(targetRequests=5, minReplicas=0, maxReplicas=3, scaleDownDelaySeconds=2)
    await site.create(model)
    url = await site.url()
    async with open_streams(url, "paced", 15, partial(site.release, "paced")) as streams:

        async def three_ready() -> bool:
            return sum(is_ready(pod) for pod in await site.pods("model=paced")) == 3

        await site.eventually("three servers are ready", three_ready)
        more = await asyncio.gather(*(ask(url, "paced") for _ in range(20)))
        assert len({server for stream in more for server in stream.servers}) > 1, "new ones get requests, too"
    assert problems([*streams, *more]) == []

    async def none() -> bool:
        return await site.servers("paced") == []

    await site.eventually("all servers are gone", none)
