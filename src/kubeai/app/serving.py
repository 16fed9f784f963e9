"""Listening, serving and stopping, the same on a cluster and on one machine."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from .errors import StartError, reason_of
from .signals import unless

log = logging.getLogger(__name__)

_MANY_FILES = 10_240


class Door(Protocol):
    """What takes requests at an address: a `Gateway`, or several worker processes."""

    @property
    def port(self) -> int: ...

    async def start(self, host: str, port: int) -> None: ...

    async def drain(self, grace_s: float) -> None: ...

    async def close(self) -> None: ...


async def listen(gateway: Door, host: str, port: int) -> None:
    """Open the gateway's port. Raises `StartError` when it cannot be had."""
    try:
        await gateway.start(host, port)
    except OSError as error:
        raise StartError(
            f"the gateway cannot listen on {host}:{port}: {reason_of(error)}; "
            "stop the program that uses the port, or choose another with --port"
        ) from error


async def serve_until(
    stop: asyncio.Event,
    gateway: Door | None,
    drain_timeout_s: float,
    parts: Sequence[Coroutine[None, None, None]],
    ready: Callable[[], Coroutine[None, None, None]],
    *,
    deciding: Coroutine[None, None, None] | None = None,
) -> None:
    """Run all `parts`; when `stop` is set let running requests finish, then end them.

    `ready` waits until the work can be done right, and tells who wants to know; a stop need not wait for it, which may
    be for ever. `deciding` is what another process can take over: it ends at once, while requests are still being
    answered.
    """
    collect_rarely()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in parts]
        decider = group.create_task(deciding) if deciding is not None else None
        await unless(stop, ready())
        if not stop.is_set():
            gc.freeze()  # what is there now stays: a collection need not walk through it
        await stop.wait()
        if decider is not None:
            decider.cancel()
        if gateway is not None:
            await gateway.drain(drain_timeout_s)
        if decider is not None:
            await asyncio.wait({decider})  # it may still need what the parts know
        for task in tasks:
            task.cancel()


def collect_rarely() -> None:
    """Let the collector of cycles run after many more objects than is Python's habit.

    Neither a request nor a list of thousands of Pods leaves cycles worth mention. To look for them after every few
    requests would take a twelfth of their time, and a full collection in the midst of the first lists would stop the
    loop for some 200 ms with 5,000 Pods.
    """
    gc.set_threshold(50_000, 20, 50)


def allow_many_connections() -> None:
    """Each stream takes two files of ours, to the client and to the engine; what systems grant at first is often 1,024.

    What they would grant if asked is mostly enough. Programs that we start inherit it.
    """
    granted, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if granted == resource.RLIM_INFINITY or granted == most:
        return
    # Some systems (macOS) call the most infinite, and refuse it.
    wanted = _MANY_FILES if most == resource.RLIM_INFINITY else most
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(granted, wanted), most))
    except (OSError, ValueError) as error:
        log.warning("no more than %d connections at a time: the limit of open files stays (%s)", granted // 2, error)
