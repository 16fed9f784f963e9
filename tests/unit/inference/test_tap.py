"""What passes on the way from an engine to a client, and what is learnt of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.inference.answer import AnswerHead, Source, read_head
from kubeai.inference.chunks import is_event_chunk
from kubeai.inference.headers import Header
from kubeai.inference.tap import Tap

STREAM = read_head(200, [(b"Content-Type", b"text/event-stream; charset=utf-8"), (b"Transfer-Encoding", b"chunked")])
JSON = read_head(200, [(b"Content-Type", b"application/json")])


class Client:
    """The sink: keeps what came."""

    def __init__(self, *, relays: bool = True) -> None:
        self.head: AnswerHead | None = None
        self.body = b""
        self.ended = 0
        self.breaks = 0
        self._relays = relays
        #: What came the short way.
        self.relayed: list[bytes] = []

    def answer(
        self, head: AnswerHead | None, chunks: Sequence[bytes], trailers: Sequence[Header] | None, source: Source
    ) -> None:
        self.head = head or self.head
        self.body += b"".join(chunks)
        self.ended += trailers is not None

    def relay(self, chunk: bytes, now: float) -> bool:
        if self._relays:
            piece = chunk.partition(b"\r\n")[2][:-2]
            self.body += piece
            self.relayed.append(piece)
        return self._relays

    def broken(self) -> None:
        self.breaks += 1


class Engine:
    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Gaps(list[float]):
    def observe(self, value: float) -> None:
        self.append(value)


class Listening:
    """A tap between an engine and a client; the clock ticks with each look at it."""

    def __init__(self, head: AnswerHead, *, strips: bool = False, relays: bool = True) -> None:
        self.client = Client(relays=relays)
        self.gaps = Gaps()
        self._time = 0.0
        self.tap = Tap(self.client, self._tick, self.gaps, strips=strips)
        self._head: AnswerHead | None = head

    def _tick(self) -> float:
        self._time += 1.0
        return self._time

    def sends(self, *pieces: bytes, ends: bool = True) -> Listening:
        for piece in pieces:
            chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
            goes_short = self._head is None and is_event_chunk(chunk)
            if not goes_short or not self.tap.relay(chunk, self._tick()):
                self.tap.answer(self._head, (piece,), None, Engine())
            self._head = None
        if ends:
            self.tap.answer(self._head, (), (), Engine())
        return self


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def said(text: str, **fields: Any) -> bytes:
    return event(choices=[{"delta": {"content": text}}], **fields)


TOLD = {"prompt_tokens": 5, "completion_tokens": 2}
USAGE = event(choices=[], usage=TOLD)
DONE = b"data: [DONE]\n\n"
#: What an engine sends -> what a client that did not ask for usage gets, and the tokens.
STREAMS: dict[str, tuple[bytes, bytes, tuple[int, int]]] = {
    "usage before the end": (said("a") + said("b") + USAGE + DONE, said("a") + said("b") + DONE, (5, 2)),
    "usage without the end": (said("a") + USAGE, said("a"), (5, 2)),
    "null in every event, as vLLM writes it": (
        said("a", usage=None) + USAGE + DONE,
        said("a", usage=None) + DONE,
        (5, 2),
    ),
    "usage beside the last words": (said("a", usage=TOLD) + DONE, said("a", usage=TOLD) + DONE, (5, 2)),
    "words that look like usage": (said('"usage":{}') + DONE, said('"usage":{}') + DONE, (0, 2)),
    "lines that end in both letters": (
        (said("a") + USAGE + DONE).replace(b"\n", b"\r\n"),
        (said("a") + DONE).replace(b"\n", b"\r\n"),
        (5, 2),
    ),
    "comments": (b": wait\n\n" + said("a") + USAGE + DONE, b": wait\n\n" + said("a") + DONE, (5, 2)),
    "a last event without its end": (said("a") + DONE.strip(), said("a") + DONE.strip(), (0, 2)),
    "usage without its end": (said("a") + USAGE.strip(), said("a"), (5, 2)),
    "nothing": (b"", b"", (0, 0)),
}


@pytest.mark.parametrize(("sent", "received", "tokens"), STREAMS.values(), ids=STREAMS.keys())
def test_usage_that_the_client_did_not_ask_for_is_taken_out(
    sent: bytes, received: bytes, tokens: tuple[int, int]
) -> None:
    heard = Listening(STREAM, strips=True).sends(sent)
    assert (heard.client.body, heard.client.ended, heard.tap.used()) == (received, 1, tokens)


@given(
    case=st.sampled_from(sorted(STREAMS)),
    cuts=st.lists(st.integers(0, 300), max_size=12),
    strips=st.booleans(),
    relays=st.booleans(),
)
def test_it_does_not_matter_where_the_stream_is_cut(case: str, cuts: list[int], strips: bool, relays: bool) -> None:
    sent, received, tokens = STREAMS[case]
    bounds = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    pieces = [sent[a:b] for a, b in pairwise(bounds)]
    heard = Listening(STREAM, strips=strips, relays=relays).sends(*pieces)
    assert (heard.client.body, heard.tap.used()) == (received if strips else sent, tokens)


def test_whole_events_pass_at_once_and_the_short_way_after_the_first() -> None:
    events = [said("a"), said("b"), said("c", usage=None), said("d", usage=TOLD), USAGE, said("e")]
    heard = Listening(STREAM, strips=True).sends(*events, ends=False)
    assert heard.client.body == b"".join([*events[:4], events[5]])
    assert heard.client.relayed == [events[1], events[2], events[5]]


def test_a_piece_that_the_client_does_not_take_the_short_way_counts_once() -> None:
    heard = Listening(STREAM, strips=True, relays=False).sends(said("a"), said("b"), said("c"))
    assert (heard.client.body, heard.tap.used()) == (said("a") + said("b") + said("c"), (0, 3))


def test_an_event_without_end_is_not_kept_for_ever() -> None:
    heard = Listening(STREAM, strips=True).sends(b"data: " + b"x" * 300_000, ends=False)
    assert len(heard.client.body) == 300_006


def anthropic(kind: str, **fields: Any) -> bytes:
    return b"event: %b\n" % kind.encode() + event(type=kind, **fields)


BEGUN = anthropic("message_start", message={"usage": {"input_tokens": 30, "output_tokens": 1}})
GROWN = anthropic("content_block_delta", delta={"type": "text_delta", "text": "a"})
#: What came of a stream before it broke or its client left -> the tokens that it is taken to have cost.
BROKEN: dict[str, tuple[list[bytes], tuple[int, int]]] = {
    "nothing of its usage": ([said("a"), said("b")], (0, 2)),
    "events cut in pieces": ([b"da", b"ta: {", b"}\n\ndat", b"a: {}\n\n"], (0, 2)),
    "more events than are kept": ([said("a")] * 500, (0, 500)),
    "usage, but not the end": ([said("a"), said("b"), said("c"), USAGE], (5, 2)),
    "all but the end of the connection": ([said("a"), said("b"), said("c"), USAGE, DONE], (5, 2)),
    "usage in each event": ([said("a", usage=TOLD)] * 3, (5, 2)),
    "the beginning of one of Anthropic's": ([BEGUN], (30, 1)),
    "a short one of Anthropic's": ([BEGUN, GROWN, GROWN], (30, 3)),
    "a long one of Anthropic's": ([BEGUN] + [GROWN] * 500, (30, 501)),
    "one of Responses": ([event(response={"usage": None})] + [event(delta="a")] * 9, (0, 10)),
}


@pytest.mark.parametrize(("pieces", "tokens"), BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("strips", [False, True])
def test_a_stream_that_breaks_counts_what_came(pieces: list[bytes], tokens: tuple[int, int], strips: bool) -> None:
    if strips and pieces[0] is BEGUN:
        return  # nothing is taken out of these
    heard = Listening(STREAM, strips=strips).sends(*pieces, ends=False)
    heard.tap.broken()
    assert (heard.tap.used(), heard.tap.used(), heard.client.breaks) == (tokens, tokens, 1)


def test_a_whole_stream_that_does_not_tell_its_usage_counts_its_events() -> None:
    # As one that the client has asked for in words that we take for a "no" and the engine for a "yes".
    assert Listening(STREAM).sends(said("a"), said("b")).tap.used() == (0, 2)


def test_what_is_no_stream_has_no_events() -> None:
    assert Listening(JSON).sends(b'{"said":"data: data: ', ends=False).tap.used() == (0, 0)


def test_a_stream_of_known_length_loses_it_when_something_is_taken_out() -> None:
    head = read_head(200, [(b"Content-Type", b"text/event-stream")])
    head.length = b"%d" % len(USAGE)
    heard = Listening(head, strips=True).sends(USAGE)
    assert heard.client.head is not None
    assert (heard.client.head.length, heard.client.body) == (None, b"")
    assert head.length is not None


def test_the_time_between_the_pieces_of_a_stream_is_told() -> None:
    assert Listening(STREAM).sends(said("a"), said("b"), said("c")).gaps == [1.0, 1.0]
    assert Listening(STREAM).sends(b"", said("a"), said("b")).gaps == [1.0]
    assert Listening(JSON).sends(b"{", b"}").gaps == []


@pytest.mark.parametrize("cut", [0, 1, 10, 30, 50, 5000])
def test_usage_of_a_whole_answer_is_found_wherever_it_is_cut(cut: int) -> None:
    answer = b'{"data":"' + b"x" * 5000 + b'","usage":{"prompt_tokens":5,"completion_tokens":2},"id":"x"}'
    heard = Listening(JSON, strips=True).sends(answer[:-cut] if cut else answer, answer[-cut:] if cut else b"")
    assert (heard.client.body, heard.tap.used()) == (answer, (5, 2))


def test_what_is_packed_is_not_looked_into() -> None:
    packed = read_head(200, [(b"Content-Type", b"text/event-stream"), (b"Content-Encoding", b"gzip")])
    assert not packed.streams
    assert Listening(packed, strips=True).sends(USAGE).client.body == USAGE


def test_the_last_word_counts() -> None:
    # As Anthropic's streams tell it.
    first = b'event: message_start\ndata: {"message":{"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    last = b'event: message_delta\ndata: {"usage":{"output_tokens":9}}\n\n'
    assert Listening(STREAM).sends(first, said("a") * 200, last, b"event: message_stop\n\n").tap.used() == (3, 9)


def test_usage_is_taken_out_of_a_stream_that_comes_in_one_large_piece() -> None:
    sent = said("a") * 2000
    heard = Listening(STREAM, strips=True).sends(sent + USAGE + DONE)
    assert (heard.client.body, heard.tap.used()) == (sent + DONE, (5, 2))


@pytest.mark.parametrize("strips", [False, True])
def test_of_a_large_piece_of_a_stream_that_breaks_the_events_are_estimated(strips: bool) -> None:
    heard = Listening(STREAM, strips=strips).sends(said("a") * 2000, ends=False)
    assert abs(heard.tap.used()[1] - 2000) < 50
