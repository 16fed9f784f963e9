"""What is measured, and how one round of it goes."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .contenders import Proxy, Start, gateway, running
from .rig import (
    LOAD_CORE,
    PROXY_CORE,
    await_port,
    children,
    cpu_seconds,
    json_engine,
    limited,
    memory_mb,
    stream_engine,
    streamed,
)

_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {key}"
wrk.headers["Accept"] = "application/json"
wrk.headers["User-Agent"] = "benchmark"
wrk.body = '{body}'
"""
#: What the benchmark's clients authenticate with.
KEY = "key500"
CHUNKS = 200


@dataclass(frozen=True)
class Round:
    """CPU microseconds for each request, stream or chunk, and how many of them in a second."""

    cpu_us: float
    rate: float
    #: What the load generator took for each.
    load_us: float = 0.0


@dataclass
class Result:
    """One scenario's medians, by contender."""

    name: str
    title: str
    unit: str
    cost: dict[str, float] = field(default_factory=dict)
    rate: dict[str, float] = field(default_factory=dict)
    load_us: float = 0.0
    #: To what nginx cost in the same round: the machine may have been busier in another one.
    ratios: dict[str, float] = field(default_factory=dict)

    def ratio(self, name: str = "gateway") -> float:
        """To nginx."""
        return self.ratios.get(name) or self.cost[name] / self.cost["nginx"]


def requests(starts: dict[str, Start], work: Path, size: int, connections: int, rounds: int, seconds: float) -> Result:
    """Plain requests with as many bytes in the answer."""
    title = f"{size // 1024} KB, {connections} connections"
    result = Result(f"requests-{size // 1024}k-{connections}", title, "us of CPU for each request")
    script = _script(work, size)
    with _json(starts, work, size) as proxies:
        return _compare(result, proxies, rounds, lambda proxy, s: _load(proxy, script, connections, s), seconds)


def bursts(starts: dict[str, Start], work: Path, connections: int, rounds: int, seconds: float) -> Result:
    """Streams whose chunks are all there at once."""
    title = f"{CHUNKS} chunks in a burst, {connections} connections"
    result = Result(f"burst-{connections}", title, "us of CPU for each stream")
    script = _script(work, 512, streams=True)
    with stream_engine(work, CHUNKS, 0) as engine, running(starts, work, engine) as proxies:
        return _compare(result, proxies, rounds, lambda proxy, s: _load(proxy, script, connections, s), seconds)


def paced(starts: dict[str, Start], work: Path, streams: int, rounds: int, seconds: float) -> Result:
    """Streams with a chunk every 20 ms, as engines send them."""
    result = Result(f"paced-{streams}", f"{streams} streams, a chunk every 20 ms", "us of CPU for each chunk")
    script = _script(work, 512, streams=True)
    with stream_engine(work, CHUNKS, 20) as engine, running(starts, work, engine) as proxies:

        def measure(proxy: Proxy, seconds: float) -> Round:
            with _wrk(proxy, script, streams, seconds + 30) as load:
                _await_streams(engine, streams, load)
                used, (_, chunks), began = cpu_seconds(proxy.pid), streamed(engine), time.monotonic()
                time.sleep(seconds)
                used, (_, after) = cpu_seconds(proxy.pid) - used, streamed(engine)
                took = time.monotonic() - began
            _await_streams(engine, 0)
            return Round(used / (after - chunks) * 1e6, (after - chunks) / took)

        return _compare(result, proxies, rounds, measure, seconds)


def idle(starts: dict[str, Start], work: Path, streams: int) -> Result:
    """Memory while as many streams are open and say nothing, each contender in its turn."""
    result = Result(f"idle-{streams}", f"{streams:,} open streams", "MB of memory")
    script = _script(work, 512, streams=True)
    for name, start in starts.items():
        with (
            stream_engine(work, 2, -1) as engine,
            running({name: start}, work, engine) as (proxy,),
            _wrk(proxy, script, streams, 120) as load,
        ):
            if _await_streams(engine, streams, load):
                time.sleep(1)
                result.cost[name] = memory_mb(proxy.pid)
    return result


