"""Commands in containers, against a server that plays what real ones do and break off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType, web

from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.kube.exec import V4, V5, Finished
from tests.unit.kube.scripted import status
from tests.unit.kube.test_transport import Renewing

Play = Callable[[web.WebSocketResponse], Awaitable[None]]
SUCCESS = b"\3" + msgspec.json.encode({"status": "Success"})
CAUSES = [{"reason": "ExitCode", "message": "5"}]
EXIT_5 = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": CAUSES}}


@dataclass
class Server:
    """Plays one conversation, in the protocol that it knows."""

    play: Play
    protocols: Sequence[str] = (V5, V4)
    refusals: list[web.Response] = field(default_factory=list)
    queries: list[list[tuple[str, str]]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(list(request.query.items()))
        self.tokens.append(request.headers.get("Authorization"))
        if self.refusals:
            return self.refusals.pop(0)
        socket = web.WebSocketResponse(protocols=self.protocols)
        await socket.prepare(request)
        await self.play(socket)
        return socket

    @asynccontextmanager
    async def client(self, **access: Any) -> AsyncIterator[Client]:
        app = web.Application()
        app.router.add_get("/api/v1/namespaces/default/pods/p/exec", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with Client(ClusterAccess(url, **access)) as client:
                yield client
        finally:
            await runner.cleanup()


def says(*messages: bytes) -> Play:
    async def play(socket: web.WebSocketResponse) -> None:
        for message in messages:
            await socket.send_bytes(message)
        await socket.close()

    return play


async def echoes(socket: web.WebSocketResponse) -> None:
    """Gives the input back until it is closed."""
    async for message in socket:
        if message.data == b"\xff\0":
            await socket.send_bytes(SUCCESS)
            await socket.close()
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(b"\1" + message.data[1:])


async def breaks_off(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(b"\1half of it")
    assert socket._req is not None
    transport = socket._req.transport
    assert transport is not None
    transport.abort()


def refuses(code: int, reason: str, message: str) -> web.Response:
    return web.json_response(status(code, reason, message), status=code)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([b"\1", b"\2", b"\3", b"\1a", b"\2b", SUCCESS], Finished(0, b"a", b"b"), id="greetings are none"),
        pytest.param([b"\1a", b"\1\0\xff", SUCCESS], Finished(0, b"a\0\xff"), id="pieces are put together"),
        pytest.param([b"\3" + msgspec.json.encode(EXIT_5)], Finished(5), id="an exit code"),
        pytest.param([b"\xff\1", b"\7?", SUCCESS], Finished(0), id="what is not known is passed over"),
        pytest.param([SUCCESS, b"\1late"], Finished(0, b"late"), id="output that comes after the end"),
    ],
)
async def test_a_conversation_becomes_a_result(messages: list[bytes], expected: Finished) -> None:
    async with Server(says(*messages)).client() as client:
        assert await client.exec("p", ["x"]) == expected


async def test_a_request_asks_for_no_more_than_is_wanted() -> None:
    server = Server(says(SUCCESS))
    async with server.client() as client:
        await client.exec("p", ["sh", "-c", "a&b=+ %"], container="c")
    assert server.queries == [
        [
            *(("command", word) for word in ("sh", "-c", "a&b=+ %")),
            *(("container", "c"), ("stdout", "true"), ("stderr", "true")),
        ]
    ]


async def test_input_is_fed_and_ended() -> None:
    data = bytes(range(256)) * 4096
    async with Server(echoes).client() as client:
        assert await client.exec("p", ["cat"], stdin=data) == Finished(0, data)


async def test_an_older_server_is_spoken_to_in_its_version() -> None:
    async with Server(says(b"\1a", SUCCESS), protocols=(V4,)).client() as client:
        assert await client.exec("p", ["x"]) == Finished(0, b"a")


async def test_an_older_server_cannot_end_an_input() -> None:
    async with Server(echoes, protocols=(V4,)).client() as client:
        with pytest.raises(APIError, match=r"exec of cat in p: the server speaks v4.* has no end; v5.*1\.30"):
            await client.exec("p", ["cat"], stdin=b"a")


async def test_it_can_be_talked_with() -> None:
    async with Server(echoes).client() as client, client.start_exec("p", ["cat"], stdin=True) as running:
        output = aiter(running)
        await running.write(b"one")
        assert await anext(output) == (1, b"one")
        await running.write(b"two")
        assert await anext(output) == (1, b"two")
        await running.close_stdin()
        assert [piece async for piece in output] == []
        assert running.exit_code == 0


async def test_without_input_nothing_can_be_written() -> None:
    async with Server(echoes).client() as client, client.start_exec("p", ["cat"]) as running:
        with pytest.raises(RuntimeError, match="exec of cat in p: it was started without standard input"):
            await running.write(b"one")


@pytest.mark.parametrize(
    ("server", "error", "message"),
    [
        pytest.param(Server(breaks_off), ConnectionFailed, "connection ended before the command", id="it is cut off"),
        pytest.param(Server(says(b"\1a")), ConnectionFailed, "whether it ran is unknown", id="it ends without a word"),
        pytest.param(Server(says(b"\3???")), APIError, r"no known words how it ended: b'\?\?\?'", id="nonsense"),
        pytest.param(
            Server(says(b"\3" + msgspec.json.encode({"status": "Failure", "message": "no such file"}))),
            APIError,
            "exec of x in p: no such file",
            id="it could not be started",
        ),
        pytest.param(
            Server(echoes, refusals=[refuses(403, "Forbidden", "pods/exec is forbidden")]),
            APIError,
            "pods/exec is forbidden",
            id="the server's reason for a refusal",
        ),
        pytest.param(
            Server(echoes, refusals=[web.Response(text="fine")]), APIError, "200 instead of a websocket", id="no socket"
        ),
        pytest.param(
            Server(echoes, refusals=[web.Response(status=502, text="bad day")]), APIError, "bad day", id="a proxy's"
        ),
    ],
)
async def test_failures_say_what_failed(server: Server, error: type[APIError], message: str) -> None:
    async with server.client() as client:
        with pytest.raises(error, match=message):
            await client.exec("p", ["x"])


async def test_a_server_of_no_common_version_is_an_error() -> None:
    async with Server(says(SUCCESS), protocols=("v9",)).client() as client:
        with pytest.raises(APIError, match="speaks none of v5"):
            await client.exec("p", ["x"])


async def test_a_refused_credential_is_renewed() -> None:
    server = Server(says(SUCCESS), refusals=[refuses(401, "Unauthorized", "old")])
    async with server.client(credentials=Renewing("old", "new")) as client:
        await client.exec("p", ["x"])
    assert server.tokens == ["Bearer old", "Bearer new"]


async def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    async with Client(ClusterAccess("http://127.0.0.1:1")) as client:
        with pytest.raises(ConnectionFailed, match="pods/p/exec"):
            await client.exec("p", ["x"])
