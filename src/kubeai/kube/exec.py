"""Commands in containers: the channels of Pod exec in one websocket.

Each message begins with the number of its channel: 0 in, 1 out, 2 errors, 3 how it ended (a Status). Version 5 of the
protocol adds a message that closes a channel, without which a command that reads to the end of its input never ends;
older servers speak version 4, which is the same otherwise. Data is bytes, all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import aiohttp
import msgspec

from kubeai.kube.errors import BadAnswer, ConnectionFailed, from_status

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
PROTOCOLS = (V5, V4)
#: In a message of version 5: the channel in the next byte is closed.
CLOSE = 255
#: Servers take messages of some hundred kilobytes at least; smaller ones share the line with others' output.
_PIECE = 32 * 1024
#: What a command may say to somebody who keeps all of it.
_MAX_OUTPUT_BYTES = 16 * 1024 * 1024
_DATA = (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)


class Channel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    STATUS = 3
    RESIZE = 4


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


class Exec:
    """One command under way: iterate over what it says, then ask for its `exit_code`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool], what: str, *, stdin: bool) -> None:
        self._socket = socket
        #: For messages: which command where.
        self.what = what
        self._stdin = stdin
        self._status: Mapping[str, Any] | None = None

    @property
    def protocol(self) -> str | None:
        return self._socket.protocol

    def __aiter__(self) -> AsyncIterator[tuple[Channel, bytes]]:
        return self._output()

    async def write(self, data: bytes) -> None:
        """To its standard input, which must have been asked for."""
        self._require_stdin()
        for start in range(0, len(data), _PIECE):
            await self._socket.send_bytes(bytes((Channel.STDIN,)) + data[start : start + _PIECE])

    async def close_stdin(self) -> None:
        """It reads the end of its input, and may go on speaking."""
        self.require_half_close()
        await self._socket.send_bytes(bytes((CLOSE, Channel.STDIN)))

    def require_half_close(self) -> None:
        """Raises `BadAnswer` where the server cannot close the input alone."""
        self._require_stdin()
        if self.protocol != V5:
            raise BadAnswer(
                f"{self.what}: the server speaks {self.protocol}, in which the input of a command has no end; "
                f"{V5} comes with Kubernetes 1.30"
            )

    @property
    def exit_code(self) -> int:
        """Once all output is read. Raises `APIError` if the command was not run, or its end is not known."""
        if self._status is None:
            raise ConnectionFailed(f"{self.what}: the connection ended before the command; whether it ran is unknown")
        if self._status.get("status") == "Success":
            return 0
        code = _exit_code(self._status)
        if code is None:
            raise from_status({"code": 500, **self._status, "message": f"{self.what}: {_message(self._status)}"})
        return code

    def _require_stdin(self) -> None:
        if not self._stdin:
            raise RuntimeError(f"{self.what}: it was started without standard input")

    async def _output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        async for message in self._socket:
            if message.type not in _DATA:
                continue
            data = message.data.encode() if isinstance(message.data, str) else message.data
            # Servers greet with an empty message on each channel.
            if len(data) < 2:
                continue
            match data[0]:
                case Channel.STATUS:
                    self._status = _decode_status(self.what, data[1:])
                case Channel.STDOUT | Channel.STDERR as number:
                    yield Channel(number), data[1:]


async def collect(running: Exec, stdin: bytes | None) -> Finished:
    """Feed it and keep all that it says. Raises `APIError`."""
    if stdin is None:
        return await _listen(running)
    running.require_half_close()
    # Both at once: a command that answers while it reads would otherwise wait for us, and we for it.
    feeding = asyncio.create_task(_feed(running, stdin))
    try:
        return await _listen(running)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _feed(running: Exec, stdin: bytes) -> None:
    # A command may end before it has read everything; what became of it the other direction says.
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        await running.write(stdin)
        await running.close_stdin()


async def _listen(running: Exec) -> Finished:
    said = {Channel.STDOUT: bytearray(), Channel.STDERR: bytearray()}
    async for channel, data in running:
        said[channel] += data
        if len(said[channel]) > _MAX_OUTPUT_BYTES:
            raise BadAnswer(f"{running.what}: it says more than {_MAX_OUTPUT_BYTES} bytes; read it piece by piece")
    return Finished(running.exit_code, bytes(said[Channel.STDOUT]), bytes(said[Channel.STDERR]))


def exec_params(command: Sequence[str], container: str | None, *, stdin: bool) -> list[tuple[str, str]]:
    """Of the request. What is not asked for is not opened: an input that nobody closes would stay open for ever."""
    wanted = {"container": container, "stdin": "true" if stdin else None, "stdout": "true", "stderr": "true"}
    return [("command", word) for word in command] + [(key, value) for key, value in wanted.items() if value]


def _decode_status(what: str, data: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise BadAnswer(f"{what}: the server says in no known words how it ended: {data[:200]!r}") from error


def _exit_code(status: Mapping[str, Any]) -> int | None:
    if status.get("reason") != "NonZeroExitCode":
        return None
    causes = (status.get("details") or {}).get("causes") or ()
    codes = [cause.get("message") or "" for cause in causes if cause.get("reason") == "ExitCode"]
    return int(codes[0]) if codes and codes[0].isdecimal() else None


def _message(status: Mapping[str, Any]) -> str:
    return str(status.get("message") or status.get("reason") or "the server does not say why it failed").strip()
