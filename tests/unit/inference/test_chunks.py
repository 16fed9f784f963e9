"""Chunks that are told from their bytes: never one that is none, however an engine writes and a network cuts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.inference.answer import AnswerHead, Source
from kubeai.inference.call import Call
from kubeai.inference.chunks import is_event_chunk
from kubeai.inference.deadlines import Deadlines
from kubeai.inference.headers import Header
from kubeai.inference.upstream import Outcome, Upstream
from tests.builders import model

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"9\r\ndata: {}\n\n\r\n", False, id="longer than its size says"),
        pytest.param(b"a\r\ndata: {}\n\n\r\n", True, id="one event"),
        pytest.param(b"A\r\ndata: {}\n\n\r\n", True, id="a size in large letters"),
        pytest.param(b"14\r\ndata: {}\n\ndata: {}\n\n\r\n", True, id="two events"),
        pytest.param(b"0a\r\ndata: {}\n\n\r\n", False, id="a size with a zero before it"),
        pytest.param(b"a;b=c\r\ndata: {}\n\n\r\n", False, id="an extension"),
        pytest.param(b"8\r\ndata: {}\r\n", False, id="no end of an event"),
        pytest.param(b"a\r\ndata: {}\n\n", False, id="no end of the chunk"),
        pytest.param(b"a\r\ndata: {}\n\n\r\n0\r\n\r\n", False, id="and the end of the answer"),
        pytest.param(b"0\r\n\r\n", False, id="the end of the answer"),
        pytest.param(b"\n\n\r\n", False, id="the rest of a chunk"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"1388\r\n%b\n\n\r\n" % (b"x" * 4998), False, id="a large one"),
    ],
)
def test_a_chunk_with_events_is_known_by_its_size(data: bytes, expected: bool) -> None:
    assert is_event_chunk(data) == expected


class Transport(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def close(self) -> None: ...

    abort = close

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Client:
    """Puts together what it gets."""

    def __init__(self) -> None:
        self.body = b""
        self.relayed = 0

    def answer(
        self, head: AnswerHead | None, chunks: Sequence[bytes], trailers: Sequence[Header] | None, source: Source
    ) -> None:
        self.body += b"".join(chunks)

    def relay(self, chunk: bytes, now: float) -> bool:
        size, _, rest = chunk.partition(b"\r\n")
        assert (len(rest), rest[-2:]) == (int(size, 16) + 2, b"\r\n")
        self.body += rest[:-2]
        self.relayed += 1
        return True

    def broken(self) -> None:
        raise AssertionError("the answer is whole")


async def received(pieces: Sequence[bytes]) -> Client:
    upstream, client = Upstream(("h", 1), Deadlines(), 600.0, lambda _: None, lambda _: None), Client()
    upstream.connection_made(Transport())
    call = Call(model(), None, "m", "http", b"id", b"/v1/x", b"", (b"{}",), 2, "")
    exchange = upstream.send(call, client, None)
    for piece in pieces:
        upstream.data_received(piece)
    upstream.connection_lost(None)
    assert exchange.done.result() is Outcome.ANSWERED
    return client


#: Parts of bodies that look like ends of chunks, and like whole ones.
parts = st.sampled_from([b"\r\n", b"\n\n", b"2\r\n\n\n\r\n", b"a\r\ndata: {}\n\n\r\n", b"data: {}\n\n", b"x", b"5"])
chunks = st.lists(st.lists(parts, min_size=1, max_size=4), max_size=6)
#: As servers may write the size of a chunk.
frames = st.sampled_from([b"%x\r\n", b"%X\r\n", b"0%x\r\n", b"%x;a=b\r\n"])


@given(chunks=chunks, frame=frames, data=st.data())
def test_a_stream_is_the_same_however_it_is_cut(chunks: list[list[bytes]], frame: bytes, data: st.DataObject) -> None:
    bodies = [b"".join(chunk) for chunk in chunks]
    sent = [HEAD]
    for chunk, body in zip(chunks, bodies, strict=True):
        sent += [frame % len(body), *chunk, b"\r\n"]
    sent.append(b"0\r\n\r\n")
    reads = [b""]
    for part in sent:
        reads += [part] if data.draw(st.booleans()) else [reads.pop() + part]
    client = asyncio.run(received([read for read in reads if read]))
    assert client.body == b"".join(bodies)


async def test_events_that_come_one_by_one_go_on_as_they_come() -> None:
    event = b"a\r\ndata: {}\n\n\r\n"
    client = await received([HEAD + event, event, event, event[:5], event[5:], event, event * 2, event, b"0\r\n\r\n"])
    assert (client.body, client.relayed) == (b"data: {}\n\n" * 8, 4)


async def test_a_piece_may_look_like_the_size_of_the_next_chunk() -> None:
    client = await received([HEAD + b"1\r\nf\r\nf\r\n", b"a\r\ndata: {}\n\n\r\n", b"\r\n0\r\n\r\n"])
    assert client.body == b"fa\r\ndata: {}\n\n\r\n"


async def test_a_body_may_begin_with_what_looks_like_the_end_of_a_chunk() -> None:
    client = await received([HEAD + b"b\r\n\r\n\r\n", b"2\r\n\n\n\r\n", b"\r\n0\r\n\r\n"])
    assert client.body == b"\r\n\r\n2\r\n\n\n\r\n"
