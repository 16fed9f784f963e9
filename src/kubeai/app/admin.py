"""The manager's own small listeners: metrics for Prometheus and probes for the kubelet.

They are apart from the gateway's port because they must answer while the gateway is not ready, and because a
cluster's network policy usually lets only the monitoring reach them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from kubeai.access.books import Books, asked_of
from kubeai.api.openai.errors import OpenAIError
from kubeai.telemetry.registry import CONTENT_TYPE, Metrics

from .errors import StartError, reason_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def split_address(address: str, key: str) -> tuple[str, int]:
    """`:8080`, `127.0.0.1:8080` or `[::1]:8080` -> host and port; an empty host means all interfaces."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise StartError(f"{key}: {address!r} is not an address; write HOST:PORT or :PORT")
    return host.strip("[]") or "0.0.0.0", int(port)


class AdminServer:
    """Serves `/metrics` and `/usage` on one address, `/healthz` and `/readyz` on another."""

    def __init__(self, metrics: Metrics, ready: Callable[[], str | None], books: Books | None = None) -> None:
        """`ready` returns None, or the reason why this process should get no requests yet."""
        self._books = books
        self._metrics = metrics
        self._ready = ready
        self._runners: list[web.AppRunner] = []

    async def start(self, metrics_address: str, health_address: str) -> None:
        await self._listen(metrics_address, "metricsAddr", {"/metrics": self._render, "/usage": self._usage})
        await self._listen(health_address, "healthAddress", {"/healthz": self._alive, "/readyz": self._readiness})

    @property
    def ports(self) -> list[int]:
        """The ports that were given, in the order of the addresses."""
        return [runner.addresses[0][1] for runner in self._runners]

    async def close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, address: str, key: str, routes: dict[str, Handler]) -> None:
        if address in ("", "0"):  # switched off, as in controller-runtime
            return
        host, port = split_address(address, key)
        app = web.Application()
        app.add_routes([web.get(path, handler) for path, handler in routes.items()])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise StartError(f"{key}: cannot listen on {address}: {reason_of(error)}") from error

    async def _render(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.page(request.query_string), headers={"content-type": CONTENT_TYPE})

    async def _usage(self, request: web.Request) -> web.Response:
        """Of all keys, as who may read the metrics may know."""
        if self._books is None:
            return web.Response(status=404)
        try:
            report = self._books.report(asked_of(request.query_string))
        except OpenAIError as error:
            return web.Response(body=error.body(), status=error.status, content_type="application/json")
        return web.json_response(report)

    async def _alive(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _readiness(self, _: web.Request) -> web.Response:
        reason = self._ready()
        return web.Response(text=reason or "ok", status=503 if reason else 200)
