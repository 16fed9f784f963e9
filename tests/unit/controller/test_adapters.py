"""The keeper of a Model's adapters in virtual time: what is slow or fails holds up nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import PODS
from kubeai.api.model import Model
from kubeai.controller.adapters import Adapters, Keeper
from kubeai.controller.engine_api import VLLM, EngineError
from kubeai.kube.exec import Finished
from kubeai.planning.adapters import Adapter
from tests.builders import model, pod
from tests.unit.controller.fake_cluster import FakeCluster

pytestmark = pytest.mark.looptime
A, B = Adapter("a", "hf://o/a"), Adapter("b", "hf://o/b")


def wants(*adapters: Adapter) -> Model:
    return model(adapters=[{"name": adapter.name, "url": adapter.url} for adapter in adapters])


def replica(name: str, *, ready: bool = True, restarts: int = 0, **labels: str) -> Pod:
    own = {f"adapter.kubeai.org/{adapter}": version for adapter, version in labels.items()}
    status = {"containerStatuses": [{"name": "server", "restartCount": restarts}], "podIP": f"pod-{name}"}
    return pod(name, ready=ready, status=status, metadata={"labels": own})


@dataclass
class Servers:
    """Servers with adapters in a dictionary; `mishap` may wait or raise before anything is done."""

    loaded: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    mishap: Callable[[str, str], None] = lambda what, base: None

    async def adapters(self, base: str) -> Mapping[str, str]:
        self._note("list", base)
        return dict(self.loaded.get(base, {}))

    async def load(self, base: str, name: str, path: str) -> None:
        self._note(f"load {name}", base)
        self.loaded.setdefault(base, {})[name] = path

    async def unload(self, base: str, name: str) -> None:
        self._note(f"unload {name}", base)
        self.loaded.get(base, {}).pop(name, None)

    def _note(self, what: str, base: str) -> None:
        self.asked.append((what, base))
        self.mishap(what, base)


def refusing(step: str) -> Callable[[str, str], None]:
    """A mishap of one step, whenever it is tried."""

    def mishap(what: str, base: str) -> None:
        if what == step:
            raise EngineError("no answer in 300 s")

    return mishap


@dataclass
class Shell:
    """Runs commands in containers: at once, or after `delays` by the url that is loaded."""

    ran: list[str] = field(default_factory=list)
    delays: dict[str, float] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    async def exec(self, name: str, command: Sequence[str], namespace: str, *, container: str) -> Finished:
        assert container == "loader"
        self.ran.append(f"{name}: {' '.join(command)}")
        await asyncio.sleep(self.delays.get(command[1], 0))
        if command[1] in self.broken:
            return Finished(1, b"", b"Traceback...\nerror: no such repository\n")
        return Finished(0, command[1].encode() + b"\n" if command[0] == "realpath" else b"")


@dataclass
class Stage:
    cluster: FakeCluster = field(default_factory=FakeCluster)
    servers: Servers = field(default_factory=Servers)
    shell: Shell = field(default_factory=Shell)
    changes: int = 0

    def changed(self) -> None:
        self.changes += 1

    @asynccontextmanager
    async def keeper(self, model: Model, *pods: Pod) -> AsyncIterator[Keeper]:
        client = self.cluster.client()
        client.exec = self.shell.exec  # type: ignore[method-assign,assignment]
        keeper = Keeper(client, self.servers, model, self.changed, override=False)
        self.show(keeper, model, *pods)
        task = asyncio.create_task(keeper.run())
        try:
            yield keeper
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def show(self, keeper: Keeper, model: Model, *pods: Pod) -> None:
        for shown in pods:
            metadata = {"name": shown.name, "uid": shown.uid, "labels": dict(shown.labels)}
            self.cluster.put(PODS, {"metadata": metadata})
        keeper.look(model, pods)

    def labels(self, name: str) -> dict[str, Any]:
        return dict(self.cluster.get(PODS, name)["metadata"]["labels"])


async def test_an_adapter_is_fetched_loaded_and_labelled() -> None:
    stage = Stage()
    async with stage.keeper(wants(A), replica("p")):
        await asyncio.sleep(0.1)
    assert stage.shell.ran == [f"p: load hf://o/a {A.directory}", f"p: realpath {A.directory}"]
    assert stage.servers.loaded == {"http://pod-p:8000": {"a": A.directory}}
    assert stage.labels("p") == {"adapter.kubeai.org/a": A.version}


async def test_a_slow_download_holds_up_no_other_adapter_and_no_other_pod() -> None:
    stage = Stage()
    stage.shell.delays = {A.url: 3600}
    async with stage.keeper(wants(A, B), replica("p"), replica("q")):
        await asyncio.sleep(1)
        for name in "pq":
            assert stage.labels(name) == {"adapter.kubeai.org/b": B.version}
        await asyncio.sleep(3600)
        assert stage.labels("p").keys() == {"adapter.kubeai.org/a", "adapter.kubeai.org/b"}
    assert len([line for line in stage.shell.ran if A.url in line]) == 2


async def test_a_server_that_does_not_answer_holds_up_no_other() -> None:
    stage = Stage()

    def mishap(what: str, base: str) -> None:
        if "pod-p" in base:
            raise EngineError("no answer in 10 s")

    stage.servers.mishap = mishap
    async with stage.keeper(wants(A), replica("p"), replica("q")) as keeper:
        await asyncio.sleep(1)
        assert stage.labels("q") == {"adapter.kubeai.org/a": A.version}
        assert [(t.pod, t.adapter, t.message) for t in keeper.troubles()] == [("p", "", "no answer in 10 s")]


async def test_what_fails_rests_longer_each_time_says_why_and_recovers() -> None:
    stage = Stage()
    stage.shell.broken = {A.url}
    async with stage.keeper(wants(A, B), replica("p")) as keeper:
        await asyncio.sleep(20)
        tries = len([line for line in stage.shell.ran if f"load {A.url}" in line])
        assert tries == 5  # after 0, 1, 3, 7 and 15 seconds
        (trouble,) = keeper.troubles()
        assert (trouble.pod, trouble.adapter) == ("p", "a")
        assert trouble.message == "load ended with exit code 1\nTraceback...\nerror: no such repository"
        assert stage.changes == 1
        stage.shell.broken.clear()
        await asyncio.sleep(20)
        assert keeper.troubles() == ()
        assert stage.changes == 2
        assert stage.labels("p").keys() == {"adapter.kubeai.org/a", "adapter.kubeai.org/b"}


async def test_a_corrected_url_is_tried_at_once() -> None:
    stage = Stage()
    stage.shell.broken = {"hf://o/typo"}
    async with stage.keeper(wants(Adapter("a", "hf://o/typo")), replica("p")) as keeper:
        await asyncio.sleep(200)
        keeper.look(wants(A), [replica("p")])
        await asyncio.sleep(0.1)
        assert stage.labels("p") == {"adapter.kubeai.org/a": A.version}
        assert keeper.troubles() == ()


async def test_a_download_of_what_nobody_wants_any_more_is_given_up() -> None:
    stage = Stage()
    stage.shell.delays = {"hf://o/large": 3600}
    async with stage.keeper(wants(Adapter("a", "hf://o/large")), replica("p")) as keeper:
        await asyncio.sleep(1)
        keeper.look(wants(A), [replica("p")])
        await asyncio.sleep(0.1)
        assert stage.labels("p") == {"adapter.kubeai.org/a": A.version}


# fault O5
@pytest.mark.parametrize(
    "shown",
    [
        pytest.param([replica("p", ready=False, restarts=1, a=A.version)], id="seen while it was not ready"),
        pytest.param([], id="too fast to be seen"),
    ],
)
async def test_a_server_that_was_started_again_gets_its_adapters_again(shown: list[Pod]) -> None:
    stage = Stage()
    async with stage.keeper(wants(A), replica("p")) as keeper:
        await asyncio.sleep(0.1)
        stage.servers.loaded.clear()
        for state in shown:
            stage.show(keeper, wants(A), state)
            await asyncio.sleep(0.1)
            assert stage.labels("p") == {}
        stage.show(keeper, wants(A), replica("p", restarts=1, a=A.version) if not shown else replica("p", restarts=1))
        await asyncio.sleep(0.1)
        assert stage.labels("p") == {"adapter.kubeai.org/a": A.version}
    assert stage.servers.loaded == {"http://pod-p:8000": {"a": A.directory}}
    assert len(stage.shell.ran) == 2, "the files are there"


# fault O5
async def test_an_adapter_that_the_server_has_lost_by_itself_is_noticed() -> None:
    stage = Stage()
    async with stage.keeper(wants(A), replica("p")):
        await asyncio.sleep(0.1)
        stage.servers.loaded.clear()
        await asyncio.sleep(31)
        assert stage.servers.loaded == {"http://pod-p:8000": {"a": A.directory}}


async def test_files_that_the_server_does_not_take_are_fetched_again() -> None:
    stage = Stage()
    refusals = ["404 No adapter found"]

    def mishap(what: str, base: str) -> None:
        if what == "load a" and refusals:
            raise EngineError(refusals.pop())

    stage.servers.mishap = mishap
    async with stage.keeper(wants(A), replica("p")):
        await asyncio.sleep(2)
        assert stage.labels("p") == {"adapter.kubeai.org/a": A.version}
    assert [line for line in stage.shell.ran if "load" in line] == [f"p: load hf://o/a {A.directory}"] * 2


async def test_files_of_an_adapter_that_went_are_removed_when_no_request_can_need_them() -> None:
    stage = Stage()
    async with stage.keeper(wants(A), replica("p")) as keeper:
        await asyncio.sleep(0.1)
        stage.show(keeper, wants(), replica("p", a=A.version))
        await asyncio.sleep(10)
        assert stage.labels("p") == {}
        assert stage.servers.loaded == {"http://pod-p:8000": {}}
        assert len(stage.shell.ran) == 2
        assert not keeper.idle, "the files are still to be removed"
        told = stage.changes
        await asyncio.sleep(600)
        assert stage.shell.ran[2:] == [f"p: rm -rf {A.directory}"]
        assert (keeper.idle, stage.changes) == (True, told + 1)


async def test_an_adapter_that_comes_back_while_its_files_are_removed_is_fetched_afterwards() -> None:
    stage = Stage()
    stage.shell.delays = {"-rf": 60}
    async with stage.keeper(wants(A), replica("p")) as keeper:
        await asyncio.sleep(0.1)
        stage.show(keeper, wants(), replica("p", a=A.version))
        await asyncio.sleep(620)
        stage.show(keeper, wants(A), replica("p"))
        await asyncio.sleep(1)
        assert stage.shell.ran[-1] == f"p: rm -rf {A.directory}"
        await asyncio.sleep(60)
        assert stage.labels("p") == {"adapter.kubeai.org/a": A.version}


async def test_an_adapter_that_is_still_loaded_keeps_its_keeper_at_work() -> None:
    stage = Stage()
    stage.servers.loaded = {"http://pod-p:8000": {"a": A.directory}}
    async with stage.keeper(wants(A), replica("p", a=A.version)) as keeper:
        await asyncio.sleep(0.1)
        stage.show(keeper, wants(), replica("p", a=A.version))
        await asyncio.sleep(0.1)
        stage.show(keeper, wants(), replica("p"))
        assert not keeper.idle
        await asyncio.sleep(10)
        assert stage.servers.loaded == {"http://pod-p:8000": {}}


async def test_files_of_a_download_that_was_given_up_are_removed() -> None:
    stage = Stage()
    large = Adapter("a", "hf://o/large")
    stage.shell.delays = {large.url: 3600}
    async with stage.keeper(wants(large), replica("p")) as keeper:
        await asyncio.sleep(1)
        keeper.look(wants(A), [replica("p")])
        await asyncio.sleep(610)
        assert f"p: rm -rf {large.directory}" in stage.shell.ran
        assert f"p: rm -rf {A.directory}" not in stage.shell.ran


async def test_files_that_were_fetched_and_never_loaded_are_removed() -> None:
    stage = Stage()
    stage.servers.mishap = refusing("load a")
    async with stage.keeper(wants(A, B), replica("p")) as keeper:
        await asyncio.sleep(10)
        keeper.look(wants(B), [replica("p")])
        await asyncio.sleep(610)
        assert [line for line in stage.shell.ran if "rm" in line] == [f"p: rm -rf {A.directory}"]


async def test_a_failure_is_forgotten_when_nothing_is_left_to_be_done() -> None:
    stage = Stage()
    stage.servers.mishap = refusing("unload a")
    async with stage.keeper(wants(A, B), replica("p")) as keeper:
        await asyncio.sleep(1)
        keeper.look(wants(B), [replica("p", a=A.version, b=B.version)])
        await asyncio.sleep(10)
        assert [trouble.adapter for trouble in keeper.troubles()] == ["a"]
        stage.servers.loaded["http://pod-p:8000"].pop("a")  # it was started anew, or did it in the end
        told = stage.changes
        await asyncio.sleep(60)
        assert (keeper.troubles(), stage.changes) == ((), told + 1)


async def test_files_that_cannot_be_removed_are_no_trouble_for_ever() -> None:
    stage = Stage()
    stage.shell.broken = {"-rf"}
    async with stage.keeper(wants(A, B), replica("p")) as keeper:
        await asyncio.sleep(1)
        stage.show(keeper, wants(B), replica("p", a=A.version, b=B.version))
        await asyncio.sleep(700)
        assert f"p: rm -rf {A.directory}" in stage.shell.ran
        assert keeper.troubles() == ()


async def test_an_adapter_that_is_wanted_again_is_not_thought_to_be_served_still() -> None:
    stage = Stage()
    unloaded: list[str] = []

    def mishap(what: str, base: str) -> None:
        if unloaded and what == "list":
            raise EngineError("no answer in 10 s")
        unloaded.extend(["a"] if what == "unload a" else [])

    stage.servers.mishap = mishap
    async with stage.keeper(wants(A), replica("p")) as keeper:
        await asyncio.sleep(1)
        stage.show(keeper, wants(), replica("p", a=A.version))
        await asyncio.sleep(2)
        assert (stage.labels("p"), unloaded) == ({}, ["a"])
        stage.show(keeper, wants(A), replica("p"))
        await asyncio.sleep(1)
        assert stage.labels("p") == {} or stage.servers.loaded["http://pod-p:8000"]


async def test_while_nothing_changes_only_servers_are_asked_and_nothing_is_written() -> None:
    # fault O6
    stage = Stage()
    stage.servers.loaded = {"http://pod-p:8000": {"a": A.directory}}
    async with stage.keeper(wants(A), replica("p", a=A.version)):
        await asyncio.sleep(95)
    assert stage.servers.asked == [("list", "http://pod-p:8000")] * 4
    assert stage.cluster.written() == []
    assert stage.shell.ran == []


async def test_a_pod_that_went_is_left_alone() -> None:
    stage = Stage()
    stage.shell.delays = {A.url: 60}
    async with stage.keeper(wants(A), replica("p")) as keeper:
        await asyncio.sleep(1)
        keeper.look(wants(A), [])
        await asyncio.sleep(100)
    assert stage.servers.loaded == {}
    assert stage.cluster.written() == []


async def test_who_no_longer_leads_does_nothing_any_more() -> None:
    """Not even what takes its time to end: another leader has begun."""
    stage = Stage()
    ended: list[str] = []

    async def exec(*_: Any, **__: Any) -> Finished:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)  # the connection to it is closed in order
            ended.append("exec")
        raise AssertionError

    stage.shell.exec = exec  # type: ignore[method-assign]
    async with stage.keeper(wants(A), replica("p")) as keeper:
        await asyncio.sleep(1)
        keeper.look(wants(A), [replica("q")])  # the other Pod is gone, and what was begun for it ends
        await asyncio.sleep(0.1)
    assert ended == ["exec", "exec"]


@pytest.mark.parametrize("gone", [False, True], ids=["of Models that are there", "of Models that are gone"])
async def test_steps_have_ended_when_another_may_lead(gone: bool) -> None:
    ended: list[str] = []

    async def exec(name: str, *_: object, **__: object) -> Finished:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            ended.append(name)
        raise AssertionError("nobody has cancelled it")

    client = FakeCluster().client()
    client.exec = exec  # type: ignore[method-assign]
    servers = VLLM()
    servers.adapters = Servers().adapters  # type: ignore[method-assign]
    adapters = Adapters(client, servers, lambda key: None, override=False)
    async with adapters.working():
        adapters.look(("default", "m"), wants(A), [replica("p")])
        await asyncio.sleep(0.1)
        if gone:
            adapters.forget(("default", "m"))
    assert ended == ["p"]
