"""Lines out of chopped streams, pages out of lists: the parts without a network."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.kube.errors import APIError, BadAnswer
from kubeai.kube.paging import pages
from kubeai.kube.watch import LineSplitter, Watch


@given(st.lists(st.binary(max_size=6).map(lambda data: data.replace(b"a", b"\n"))))
def test_lines_are_the_same_however_a_stream_is_chopped(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    assert lines == b"".join(chunks).split(b"\n")[:-1]


class Body:
    """A stream that is all here."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


async def test_a_line_without_its_end_was_not_said() -> None:
    watch = Watch(Body(b'{"type":"ADDED","obj', b'ect":{"a":1}}\n\n{"type":"DELETED","object":{}}'))
    events = [(event.type, bytes(event.object)) async for event in watch]
    assert events == [("ADDED", b'{"a":1}')]


async def test_a_line_that_is_no_event_is_an_error_that_shows_it() -> None:
    with pytest.raises(BadAnswer, match="<html>"):
        await anext(Watch(Body(b"<html>\n")))


class Collection:
    """A list of numbers, of which the server forgets the pages at some time."""

    def __init__(self, size: int, forgets_at: int | None = None) -> None:
        self._items = list(range(size))
        self._forgets_at = forgets_at
        self.requests = 0

    async def fetch(self, params: Mapping[str, str]) -> bytes:
        self.requests += 1
        start = int(params.get("continue", 0))
        if start and start == self._forgets_at:
            raise APIError(410, "Expired", "too old")
        end = start + int(params.get("limit", 10**6))
        token = str(end) if end < len(self._items) else ""
        metadata = {"resourceVersion": "v", "continue": token}
        return msgspec.json.encode({"metadata": metadata, "items": self._items[start:end]})


@given(size=st.integers(0, 12), limit=st.integers(1, 5), forgets_at=st.none() | st.integers(0, 12))
async def test_a_list_is_whole_whenever_its_pages_expire(size: int, limit: int, forgets_at: int | None) -> None:
    collection = Collection(size, forgets_at)
    found: list[int] = []
    async for page in pages(collection.fetch, limit):
        if page.first:
            found.clear()
        found += [int(bytes(raw)) for raw in page.items]
        assert page.resource_version == "v"
    assert found == list(range(size))
    assert collection.requests <= size // limit + 3


async def test_an_answer_that_is_no_list_is_an_error() -> None:
    async def fetch(params: Mapping[str, str]) -> bytes:
        return b"[]"

    with pytest.raises(BadAnswer, match="no list"):
        await anext(pages(fetch))