def scaling(work: Path, rounds: int, seconds: float) -> dict[int, float]:
    """Requests a second of one worker and of two, each with a tenth of a processor: the load must not be the limit.

    Empty where the system does not let us give out tenths of a processor.
    """
    found: dict[int, list[float]] = {1: [], 2: []}
    script = _script(work, 1024)
    with json_engine(work, body(1024)) as engine:
        for _ in range(rounds):
            for workers, rates in found.items():
                with ExitStack() as stack:
                    core = PROXY_CORE if workers == 1 else None
                    proxy = gateway(stack, work, engine, "gateway", "--workers", str(workers), core=core)
                    await_port(proxy.port)
                    pids = [proxy.pid, *children(proxy.pid)]
                    stack.callback(lambda pids=pids: [os.kill(pid, signal.SIGKILL) for pid in pids[1:]])
                    if not stack.enter_context(limited(pids, 10)):
                        return {}
                    _load(proxy, script, 128, 1)  # warm up
                    rates.append(_load(proxy, script, 128, seconds).rate)
    return {workers: statistics.median(rates) for workers, rates in found.items()}


def body(size: int, *, streams: bool = False) -> bytes:
    """A chat request, and an answer just as well, of that size."""
    message = {"model": "bench", "messages": [{"role": "user", "content": ""}], "stream": streams, "max_tokens": 16}
    message["messages"] = [{"role": "user", "content": "x" * (size - len(json.dumps(message)))}]
    return json.dumps(message).encode()


@contextmanager
def _json(starts: dict[str, Start], work: Path, size: int) -> Iterator[list[Proxy]]:
    with json_engine(work, body(size)) as engine, running(starts, work, engine) as proxies:
        yield proxies


def _script(work: Path, size: int, *, streams: bool = False) -> Path:
    script = work / "load.lua"
    script.write_text(_LUA.format(body=body(size, streams=streams).decode(), key=KEY))
    return script


def _compare(
    result: Result, proxies: list[Proxy], rounds: int, measure: Callable[[Proxy, float], Round], seconds: float
) -> Result:
    """Rounds alternate, so that a busy machine hurts all alike."""
    seen: dict[str, list[Round]] = {proxy.name: [] for proxy in proxies}
    for proxy in proxies:
        measure(proxy, 1)  # warm up
    for _ in range(rounds):
        for proxy in proxies:
            seen[proxy.name].append(measure(proxy, seconds))
    for name, each in seen.items():
        if all(r.rate for r in each):  # one that answered nothing within a round has failed
            result.cost[name] = statistics.median(r.cpu_us for r in each)
            result.rate[name] = statistics.median(r.rate for r in each)
            pairs = zip(each, seen.get("nginx", ()), strict=False)
            result.ratios[name] = statistics.median([r.cpu_us / n.cpu_us for r, n in pairs if n.cpu_us] or [0.0])
    result.load_us = statistics.median(r.load_us for each in seen.values() for r in each)
    return result


def _argv(proxy: Proxy, script: Path, connections: int, seconds: float) -> list[str]:
    url = f"http://127.0.0.1:{proxy.port}/v1/chat/completions"
    pinned = ["taskset", "-c", str(LOAD_CORE)]
    return [*pinned, "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "60s", "-s", str(script), url]


def _load(proxy: Proxy, script: Path, connections: int, seconds: float) -> Round:
    used, own = cpu_seconds(proxy.pid), _children_seconds()
    argv = _argv(proxy, script, connections, seconds)
    report = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    used, own = cpu_seconds(proxy.pid) - used, _children_seconds() - own
    if "Non-2xx" in report:
        raise SystemExit(f"{proxy.name} answered with errors:\n{report}")
    count = int(re.search(r"(\d+) requests in", report)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1])  # type: ignore[index]
    return Round(used / count * 1e6, rate, own / count * 1e6) if count else Round(0.0, 0.0)


@contextmanager
def _wrk(proxy: Proxy, script: Path, streams: int, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    load = subprocess.Popen(_argv(proxy, script, streams, seconds), stdout=subprocess.DEVNULL)
    try:
        yield load
    finally:
        load.kill()
        load.wait()


def _await_streams(engine: int, wanted: int, load: subprocess.Popen[bytes] | None = None) -> bool:
    """Whether the engine came to have as many open streams, but for the few whose SYN got lost in the rush."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (load is None or load.poll() is None):
        open_now = streamed(engine)[0]
        if open_now >= wanted * 0.995 if wanted else not open_now:
            return True
        time.sleep(0.05)
    return False


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
