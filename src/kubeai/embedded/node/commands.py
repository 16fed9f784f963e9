"""Further commands in containers that run (`kubectl exec`): processes beside the container's own, in its surroundings.

They end with the container, and with whoever asked for them: nothing of them may stay behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from .launch import LaunchError
from .runner import PodRunner


class PodCommands:
    """The embedded API server's way into the containers of the node agent."""

    def __init__(self) -> None:
        #: by the Pod's uid; the agent admits a runner when the Pod gets its seat
        self._runners: dict[str, PodRunner] = {}

    def admit(self, uid: str, runner: PodRunner) -> None:
        self._runners[uid] = runner

    def dismiss(self, uid: str) -> None:
        self._runners.pop(uid, None)

    @asynccontextmanager
    async def start(
        self, pod_uid: str, container: str, command: Sequence[str], *, stdin: bool
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """The command's process, with pipes; it and all that it started are killed when the context is left.

        Raises LookupError if the container does not run, OSError if the command cannot be started.
        """
        runner = self._runners.get(pod_uid)
        if runner is None:
            raise LookupError("the Pod has not been started on this machine")
        try:
            argv, prepared = await runner.further_command(container, command)
        except LaunchError as error:
            raise LookupError(str(error)) from error
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=prepared.env,
            cwd=prepared.cwd,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

        try:
            with runner.ending_with(container, kill):
                yield process
        finally:
            kill()
            await process.wait()
