"""Processes that outlive us: started, watched, signalled and found again.

A server must survive a crash of KubeAI (its model took minutes to load), so a process is the leader of its own
session, writes its log straight to a file, and is known by a record on disk. A process id alone proves nothing: the
record carries the process's start time and the boot it belongs to, so that a stranger is never adopted or killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

#: Marks every process of a data directory, and all of its descendants, in their environment.
OWNER_VARIABLE = "KUBEAI_NODE_DATA_DIR"
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """Enough to know one process again, after a restart of ours or of the machine."""

    pid: int
    start_time: str
    boot_id: str
    run: int = 0


def write_record(path: Path, record: ProcessRecord) -> None:
    """All or nothing: a half-written record would orphan a process."""
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(asdict(record)))
    temporary.replace(path)


def read_record(path: Path) -> ProcessRecord | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProcessRecord)
    except (OSError, msgspec.DecodeError):
        return None


def boot_id() -> str:
    """Differs after a restart of the machine, when process ids begin anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _output("sysctl", "-n", "kern.boottime")


def start_time(pid: int) -> str | None:
    """When process `pid` began, in the system's own words; None if there is no such process (or only its corpse)."""
    try:
        # The command's name may contain anything, so the fields are counted from its closing parenthesis.
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return (_output("ps", "-o", "lstart=", "-p", str(pid)) or None) if sys.platform == "darwin" else None
    except OSError:
        return None
    return None if state in "ZX" else fields[18]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def alive(record: ProcessRecord) -> bool:
    return record.boot_id == boot_id() and start_time(record.pid) == record.start_time


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Process:
    """One running process, our child or adopted."""

    def __init__(self, record: ProcessRecord, child: subprocess.Popen[bytes] | None = None) -> None:
        self.record = record
        #: None: adopted; its exit code goes to somebody else
        self._child = child

    @property
    def pid(self) -> int:
        return self.record.pid

    async def wait(self) -> int | None:
        """Until it is gone. The exit code as `subprocess` counts, None if it was not our child.

        What is left of its session is killed: a server that died must not leave its helpers behind.
        """
        try:
            await self._gone()
        except asyncio.CancelledError:
            self._release()
            raise
        code = self._child.wait() if self._child else None
        self._signal(signal.SIGKILL)
        return code

    def _release(self) -> None:
        """We step aside and it runs on, on purpose: `subprocess` need not warn of a forgotten child."""
        if self._child and self._child.poll() is None:
            self._child.returncode = 0

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _gone(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, or gone already
            await self._poll()
            return
        gone: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _resolve, gone)
        try:
            if self._running():
                await gone
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def _poll(self) -> None:
        while self._running():  # noqa: ASYNC110  # without a pidfd nothing tells us
            await asyncio.sleep(_POLL_S)

    def _running(self) -> bool:
        return self._child.poll() is None if self._child else alive(self.record)


def spawn(argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, record_path: Path, *, run: int) -> Process:
    """Start a process and record it. Raises `OSError` with the program's name if it cannot be started."""
    with log.open("ab", buffering=0) as output:
        child = subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = Process(ProcessRecord(child.pid, start_time(child.pid) or "", boot_id(), run), child)
    try:
        write_record(record_path, process.record)
    except OSError:  # a full disk; what cannot be recorded must not run
        process.kill()
        child.wait()
        raise
    return process


def kill_strays(data_dir: Path, known: frozenset[int]) -> list[int]:
    """Kill the processes of this data directory that no record knows; returns their ids.

    They exist when we died between starting a process and recording it, or when a record was lost. Only Linux shows
    another process's environment; elsewhere records are all there is.
    """
    mark = f"{OWNER_VARIABLE}={data_dir}".encode()
    strays = []
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            if marked and pid != os.getpid() and os.getsid(pid) not in known:
                os.kill(pid, signal.SIGKILL)
                strays.append(pid)
    return strays
