"""`kubeai logs`: what the containers of a Pod, or of all Pods of a Model, say."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from kubeai.api.k8s.objects import ContainerStatus, Pod
from kubeai.api.k8s.resources import MODELS, PODS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.kube.informer import Informer

from .errors import CLIError
from .podstate import has_started

SERVER = "server"
_decode = msgspec.json.Decoder(Pod).decode


@dataclass(frozen=True, slots=True)
class LogOptions:
    follow: bool = False
    previous: bool = False
    container: str | None = None
    tail: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a container: what one log is of."""

    pod: str
    pod_uid: str
    container: str
    restarts: int

    @property
    def label(self) -> str:
        """`[x2x4q]`, the end of the Pod's name, with the container unless it is the server."""
        end = self.pod.rpartition("-")[2]
        return f"[{end}] " if self.container == SERVER else f"[{end}/{self.container}] "


def runs(pod: Pod, container: str | None) -> list[Run]:
    """The runs whose logs are of interest now: the container that was asked for; else the server's, or, before it
    has started, those of the init containers, which download its weights."""
    init = pod.status.init_container_statuses or []
    main = pod.status.container_statuses or []
    if container:
        chosen = [status for status in [*init, *main] if status.name == container]
    else:
        chosen = _servers(main)
        if not any(map(has_started, chosen)):
            chosen = init
    return [
        Run(pod.name, pod.uid, status.name or "", status.restart_count or 0) for status in chosen if has_started(status)
    ]


def _servers(statuses: list[ContainerStatus]) -> list[ContainerStatus]:
    return [status for status in statuses if status.name == SERVER] or statuses[:1]


async def print_logs(client: Client, name: str, options: LogOptions) -> None:
    kind, _, name = name.rpartition("/")
    is_model = kind not in ("pod", "pods", "po") and await _exists(client, name)
    if options.follow:
        await _follow(client, name, is_model, options)
    else:
        await _print_once(client, name, is_model, options)


async def _exists(client: Client, model: str) -> bool:
    try:
        await client.get(MODELS, model)
    except APIError as error:
        if error.not_found:
            return False
        raise
    return True


async def _print_once(client: Client, name: str, is_model: bool, options: LogOptions) -> None:
    pods = [msgspec.convert(pod, Pod) for pod in await _read_pods(client, name, is_model)]
    if not pods:
        raise CLIError(f"Model {name} has no Pods now: it is at zero replicas; send it a request, or use -f to wait")
    found = [run for pod in pods for run in runs(pod, options.container)]
    if not found:
        raise CLIError(_nothing_yet(pods, options.container))
    for run in found:
        await _print_run(client, run, options, run.label if len(found) > 1 else "")


async def _read_pods(client: Client, name: str, is_model: bool) -> list[dict[str, object]]:
    if is_model:
        return await client.list(PODS, labels=f"model={name}")
    try:
        return [await client.get(PODS, name)]
    except APIError as error:
        if not error.not_found:
            raise
        raise CLIError(f"there is neither a Model nor a Pod named {name!r} in namespace {client.namespace}") from error


def _nothing_yet(pods: list[Pod], container: str | None) -> str:
    names = sorted(
        {str(c["name"]) for pod in pods for c in [*(pod.spec.init_containers or ()), *(pod.spec.containers or ())]}
    )
    if container and container not in names:
        return f"there is no container {container!r}; there are {', '.join(names)}"
    return f"no container of {', '.join(pod.name for pod in pods)} has started yet; use -f to wait"


async def _print_run(client: Client, run: Run, options: LogOptions, label: str) -> None:
    log = client.logs(
        run.pod,
        container=run.container,
        follow=options.follow,
        tail_lines=options.tail,
        previous=options.previous,
    )
    # Closed here and now when nobody reads what is printed: the end of the loop would say that it had to.
    async with aclosing(log) as chunks, aclosing(lines_of(chunks)) as lines:
        async for line in lines:
            sys.stdout.write(f"{label}{line}\n")
            sys.stdout.flush()


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """Whole lines out of chunks that end anywhere; the last one also without its end."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


async def _follow(client: Client, name: str, is_model: bool, options: LogOptions) -> None:
    """Follow each run that there is or comes. One Pod's log ends with the Pod, a Model's never does."""
    if not is_model:
        await _read_pods(client, name, is_model)
    informer = Informer(client, PODS, _decode, labels=f"model={name}" if is_model else "")
    changed = asyncio.Event()
    informer.on_change(lambda old, new: changed.set())
    seen: set[Run] = set()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(informer.run())
        streams: set[asyncio.Task[None]] = set()
        while True:
            await changed.wait()
            changed.clear()
            pods = [pod for pod in informer.all() if is_model or pod.name == name]
            if not pods and not is_model:
                break
            for run in (run for pod in pods for run in runs(pod, options.container)):
                if run not in seen:
                    seen.add(run)
                    streams.add(group.create_task(_print_run(client, run, options, run.label if is_model else "")))
        await asyncio.gather(*streams)
        watching.cancel()
