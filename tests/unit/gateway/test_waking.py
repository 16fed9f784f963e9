"""Requests for Models that have no endpoint: waking, waiting, and giving up with a reason."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubeai.api.model import Model
from kubeai.inference import dispatch
from tests.builders import model

from .engine import Engine, Line, engine, ok
from .wire import Message
from .world import Connection, World, chat, until, world


async def waiting(w: World, count: int = 1, **options: Any) -> list[Connection]:
    """Clients whose requests wait."""
    connections = [await w.connect() for _ in range(count)]
    for connection in connections:
        await connection.send(chat(**options))
    await until(lambda: w.balancer.waiting("m") == count)
    return connections


def unready(reason: str, **spec: Any) -> Model:
    said = {"type": "Ready", "status": "False", "reason": reason, "message": "the log says so"}
    return model(status={"conditions": [said]}, **spec)


async def test_a_model_at_zero_is_woken_once_and_serves_all_who_wait() -> None:
    async with world(model(replicas=0)) as w, engine() as e:
        clients = await waiting(w, 20)
        await until(lambda: bool(w.cluster.scaled))  # the write has a task of its own
        assert w.cluster.scaled == ["m"]
        assert w.sample("kubeai_inference_requests_active", request_model="m") == 20
        w.serve(e)
        assert [(await c.read()).status for c in clients] == [200] * 20
        assert w.sample("kubeai_inference_cold_start_seconds_count") == 20


async def test_a_model_that_must_not_be_scaled_is_waited_for_all_the_same() -> None:
    async with world(model(replicas=0, autoscalingDisabled=True)) as w, engine() as e:
        (client,) = await waiting(w)
        w.serve(e)
        assert (await client.read()).status == 200
        assert w.cluster.scaled == []


async def test_a_model_that_is_put_to_sleep_again_is_woken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # fault P8
    monkeypatch.setattr(dispatch, "_GLANCE_S", 0.02)
    async with world(model(replicas=0)) as w, engine() as e:
        (client,) = await waiting(w)
        await until(lambda: w.cluster.scaled == ["m"])
        w.cluster.put(model(replicas=0))
        await until(lambda: w.cluster.scaled == ["m", "m"])
        w.serve(e)
        assert (await client.read()).status == 200


async def test_a_request_for_an_adapter_waits_until_it_is_loaded() -> None:
    # fault P1
    adapters = [{"name": "lora", "url": "hf://a/b"}]
    async with world(model(adapters=adapters, replicas=1)) as w, engine() as plain, engine(None, "e2", "lora") as e:
        w.serve(plain)
        (client,) = await waiting(w, body=b'{"model":"m_lora"}')
        w.serve(plain, e)
        assert (await client.read()).status == 200
        assert (len(plain.requests), len(e.requests)) == (0, 1)
        assert w.sample("kubeai_inference_cold_start_seconds_count") == 0


async def test_a_wait_has_an_end_that_says_why() -> None:
    # fault P7, fault P10
    async with world(unready("Downloading", replicas=1), waitTimeout=0.05) as w:
        answer = await w.ask()
        assert (answer.status, answer.code, answer.header(b"retry-after")) == (503, "no_capacity", b"10")
        assert "Downloading: the log says so" in answer.json["error"]["message"]


async def test_a_model_that_cannot_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # fault P10
    monkeypatch.setattr(dispatch, "_GLANCE_S", 0.02)
    async with world(unready("CrashLoop", replicas=1)) as w:
        answer = await w.ask()
        assert (answer.status, answer.code) == (503, "model_cannot_start")
        assert "CrashLoop: the log says so" in answer.json["error"]["message"]


async def test_too_many_who_wait_are_turned_away() -> None:
    # fault P7
    async with world(model(replicas=0), maxQueuedRequests=3) as w, engine() as e:
        clients = await waiting(w, 3)
        answer = await w.ask()
        assert (answer.status, answer.code) == (429, "rate_limit_exceeded")
        assert answer.header(b"retry-after") is not None
        w.serve(e)
        assert [(await c.read()).status for c in clients] == [200] * 3


async def test_a_model_that_is_deleted_is_waited_for_no_more() -> None:
    # fault P2
    async with world(model(replicas=0)) as w:
        (client,) = await waiting(w)
        w.cluster.remove("m")
        w.balancer.remove_group("m")
        assert (await client.read()).code == "model_not_found"


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_a_client_that_goes_away_waits_no_more(leave: str) -> None:
    # fault P12
    async with world(model(replicas=0)) as w:
        clients = await waiting(w, 3)
        if leave == "reset":
            clients[0].reset()
        else:
            clients[0].writer.close()
        await until(lambda: w.balancer.waiting("m") == 2)
        assert w.sample("kubeai_inference_requests_active", request_model="m") == 2
        for client in clients[1:]:
            client.reset()


async def test_a_client_that_only_ended_its_side_is_still_served() -> None:
    async with world(model(replicas=0)) as w, engine() as e:
        (client,) = await waiting(w)
        client.end()
        await asyncio.sleep(0.1)
        assert w.balancer.waiting("m") == 1
        w.serve(e)
        statuses = [(await client.read()).status]
        while statuses[-1] == 100:
            statuses.append((await client.read()).status)
        assert statuses[-1] == 200
        assert await client.rest() == b""


async def test_endpoints_that_all_vanish_are_waited_for_anew() -> None:
    # fault P8
    async with world(model(replicas=0)) as w, engine() as e:
        w.serve(e)
        assert (await w.ask()).status == 200
        w.serve()
        (client,) = await waiting(w)
        await until(lambda: bool(w.cluster.scaled))
        assert w.cluster.scaled == ["m"]
        w.serve(e)
        assert (await client.read()).status == 200


def reply(answer: Message) -> tuple[int, str]:
    return answer.status, answer.code


async def test_who_is_turned_away_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    # fault P10
    async with world(unready("Downloading", replicas=1), maxQueuedRequests=1) as w:
        (client,) = await waiting(w)
        answer = await w.ask()
        assert (*reply(answer), answer.header(b"retry-after")) == (429, "rate_limit_exceeded", b"10")
        assert "Downloading: the log says so" in answer.json["error"]["message"]
        client.reset()


async def busy(w: World, e: Engine) -> Connection:
    """A client whose request has taken the only place."""
    connection = await w.connect()
    await connection.send(chat())
    await until(lambda: len(e.requests) == 1)
    return connection


def one_at_a_time(**spec: Any) -> Model:
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}
    return model(loadBalancing={"maxRequestsPerReplica": 1}, replicas=1, status={"conditions": [ready]}, **spec)


async def test_a_replica_with_a_limit_gets_one_request_after_the_other() -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await go.wait()
            await line.send(ok())

    async with world(one_at_a_time()) as w, engine(script) as e:
        w.serve(e)
        first = await busy(w, e)
        clients = await waiting(w, 3)
        assert (len(e.requests), w.balancer.in_flight("m")) == (1, 1)
        go.set()
        assert [(await c.read()).status for c in (first, *clients)] == [200] * 4
        assert e.connections == 1, "two requests were there at a time"


async def test_busy_replicas_are_the_reason_that_is_told() -> None:
    # fault P10
    async def script(line: Line) -> None:
        await line.request()
        await line.closed()

    async with world(one_at_a_time(), waitTimeout=0.1) as w, engine(script) as e:
        w.serve(e)
        first = await busy(w, e)
        answer = await w.ask()
        assert reply(answer) == (503, "no_capacity")
        assert "were busy for 0.1 seconds" in answer.json["error"]["message"]
        first.reset()


PRIORITIES = {
    "not without the configuration": (False, b"9", [b"1", b"2"]),
    "a higher one comes first": (True, b"9", [b"2", b"1"]),
    "a lower one does not": (True, b"-9", [b"1", b"2"]),
}


@pytest.mark.parametrize(("accepted", "said", "order"), PRIORITIES.values(), ids=PRIORITIES.keys())
async def test_a_request_may_say_its_priority(accepted: bool, said: bytes, order: list[bytes]) -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await go.wait()
            await line.send(ok())

    async with world(one_at_a_time(), priorityHeader=accepted) as w, engine(script) as e:
        w.serve(e)
        clients = [await busy(w, e)]
        for number, headers in ((b"1", ()), (b"2", (b"X-KubeAI-Priority: " + said,))):
            clients.append(await w.connect())
            await clients[-1].send(chat(b"/v1/completions?" + number, *headers))
            await until(lambda: w.balancer.waiting("m") == len(clients) - 1)
        go.set()
        for client in clients:
            assert (await client.read()).status == 200
        assert [seen.path.partition(b"?")[2] for seen in e.requests[1:]] == order
        assert e.requests[-1].header(b"x-kubeai-priority") is None


@pytest.mark.parametrize("said", [b"high", b"101", b"1.5", b""])
async def test_a_priority_that_is_none_is_refused(said: bytes) -> None:
    async with world(priorityHeader=True) as w:
        answer = await w.send(chat(b"/v1/completions", b"X-KubeAI-Priority: " + said))
        assert answer.status == 400
        assert "X-KubeAI-Priority" in answer.json["error"]["message"]
