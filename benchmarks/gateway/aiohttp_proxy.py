"""What one writes in an hour: aiohttp on both sides, streaming, one endpoint, nothing else."""

from __future__ import annotations

import argparse

import aiohttp
import uvloop
from aiohttp import web

_NOT_PASSED = {"host", "content-length", "transfer-encoding", "connection"}


def proxy(engine: str) -> web.Application:
    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED}
        body = await request.read()
        url = f"http://{engine}{request.path_qs}"
        async with request.app[session].request(request.method, url, headers=headers, data=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED}
            if answer.content_length is not None:
                return web.Response(status=answer.status, headers=kept, body=await answer.read())
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    async def client(app: web.Application):  # type: ignore[no-untyped-def]
        connector = aiohttp.TCPConnector(limit=0)
        app[session] = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        yield
        await app[session].close()

    session = web.AppKey("session", aiohttp.ClientSession)
    app = web.Application(client_max_size=100 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", forward)
    app.cleanup_ctx.append(client)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--engine", required=True)
    arguments = parser.parse_args()
    uvloop.install()
    web.run_app(proxy(arguments.engine), host="127.0.0.1", port=arguments.port, access_log=None, print=None)
