"""`kubeai manager` as a cluster starts it: a process that is told everything by its environment."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from kubeai.kube.access import ClusterAccess

SYSTEM = {
    "modelAutoscaling": {"stateConfigMapName": "state"},
    "allowPodAddressOverride": True,
    # Who dies is followed soon, and who gets no processor for some seconds goes on leading.
    "leaderElection": {"leaseDuration": "6s", "renewDeadline": "5s", "retryPeriod": "1s"},
    "metricsAddr": "127.0.0.1:0",
    "healthAddress": "127.0.0.1:0",
}
DEADLINE_S = 60


class Manager:
    """One running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said: list[str] = []
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait for a line in the log."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        while not (found := re.search(pattern, "\n".join(self._said))):
            try:
                async with asyncio.timeout_at(deadline):
                    self._changed.clear()
                    await self._changed.wait()
                ended = self._reading.done()
            except TimeoutError:
                ended = True
            if ended:
                raise AssertionError(f"no line in the log is like {pattern!r}:\n" + "\n".join(self._said))
        return found

    async def url(self) -> str:
        return "http://" + (await self.says(r"serving the API on ([\d.:]+)"))[1]

    async def knows(self, model: str) -> None:
        """Wait until its gateway knows the Model: its caches are its own, and another process cannot be waited on."""
        url = f"{await self.url()}/openai/v1/models"
        async with aiohttp.ClientSession() as http, asyncio.timeout(DEADLINE_S):
            while True:
                async with http.get(url) as answer:
                    if model in [entry["id"] for entry in (await answer.json()).get("data", ())]:  # not while it starts
                        return
                await asyncio.sleep(0.02)

    async def end(self, how: signal.Signals) -> int:
        """Send the signal and wait for the end; returns the exit code."""
        self.signal(how)
        return await self.ended()

    def signal(self, which: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(which)

    async def ended(self) -> int:
        """Wait for the end; returns the exit code."""
        async with asyncio.timeout(DEADLINE_S):
            code = await self._process.wait()
        await self._reading
        return code

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._said.append(line.decode().rstrip())
            self._changed.set()
        asyncio.get_running_loop().call_soon(self._changed.set)  # there will be no more


@asynccontextmanager
async def manager(
    access: ClusterAccess, kubeconfig: Path, directory: Path, verb: str = "manager", workers: int = 1, **system: Any
) -> AsyncIterator[Manager]:
    """A manager, or a part of one, for the namespace of `access`; `system` is more of its configuration."""
    config = directory / f"system-{secrets.token_hex(4)}.yaml"
    config.write_text(yaml.safe_dump(SYSTEM | system))
    environment = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(kubeconfig),
        "CONFIG_PATH": str(config),
        "POD_NAMESPACE": access.namespace,
    }
    where = () if verb == "operator" else ("--host", "127.0.0.1", "--port", "0", "--workers", str(workers))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubeai", verb, *where),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    running = Manager(process)
    try:
        yield running
    finally:
        await running.end(signal.SIGKILL)
