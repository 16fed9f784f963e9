"""The command line as users call it, over servers of the test's own: the embedded API server and a scripted gateway.

A verb makes its own event loop, so each server has one in a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from typer.testing import CliRunner

from kubeai.api.k8s.resources import Resource
from kubeai.cli.main import app
from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.kube.access import token_access
from kubeai.kube.client import Client

T = TypeVar("T")
TOKEN = "the-token"
DEADLINE_S = 60


@dataclass(frozen=True)
class Outcome:
    """What a verb printed and how it ended."""

    code: int
    out: str
    err: str


class CommandLine:
    """Calls verbs with a home directory of their own, and nothing of the user's environment."""

    def __init__(self, home: Path) -> None:
        self.data_dir = home / "data"
        self.env: dict[str, str | None] = dict.fromkeys(
            ("KUBECONFIG", "KUBEAI_URL", "KUBEAI_API_KEY", "CONFIG_PATH", "XDG_DATA_HOME")
        )
        self.env |= {"HOME": str(home), "KUBEAI_DATA_DIR": str(self.data_dir)}

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Outcome:
        done = CliRunner().invoke(
            app, [str(argument) for argument in arguments], input=stdin, env=self.env, prog_name="kubeai"
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Outcome(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def kubeai(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@contextmanager
def loop_in_thread() -> Iterator[Callable[[Coroutine[Any, Any, T]], T]]:
    """Gives a function that runs a coroutine on a loop of another thread and returns its result."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(DEADLINE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Logs:
    """A source of logs that has what the test puts into it: (pod, container, previous) -> text."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str, bool], bytes] = {}
        #: Awaited when a log has been read to its end.
        self.at_end: Callable[[], Awaitable[object]] | None = None

    async def open(
        self,
        namespace: str,
        pod_name: str,
        pod_uid: str,
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        previous: bool,
    ) -> AsyncIterator[bytes]:
        text = self.texts[pod_name, container, previous]
        lines = text.splitlines(keepends=True)
        yield b"".join(lines if tail_lines is None else lines[-tail_lines:])
        if self.at_end:
            await self.at_end()


@dataclass
class LocalCluster:
    """An API server that the verbs find, and a way to put objects into it."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    server: APIServer
    logs: Logs

    def put(self, resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
        """Create an object, with its status if it has one."""

        async def create(client: Client) -> dict[str, Any]:
            made = await client.create(resource, obj)
            if "status" not in obj:
                return made
            name, status = obj["metadata"]["name"], {"status": obj["status"]}
            return await client.patch(resource, name, status, subresource="status")

        result: dict[str, Any] = self.ask(create)
        return result

    def get(self, resource: Resource, name: str) -> dict[str, Any]:
        result: dict[str, Any] = self.ask(lambda client: client.get(resource, name))
        return result

    def ask(self, work: Callable[[Client], Awaitable[Any]]) -> Any:
        return self.run(self.converse(work))

    async def converse(self, work: Callable[[Client], Awaitable[Any]]) -> Any:
        async with Client(token_access(self.server.url, TOKEN)) as client:
            return await work(client)


@pytest.fixture
def cluster(kubeai: CommandLine) -> Iterator[LocalCluster]:
    """Found by its kubeconfig in KUBECONFIG."""
    kubeai.data_dir.mkdir()
    path = kubeai.data_dir / "kubeconfig"
    logs = Logs()
    with loop_in_thread() as run:
        server = APIServer(kubeai.data_dir, token=TOKEN, logs=logs)
        run(server.start())
        write_kubeconfig(path, server.url, TOKEN)
        kubeai.env["KUBECONFIG"] = str(path)
        yield LocalCluster(run, server, logs)
        run(server.stop())


@dataclass
class ScriptedGateway:
    """Answers the requests in turn with what the test has laid out, and remembers them."""

    url: str = ""
    answers: list[tuple[int, list[bytes], dict[str, str]]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    #: Of the requests.
    authorizations: list[str | None] = field(default_factory=list)

    def will_answer(self, *chunks: bytes, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, list(chunks), named))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, await request.json()))
        self.authorizations.append(request.headers.get("Authorization"))
        status, chunks, headers = self.answers.pop(0)
        answer = web.StreamResponse(status=status, headers=headers)
        await answer.prepare(request)
        for chunk in chunks:
            await answer.write(chunk)
        return answer


@pytest.fixture
def gateway(kubeai: CommandLine) -> Iterator[ScriptedGateway]:
    """Found by KUBEAI_URL."""
    scripted = ScriptedGateway()
    application = web.Application()
    application.router.add_post("/{path:.*}", scripted.handle)
    runner = web.AppRunner(application)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    with loop_in_thread() as run:
        run(start())
        kubeai.env["KUBEAI_URL"] = scripted.url
        yield scripted
        run(runner.cleanup())
