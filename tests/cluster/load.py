"""Clients that would notice if anything were lost: they count the words of streams that say how many there are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from kubeai.cli.sse import DONE, Events

#: Longer than anything here lasts: who waits this long has been forgotten.
SILENCE_S = 90
#: Time between two words of a stream that stays open.
PACE_S = 0.5


@dataclass
class Stream:
    """What became of one request."""

    #: How many words were asked for; None for as many as come until the server is told to end.
    wanted: int | None = 1
    words: int = 0
    #: Which server sent it, and with which mark.
    servers: set[str] = field(default_factory=set)
    tag: str | None = None
    #: What the server was asked for.
    model: str = ""
    done: bool = False
    error: str = ""
    #: Set when the first word is there.
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def problem(self) -> str:
        """Empty if the answer is whole and came from one server."""
        if self.error or not self.done or self.wanted not in (None, self.words):
            return f"{self.words} of {self.wanted} words, done: {self.done}, {self.error}"
        return "" if len(self.servers) == 1 else f"from several servers: {self.servers}"


async def ask(url: str, model: str, stream: Stream | None = None, pace_s: float = 0) -> Stream:
    """Ask once, over a connection of its own. Nothing is tried again."""
    stream = stream or Stream()
    body = {"model": model, "messages": [{"role": "user", "content": "count"}], "stream": True, "pace_s": pace_s}
    if stream.wanted is not None:
        body["max_tokens"] = stream.wanted
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(f"{url}/chat/completions", json=body) as answer,
        ):
            if answer.status != 200:
                stream.error = f"{answer.status}: {await answer.text()}"
            else:
                await _read(answer, stream)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        stream.error = repr(error)
    finally:
        stream.begun.set()
    return stream


async def _read(answer: aiohttp.ClientResponse, stream: Stream) -> None:
    events = Events()
    async for data in answer.content.iter_any():
        for event in events.feed(data):
            if event == DONE:
                stream.done = True
                continue
            chunk = json.loads(event)
            assert chunk["choices"][0]["delta"]["content"] == str(stream.words), "a word is missing, or came twice"
            stream.words += 1
            stream.servers.add(chunk["served_by"])
            stream.tag, stream.model = chunk["tag"], chunk["model"]
            stream.begun.set()


@asynccontextmanager
async def open_streams(
    url: str, model: str, count: int, release: Callable[[], Awaitable[None]]
) -> AsyncIterator[list[Stream]]:
    """So many streams: all have begun when the block starts, none ends in it, and then `release` lets them end."""
    streams = [Stream(None) for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(ask(url, model, stream, PACE_S))
        for stream in streams:
            await stream.begun.wait()
        assert problems(streams, running=True) == []
        yield streams
        assert problems(streams, running=True) == []
        await release()


async def go_on(streams: list[Stream], words: int = 6) -> None:
    """Wait until each of them has so many words more, or has ended."""
    before = [stream.words for stream in streams]
    async with asyncio.timeout(SILENCE_S):
        for stream, had in zip(streams, before, strict=True):
            while stream.words < had + words and not problems([stream], running=True):  # noqa: ASYNC110 - another task's work
                await asyncio.sleep(PACE_S / 4)


@asynccontextmanager
async def steady_load(url: str, model: str, clients: int) -> AsyncIterator[list[Stream]]:
    """Clients that ask again and again while the block runs; what was asked in it is in the list at the end."""
    streams: list[Stream] = []
    stop = asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            streams.append(Stream(10))
            await ask(url, model, streams[-1], 0.1)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
        try:
            yield streams
        finally:
            stop.set()


def problems(streams: list[Stream], *, running: bool = False) -> list[str]:
    """What went wrong with them; `running` ones are not to have ended at all."""
    if running:
        return [f"ended: {stream.problem or 'whole'}" for stream in streams if stream.done or stream.error]
    return [stream.problem for stream in streams if stream.problem]
