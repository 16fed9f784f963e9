"""One look at a server: HTTP, TCP or a command.

A server that starts is looked at many times a second, so the HTTP probe is a request line on a plain connection and
reads no further than the status line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .containers import Exec, HTTPGet, Probe, TCPConnect
from .rewriting import Address

_OUTPUT_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    message: str = ""


async def look(
    probe: Probe, address: Address, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Verdict:
    """Never raises but for cancellation: whatever goes wrong is the verdict.

    A command runs in `env` and `cwd`, those of its container.
    """
    try:
        async with asyncio.timeout(probe.timeout_s):
            match probe.action:
                case HTTPGet() as action:
                    return await _http(action, address)
                case TCPConnect(port):
                    return await _tcp(address.host, address.port(port))
                case Exec(command):
                    return await _exec(command, env, cwd)
    except TimeoutError:
        return Verdict(False, f"no answer within {probe.timeout_s:g} s")
    except OSError as error:
        return Verdict(False, error.strerror or str(error))
    except ValueError as error:  # what no process can be given
        return Verdict(False, str(error))


async def _tcp(host: str, port: int) -> Verdict:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return Verdict(True)


async def _http(action: HTTPGet, address: Address) -> Verdict:
    port = address.port(action.port)
    reader, writer = await asyncio.open_connection(address.host, port)
    try:
        headers = {"Host": f"{address.host}:{port}", "User-Agent": "kube-probe", "Connection": "close"}
        headers |= dict(action.headers)
        lines = [
            f"GET {action.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
            "",
            "",
        ]
        writer.write("\r\n".join(lines).encode())
        status = _status(await _first_line(reader))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    url = f"http://{address.host}:{port}{action.path}"
    if status is None:
        return Verdict(False, f"{url}: the answer is not HTTP")
    return Verdict(200 <= status < 400, f"{url}: HTTP status {status}")


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # it has no end
        return b""


def _status(line: bytes) -> int | None:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    return int(code) if version.startswith(b"HTTP/") and code.isdigit() else None


async def _exec(command: tuple[str, ...], env: Mapping[str, str] | None, cwd: Path | None) -> Verdict:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    text = output[-_OUTPUT_LIMIT:].decode(errors="replace").strip()
    return Verdict(process.returncode == 0, text or f"exit code {process.returncode}")
