"""Engines that fail: who is asked next, how often, and when not."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from kubeai.gateway.limits import Limits
from kubeai.routing.endpoint import Endpoint

from .engine import Engine, Line, Script, answering, engine, ok
from .world import chat, until, within, world

BUSY = ok(b"busy", status=b"503 Unavailable")


async def hang_up(line: Line) -> None:
    await line.request()


async def half_a_head(line: Line) -> None:
    await line.request()
    await line.send(b"HTTP/1.1 200 OK\r\nContent-")


async def reset_at_once(line: Line) -> None:
    line.writer.transport.abort()


def resetting(script: Script) -> Script:
    """Closes with a reset and not in order."""

    async def run(line: Line) -> None:
        connection = line.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await script(line)

    return run


FAILING: dict[str, Script] = {
    "it says 500": answering(ok(b"x", status=b"500 Oops")),
    "it says 503": answering(BUSY),
    "it hangs up instead of answering": hang_up,
    "it hangs up in the head": half_a_head,
    "it resets the connection": reset_at_once,
    "it speaks no HTTP": answering(b"hello\r\n\r\n"),
}


@pytest.mark.parametrize("script", FAILING.values(), ids=FAILING.keys())
async def test_another_endpoint_is_asked(script: Script) -> None:
    # fault P8
    async with world() as w, engine(script, "bad") as bad, engine(name="good") as good:
        w.serve(bad, good)
        answers = [await w.ask() for _ in range(4)]
        assert [a.status for a in answers] == [200] * 4
        assert bad.connections <= 4
        assert len(good.requests) == 4


async def test_an_endpoint_that_cannot_be_reached_is_passed_over() -> None:
    async with world() as w, engine(name="good") as good:
        gone = Endpoint("gone", "127.0.0.1", 1)
        w.balancer.set_group("m", [gone, good.endpoint], w.cluster.models["m"].spec.load_balancing)
        assert [(await w.ask()).status for _ in range(3)] == [200] * 3
        assert w.sample("kubeai_inference_retries_total", reason="unreachable") >= 1


async def test_the_last_answer_passes_through_after_three_retries() -> None:
    async with world() as w, engine(answering(BUSY)) as e:
        w.serve(e)
        answer = await w.ask()
        assert (answer.status, answer.body) == (503, b"busy")
        assert len(e.requests) == 4
        assert w.sample("kubeai_inference_retries_total", request_model="m", reason="503") == 3


async def test_an_engine_that_never_answers_is_a_bad_gateway() -> None:
    # fault P10
    async with world() as w, engine(hang_up) as e:
        w.serve(e)
        answer = await w.ask()
        assert (answer.status, answer.code) == (502, "engine_failed")
        assert "crashed" in answer.json["error"]["message"]
        assert e.connections == 4


@pytest.mark.parametrize("status", [b"400 Bad", b"404 None", b"429 Slow", b"501 No"])
async def test_other_statuses_are_the_engines_answer(status: bytes) -> None:
    async with world() as w, engine(answering(ok(b"x", status=status))) as e:
        w.serve(e)
        assert (await w.ask()).status == int(status[:3])
        assert len(e.requests) == 1


async def test_retries_have_a_budget() -> None:
    # fault P8
    async with world() as w, engine(answering(BUSY)) as e:
        w.serve(e)
        answers = await asyncio.gather(*[w.ask() for _ in range(60)])
        assert {a.status for a in answers} == {503}
        assert len(e.requests) < 60 + 65


async def test_a_connection_that_the_engine_closed_while_idle_is_no_retry() -> None:
    served: list[Line] = []

    async def one_answer_only(line: Line) -> None:
        served.append(line)
        await line.request()
        await line.send(ok())
        if len(served) == 1:  # read the next request, too, and then close without a byte: it raced with the close
            await line.request()
            return
        await line.closed()

    async with world() as w, engine(one_answer_only) as e:
        w.serve(e)
        connection = await w.connect()
        assert [(await connection.ask()).status for _ in range(2)] == [200, 200]
        assert e.connections == 2
        assert w.sample("kubeai_inference_retries_total") == 0


async def test_a_silent_engine_is_a_timeout_and_is_not_asked_again() -> None:
    # fault P10
    async def silent(line: Line) -> None:
        await line.request()
        await line.closed()

    limits = Limits(sweep_interval_s=0.02, silence_timeout_s=0.1)
    async with world(limits=limits) as w, engine(silent) as e:
        w.serve(e)
        answer = await w.ask()
        assert (answer.status, answer.code) == (504, "timeout")
        assert e.connections == 1


CUT: dict[str, tuple[bytes, bytes]] = {
    "in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b""),
    "with a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", b""),
    "in a broken chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"zzz"),
}


@pytest.mark.parametrize(("sent", "then"), CUT.values(), ids=CUT.keys())
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_half_an_answer_does_not_pass_for_a_whole_one(sent: bytes, then: bytes, version: bytes) -> None:
    # fault P8: once it has begun it is not repeated
    begun = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.send(sent)
        await begun.wait()
        await line.send(then)

    async with world() as w, engine(script) as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(chat(version=version))
        await connection.read_head()
        begun.set()
        with pytest.raises(ConnectionResetError):
            await within(connection.reader.readexactly(1000))
        assert e.connections == 1
        await until(lambda: w.sample("kubeai_inference_requests_total", status="502") == 1)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_an_answer_that_would_end_with_its_connection_is_cut_off_by_a_reset(version: bytes) -> None:
    begun = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await begun.wait()
        line.writer.transport.abort()

    async with world() as w, engine(resetting(script)) as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(chat(version=version))
        await connection.read_head()
        begun.set()
        with pytest.raises(ConnectionResetError):
            await within(connection.reader.readexactly(1000))


async def test_an_engine_whose_stream_falls_silent_is_given_up() -> None:
    async def stalls(line: Line) -> None:
        await line.request()
        await line.send(CUT["in chunks"][0])
        await line.closed()

    limits = Limits(sweep_interval_s=0.02, silence_timeout_s=0.1)
    async with world(limits=limits) as w, engine(stalls) as e:
        w.serve(e)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await w.ask()
        await within(e.ended.get())


async def test_an_endpoint_that_is_removed_finishes_what_it_does() -> None:
    # fault P3
    go = asyncio.Event()

    async def slow(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await go.wait()
        await line.send(b"world")

    async with world() as w, engine(slow, "old") as old, engine(name="new") as new:
        w.serve(old)
        connection = await w.connect()
        await connection.send(chat())
        await connection.read_head()
        w.serve(new)
        assert (await w.ask()).status == 200
        go.set()
        assert await within(connection.reader.readexactly(10)) == b"helloworld"
        assert (len(old.requests), len(new.requests)) == (1, 1)


def load(*engines: Engine) -> list[int]:
    return [len(e.requests) for e in engines]


async def test_requests_are_spread_over_the_endpoints() -> None:
    async with world() as w, engine(name="a") as a, engine(name="b") as b:
        w.serve(a, b)
        for _ in range(10):
            await w.ask()
        assert load(a, b) == [5, 5]


async def test_a_request_whose_engine_dies_late_waits_for_another_one_all_the_same() -> None:
    # fault P8
    dies = asyncio.Event()

    async def dying(line: Line) -> None:
        await line.request()
        await dies.wait()

    async with world(waitTimeout=1) as w, engine(dying, "old") as old, engine(name="new") as new:
        w.serve(old)
        client = await w.connect()
        await client.send(chat())
        await until(lambda: len(old.requests) == 1)
        await asyncio.sleep(1.1)  # it has computed for longer than a request may wait
        w.serve()
        dies.set()
        await until(lambda: w.balancer.waiting("m") == 1)
        w.serve(new)
        assert (await client.read()).status == 200
        assert w.sample("kubeai_inference_queue_wait_seconds_sum") < 1


async def test_an_engine_that_dies_late_on_a_kept_connection_has_failed() -> None:
    # fault P8: what crashes it must not be sent again for nothing
    async def dies_at_the_second(line: Line) -> None:
        await line.request()
        await line.send(ok())
        await line.request()
        await asyncio.sleep(1.1)

    async with world() as w, engine(dies_at_the_second, "old") as old, engine(name="new") as new:
        w.serve(old)
        assert (await w.ask()).status == 200
        client = await w.connect()
        await client.send(chat())
        await until(lambda: len(old.requests) == 2)
        w.serve(new)
        assert (await client.read()).status == 200
        assert (len(old.requests), len(new.requests)) == (2, 1)
        assert w.sample("kubeai_inference_retries_total", reason="untouched") == 1
