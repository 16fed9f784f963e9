"""After many requests of all kinds everything is back where it was: counts, connections, file descriptors, memory.

`make fuzz` sends a hundred thousand; here are as many as a quick test can.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
from pathlib import Path

import pytest

from kubeai.gateway.limits import Limits

from .engine import Engine, engine
from .mixed import moody, traffic
from .wire import Message
from .world import World, until, world

REQUESTS = int(os.environ.get("KUBEAI_MIXED_REQUESTS", "2000"))


class Forgetful(list[Message]):
    """What an engine would remember of its requests would be memory that grows."""

    def append(self, _: Message) -> None:
        pass


def open_files() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"))


def memory_bytes() -> int:
    """Resident; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def test_nothing_is_left_over_after_requests_of_all_kinds(caplog: pytest.LogCaptureFixture) -> None:
    # fault P12
    caplog.set_level(logging.CRITICAL)  # what is logged is kept by the test runner
    chance = random.Random(6)
    limits = Limits(sweep_interval_s=0.02, silence_timeout_s=0.3, linger_timeout_s=0.2)
    async with (
        world(limits=limits, waitTimeout=1) as w,
        engine(moody(chance), "a") as a,
        engine(moody(chance), "b") as b,
    ):
        w.serve(a, b)
        a.requests, b.requests = Forgetful(), Forgetful()
        await traffic(w, chance, REQUESTS // 3)  # fills caches and free lists
        files, objects, memory = await settled(w, a, b)
        seen = await traffic(w, chance, REQUESTS)
        assert seen.total() >= REQUESTS
        files_after, objects_after, memory_after = await settled(w, a, b)
        report = f"{seen.total()} requests: {dict(seen)}; memory {memory >> 20} -> {memory_after >> 20} MiB"
        print(report)  # noqa: T201 - shown by `make fuzz`
        assert files_after <= files
        assert objects_after <= objects + 2000
        assert memory_after <= memory + 24 * 2**20


async def settled(w: World, *engines: Engine) -> tuple[int, int, int]:
    """Open files, live objects and memory when nothing is going on any more."""
    await until(w.at_rest)
    await until(lambda: w.gateway.clients == 0)
    assert w.balancer.in_flight("m") == 0
    w.gateway._pool.close()
    w.gateway._pool._closed = False
    await until(lambda: w.gateway._pool.size == 0)
    await until(lambda: all(served.ended.qsize() == served.connections for served in engines))
    await asyncio.sleep(0.05)
    gc.collect()
    return open_files(), len(gc.get_objects()), memory_bytes()
