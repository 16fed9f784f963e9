"""One look at a server: what counts as healthy, and what is said when it is not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubeai.embedded.node.containers import Exec, HTTPGet, Probe, TCPConnect
from kubeai.embedded.node.probes import Verdict, look
from kubeai.embedded.node.rewriting import Address


@asynccontextmanager
async def answering(reply: bytes | None) -> AsyncIterator[tuple[Address, list[bytes]]]:
    """A server that sends `reply` to whatever it hears; None: never anything."""
    heard: list[bytes] = []
    done, left = asyncio.Event(), asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            if reply is None:
                await done.wait()
            else:
                writer.write(reply)
        except asyncio.IncompleteReadError:
            pass  # it only looked whether somebody listens
        finally:
            writer.close()
            left.release()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Address("127.0.0.1", {8000: port}), heard
    finally:
        done.set()
        await left.acquire()  # every test connects once
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("reply", "passed", "message"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", True, "HTTP status 200", id="200 is healthy"),
        pytest.param(b"HTTP/1.1 302 Found\r\n\r\n", True, "HTTP status 302", id="so is a redirection"),
        pytest.param(b"HTTP/1.1 503 Busy\r\n\r\n", False, "HTTP status 503", id="503 is not"),
        pytest.param(b"hello\r\n", False, "the answer is not HTTP", id="something else"),
        pytest.param(b"", False, "the answer is not HTTP", id="no answer at all"),
        pytest.param(b"x" * 100_000, False, "the answer is not HTTP", id="a line without an end"),
    ],
)
async def test_an_http_probe(reply: bytes, passed: bool, message: str) -> None:
    async with answering(reply) as (address, _):
        verdict = await look(Probe(HTTPGet(8000, "/health")), address)
    assert verdict.passed is passed
    assert verdict.message.endswith(message)


async def test_an_http_probe_sends_its_headers() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (address, heard):
        await look(Probe(HTTPGet(8000, "/health", (("X-Key", "k"),))), address)
    assert heard[0].startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-Key: k\r\n" in heard[0]


async def test_a_server_that_does_not_answer_in_time_fails() -> None:
    async with answering(None) as (address, _):
        verdict = await look(Probe(HTTPGet(8000), timeout_s=0.02), address)
    assert verdict == Verdict(False, "no answer within 0.02 s")


async def test_a_tcp_probe_needs_a_listener() -> None:
    async with answering(b"") as (address, _):
        assert (await look(Probe(TCPConnect(8000)), address)).passed
    assert not (await look(Probe(TCPConnect(8000)), address)).passed


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        pytest.param("print('fine')", Verdict(True, "fine"), id="0 is healthy"),
        pytest.param("raise SystemExit('not yet')", Verdict(False, "not yet"), id="the command says why"),
        pytest.param("raise SystemExit(4)", Verdict(False, "exit code 4"), id="or only its code"),
    ],
)
async def test_a_command(code: str, verdict: Verdict, tmp_path: Path) -> None:
    assert await look(Probe(Exec((sys.executable, "-c", code)), timeout_s=10), Address(""), {}, tmp_path) == verdict


async def test_a_command_that_takes_too_long_is_ended() -> None:
    verdict = await look(Probe(Exec(("sleep", "60")), timeout_s=0.05), Address(""))
    assert verdict == Verdict(False, "no answer within 0.05 s")


async def test_a_command_that_does_not_exist_fails() -> None:
    assert await look(Probe(Exec(("no-such-command",))), Address("")) == Verdict(False, "No such file or directory")


async def test_a_command_that_no_process_can_be_given_fails() -> None:
    assert await look(Probe(Exec(("true", "a\0b"))), Address("")) == Verdict(False, "embedded null byte")
