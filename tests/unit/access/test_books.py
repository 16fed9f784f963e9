"""Writing usage down, over an API server whose answers get lost and that others write to as well."""

from __future__ import annotations

import asyncio
import random
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from kubeai.access.books import LABEL, Books, asked_of
from kubeai.access.ledger import Ledger
from kubeai.access.usage import MAX_WRITERS, OTHER, Asked
from kubeai.api.k8s.objects import ConfigMap
from kubeai.api.k8s.resources import Resource
from kubeai.api.openai.errors import OpenAIError
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.telemetry.registry import Metrics

JSON = dict[str, Any]
DAY = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


class Cluster:
    """Keeps ConfigMaps as an API server does, on a network that may lose a request or the answer to it."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self.objects: dict[str, JSON] = {}
        self._version = 0
        self._chance = chance
        #: What the next write comes to: "" for nothing special.
        self.faults: list[str] = []

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> JSON:
        await asyncio.sleep(0)
        if name not in self.objects:
            raise APIError(404, "NotFound", "no such ConfigMap")
        return deepcopy(self.objects[name])

    async def create(self, resource: Resource, obj: JSON, namespace: str | None = None) -> JSON:
        fault = await self._arrive()
        if obj["metadata"]["name"] in self.objects:
            raise APIError(409, "AlreadyExists", "it exists")
        return self._put(obj["metadata"]["name"], deepcopy(obj), fault)

    async def patch(self, resource: Resource, name: str, patch: JSON, *, namespace: str | None = None) -> JSON:
        fault = await self._arrive()
        old = self.objects[name]
        if patch["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            raise APIError(409, "Conflict", "it has changed")
        return self._put(name, deepcopy(old) | {"data": old["data"] | patch["data"]}, fault)

    def all(self) -> list[ConfigMap]:
        """The informer's part; this one does not lag."""
        return [msgspec.convert(obj, ConfigMap) for obj in self.objects.values()]

    async def _arrive(self) -> str:
        await asyncio.sleep(0)
        fault = self.faults.pop(0) if self.faults else ""
        if self._chance is not None:
            fault = self._chance.choice(["", "", "deaf", "mute"])
        if fault == "deaf":
            raise ConnectionFailed("nothing arrived")
        return fault

    def _put(self, name: str, obj: JSON, fault: str) -> JSON:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        self.objects[name] = obj
        if fault == "mute":
            raise ConnectionFailed("the answer is lost")
        return obj


class Lagging:
    """An informer that has seen nothing yet."""

    def all(self) -> list[ConfigMap]:
        return []


def books(cluster: Cluster, *, lags: bool = False, at: datetime = DAY, interval_s: float = 60.0) -> Books:
    ledger = Ledger(Metrics(CollectorRegistry()))
    return Books(ledger, cluster, Lagging() if lags else cluster, interval_s, clock=lambda: at)


def requests(some: Books, **asked: Any) -> int:
    total: Any = some.report(Asked(**asked))["total"]
    return int(total["requests"])


async def test_usage_survives_a_restart() -> None:
    cluster = Cluster()
    first = books(cluster)
    first.ledger.of("alice", "m").add(5, 7)
    await first.write()
    after = books(cluster)
    assert after.report(Asked())["data"] == [
        {"date": "2026-01-31", "key": "alice", "model": "m", "requests": 1, "prompt_tokens": 5, "completion_tokens": 7}
    ]
    assert cluster.objects["kubeai-usage-2026-01"]["metadata"]["labels"] == {LABEL: "2026-01"}


async def test_what_is_not_written_yet_is_reported_too_and_nothing_twice() -> None:
    some = books(Cluster())
    for _ in range(3):
        some.ledger.of("alice", "m").add(0, 0)
        before = requests(some)
        await some.write()
        assert requests(some) == before


async def test_what_was_written_and_not_seen_yet_is_reported() -> None:
    some = books(Cluster(), lags=True)
    some.ledger.of("alice", "m").add(0, 0)
    await some.write()
    assert requests(some) == 1


async def test_nothing_is_written_when_nothing_was_used() -> None:
    cluster = Cluster()
    await books(cluster).write()
    assert cluster.objects == {}


