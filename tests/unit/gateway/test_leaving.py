"""Clients that go away or do not keep up, and a gateway that goes away."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import suppress

import pytest
import uvloop

from kubeai.gateway.limits import Limits
from kubeai.gateway.receiver import MAX_PIPELINED
from tests.builders import model

from .engine import Engine, Line, engine, ok
from .world import PATIENCE_S, Connection, World, chat, until, within, world

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def computing(line: Line) -> None:
    """Reads the request and never answers."""
    await line.request()
    await line.closed()


async def streaming(line: Line) -> None:
    """Begins an answer and falls silent, as an engine does that thinks."""
    await line.request()
    await line.send(STREAM + b"5\r\nhello\r\n")
    await line.closed()


async def asked(w: World, e: Engine) -> Connection:
    """A client whose request the engine has read."""
    connection, before = await w.connect(), len(e.requests)
    await connection.send(chat())
    await until(lambda: len(e.requests) > before)
    return connection


LEAVE = {
    "it closes its connection": lambda connection: connection.writer.close(),
    "it resets its connection": lambda connection: connection.reset(),
}


@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE.keys())
async def test_the_engine_stops_computing_for_a_client_that_left(leave) -> None:  # type: ignore[no-untyped-def]
    # fault P12
    async with world() as w, engine(computing) as e:
        w.serve(e)
        leave(await asked(w, e))
        await within(e.ended.get())
        await until(w.at_rest)
        assert w.sample("kubeai_inference_requests_total", status="499") == 1


@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE.keys())
async def test_a_client_that_asked_on_and_left_is_noticed(leave) -> None:  # type: ignore[no-untyped-def]
    # fault P12
    async with world() as w, engine(computing) as e:
        w.serve(e)
        client = await asked(w, e)
        client.writer.write(chat(text="x" * 100_000))  # more than is read while an answer is awaited
        assert (await client.read()).status == 100
        leave(client)
        await within(e.ended.get())


@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE.keys())
async def test_the_engine_stops_streaming_to_a_client_that_left(leave) -> None:  # type: ignore[no-untyped-def]
    # fault P12
    async with world() as w, engine(streaming) as e:
        w.serve(e)
        client = await asked(w, e)
        await client.read_head()
        assert await client.read_chunk() == b"hello"
        leave(client)
        await within(e.ended.get())
        await until(w.at_rest)


async def test_a_client_that_only_ended_its_side_gets_its_answer() -> None:
    async def slow(line: Line) -> None:
        await line.request()
        await asyncio.sleep(0.15)
        await line.send(ok(b"done"))

    async with world() as w, engine(slow) as e:
        w.serve(e)
        client = await asked(w, e)
        client.end()
        answer = await client.read()
        while answer.status == 100:
            answer = await client.read()
        assert answer.body == b"done"
        assert await client.rest() == b""


async def test_requests_behind_the_end_of_the_clients_side_are_answered() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        client = await w.connect()
        await client.send(chat(), chat())
        client.end()
        data = await client.rest()
        assert data.count(b"HTTP/1.1 200 OK") == 2


async def test_a_client_that_ended_its_side_and_leaves_before_its_second_answer_is_noticed() -> None:
    # fault P12
    async def second(line: Line) -> None:
        await line.request()
        await line.send(ok())
        await computing(line)

    async with world() as w, engine(second) as e:
        w.serve(e)
        client = await w.connect()
        await client.send(chat(), chat())
        client.end()
        while (await client.read()).status != 200:
            pass
        await until(lambda: len(e.requests) == 2)
        client.reset()
        await within(e.ended.get())


async def test_a_client_that_leaves_in_the_midst_of_its_request_is_forgotten() -> None:
    async with world() as w:
        client = await w.connect()
        await client.send(chat()[:80])
        client.end()
        assert await client.rest() == b""
        await until(lambda: w.gateway.clients == 0)


async def test_a_client_that_does_not_keep_up_holds_back_its_engine() -> None:
    sent = 0

    async def torrent(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.send(STREAM)
        for _ in range(400):
            await line.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 1
        await line.send(b"0\r\n\r\n")

    async with world() as w, engine(torrent) as e:
        w.serve(e)
        client = await asked(w, e)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await still(lambda: sent)
        assert sent < 390, "everything was taken in although nobody read it"
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.read()).body) == 400 * 65536


async def still(value) -> None:  # type: ignore[no-untyped-def]
    """Wait until a number does not change any more."""
    async with asyncio.timeout(PATIENCE_S):
        before = None
        while before != value() or not before:
            before = value()
            await asyncio.sleep(0.1)


async def test_a_client_that_never_reads_is_cut_off() -> None:
    # fault P7
    async def torrent(line: Line) -> None:
        await line.request()
        await line.send(STREAM)
        while True:
            await line.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    limits = Limits(sweep_interval_s=0.02, send_timeout_s=0.1)
    async with world(limits=limits) as w, engine(torrent) as e:
        w.serve(e)
        client = await asked(w, e)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await within(e.ended.get())
        await until(lambda: w.gateway.clients == 0)


async def answering_largely(line: Line) -> None:
    """Answers requests over one connection, and falls silent in the midst of the last answer."""
    for _ in range(MANY):
        await line.request()
        await line.send(ok(b"x" * 65536))
    await streaming(line)


MANY = 300


async def test_a_client_that_asks_on_and_reads_nothing_is_held_back() -> None:
    # fault P7
    sent = 0

    async def ask_on() -> None:
        nonlocal sent
        for _ in range(MANY):
            await client.send(chat(text="x" * 50_000))
            sent += 1

    async with world() as w, engine(answering_largely) as e:
        w.serve(e)
        client = await w.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        asking = asyncio.create_task(ask_on())
        await still(lambda: sent)
        assert sent < MANY, "everything was answered although nobody read it"
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert {len((await client.read()).body) for _ in range(MANY)} == {65536}
        await within(asking)


async def test_a_client_that_asks_on_and_reads_nothing_is_cut_off() -> None:
    # fault P7
    limits = Limits(sweep_interval_s=0.02, send_timeout_s=0.5)
    async with world(limits=limits) as w, engine(answering_largely) as e:
        w.serve(e)
        client = await w.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with suppress(ConnectionError):
            for _ in range(MANY + 1):
                await client.send(chat(text="x" * 20_000))
        await until(lambda: w.gateway.clients == 0)


async def test_a_client_that_has_asked_for_more_than_it_reads_is_cut_off() -> None:
    # fault P7
    limits = Limits(sweep_interval_s=0.02, send_timeout_s=0.1)
    async with world(*[model(f"m-{number}") for number in range(3000)], limits=limits) as w:
        client = await w.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: w.gateway.clients == 1)
        await client.send(b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n" * MAX_PIPELINED)  # ten megabytes of answers
        await until(lambda: w.gateway.clients == 0)


async def test_draining_lets_streams_end_and_takes_nothing_new() -> None:
    # fault P4
    go = asyncio.Event()

    async def slow(line: Line) -> None:
        await line.request()
        await line.send(STREAM + b"5\r\nhello\r\n")
        await go.wait()
        await line.send(b"5\r\nworld\r\n0\r\n\r\n")

    async with world() as w, engine(slow) as e:
        w.serve(e)
        idle = await w.connect()
        await until(lambda: w.gateway.clients == 1)
        streams = [await asked(w, e) for _ in range(20)]
        drained = asyncio.ensure_future(w.gateway.drain(PATIENCE_S))
        assert await idle.rest() == b""
        with pytest.raises(ConnectionError):
            await w.connect()
        assert not drained.done()
        go.set()
        assert [(await stream.read()).body for stream in streams] == [b"helloworld"] * 20
        await within(drained)
        assert [await stream.rest() for stream in streams] == [b""] * 20


async def test_draining_tells_not_ready_and_asks_clients_to_leave() -> None:
    # fault P4
    go = asyncio.Event()

    async def slow(line: Line) -> None:
        await line.request()
        await go.wait()
        await line.send(ok())

    async with world() as w, engine(slow) as e:
        w.serve(e)
        client = await asked(w, e)
        await client.send(b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n")
        drained = asyncio.ensure_future(w.gateway.drain(PATIENCE_S))
        await asyncio.sleep(0)
        go.set()
        answer = await client.read()
        assert (answer.status, answer.header(b"connection")) == (200, b"close")
        await within(drained)


async def test_the_grace_of_a_drain_has_an_end() -> None:
    # fault P4
    async with world() as w, engine(streaming) as e:
        w.serve(e)
        client = await asked(w, e)
        await client.read_head()
        await within(w.gateway.drain(0.05))
        await within(e.ended.get())
        assert w.gateway.clients == 0


async def test_who_still_waits_when_the_grace_ends_is_told_so() -> None:
    # fault P10
    async with world() as w:
        client = await w.connect()
        await client.send(chat())
        await until(lambda: w.balancer.waiting("m") == 1)
        await within(w.gateway.drain(0.05))
        answer = await client.read()
        assert (answer.status, answer.code) == (503, "shutting_down")
        assert await client.rest() == b""


def open_files() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"))


async def test_no_file_descriptor_is_left_over() -> None:
    before = open_files()
    async with world() as w, engine() as e:
        w.serve(e)
        for sent in (len(chat()), 40, len(chat())):
            for connection in [await w.connect() for _ in range(50)]:
                await connection.send(chat()[:sent])
                connection.reset()
        await until(lambda: w.gateway.clients == 0)
    gc.collect()
    await until(lambda: open_files() <= before + 1)  # uvloop keeps a spare one for bad times


def test_what_comes_for_a_client_that_has_just_left_harms_nobody() -> None:
    """On the program's own loop, whose connections take no bytes once they are closed."""
    event = b"a\r\ndata: {}\n\n\r\n"
    faults: list[object] = []

    async def stream(line: Line) -> None:
        await line.request()
        await line.send(STREAM.replace(b"\r\n\r\n", b"\r\ncontent-type: text/event-stream\r\n\r\n") + event)
        while not line.writer.is_closing():
            await line.send(event)
            await asyncio.sleep(0)

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        async with world() as w, engine(stream) as e:
            w.serve(e)
            clients = [await w.connect() for _ in range(30)]
            for client in clients:
                await client.send(chat())
            for client in clients:
                await client.reader.readuntil(event)
            for client in clients:
                client.writer.transport.abort()
            await until(lambda: w.balancer.in_flight("m") == 0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(leave())
    assert faults == []
