"""What is fuzzed: each target takes any bytes, and raises if the code does what it must never do.

Most of them are differential: bytes that arrive at once must mean the same as bytes that arrive one by one, what our
decoder reads must be what another one reads, and what is left of a form must be a form.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kubeai.api.openai.errors import OpenAIError
from kubeai.api.openai.routes import ROUTES
from kubeai.gateway.receiver import Receiver
from kubeai.inference.answer import AnswerHead, Source
from kubeai.inference.call import Call
from kubeai.inference.deadlines import Deadlines
from kubeai.inference.directory import parse_selectors
from kubeai.inference.headers import Header
from kubeai.inference.multipart import read_form
from kubeai.inference.prefix import prefix_text
from kubeai.inference.request import Body, ModelFinder, edited, model_edit, usage_edit
from kubeai.inference.upstream import Outcome, Upstream
from tests.builders import model

from .corpus import CUT

Target = Callable[[bytes], None]

_REFUSALS = (400, 413, 417, 431)


def requests(data: bytes) -> None:
    """A client's bytes: read in the same way however they are cut, and also when a head comes again."""
    at_once, one_by_one = _receiver(), _receiver()
    for piece in data.split(CUT):
        at_once.feed(piece)
        for position in range(len(piece)):
            one_by_one.feed(piece[position : position + 1])
    assert list(at_once.ready) == list(one_by_one.ready), "a cut makes other requests"
    refusals = [r.refusal and r.refusal.status for r in (at_once, one_by_one)]
    assert refusals[0] == refusals[1], f"a cut makes another refusal: {refusals}"
    assert refusals[0] in (None, *_REFUSALS)
    for request in at_once.ready:
        assert not {10, 13, 0} & set(request.target), "a line end in a target"
        _assert_lines(request.head.lines)


def _receiver() -> Receiver:
    return Receiver(100_000, 100_000, b"peer")


def _assert_lines(lines: bytes) -> None:
    """Header lines that another reader takes for the same ones."""
    assert lines.endswith(b"\r\n") or not lines
    for line in lines.split(b"\r\n")[:-1]:
        name, colon, value = line.partition(b":")
        assert colon, f"no header: {line!r}"
        assert name, f"no name: {line!r}"
        assert not {10, 13, 0} & set(value), f"a line end in a value: {line!r}"


class _Transport(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: Any) -> None: ...

    def writelines(self, list_of_data: Iterable[Any]) -> None: ...

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class _Sink:
    """What a client got."""

    def __init__(self) -> None:
        self.head: tuple[int, bytes] | None = None
        self.body = b""
        self.broke = False

    def answer(
        self, head: AnswerHead | None, chunks: Sequence[bytes], trailers: Sequence[Header] | None, source: Source
    ) -> None:
        if head is not None:
            assert self.head is None, "two heads"
            self.head = (head.status, head.lines)
            _assert_lines(head.lines)
        assert self.head is not None, "a body before its head"
        self.body += b"".join(chunks)

    def relay(self, chunk: bytes, now: float) -> bool:
        """Like a client that takes small chunks only."""
        assert self.head is not None, "a body before its head"
        size, _, rest = chunk.partition(b"\r\n")
        assert len(rest) == int(size, 16) + 2, f"no whole chunk: {chunk!r}"
        assert rest.endswith(b"\r\n"), f"no whole chunk: {chunk!r}"
        if len(chunk) > 100:
            return False
        self.body += rest[:-2]
        return True

    def broken(self) -> None:
        self.broke = True


_CALL = Call(model(), None, "m", "http", b"id", b"/v1/x", b"", (b"{}",), 2, "")


async def _exchange(upstream: Upstream, pieces: Iterable[bytes]) -> tuple[Outcome, _Sink]:
    sink = _Sink()
    exchange = upstream.send(_CALL, sink, None)
    for piece in pieces:
        upstream.data_received(piece)
        if exchange.done.done():
            break
    if not exchange.done.done():
        upstream.connection_lost(None)
    assert exchange.done.done(), "an exchange without an end"
    outcome = exchange.done.result()
    assert (sink.head is None) == (outcome not in (Outcome.ANSWERED, Outcome.BROKEN))
    assert sink.broke == (outcome is Outcome.BROKEN)
    return outcome, sink


