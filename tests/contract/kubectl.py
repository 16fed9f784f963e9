"""The real kubectl as a subprocess: the strictest reader of the API that there is."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec


def find_kubectl() -> str:
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        raise RuntimeError("kubectl is not installed: it comes with the development dependencies")
    return found


@dataclass(frozen=True)
class Answer:
    """What a kubectl said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[list[str]]:
        """The rows of a table, in words."""
        return [line.split() for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, object]:
        decoded: dict[str, object] = msgspec.json.decode(self.out)
        return decoded


class Kubectl:
    """kubectl in one namespace. HOME is a directory of the test: its caches go there."""

    def __init__(self, kubeconfig: Path, namespace: str, home: Path, timeout_s: float = 60) -> None:
        self._options = ("--kubeconfig", str(kubeconfig), "--namespace", namespace)
        self._home = home
        self._timeout_s = timeout_s

    async def start(self, *args: str, editor: str = "", stdin: bool = False) -> asyncio.subprocess.Process:
        env = {"HOME": str(self._home), "PATH": os.environ["PATH"]} | ({"KUBE_EDITOR": editor} if editor else {})
        return await asyncio.create_subprocess_exec(
            find_kubectl(),
            *self._options,
            *args,
            env=env,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *args: str, editor: str = "", given: object = None) -> Answer:
        """Run to the end; `given` is sent as JSON on its standard input (with `-f -`)."""
        process = await self.start(*args, editor=editor, stdin=given is not None)
        data = msgspec.json.encode(given) if given is not None else None
        async with asyncio.timeout(self._timeout_s):
            out, err = await process.communicate(data)
        return Answer(process.returncode or 0, out.decode(), err.decode())

    async def __call__(self, *args: str, editor: str = "", given: object = None) -> Answer:
        """Run to the end, which must be a good one."""
        answer = await self.run(*args, editor=editor, given=given)
        assert answer.code == 0, f"kubectl {' '.join(args)}: {answer.err}{answer.out}"
        return answer