@pytest.mark.parametrize("fault", ["deaf", "mute"])
@pytest.mark.parametrize("exists", [False, True])
async def test_what_gets_lost_on_the_way_counts_once(fault: str, exists: bool) -> None:
    cluster = Cluster()
    some = books(cluster)
    some.ledger.of("alice", "m").add(1, 1)
    if exists:
        await some.write()
        some.ledger.of("alice", "m").add(1, 1)
    cluster.faults = [fault]
    await some.write()
    assert requests(some) == 1 + exists
    some.ledger.of("alice", "m").add(1, 1)
    await some.write()
    await some.write()
    assert requests(books(cluster)) == 2 + exists


async def test_gateways_that_write_at_once_over_a_bad_network_lose_nothing_and_count_nothing_twice() -> None:
    cluster = Cluster(random.Random(7))
    several = [books(cluster) for _ in range(5)]
    for _ in range(30):
        for some in several:
            some.ledger.of("alice", "m").add(1, 2)
        await asyncio.gather(*[some.write() for some in several])
    cluster._chance = None
    for some in several:
        await some.write()  # what was sent before
        await some.write()  # what came since
    assert books(cluster).report(Asked())["total"] == {
        "requests": 150,
        "prompt_tokens": 150,
        "completion_tokens": 300,
    }


async def last_request(some: Books) -> None:
    """A request is counted, and the gateway ends."""
    task = asyncio.create_task(some.run())
    await asyncio.sleep(0)
    some.ledger.of("alice", "m").add(1, 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_last_usage_is_written_when_the_gateway_ends() -> None:
    cluster = Cluster()
    await last_request(books(cluster))
    assert requests(books(cluster)) == 1


async def test_what_came_behind_a_batch_that_could_not_be_written_is_not_lost_at_the_end() -> None:
    cluster = Cluster()
    some = books(cluster)
    some.ledger.of("alice", "m").add(1, 1)
    cluster.faults = ["deaf"]
    await some.write()
    await last_request(some)
    assert requests(books(cluster)) == 2


async def test_what_is_seen_is_not_counted_again_when_many_others_have_written_since() -> None:
    cluster = Cluster()
    idle = books(cluster)
    idle.ledger.of("alice", "m").add(1, 1)
    await idle.write()
    for _ in range(MAX_WRITERS):
        other = books(cluster)
        other.ledger.of("alice", "m").add(1, 1)
        await other.write()
    await idle.write()  # its next interval, in which nothing was used
    assert requests(idle) == MAX_WRITERS + 1


async def test_what_lost_its_answer_counts_once_among_the_workers_of_many_gateways() -> None:
    cluster = Cluster()
    some = books(cluster)
    some.ledger.of("alice", "m").add(1, 1)
    cluster.faults = ["mute"]
    await some.write()
    for _ in range(200):
        other = books(cluster)
        other.ledger.of("alice", "m").add(1, 1)
        await other.write()
    await some.write()
    assert requests(books(cluster)) == 201


async def test_a_day_that_somebody_spoiled_begins_anew() -> None:
    cluster = Cluster()
    some = books(cluster)
    some.ledger.of("alice", "m").add(1, 1)
    await some.write()
    cluster.objects["kubeai-usage-2026-01"]["data"]["2026-01-31"] = "{"
    some.ledger.of("alice", "m").add(1, 1)
    await some.write()
    assert requests(books(cluster)) == 1


def test_users_without_number_share_an_account() -> None:
    metrics = Metrics(CollectorRegistry())
    ledger = Ledger(metrics)
    for number in range(2000):
        ledger.of(f"user{number}", "m").add(1, 0)
    assert len(ledger.take()) == 501
    assert metrics.render().count(b"kubeai_usage_requests_total{") == 501


def test_who_comes_later_has_a_row_of_his_own_where_others_have_gone() -> None:
    metrics = Metrics(CollectorRegistry())
    ledger = Ledger(metrics)
    for day in range(3):
        for number in range(500):
            ledger.of(f"user{day}.{number}", "m").add(1, 0)
        assert len(batch := ledger.take()) == 500
        assert (OTHER, OTHER) not in batch
        assert ledger.take() == {}
    assert metrics.render().count(b"kubeai_usage_requests_total{") == 501
    assert b'kubeai_usage_requests_total{key="other",request_model="other"} 1000.0' in metrics.render()


def test_a_query_of_usage() -> None:
    assert asked_of("from=2026-01-01&to=2026-01-31&key=a&model=m") == Asked("2026-01-01", "2026-01-31", "a", "m")
    with pytest.raises(OpenAIError, match="'to' must be a date"):
        asked_of("to=tomorrow")
