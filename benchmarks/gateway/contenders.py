"""Who is measured: each as one process that proxies to one engine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .rig import PROXY_CORE, await_port, free_port, nginx, process

_NGINX = """
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 512; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering {buffering}; }} }}
"""
#: Routers of inference projects, where they are on PATH or named by a variable; and the verb that starts one.
_ROUTERS = {"vllm-router": ("VLLM_ROUTER", ()), "sglang-router": ("SGLANG_ROUTER", ("launch",))}


@dataclass(frozen=True)
class Proxy:
    """One that runs."""

    name: str
    port: int
    pid: int


#: The gateway without keys, limits and counting of usage.
PLAIN = "gateway-plain"
#: Starts one for the engine's port, within a stack that ends it.
Start = Callable[[ExitStack, Path, int], Proxy]


def contenders(only: frozenset[str] = frozenset()) -> dict[str, Start]:
    """By name; nginx and the gateway always, the others where they are installed, `gateway-plain` if it is named."""
    found: dict[str, Start] = {"gateway": gateway, "nginx": _nginx, "aiohttp": _aiohttp}
    if PLAIN in only:
        found[PLAIN] = lambda stack, work, engine: gateway(stack, work, engine, PLAIN, "--plain")
    for name, (variable, verb) in _ROUTERS.items():
        program = os.environ.get(variable) or shutil.which(name)
        if program:
            found[name] = _router(name, program, *verb)
    return {name: start for name, start in found.items() if not only or name in only}


@contextmanager
def running(starts: dict[str, Start], work: Path, engine: int) -> Iterator[list[Proxy]]:
    with ExitStack() as stack:
        proxies = [start(stack, work, engine) for start in starts.values()]
        for proxy in proxies:
            await_port(proxy.port)
        yield proxies


def _nginx(stack: ExitStack, work: Path, engine: int) -> Proxy:
    """Streams are passed on as they come, as a proxy in front of models has to."""
    port = free_port()
    servers = _NGINX.format(port=port, engine=engine, buffering="off" if work.name == "streams" else "on")
    return Proxy("nginx", port, stack.enter_context(nginx(work / f"nginx-{port}", servers, PROXY_CORE)))


def gateway(
    stack: ExitStack, work: Path, engine: int, name: str = "gateway", *options: str, core: int | None = PROXY_CORE
) -> Proxy:
    port = free_port()
    module = ("-m", "benchmarks.gateway.serve")
    argv = (sys.executable, *module, "--port", str(port), "--engine", f"127.0.0.1:{engine}", *options)
    return Proxy(name, port, stack.enter_context(process(*argv, core=core)))


def _aiohttp(stack: ExitStack, work: Path, engine: int) -> Proxy:
    port = free_port()
    module = ("-m", "benchmarks.gateway.aiohttp_proxy")
    argv = (sys.executable, *module, "--port", str(port), "--engine", f"127.0.0.1:{engine}")
    return Proxy("aiohttp", port, stack.enter_context(process(*argv, core=PROXY_CORE, silent=True)))


def _router(name: str, program: str, *verb: str) -> Start:
    def start(stack: ExitStack, work: Path, engine: int) -> Proxy:
        port, metrics = free_port(), free_port()
        options = ("--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin", "--log-level", "error")
        options += ("--prometheus-port", str(metrics), "--worker-urls", f"http://127.0.0.1:{engine}")
        options += ("--max-concurrent-requests", "20000", "--queue-size", "20000")
        return Proxy(name, port, stack.enter_context(process(program, *verb, *options, core=PROXY_CORE, silent=True)))

    return start
