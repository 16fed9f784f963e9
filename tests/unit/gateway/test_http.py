"""The protocol on both sides of the gateway, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from kubeai.gateway.limits import Limits

from .engine import Line, answering, engine, ok
from .world import chat, until, within, world

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"


async def test_a_request_goes_to_the_engine_and_its_answer_comes_back() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        answer = await w.ask()
        assert (answer.status, answer.body) == (200, b'{"ok":true}')
        assert e.requests[0].start == b"POST /v1/chat/completions HTTP/1.1"


async def test_a_connection_serves_many_requests_over_one_connection_to_the_engine() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        for _ in range(5):
            assert (await connection.ask()).status == 200
        assert (e.connections, len(e.requests)) == (1, 5)


@pytest.mark.parametrize("header", [b"Connection: close", b"Connection: Close"])
async def test_a_client_that_asks_for_it_is_closed_after_the_answer(header: bytes) -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(chat(b"/v1/chat/completions", header))
        answer = await connection.read()
        assert answer.header(b"connection") == b"close"
        assert await connection.rest() == b""


async def test_an_engine_that_closes_after_its_answer_is_connected_anew() -> None:
    async with world() as w, engine(answering(ok(b"1", b"Connection: close"))) as e:
        w.serve(e)
        connection = await w.connect()
        answers = [await connection.ask() for _ in range(3)]
        assert [a.body for a in answers] == [b"1"] * 3
        assert answers[0].header(b"connection") is None
        assert e.connections == 3


ANSWERS = {
    "with a length": (ok(b"hello"), b"hello", False),
    "empty": (ok(b""), b"", False),
    "in chunks": (CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", b"hello", True),
    "in no chunks": (CHUNKED + b"0\r\n\r\n", b"", True),
    "after an interim answer": (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ok(b"hello"), b"hello", False),
    "after several interim answers": (b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + ok(b"hello"), b"hello", False),
    "with a length, from HTTP/1.0": (ok(b"hello").replace(b"1.1", b"1.0"), b"hello", False),
}


@pytest.mark.parametrize(("sent", "body", "chunked"), ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("step", [1, 10_000])
async def test_an_answer_arrives_however_it_is_framed_and_cut(
    sent: bytes, body: bytes, chunked: bool, step: int
) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.request()
            for i in range(0, len(sent), step):
                await line.send(sent[i : i + step])
                await asyncio.sleep(0)

    async with world() as w, engine(script) as e:
        w.serve(e)
        connection = await w.connect()
        for _ in range(2):  # the first one leaves nothing behind that could disturb the second
            answer = await connection.ask()
            assert (answer.status, answer.body) == (200, body)
            assert (answer.header(b"transfer-encoding") == b"chunked") is chunked


async def test_an_answer_that_ends_with_its_connection_is_sent_in_chunks() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhel")
        await line.send(b"lo")

    async with world() as w, engine(script) as e:
        w.serve(e)
        connection = await w.connect()
        for _ in range(2):
            answer = await connection.ask()
            assert (answer.body, answer.header(b"transfer-encoding")) == (b"hello", b"chunked")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_without_a_body_have_none(status: bytes) -> None:
    async with world() as w, engine(answering(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n")) as e:
        w.serve(e)
        connection = await w.connect()
        for _ in range(2):
            answer = await connection.ask()
            assert (answer.status, answer.header(b"etag")) == (int(status[:3]), b"x")
            assert answer.header(b"transfer-encoding") is None
        assert e.connections == 1


@pytest.mark.parametrize("sent", [ok(b"hello"), CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: 1\r\n\r\n"])
async def test_an_http10_client_gets_no_chunks(sent: bytes) -> None:
    async with world() as w, engine(answering(sent)) as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(chat(version=b"1.0"))
        head, _, body = (await connection.rest()).partition(b"\r\n\r\n")
        assert body == b"hello"
        assert b"chunked" not in head
        assert b"connection: close" in head


async def test_an_http10_client_may_keep_its_connection() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        for _ in range(2):
            await connection.send(chat(b"/v1/chat/completions", b"Connection: keep-alive", version=b"1.0"))
            assert (await connection.read()).header(b"connection") == b"keep-alive"


async def test_a_chunked_request_reaches_the_engine_with_its_length() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head, b'6\r\n{"mode\r\n', b'8\r\nl":"m"}\n\r\n', b"0\r\nX-Trailer: 1\r\n\r\n")
        assert (await connection.read()).status == 200
        (seen,) = e.requests
        assert (seen.body, seen.header(b"content-length")) == (b'{"model":"m"}\n', b"14")
        assert seen.header(b"x-trailer") is None


async def test_trailers_reach_clients_that_ask_for_them() -> None:
    sent = CHUNKED + b"2\r\nhi\r\n0\r\nX-Sum: 9\r\nSet-Cookie: a\r\n\r\n"
    async with world() as w, engine(answering(sent)) as e:
        w.serve(e)
        assert (await w.ask()).trailers == []
        answer = await w.send(chat(b"/v1/chat/completions", b"TE: trailers"))
        assert answer.trailers == [(b"X-Sum", b"9")]


async def test_pieces_that_come_together_go_out_as_one_chunk() -> None:
    async with world() as w, engine(answering(CHUNKED + b"1\r\na\r\n" * 50 + b"0\r\n\r\n")) as e:
        w.serve(e)
        answer = await w.ask()
        assert answer.body == b"a" * 50
        assert len(answer.chunks) < 5


async def test_a_stream_arrives_piece_by_piece() -> None:
    more = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED + b"5\r\nfirst\r\n")
        await more.wait()
        await line.send(b"6\r\nsecond\r\n0\r\n\r\n")

    async with world() as w, engine(script) as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(chat(stream=True))
        assert (await connection.read_head()).header(b"content-type") == b"text/event-stream"
        assert await connection.read_chunk() == b"first"
        more.set()
        assert await connection.read_chunk() == b"second"


async def test_a_client_that_expects_it_is_told_to_continue() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        head, _, body = chat(b"/v1/chat/completions", b"Expect: 100-continue").partition(b"\r\n\r\n")
        await connection.send(head, b"\r\n\r\n")
        assert (await connection.read()).status == 100
        await connection.send(body)
        assert (await connection.read()).status == 200
        assert e.requests[0].header(b"expect") is None


async def test_a_client_that_expects_it_and_sends_its_body_at_once_is_not_told() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        assert (await w.send(chat(b"/v1/chat/completions", b"Expect: 100-continue"))).status == 200


@pytest.mark.parametrize(("path", "status"), [(b"/v1/nothing", 404), (b"/v1/models", 405)])
async def test_a_body_that_nobody_wants_is_not_asked_for(path: bytes, status: int) -> None:
    async with world() as w:
        connection = await w.connect()
        await connection.send(chat(path, b"Expect: 100-continue").partition(b"\r\n\r\n")[0], b"\r\n\r\n")
        assert (await connection.read()).status == status
        assert await connection.rest() == b""


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def script(line: Line) -> None:
        while True:
            await line.send(ok((await line.request()).body))

    async with world() as w, engine(script) as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(*[chat(n=n) for n in range(3)], b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", chat(n=3))
        answers = [await connection.read() for _ in range(5)]
        assert [a.json["n"] for a in answers if a.body != b"ok"] == [0, 1, 2, 3]
        assert answers[3].body == b"ok"
        assert e.connections == 1


async def test_what_is_pipelined_behind_a_running_request_waits_bounded() -> None:
    # fault P7
    release = asyncio.Event()

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await release.wait()
            await line.send(ok())

    async with world(limits=Limits(max_pending_bytes=1000)) as w, engine(script) as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(chat())
        await connection.send(chat(text="x" * 50_000))
        await asyncio.sleep(0.05)
        release.set()
        assert [(await connection.read()).status for _ in range(2)] == [200, 200]


async def test_head_of_a_route_has_no_body_and_keeps_the_connection() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        for path in (b"/v1/chat/completions", b"/v1/nothing"):
            await connection.send(b"HEAD " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = await connection.read(bodiless=True)
            assert answer.status in (404, 405)
            assert int(answer.header(b"content-length") or 0) > 0
        assert (await connection.ask()).status == 200


async def test_an_http10_client_that_expects_it_is_not_told_to_continue() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        head, _, body = chat(b"/v1/completions", b"Expect: 100-continue", version=b"1.0").partition(b"\r\n\r\n")
        await connection.send(head, b"\r\n\r\n")
        await asyncio.sleep(0.02)
        await connection.send(body)
        assert (await connection.read()).status == 200


async def test_a_client_with_a_head_and_body_in_many_slow_pieces_is_served() -> None:
    async with world(headTimeout=50, bodyTimeout=60) as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        head, _, body = chat(text="x" * 200).partition(b"\r\n\r\n")
        for start in range(0, len(head), 40):
            await connection.send(head[start : start + 40])
            await asyncio.sleep(0.01)
        await connection.send(b"\r\n\r\n")
        (client,) = w.gateway._clients
        for start in range(0, len(body), 40):
            before = client.deadline
            await asyncio.sleep(0.01)
            await connection.send(body[start : start + 40])
            # With each piece a body has its time anew. That time itself is not waited for: others may take it from us.
            await until(lambda before=before: client.deadline > before)  # type: ignore[misc]
        assert (await connection.read()).status == 200


async def test_a_large_body_passes_in_both_directions() -> None:
    text = "x" * 5_000_000

    async def script(line: Line) -> None:
        await line.send(ok((await line.request()).body))

    async with world() as w, engine(script) as e:
        w.serve(e)
        assert (await w.ask(text=text)).json["text"] == text


async def test_an_engine_that_answers_before_it_has_read_everything_is_not_used_again() -> None:
    passed_on = asyncio.Semaphore(0)

    async def script(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.send(ok(b"no", status=b"413 Too Large"))
        await passed_on.acquire()  # until then the rest of the request has no place to go
        await line.closed()

    async with world() as w, engine(script) as e:
        w.serve(e)
        connection = await w.connect()
        for _ in range(2):
            assert (await connection.ask(text="x" * 5_000_000)).status == 413
            passed_on.release()
        assert e.connections == 2


async def test_an_engine_that_answers_and_never_reads_the_rest_is_left() -> None:
    # fault P7
    hangs = asyncio.Event()

    async def script(line: Line) -> None:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await line.send(ok(b"no", status=b"413 Too Large"))
        await hangs.wait()

    async with world() as w, engine(script) as e:
        w.serve(e)
        assert (await w.ask(text="x" * 20_000_000)).status == 413
        await until(lambda: w.gateway._pool.size == 0)
        hangs.set()


async def test_errors_of_the_protocol_have_openais_shape() -> None:
    # fault P10
    async with world() as w:
        connection = await w.connect()
        await connection.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = await connection.read()
        assert (answer.status, answer.header(b"connection")) == (400, b"close")
        assert "not valid HTTP" in answer.json["error"]["message"]
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}
        assert await connection.rest() == b""


async def test_a_body_over_the_limit_is_refused_and_the_client_can_read_why() -> None:
    # fault P7
    async with world(maxBodyBytes=1000) as w:
        connection = await w.connect()
        await connection.send(chat(text="x" * 200_000))
        answer = await connection.read()
        assert (answer.status, answer.code) == (413, "request_too_large")


async def test_a_chunked_body_over_the_limit_is_refused_and_the_client_can_read_why() -> None:
    # fault P7
    async with world(maxBodyBytes=1000) as w:
        connection = await w.connect()
        await connection.send(b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            await connection.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        answer = await connection.read()
        assert (answer.status, answer.code) == (413, "request_too_large")


async def test_a_refused_client_that_goes_on_sending_is_cut_off() -> None:
    async with world(limits=Limits(sweep_interval_s=0.02, linger_timeout_s=0.1), maxBodyBytes=1000) as w:
        connection = await w.connect()
        await connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 999999\r\n\r\n")
        assert (await connection.read()).status == 413
        assert await connection.rest() == b""


async def test_a_head_over_the_limit_is_refused() -> None:
    async with world() as w:
        answer = await w.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\nA: " + b"x" * 40_000 + b"\r\n\r\n")
        assert (answer.status, answer.code) == (431, "headers_too_large")


async def test_requests_before_a_malformed_one_are_answered_first() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(chat(), b"nonsense\r\n\r\n")
        assert [(await connection.read()).status for _ in range(2)] == [200, 400]


SLOW = {
    "in the head": (b"POST /v1/chat/completions HTTP/1.1\r\nHo", "headTimeout"),
    "in the body": (b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{", "bodyTimeout"),
}


@pytest.mark.parametrize(("part", "setting"), SLOW.values(), ids=SLOW.keys())
async def test_a_sender_that_stops_is_not_waited_for(part: bytes, setting: str) -> None:
    # fault P7
    async with world(settings={setting: 0.05}) as w:
        connection = await w.connect()
        await connection.send(part)
        answer = await connection.read()
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert await connection.rest() == b""


async def test_a_head_that_trickles_in_has_one_deadline() -> None:
    async with world(headTimeout=0.1) as w:
        connection = await w.connect()
        await connection.send(b"POST / HTTP/1.1\r\n")
        answer = asyncio.ensure_future(connection.read())
        while not answer.done():
            await connection.send(b"A: b\r\n")
            await asyncio.sleep(0.01)
        assert answer.result().status == 408


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with world(idleTimeout=0.05) as w:
        connection = await w.connect()
        assert await connection.rest() == b""


MALFORMED = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a header that splits": b"HTTP/1.1 200 OK\r\nA: b\rX: y\r\nContent-Length: 0\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "another protocol": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
async def test_an_engine_that_speaks_no_http_is_a_bad_gateway(sent: bytes) -> None:
    async with world() as w, engine(answering(sent)) as e:
        w.serve(e)
        answer = await w.ask()
        assert (answer.status, answer.code) == (502, "engine_failed")


async def test_bytes_behind_an_answer_reach_nobody() -> None:
    stray = ok(b"stray")
    async with world() as w, engine(answering(ok(b"1") + stray)) as e:
        w.serve(e)
        connection = await w.connect()
        assert [(await connection.ask()).body for _ in range(3)] == [b"1"] * 3
        assert e.connections == 3


async def test_an_engine_that_speaks_out_of_turn_is_dropped() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(ok(b"1"))
        await asyncio.sleep(0.02)
        await line.send(ok(b"out of turn"))
        await line.closed()

    async with world() as w, engine(script) as e:
        w.serve(e)
        connection = await w.connect()
        assert (await connection.ask()).body == b"1"
        await within(e.ended.get())  # what is out of turn and what is an answer to the next request look the same
        assert (await connection.ask()).body == b"1"
        assert e.connections == 2
