"""Commands in containers: `exec` of the embedded API server, over websockets.

It speaks the same channels as a real API server (see `kube.exec`), so that kubectl and the operator's own client are
served alike. Who starts the command is whoever runs the Pods. There is no terminal: what asks for one is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import aiohttp
import msgspec
from aiohttp import web

from kubeai.embedded.logsource import chosen_container
from kubeai.embedded.requests import flag
from kubeai.embedded.status import JSONObject, bad_request, internal
from kubeai.embedded.store import Entry
from kubeai.kube.exec import CLOSE, PROTOCOLS, V5, Channel

_PIECE = 32 * 1024
_HEARTBEAT_S = 30.0


class Commands(Protocol):
    """Whoever runs the Pods."""

    def start(
        self, pod_uid: str, container: str, command: Sequence[str], *, stdin: bool
    ) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
        """The command's process, with pipes; it is killed when the context is left.

        Raises LookupError if the container does not run, OSError if the command cannot be started.
        """
        ...


class NoCommands:
    """Where nobody runs Pods."""

    def start(
        self, pod_uid: str, container: str, command: Sequence[str], *, stdin: bool
    ) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
        raise LookupError("no node agent runs here")


async def execute(request: web.Request, entry: Entry, commands: Commands) -> web.StreamResponse:
    """Answer one exec request."""
    command = request.query.getall("command", [])
    if not command:
        raise bad_request("you must specify at least 1 command for the container")
    container = chosen_container(entry.obj, request.query.get("container", ""))
    if not entry.obj["spec"].get("nodeName"):
        raise bad_request(f"pod {entry.key.name} does not have a host assigned")
    if flag(request, "tty"):
        raise bad_request("a terminal is not offered on one machine: leave out -t (--tty)")
    if not (flag(request, "stdin") or flag(request, "stdout") or flag(request, "stderr")):
        raise bad_request("you must specify at least one of stdin, stdout, stderr")
    socket = web.WebSocketResponse(protocols=PROTOCOLS, heartbeat=_HEARTBEAT_S, compress=False)
    if not socket.can_prepare(request):
        raise bad_request("Upgrade request required: commands are run over a websocket (kubectl 1.31 and later)")
    await _started(request, entry, commands, container, command, socket)
    return socket


async def _started(
    request: web.Request,
    entry: Entry,
    commands: Commands,
    container: str,
    command: Sequence[str],
    socket: web.WebSocketResponse,
) -> None:
    stdin = flag(request, "stdin")
    async with contextlib.AsyncExitStack() as stack:
        try:
            process = await stack.enter_async_context(commands.start(entry.uid, container, command, stdin=stdin))
        except LookupError as error:
            raise internal(f'container "{container}" of pod "{entry.key.name}": {error.args[0]}') from error
        except OSError as error:
            await socket.prepare(request)
            await _end(socket, _not_started(command[0], error))
            return
        await socket.prepare(request)
        await _converse(request, socket, process)


async def _converse(request: web.Request, socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
    wanted = {
        Channel.STDOUT: (process.stdout, flag(request, "stdout")),
        Channel.STDERR: (process.stderr, flag(request, "stderr")),
    }
    hearing = asyncio.create_task(_hear(socket, process))
    speaking = asyncio.gather(*(_speak(socket, channel, *pipe) for channel, pipe in wanted.items()))
    try:
        await asyncio.wait((speaking, hearing), return_when=asyncio.FIRST_COMPLETED)
        if not socket.closed:  # else nobody listens any more, and the command is not to run on
            await speaking
            await _end(socket, _ended(await process.wait()))
    finally:
        hearing.cancel()
        speaking.cancel()
        # What they end with is taken, though nobody needs it: the loop would tell of it as of an error.
        await asyncio.gather(speaking, hearing, return_exceptions=True)


async def _speak(
    socket: web.WebSocketResponse, channel: Channel, pipe: asyncio.StreamReader | None, wanted: bool
) -> None:
    while pipe is not None and (data := await pipe.read(_PIECE)):
        if wanted:
            await socket.send_bytes(bytes((channel,)) + data)


async def _hear(socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
    """What the client sends, until it goes."""
    pipe = process.stdin
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data or pipe is None:
            continue
        with contextlib.suppress(ConnectionError):  # a command need not read its input
            if message.data[0] == Channel.STDIN:
                pipe.write(message.data[1:])
                await pipe.drain()
            elif message.data == bytes((CLOSE, Channel.STDIN)) and socket.ws_protocol == V5:
                pipe.close()


async def _end(socket: web.WebSocketResponse, status: JSONObject) -> None:
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(bytes((Channel.STATUS,)) + msgspec.json.encode(status))
        await socket.close()


def _ended(code: int) -> JSONObject:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    shown = code if code > 0 else 128 - code  # of a signal, as shells count
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {shown}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(shown)}]},
    }


def _not_started(program: str, error: OSError) -> dict[str, Any]:
    why = "executable file not found in $PATH" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
    message = f'Internal error occurred: error executing command in container: exec: "{program}": {why}'
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}
