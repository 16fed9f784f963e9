"""A scripted API server on a real socket: it lists its state, and plays a script for each watch."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

#: An authority, and certificates that it signed: a server's for 127.0.0.1 and kube.example, and a client's. All of
#: them are for tests only and valid until 2120. The authority lacks an authority key identifier, as many do.
CERTIFICATES = Path(__file__).parent / "certificates"

#: Plays one watch: it writes and returns (a clean close), or breaks the connection.
Script = Callable[["Watching"], Awaitable[None]]


def config_map(name: str, version: int | str, *, uid: str = "", data: str = "") -> dict[str, Any]:
    """Its data is its version, if nothing else is said."""
    metadata = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": data or str(version)}}


def status(code: int, reason: str = "", message: str = "no") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Status", "code": code, "reason": reason, "message": message}


@dataclass
class Asked:
    """A request that the server got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Watching:
    """One watch under way, as its script sees it."""

    request: web.Request
    response: web.StreamResponse

    async def event(self, type: str, obj: dict[str, Any]) -> None:
        await self.raw(msgspec.json.encode({"type": type, "object": obj}) + b"\n")

    async def bookmark(self, version: int | str) -> None:
        await self.event("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": str(version)}})

    async def raw(self, data: bytes) -> None:
        await self.response.write(data)

    def abort(self) -> None:
        assert self.request.transport is not None
        self.request.transport.abort()


async def stays_silent(_: Watching) -> None:
    await asyncio.Event().wait()


def refuses(code: int, reason: str = "") -> web.Response:
    """In the place of a script: the answer to the watch itself."""
    return answer(code, status(code, reason))


def answer(code: int, body: Any, **headers: str) -> web.Response:
    return web.json_response(
        body, status=code, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )


@dataclass
class ScriptedServer:
    objects: list[dict[str, Any]] = field(default_factory=list)
    version: int | str = 1
    #: One for each watch, in order; after the last one watches stay open and silent.
    scripts: list[Script | web.Response] = field(default_factory=list)
    #: Answers to the next requests that are no watches, before the ordinary ones.
    answers: list[web.StreamResponse] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    #: A watch is open for which there is no script: the client has taken in all that was said before.
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @property
    def lists(self) -> int:
        return sum("watch" not in asked.query for asked in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = Asked(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            msgspec.json.decode(body) if body else None,
        )
        self.asked.append(asked)
        if "watch" in request.query:
            return await self._watch(request)
        if self.answers:
            return self.answers.pop(0)
        if request.method == "GET" and request.path.endswith("/configmaps"):
            return answer(200, {"metadata": {"resourceVersion": str(self.version)}, "items": self.objects or None})
        return answer(200, {"kind": "Echo"})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        script: Script | web.Response = self.scripts.pop(0) if self.scripts else self._idles
        if isinstance(script, web.Response):
            return script
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await script(Watching(request, response))
        return response

    async def _idles(self, watching: Watching) -> None:
        self.idle.set()
        await stays_silent(watching)

    @asynccontextmanager
    async def running(
        self, port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> AsyncIterator[ScriptedServer]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=tls, reuse_address=True).start()
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()
