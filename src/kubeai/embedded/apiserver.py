"""The API server of the embedded cluster: the Kubernetes API over HTTP, on loopback, for whoever has the token.

It is for one machine and one user, and says so: no roles, no TLS, no high availability. Beyond one machine the answer
is Kubernetes.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hmac
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiohttp import web

from kubeai.api.crd import model_crd
from kubeai.embedded.builtin import builtin_catalog
from kubeai.embedded.cluster import Cluster
from kubeai.embedded.commands import Commands, NoCommands
from kubeai.embedded.documents import HEALTH_PATHS, Documents, is_review, review
from kubeai.embedded.handlers import Handlers
from kubeai.embedded.journal import Journal, JournalError
from kubeai.embedded.kubeconfig import TOKEN_HEADER
from kubeai.embedded.logsource import LogSource
from kubeai.embedded.requests import MAX_BODY_BYTES
from kubeai.embedded.routes import parse_target
from kubeai.embedded.status import StatusError, internal, storage_failed, unauthorized, unknown_path
from kubeai.embedded.store import Store
from kubeai.embedded.watching import Watchers

log = logging.getLogger(__name__)

#: Watches and log streams are ended by us at a stop; anything else gets this long.
_STOP_GRACE_S = 1.0


class PortInUseError(OSError):
    """Another program listens where the server is to listen. `start` may be tried again with another port."""


def _now() -> datetime:
    return datetime.now(UTC)


class APIServer:
    """`start` opens the journal and the port, `stop` closes both. What is stored outlives it."""

    def __init__(self, data_dir: Path, *, token: str, logs: LogSource, commands: Commands | None = None) -> None:
        self._journal_path = data_dir / "cluster.db"
        self._authorizations = _authorizations(token)
        self._logs = logs
        self._commands: Commands = commands or NoCommands()
        self._runner: web.AppRunner | None = None
        self._compacting: asyncio.Task[None] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        return self._url

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Raises `JournalError` or `PortInUseError`, both with what to do."""
        self._journal = Journal(self._journal_path)
        try:
            self._open_cluster()
            await self._listen(host, port)
        except BaseException:
            self._journal.close()
            raise

    def _open_cluster(self) -> None:
        store = Store(self._journal.write)
        store.restore(*self._journal.load())
        self._cluster = Cluster(store, builtin_catalog(), os.urandom)
        self._cluster.found(_now())
        self._cluster.install(model_crd(), _now())
        self._cluster.settle(_now())
        self._watchers = Watchers(store)
        self._handlers = Handlers(self._cluster, self._watchers, self._logs, self._commands, _now)
        self._documents = Documents(self._cluster.catalog)

    async def _listen(self, host: str, port: int) -> None:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # A client that goes away must end its watch at once, not at the next event.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_GRACE_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            if error.errno != errno.EADDRINUSE:
                raise
            why = f"port {port} of {host} is in use by another program. Stop that one, or choose another port."
            raise PortInUseError(errno.EADDRINUSE, why) from error
        self._runner = runner
        bound = runner.addresses[0]
        self._url = f"http://{bound[0]}:{bound[1]}"
        log.info("the embedded cluster listens on %s", self._url)

    async def stop(self) -> None:
        if self._runner is None:
            return
        self._watchers.end_all()
        await self._runner.cleanup()
        self._runner = None
        if self._compacting is not None:
            await self._compacting
        self._journal.close()

    # requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._serve(request)
        except StatusError as error:
            return _refusal(error)
        except JournalError as error:
            log.error("%s %s: %s", request.method, request.path, error)
            return _refusal(storage_failed(str(error)))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            return _refusal(internal(f"{type(error).__name__}: {error}"))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.path in HEALTH_PATHS:
            return web.Response(text="ok")
        self._authorize(request)
        target = parse_target(request.path)
        if target is None:
            if request.method not in ("GET", "HEAD"):
                raise unknown_path()
            return self._documents.answer(request)
        if is_review(request, target):
            return await review(request, target)
        if request.method in ("GET", "HEAD"):
            return await self._handlers.handle(request, target)
        try:
            return await self._handlers.handle(request, target)
        finally:  # of several objects some may be written before one is refused
            self._settle()

    def _authorize(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        attribute = f"Bearer {request.headers.get(TOKEN_HEADER, '')}".encode()
        if not any(hmac.compare_digest(said, known) for said in (given, attribute) for known in self._authorizations):
            raise unauthorized()

    def _settle(self) -> None:
        """Do what the write entails. The write itself is stored, so it is not answered with a failure here."""
        try:
            self._cluster.settle(_now())
        except JournalError as error:
            log.error("what follows from the last change waits for the next one: %s", error)
        if self._journal.wants_checkpoint:
            self._journal.begin_checkpoint()
            self._compacting = asyncio.create_task(self._compact())

    async def _compact(self) -> None:
        try:
            await asyncio.to_thread(self._journal.checkpoint)
        except JournalError as error:
            log.warning("%s", error)


def _authorizations(token: str) -> tuple[bytes, ...]:
    """The header, as most clients send it, and as a URL with credentials in it becomes one."""
    basic = base64.b64encode(f"kubeai:{token}".encode())
    return f"Bearer {token}".encode(), b"Basic " + basic


def _refusal(error: StatusError) -> web.Response:
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else None
    body = msgspec.json.encode(error.body())
    return web.Response(body=body, status=error.code, content_type="application/json", headers=headers)