async def _answers(data: bytes) -> None:
    freed: list[Upstream] = []
    upstreams = [_upstream(freed) for _ in _CUTS]
    for answer in data.split(CUT):
        seen = []
        for upstream, cut in zip(upstreams, _CUTS, strict=True):
            outcome, sink = await _exchange(upstream, cut(answer))
            seen.append((sink.head, sink.body) if outcome is Outcome.ANSWERED else None)
        assert seen.count(seen[0]) == len(seen), f"a cut makes another answer: {seen}"
        if len(freed) < len(upstreams):  # one of them is not kept for another answer
            break
        freed.clear()
    for upstream in upstreams:
        upstream.connection_lost(None)


#: How an answer may come: at once, byte by byte, or as what servers write of it at a time.
_CUTS: tuple[Callable[[bytes], list[bytes]], ...] = (
    lambda answer: [answer],
    lambda answer: [bytes([byte]) for byte in answer],
    lambda answer: re.split(rb"(?<=\n\r\n)", answer),
)


def _upstream(freed: list[Upstream]) -> Upstream:
    upstream = Upstream(("h", 1), Deadlines(), 600.0, freed.append, lambda _: None)
    upstream.connection_made(_Transport())
    return upstream


def answers(data: bytes) -> None:
    """An engine's bytes: the same answers however they are cut, or none; and always an end."""
    asyncio.run(_answers(data))


_finder = ModelFinder()


def json_bodies(data: bytes) -> None:
    """A JSON body: another decoder reads the same model in it, and only what is meant to change is changed."""
    try:
        asked = _finder.find(data)
    except OpenAIError as error:
        assert error.status == 400
        return
    read = _decoded(data)
    if read is None:
        return
    assert read["model"] == asked.model
    changed = _decoded(b"".join(edited(data, [model_edit(data, "other")])))
    assert changed == read | {"model": "other"}
    usage = usage_edit(data, asked)
    if usage is not None:
        changed = _decoded(b"".join(edited(data, [model_edit(data, "other"), usage])))
        assert changed is not None
        options = changed.pop("stream_options")
        assert options["include_usage"] is True
        read.pop("stream_options", None)
        assert changed == read | {"model": "other"}


def _decoded(data: bytes) -> dict[str, Any] | None:
    """As Python's decoder reads it; None where it is stricter than engines are (UTF-8 in values that nobody reads)."""
    try:
        read = json.loads(data.decode("utf-8"), parse_int=str, parse_float=str, strict=False)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return None
    assert isinstance(read, dict)
    return read


def forms(data: bytes) -> None:
    """The first line is the Content-Type, the rest a body: the form that goes on is the same form without a model."""
    content_type, _, body = data.partition(b"\n")
    kind = content_type.decode("latin-1")
    try:
        form = read_form(kind, body)
    except OpenAIError as error:
        assert error.status == 400
        return
    rest = b"".join(form.body)
    assert form.model
    assert len(rest) < len(body)
    _assert_no_model(kind, rest)


def _assert_no_model(kind: str, rest: Body) -> None:
    try:
        read_form(kind, rest)
    except OpenAIError as error:
        assert "must have a part 'model'" in error.message, f"what is left is no form: {error.message}"
    else:
        raise AssertionError("a model is left in the form")


def prefixes(data: bytes) -> None:
    """Whatever a body holds, looking for its first text fails never, and finds no more than is asked for."""
    for kind in {route.kind for route in ROUTES.values()}:
        text = prefix_text(kind, data, 20)
        assert isinstance(text, str)
        assert len(text) <= 20


def selectors(data: bytes) -> None:
    """A label selector is read or refused."""
    try:
        parsed = parse_selectors(data.split(b"\n"))
    except OpenAIError as error:
        assert error.status == 400
        return
    for selector in parsed:
        assert selector.matches({"a": "b"}) in (True, False)


TARGETS: Mapping[str, Target] = {
    "requests": requests,
    "answers": answers,
    "json_bodies": json_bodies,
    "forms": forms,
    "prefixes": prefixes,
    "selectors": selectors,
}
