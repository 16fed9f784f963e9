"""Carries out the plan for adapters: one keeper for each Model that has some, apart from the operator's workers.

A download takes minutes, and a server may not answer: so each step for each adapter of each Pod is a task of its own,
and what fails rests for a while without holding up anything else. The keeper itself never waits for a step; it plans
again whenever one has ended, the Model or its Pods have changed, or it is time to ask the servers again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import PODS
from kubeai.api.model import Model
from kubeai.controller.engine_api import VLLM, AdapterServer, EngineError
from kubeai.controller.observe import Key
from kubeai.kube.backoff import backoff_s
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.planning.adapters import (
    DIRECTORY,
    Adapter,
    Fetch,
    Load,
    Mark,
    Replica,
    Step,
    Unload,
    Wait,
    labelled_adapters,
    loads_adapters,
    plan_adapters,
    served_version,
    wanted_adapters,
)
from kubeai.planning.names import ADAPTER_LABEL_PREFIX, is_draining
from kubeai.planning.observed import AdapterTrouble
from kubeai.planning.pods.build import LOADER_CONTAINER
from kubeai.routing.feed import pod_endpoint

log = logging.getLogger(__name__)

#: A server that loses its adapters without a restart of its container is noticed after this time.
_ASK_EVERY_S = 30.0
_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 300.0
#: Requests that are running may need an adapter's files for as long as this after it was unloaded.
_REMOVE_AFTER_S = 600.0
_LAST_LINES = 5
#: Stands for the list of all adapters, where a step is for one.
LIST = ""


class StepFailed(Exception):  # noqa: N818 - it says what happened
    """A step was not done; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last failures of a step, one after the other."""

    failures: int
    rests_until: float
    message: str


@dataclass
class PodState:
    """What is known of one Pod. Only its keeper changes it."""

    pod: Pod
    served: Mapping[str, str] | None = None
    ask_at: float = 0.0
    #: version -> where its files are for the server
    paths: dict[Adapter, str] = field(default_factory=dict)
    #: versions that were fetched, or begun to be: some of their files may be there
    touched: set[Adapter] = field(default_factory=set)
    #: directories of versions that are not served any more -> when to remove them
    leftovers: dict[str, float] = field(default_factory=dict)
    left_at: dict[str, float] = field(default_factory=dict)
    #: labels that we have written and the cache does not show yet
    written: dict[str, str | None] = field(default_factory=dict)
    #: by adapter; an entry is there exactly while the step runs
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    failed: dict[str, Attempt] = field(default_factory=dict)

    @property
    def life(self) -> tuple[bool, int]:
        """Changes when the server may have lost what it had loaded."""
        return self.pod.ready, sum(status.restart_count or 0 for status in self.pod.status.container_statuses or ())

    def labels(self) -> dict[str, str]:
        labels: dict[str, str | None] = {**labelled_adapters(self.pod), **self.written}
        return {name: version for name, version in labels.items() if version is not None}

    def show(self, pod: Pod) -> None:
        """The Pod as the cache has it now."""
        before, self.pod = self.life, pod
        shown = labelled_adapters(pod)
        self.written = {name: version for name, version in self.written.items() if shown.get(name) != version}
        if self.life != before:
            self.served, self.ask_at = None, 0.0

    @property
    def bare(self) -> bool:
        """Nothing of any adapter is left in it."""
        has = self.labels() or self.running or self.touched or self.leftovers or any((self.served or {}).values())
        return not has

    def note_leftovers(self, wanted: Mapping[str, Adapter], now: float) -> None:
        """Files that nobody wants and no server has loaded: of a download that was given up, or came too late."""
        if self.served is None:
            return
        for adapter in self.touched:
            used = wanted.get(adapter.name) == adapter or self.served.get(adapter.name) == adapter.version
            if not used and adapter.name not in self.running:
                self.leftovers.setdefault(adapter.directory, now + _REMOVE_AFTER_S)

    def replica(self, now: float) -> Replica:
        rests = {name for name, attempt in self.failed.items() if attempt.rests_until > now}
        # What is being removed must not be fetched at the same time.
        removed = {PurePosixPath(name).parent.name for name in self.running if name.startswith(DIRECTORY)}
        return Replica(
            name=self.pod.uid,
            ready=self.pod.ready,
            labels=self.labels(),
            served=self.served,
            fetched=frozenset(self.paths),
            left_at=self.left_at,
            held=frozenset(self.running.keys() | rests | removed),
        )


class Keeper:
    """The adapters of one Model."""

    def __init__(
        self, client: Client, servers: AdapterServer, model: Model, on_change: Callable[[], None], *, override: bool
    ) -> None:
        self._client = client
        self._servers = servers
        self._on_change = on_change
        self._override = override
        self._wanted = wanted_adapters(model)
        self._pods: dict[str, PodState] = {}
        #: All that runs, of Pods that are gone, too.
        self._steps: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()

    def look(self, model: Model, pods: Iterable[Pod]) -> None:
        """What the caches say now."""
        wanted = wanted_adapters(model)
        changed = {name for name in wanted.keys() | self._wanted.keys() if wanted.get(name) != self._wanted.get(name)}
        self._wanted = wanted
        present = {pod.uid: pod for pod in pods if not (pod.terminating or pod.finished or is_draining(pod))}
        for uid in self._pods.keys() - present.keys():
            self._forget(self._pods.pop(uid))
        for uid, pod in present.items():
            state = self._pods.setdefault(uid, PodState(pod))
            state.show(pod)
            for name in changed:
                state.failed.pop(name, None)
                if name in state.running:  # most likely a download of what nobody wants any more
                    state.running[name].cancel()
        self._woken.set()

    def troubles(self) -> tuple[AdapterTrouble, ...]:
        """What has failed and was not done since."""
        return tuple(
            AdapterTrouble(state.pod.name, name, attempt.message)
            for state in self._pods.values()
            for name, attempt in sorted(state.failed.items())
        )

    @property
    def idle(self) -> bool:
        """There is nothing left to keep."""
        return not self._wanted and all(state.bare for state in self._pods.values())

    async def run(self) -> None:
        """Until cancelled; steps that run are cancelled, too, and have ended when this has."""
        try:
            while True:
                self._woken.clear()
                delay_s = self._begin_steps()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await self._woken.wait()
        finally:
            steps = tuple(self._steps)
            for step in steps:
                if not step.cancelling():  # a second time would cut short how it ends
                    step.cancel()
            await asyncio.gather(*steps, return_exceptions=True)

    def _forget(self, state: PodState) -> None:
        for task in state.running.values():
            task.cancel()

    def _begin_steps(self) -> float:
        """Start all that can be; the time until there may be more to do."""
        now = asyncio.get_running_loop().time()
        times = [now + _ASK_EVERY_S]
        for state in self._pods.values():
            times += self._begin_asking(state, now)
            times += self._begin_removing(state, now)
            times += [attempt.rests_until for attempt in state.failed.values()]
        plan = plan_adapters(self._wanted, [state.replica(now) for state in self._pods.values()], now)
        for uid, steps in plan.items():
            for step in steps:
                if isinstance(step, Wait):
                    times.append(step.until)
                else:
                    self._begin(self._pods[uid], step.name, partial(self._take, self._pods[uid], step))
        for uid, state in self._pods.items():
            self._forgive(state, {step.name for step in plan.get(uid, ())}, now)
        return min(time for time in times if time > now) - now

    def _forgive(self, state: PodState, planned: Collection[str], now: float) -> None:
        """Forget failures of what would be tried again by now, if it had not become needless."""
        past = [name for name, attempt in state.failed.items() if attempt.rests_until <= now]
        needless = [name for name in past if name not in planned and name not in state.running]
        for name in needless:
            del state.failed[name]
        if needless:
            self._on_change()

    def _begin_asking(self, state: PodState, now: float) -> Iterable[float]:
        rest = state.failed.get(LIST)
        due = max(state.ask_at, rest.rests_until if rest else 0.0)
        if state.pod.ready and LIST not in state.running and due <= now:
            self._begin(state, LIST, partial(self._ask, state))
        return (due,)

    def _begin_removing(self, state: PodState, now: float) -> Iterable[float]:
        state.note_leftovers(self._wanted, now)
        for directory in [directory for directory, due in state.leftovers.items() if due <= now]:
            if directory not in state.running:
                self._begin(state, directory, partial(self._remove, state, directory))
        return state.leftovers.values()

    def _begin(self, state: PodState, name: str, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._attempt(state, name, work))
        state.running[name] = task
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)
        task.add_done_callback(lambda _: self._ended(state, name))

    def _ended(self, state: PodState, name: str) -> None:
        del state.running[name]
        self._woken.set()
        if self.idle:
            self._on_change()

    async def _attempt(self, state: PodState, name: str, work: Callable[[], Awaitable[None]]) -> None:
        message: str | None = None
        try:
            await work()
        except (StepFailed, EngineError, APIError) as error:
            message = str(error)
        except Exception as error:  # a bug: the other adapters must not suffer from it
            log.exception("adapter %s of Pod %s: the operator failed", name, state.pod.name)
            message = f"the operator failed: {error!r}"
        self._note(state, name, message)

    def _note(self, state: PodState, name: str, message: str | None) -> None:
        before = state.failed.pop(name, None)
        if message is not None:
            failures = before.failures + 1 if before else 1
            rest_s = backoff_s(failures, _FIRST_RETRY_S, _LAST_RETRY_S)
            state.failed[name] = Attempt(failures, asyncio.get_running_loop().time() + rest_s, message)
            log.warning("adapter %s of Pod %s: %s; again in %g s", name or "list", state.pod.name, message, rest_s)
        if (before and before.message) != message:
            self._on_change()

    # The steps.

    async def _take(self, state: PodState, step: Step) -> None:
        match step:
            case Mark(name, version):
                await self._mark(state, name, version)
            case Fetch(adapter):
                await self._fetch(state, adapter)
            case Load(adapter):
                await self._load(state, adapter)
            case Unload(name):
                await self._unload(state, name)

    async def _ask(self, state: PodState) -> None:
        life = state.life
        found = await self._servers.adapters(self._base(state.pod))
        if life == state.life:
            state.served = {name: served_version(name, path) for name, path in found.items()}
            state.ask_at = asyncio.get_running_loop().time() + _ASK_EVERY_S

    async def _load(self, state: PodState, adapter: Adapter) -> None:
        state.leftovers.pop(adapter.directory, None)
        try:
            await self._servers.load(self._base(state.pod), adapter.name, state.paths[adapter])
        except EngineError:
            del state.paths[adapter]  # should the files be the reason, it is new ones that help
            raise
        await self._ask(state)

    async def _unload(self, state: PodState, name: str) -> None:
        await self._servers.unload(self._base(state.pod), name)
        version = (state.served or {}).get(name)
        if state.served is not None:  # also if it cannot be asked now
            state.served = {other: path for other, path in state.served.items() if other != name}
        if version:
            due = asyncio.get_running_loop().time() + _REMOVE_AFTER_S
            state.leftovers[f"{DIRECTORY}/{name}/{version}"] = due
        state.paths = {a: path for a, path in state.paths.items() if a.name != name or a == self._wanted.get(name)}
        await self._ask(state)

    async def _remove(self, state: PodState, directory: str) -> None:
        """Also where that fails it is forgotten: the directory goes with the Pod."""
        del state.leftovers[directory]
        state.touched = {adapter for adapter in state.touched if adapter.directory != directory}
        state.paths = {adapter: path for adapter, path in state.paths.items() if adapter.directory != directory}
        await self._run(state.pod, "rm", "-rf", directory)

    async def _mark(self, state: PodState, name: str, version: str | None) -> None:
        pod = state.pod
        # With the uid: another Pod of that name must not be said to have the adapter.
        patch = {"metadata": {"uid": pod.uid, "labels": {ADAPTER_LABEL_PREFIX + name: version}}}
        await self._client.patch(PODS, pod.name, patch, namespace=pod.namespace)
        state.written[name] = version
        if version is None:
            state.left_at[name] = asyncio.get_running_loop().time()
        log.info("Pod %s: adapter %s %s", pod.name, name, "is served" if version else "is served no more")

    async def _fetch(self, state: PodState, adapter: Adapter) -> None:
        state.leftovers.pop(adapter.directory, None)
        state.touched.add(adapter)
        await self._run(state.pod, "load", adapter.url, adapter.directory)
        # Where a container's mounts are directories of the machine, the server needs the directory's own path.
        state.paths[adapter] = (await self._run(state.pod, "realpath", adapter.directory)).strip()

    async def _run(self, pod: Pod, *command: str) -> str:
        done = await self._client.exec(pod.name, command, pod.namespace, container=LOADER_CONTAINER)
        if done.exit_code:
            said = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace").splitlines()[-_LAST_LINES:]
            raise StepFailed("\n".join([f"{command[0]} ended with exit code {done.exit_code}", *said]))
        return done.stdout.decode(errors="replace")

    def _base(self, pod: Pod) -> str:
        try:
            endpoint = pod_endpoint(pod, self._override)
        except ValueError as error:
            raise StepFailed(str(error)) from error
        if endpoint is None:
            raise StepFailed("the Pod is not ready any more")
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        return f"http://{host}:{endpoint.port}"


class Adapters:
    """The keepers of all Models, while this process leads."""

    def __init__(self, client: Client, servers: VLLM, on_change: Callable[[Key], None], *, override: bool) -> None:
        """`on_change` is told of Models whose adapters have got into trouble or out of it, or are all gone."""
        self._client = client
        self._servers = servers
        self._on_change = on_change
        self._override = override
        self._keepers: dict[Key, tuple[Keeper, asyncio.Task[None]]] = {}
        #: Theirs, and those of keepers that are forgotten and have not ended.
        self._tasks: set[asyncio.Task[None]] = set()
        self._working = False

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Until it is left, what `look` sees is acted on."""
        async with self._servers:
            self._working = True
            try:
                yield
            finally:
                self._working = False
                for key in tuple(self._keepers):
                    self.forget(key)
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def look(self, key: Key, model: Model, pods: Iterable[Pod]) -> tuple[AdapterTrouble, ...]:
        """Take note of what the caches say; returns what is in the way of the Model's adapters."""
        pods = tuple(pods)
        if model.terminating:  # its Pods go, and all that is in them
            self.forget(key)
        if model.terminating or not self._working:
            return ()
        if key not in self._keepers or self._keepers[key][1].done():
            if not loads_adapters(model, pods):
                return ()
            self._keepers[key] = self._start(key, model)
        keeper, _ = self._keepers[key]
        keeper.look(model, pods)
        if keeper.idle:
            self.forget(key)
        return keeper.troubles()

    def forget(self, key: Key) -> None:
        """The Model is gone."""
        if found := self._keepers.pop(key, None):
            found[1].cancel()

    def _start(self, key: Key, model: Model) -> tuple[Keeper, asyncio.Task[None]]:
        keeper = Keeper(self._client, self._servers, model, partial(self._on_change, key), override=self._override)
        task = asyncio.create_task(keeper.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(_told_of_death, key))
        return keeper, task


def _told_of_death(key: Key, task: asyncio.Task[None]) -> None:
    """A bug; the next look at the Model starts a new keeper."""
    if not task.cancelled() and (error := task.exception()):
        log.error("%s/%s: the operator failed to keep its adapters", *key, exc_info=error)
