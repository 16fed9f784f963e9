"""One Pod on this machine: performs the steps of its life and tells what happened.

The runner decides nothing: `lifecycle` and `steps` do. It starts, probes and signals processes, feeds back what comes
of it, and reports the Pod's status whenever that changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from .containers import Exec, PodSpec, ProbeKind
from .launch import Launcher, LaunchError, Machine, Prepared
from .life import (
    Abandon,
    Check,
    ContainerLife,
    Delete,
    Event,
    Exited,
    Kill,
    PodLife,
    Probed,
    Progress,
    Signal,
    Start,
    Started,
    StartFailed,
    Step,
)
from .lifecycle import apply
from .logs import last_words
from .podevents import PodEvent, pod_events
from .podstatus import Place, pod_status
from .probes import Verdict, look
from .process import Process
from .seats import Seat
from .steps import advance, wake_at

JSONObject = dict[str, Any]
Clock = Callable[[], datetime]


class PodRunner:
    """Runs one Pod until it is deleted (or the node stops)."""

    def __init__(
        self,
        pod: JSONObject,
        life: PodLife,
        machine: Machine,
        seat: Seat,
        report: Callable[[JSONObject], None],
        tell: Callable[[PodEvent], None],
        clock: Clock,
        adopted: Mapping[str, Process] | None = None,
    ) -> None:
        """`life` and `adopted` say what is left of an earlier runner of this Pod: see `adoption`."""
        self._life = life
        self._machine = machine
        self._place = Place(seat.address.host, seat.since)
        self._address = seat.address
        self._launcher = Launcher(machine, pod, life.spec, seat)
        self._report = report
        self._tell_event = tell
        #: the life up to which Events have been told
        self._told = life
        self._status: JSONObject = pod.get("status") or {}
        self._clock = clock
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        #: processes that run, by container; a container has an entry exactly while its process is not reaped
        self._processes: dict[str, Process] = dict(adopted or {})
        self._prepared: dict[str, Prepared] = {}
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._checks: dict[tuple[str, ProbeKind], asyncio.Task[None]] = {}
        #: what to call when a container's process is gone, by container
        self._endings: dict[str, set[Callable[[], None]]] = {}

    @property
    def spec(self) -> PodSpec:
        return self._life.spec

    @property
    def over(self) -> bool:
        """Nothing of it will ever run again: it holds no resources."""
        return self._life.over

    def delete(self, grace_s: float) -> None:
        """Stop everything within `grace_s`; `run` returns when all is gone."""
        self._events.put_nowait(Delete(grace_s))

    async def further_command(self, name: str, command: Sequence[str]) -> tuple[tuple[str, ...], Prepared]:
        """The command line of a process beside the container's own, and its surroundings.

        Raises `LookupError` if the container does not run, and `LaunchError`.
        """
        if name not in self._processes:
            raise LookupError("it does not run now")
        prepared = await self._surroundings(name)
        return prepared.command_line(command), prepared

    @contextlib.contextmanager
    def ending_with(self, name: str, end: Callable[[], None]) -> Iterator[None]:
        """Calls `end` if the container's process goes first."""
        if name not in self._processes:
            end()
        endings = self._endings.setdefault(name, set())
        endings.add(end)
        try:
            yield
        finally:
            endings.discard(end)

    async def run(self) -> None:
        """Until the Pod is deleted. Cancelled, it leaves the processes alone: they can be adopted."""
        async with asyncio.TaskGroup() as group:
            for name, process in self._processes.items():
                group.create_task(self._watch(name, process))
            try:
                self._move(group)
                while not self._gone:
                    await self._listen()
                    self._move(group)
            finally:
                for task in (*self._checks.values(), *self._starts.values()):
                    task.cancel()
        self._tell()

    @property
    def _gone(self) -> bool:
        """Deleted, and nothing has happened that is not taken in: a process may have started in this moment."""
        return self._life.going and self._life.over and self._events.empty()

    def _move(self, group: asyncio.TaskGroup) -> None:
        self._life, steps = advance(self._life, self._clock())
        for step in steps:
            self._perform(step, group)
        self._tell()

    async def _listen(self) -> None:
        """Take in what has happened, waiting for something if nothing has."""
        wake = wake_at(self._life)
        delay_s = None if wake is None else max(0.0, (wake - self._clock()).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                self._take(await self._events.get())
        while not self._events.empty():
            self._take(self._events.get_nowait())

    def _take(self, event: Event) -> None:
        self._life = apply(self._life, event, self._clock())

    def _tell(self) -> None:
        for event in pod_events(self._told, self._life):
            self._tell_event(event)
        self._told = self._life
        status = pod_status(self._life, self._place, self._status, self._clock())
        if status != self._status:
            self._status = status
            self._report(status)

    def _perform(self, step: Step, group: asyncio.TaskGroup) -> None:
        match step:
            case Start(name):
                self._starts[name] = group.create_task(self._start(name, group))
            case Abandon(name):
                self._starts.pop(name).cancel()
            case Kill(name, signal) if name in self._processes:
                process = self._processes[name]
                process.terminate() if signal is Signal.TERM else process.kill()
            case Check(name, kind):
                self._checks[name, kind] = group.create_task(self._check(step))

    async def _start(self, name: str, group: asyncio.TaskGroup) -> None:
        container = self._container(name)

        def on_progress(reason: str, message: str) -> None:
            self._events.put_nowait(Progress(name, reason, message))

        try:
            prepared = await self._launcher.prepare(container.spec, on_progress)
            process = self._launcher.spawn(container.spec, prepared, container.restarts)
        except LaunchError as error:
            self._events.put_nowait(StartFailed(name, error.reason, str(error)))
            return
        self._prepared[name], self._processes[name] = prepared, process
        self._events.put_nowait(Started(name))
        group.create_task(self._watch(name, process))

    async def _watch(self, name: str, process: Process) -> None:
        code = await process.wait()
        del self._processes[name]
        for end in tuple(self._endings.get(name, ())):
            end()
        self._launcher.record_path(name).unlink(missing_ok=True)
        for kind in ProbeKind:
            if task := self._checks.pop((name, kind), None):
                task.cancel()
        tail = last_words(self._launcher.log(name, process.record.run)) if code != 0 else ""
        self._events.put_nowait(Exited(name, code, tail))

    async def _check(self, check: Check) -> None:
        verdict = await self._verdict(check)
        self._events.put_nowait(Probed(check.container, check.kind, verdict.passed, verdict.message))

    async def _verdict(self, check: Check) -> Verdict:
        if not isinstance(check.probe.action, Exec):
            return await look(check.probe, self._address)
        try:
            prepared = await self._surroundings(check.container)
        except LaunchError as error:
            return Verdict(False, str(error))
        action = Exec(prepared.rewriting.args(check.probe.action.command))
        return await look(replace(check.probe, action=action), self._address, prepared.env, prepared.cwd)

    async def _surroundings(self, name: str) -> Prepared:
        if name not in self._prepared:  # adopted: somebody else prepared it
            self._prepared[name] = await self._launcher.prepare(self._container(name).spec, lambda *_: None)
        return self._prepared[name]

    def _container(self, name: str) -> ContainerLife:
        return next(c for c in self._life.containers if c.spec.name == name)
