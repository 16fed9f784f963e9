"""A Pod that is to go finishes its requests first, however the gateways answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kubeai.api.k8s.resources import MODELS, PODS
from kubeai.kube.errors import APIError
from kubeai.planning.draining import Loads
from kubeai.planning.names import DRAINING_ANNOTATION
from tests.builders import system
from tests.unit.controller.conftest import Running, manifest, running
from tests.unit.controller.fake_cluster import FakeCluster, Write

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def serving(replicas: int = 1, drain: str = "60s", lag_s: float = 0.0) -> AsyncIterator[Running]:
    cluster = FakeCluster()
    async with running(cluster, system(modelRollouts={"drainTimeout": drain})) as operator:
        cluster.put(MODELS, manifest(replicas=replicas))
        await operator.settle()
        operator.make_ready()
        await operator.settle()
        cluster.lag_s = lag_s
        cluster.writes.clear()
        yield operator


def names(operator: Running) -> list[str]:
    return [pod["metadata"]["name"] for pod in operator.pods()]


def marked(operator: Running) -> list[str]:
    return [p["metadata"]["name"] for p in operator.pods() if DRAINING_ANNOTATION in p["metadata"]["annotations"]]


def load(**requests: int) -> Loads:
    return Loads({f"default/{name.replace('_', '-')}": count for name, count in requests.items()}, complete=True)


def busy(operator: Running, *requests: int) -> Loads:
    pairs = zip(names(operator), requests, strict=True)
    return Loads({f"default/{name}": count for name, count in pairs}, complete=True)


async def test_a_pod_is_deleted_only_when_its_last_request_has_ended() -> None:
    # fault P3
    async with serving() as operator:
        operator.gateways.loads = busy(operator, 1)
        operator.cluster.put(MODELS, manifest(replicas=0))
        await operator.settle(50)
        assert (marked(operator), operator.condition()[1]) == (names(operator), "ScaledToZero")
        assert operator.condition("Progressing")[:2] == ("True", "Draining")
        operator.gateways.loads = load()
        await operator.settle(6)
        assert operator.pods() == []
        assert operator.cluster.written().count("DELETE pods") == 1


async def test_a_stream_without_an_end_is_cut_when_the_time_is_over() -> None:
    # fault P3
    async with serving(drain="60s") as operator:
        operator.gateways.loads = busy(operator, 1)
        operator.cluster.put(MODELS, manifest(replicas=0))
        await operator.settle(59)
        assert len(operator.pods()) == 1
        await operator.settle(2)
        assert operator.pods() == []


async def test_a_gateway_that_is_not_heard_holds_a_pod_no_longer_than_the_time_out() -> None:
    # fault P3
    async with serving(drain="60s") as operator:
        operator.gateways.loads = Loads(complete=False)
        operator.gateways.delay_s = 2
        operator.cluster.put(MODELS, manifest(replicas=0))
        await operator.settle(55)
        assert len(operator.pods()) == 1
        await operator.settle(10)
        assert operator.pods() == []


async def test_an_idle_pod_goes_within_a_second() -> None:
    async with serving() as operator:
        operator.cluster.put(MODELS, manifest(replicas=0))
        await operator.settle(1)
        writes = [write for write in operator.cluster.written() if write != "PATCH models/status"]
        assert writes == ["PATCH pods", "DELETE pods"]


async def test_of_several_pods_the_one_with_the_fewest_requests_goes_and_only_one() -> None:
    # fault P3: also while the watch is late and the loads change.
    async with serving(replicas=3, lag_s=0.5) as operator:
        operator.gateways.loads = busy(operator, 5, 1, 3)
        least = names(operator)[1]
        operator.cluster.put(MODELS, manifest(replicas=2))
        await operator.settle(0.7)
        operator.gateways.loads = busy(operator, 1, 4, 2)
        for number in range(10):
            await operator.settle(0.1)
            operator.cluster.put(MODELS, manifest(replicas=2, metadata={"annotations": {"n": str(number)}}))
        await operator.settle(5)
        assert marked(operator) == [least]


async def test_a_pod_that_is_wanted_again_serves_again() -> None:
    async with serving() as operator:
        operator.gateways.loads = busy(operator, 1)
        before = names(operator)
        operator.cluster.put(MODELS, manifest(replicas=0))
        await operator.settle(5)
        operator.cluster.put(MODELS, manifest(replicas=1))
        await operator.settle(5)
        assert (names(operator), marked(operator)) == (before, [])
        assert operator.condition()[:2] == ("True", "Ready")
        assert operator.cluster.written().count("POST pods") == 0


async def test_a_rollout_makes_the_new_pod_when_the_old_one_has_given_up_its_place() -> None:
    # faults O3 and P3
    async with serving() as operator:
        operator.gateways.loads = busy(operator, 1)
        operator.cluster.put(MODELS, manifest(replicas=1, args=["--new"]))
        await operator.settle(30)
        assert len(operator.pods()) == 1
        operator.gateways.loads = load()
        await operator.settle(10)
        (new,) = operator.pods()
        assert "--new" in new["spec"]["containers"][0]["args"]


async def test_the_operator_goes_on_with_what_another_one_has_begun() -> None:
    cluster = FakeCluster()
    cluster.put(MODELS, manifest(replicas=1))
    async with running(cluster) as first:
        await first.settle()
        first.make_ready()
        await first.settle()
        first.gateways.loads = busy(first, 1)
        cluster.put(MODELS, manifest(replicas=0))
        await first.settle(5)
        assert len(marked(first)) == 1
    async with running(cluster) as second:
        await second.settle(5)
        assert second.pods() == []


async def test_a_mark_that_comes_too_late_is_no_error_and_a_conflict_is_tried_again() -> None:
    refusals = [APIError(409, "Conflict", "the object has been modified"), APIError(404, "NotFound", "gone")]

    def refuse(write: Write) -> None:
        if str(write) == "PATCH pods" and refusals:
            raise refusals.pop()

    async with serving() as operator:
        operator.cluster.refuse = refuse
        operator.cluster.put(MODELS, manifest(replicas=0))
        await operator.settle(40)
        assert operator.pods() == []
        assert operator.condition()[1] == "ScaledToZero"


async def test_a_pod_that_others_delete_is_replaced_at_once() -> None:
    # fault P2
    async with serving() as operator:
        operator.gateways.loads = busy(operator, 1)
        (name,) = names(operator)
        operator.cluster.put(PODS, {"metadata": {"name": name, "deletionTimestamp": "2026-01-02T03:04:05Z"}})
        await operator.settle()
        assert len(operator.pods()) == 1
        assert operator.cluster.written().count("DELETE pods") == 0


async def test_a_busy_model_is_not_asked_about() -> None:
    async with serving() as operator:
        operator.cluster.put(MODELS, manifest(replicas=1, metadata={"annotations": {"seen": "again"}}))
        await asyncio.sleep(60)
        assert operator.gateways.asked == 0
