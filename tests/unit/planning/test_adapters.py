"""Adapters: from what a server has and what the Pod's labels say to the next step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeai.api.k8s.objects import Pod
from kubeai.api.model import Model
from kubeai.planning.adapters import (
    LEAVE_S,
    Adapter,
    Fetch,
    Load,
    Mark,
    Replica,
    Step,
    Unload,
    Wait,
    judge_adapters,
    plan_adapters,
    served_version,
    wanted_adapters,
)
from kubeai.planning.names import ADAPTER_LABEL_PREFIX
from kubeai.planning.observed import AdapterTrouble
from tests.builders import model, pod

OLD, NEW = Adapter("a", "hf://o/old"), Adapter("a", "hf://o/new")
V_OLD, V_NEW = OLD.version, NEW.version
NOW = 100.0


def replica(name: str = "p", **fields: Any) -> Replica:
    return Replica(name, **{"served": {}} | fields)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(replica(), [Fetch(NEW)], id="nothing is there: the files first"),
        pytest.param(replica(fetched=frozenset({NEW})), [Load(NEW)], id="then the server"),
        pytest.param(replica(served={"a": V_NEW}), [Mark("a", V_NEW)], id="then the label"),
        pytest.param(replica(served={"a": V_NEW}, labels={"a": V_NEW}), [], id="and then nothing"),
        pytest.param(replica(served=None), [], id="a server that has not answered is left alone"),
        pytest.param(replica(served=None, labels={"a": V_NEW}), [], id="and keeps its labels"),
        pytest.param(replica(held=frozenset({"a"})), [], id="what is under way is not begun again"),
        pytest.param(replica(served={"a": V_NEW}, labels={"a": "?"}), [Mark("a", V_NEW)], id="a wrong label"),
        # fault O5
        pytest.param(replica(labels={"a": V_NEW}), [Mark("a", None)], id="a server that has lost it loses the label"),
        pytest.param(
            replica(ready=False, labels={"a": V_NEW, "b": "x"}),
            [Mark("a", None), Mark("b", None)],
            id="one that is not ready loses all",
        ),
        pytest.param(
            replica(served={"a": V_OLD}, labels={"a": V_OLD}), [Fetch(NEW)], id="a changed url: the new files first"
        ),
        pytest.param(
            replica(served={"a": V_OLD}, labels={"a": V_OLD}, fetched=frozenset({NEW})),
            [Mark("a", None)],
            id="then it leaves the routing",
        ),
        pytest.param(
            replica(served={"a": V_OLD}, fetched=frozenset({NEW}), left_at={"a": NOW - 0.4}),
            [Wait("a", NOW - 0.4 + LEAVE_S)],
            id="then gateways get the time to hear of it",
        ),
        pytest.param(
            replica(served={"a": V_OLD}, fetched=frozenset({NEW}), left_at={"a": NOW - LEAVE_S}),
            [Unload("a")],
            id="then the server forgets the old one",
        ),
        pytest.param(
            replica(served={"a": ""}, labels={"a": "other"}, fetched=frozenset({NEW})),
            [Mark("a", None)],
            id="one that an earlier operator loaded is changed, too",
        ),
    ],
)
def test_an_adapter_gets_there_step_by_step(found: Replica, expected: list[Step]) -> None:
    assert plan_adapters({"a": NEW}, [found], NOW).get("p", ()) == tuple(expected)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(replica(served={"a": V_OLD}, labels={"a": V_OLD}), [Mark("a", None)], id="the label goes first"),
        pytest.param(replica(served={"a": V_OLD}, left_at={"a": NOW}), [Wait("a", NOW + LEAVE_S)], id="then a moment"),
        pytest.param(replica(served={"a": V_OLD}), [Unload("a")], id="then the adapter"),
        pytest.param(replica(labels={"a": V_OLD}), [Mark("a", None)], id="the server forgot it already"),
        pytest.param(replica(served={"a": ""}), [], id="what the server was started with stays"),
    ],
)
def test_an_adapter_that_nobody_wants_goes(found: Replica, expected: list[Step]) -> None:
    assert plan_adapters({}, [found], NOW).get("p", ()) == tuple(expected)


def old(name: str, **fields: Any) -> Replica:
    """A replica that serves the old version, and has the new one's files."""
    return replica(name, **{"served": {"a": V_OLD}, "labels": {"a": V_OLD}, "fetched": frozenset({NEW})} | fields)


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [
        pytest.param([old("p"), old("q")], {"p": (Mark("a", None),)}, id="one of two"),
        pytest.param(
            [old("p"), old("q", labels={}, left_at={"a": NOW})],
            {"q": (Wait("a", NOW + LEAVE_S),)},
            id="and the other once it is back",
        ),
        pytest.param(
            [old("p"), replica("q", served={"a": V_NEW}, labels={"a": V_NEW})], {"p": (Mark("a", None),)}, id="then it"
        ),
        pytest.param(
            [old("p"), replica("q", ready=False, served=None)],
            {"p": (Mark("a", None),)},
            id="not ready is no part",
        ),
        pytest.param(
            [old("p", fetched=frozenset()), old("q", fetched=frozenset())],
            {"p": (Fetch(NEW),), "q": (Fetch(NEW),)},
            id="files are brought to all at once",
        ),
    ],
)
def test_replicas_change_an_adapter_one_after_the_other(
    replicas: list[Replica], expected: dict[str, tuple[Step, ...]]
) -> None:
    assert plan_adapters({"a": NEW}, replicas, NOW) == expected


class Cluster:
    """Carries plans out, in an order that somebody else chooses."""

    def __init__(self, count: int) -> None:
        serving = {"served": {"a": V_OLD}, "labels": {"a": V_OLD}}
        self.replicas = {name: replica(name, **serving) for name in "pqrs"[:count]}
        self.now = NOW

    def take(self, name: str, step: Step) -> None:
        found = self.replicas[name]
        labels, served = dict(found.labels), dict(found.served or {})
        left_at, fetched = dict(found.left_at), set(found.fetched)
        match step:
            case Mark(adapter, None):
                labels.pop(adapter, None)
                left_at[adapter] = self.now
            case Mark(adapter, version):
                assert served[adapter] == version
                labels[adapter] = str(version)
            case Fetch(version):
                fetched.add(version)
            case Load(version):
                assert version.name not in served
                assert version in fetched
                served[version.name] = version.version
            case Unload(adapter):
                assert adapter not in labels
                assert self.now >= left_at[adapter] + LEAVE_S
                del served[adapter]
            case Wait(_, until):
                self.now = max(self.now, until)
        self.replicas[name] = replace(found, labels=labels, served=served, left_at=left_at, fetched=frozenset(fetched))

    def steps(self) -> list[tuple[str, Step]]:
        plan = plan_adapters({"a": NEW}, list(self.replicas.values()), self.now)
        return [(name, step) for name, steps in plan.items() for step in steps]


@settings(max_examples=200, deadline=None)
@given(count=st.integers(1, 4), choices=st.lists(st.integers(0, 20), max_size=60))
def test_a_change_comes_to_all_and_never_leaves_two_without(count: int, choices: list[int]) -> None:
    cluster = Cluster(count)
    for choice in [*choices, *range(60)]:
        steps = cluster.steps()
        if not steps:
            break
        cluster.take(*steps[choice % len(steps)])
        assert sum("a" in found.labels for found in cluster.replicas.values()) >= count - 1
    assert cluster.steps() == []
    assert all(found.labels == {"a": V_NEW} == found.served for found in cluster.replicas.values())


@pytest.mark.parametrize(
    ("path", "version"),
    [
        pytest.param("/adapters/a/v1", "v1", id="ours"),
        pytest.param("/home/u/pods/x/volumes/adapters/a/v1/", "v1", id="ours on one machine"),
        pytest.param("/adapters/a", "", id="an earlier operator's"),
        pytest.param("org/name", "", id="of a hub"),
        pytest.param("", "", id="unknown"),
    ],
)
def test_a_path_tells_the_version(path: str, version: str) -> None:
    assert served_version("a", path) == version


def test_a_version_stands_for_its_url_for_ever() -> None:
    """Changing it would load all adapters anew at the next upgrade."""
    assert (OLD.version, OLD.directory) == ("svtvbbnnxh", "/adapters/a/svtvbbnnxh")


def test_a_model_that_goes_wants_no_adapters() -> None:
    going = model(adapters=[{"name": "a", "url": OLD.url}], metadata={"deletionTimestamp": "2026-01-02T03:04:05Z"})
    assert wanted_adapters(going) == {}


def having(name: str, **adapters: str) -> Pod:
    labels = {ADAPTER_LABEL_PREFIX + adapter: version for adapter, version in adapters.items()}
    return pod(name, metadata={"labels": labels})


TWO: Model = model(adapters=[{"name": "a", "url": OLD.url}, {"name": "b", "url": "hf://o/b"}])
V_B = Adapter("b", "hf://o/b").version


@pytest.mark.parametrize(
    ("pods", "troubles", "expected"),
    [
        pytest.param([], [], (False, "AdaptersLoading", "as soon as a replica is ready"), id="no replica"),
        pytest.param([having("p")], [], (False, "AdaptersLoading", "0 are loaded; wanted are 2"), id="none yet"),
        pytest.param(
            [having("p", a=V_OLD, b=V_B), having("q", a=V_NEW, b=V_B)],
            [],
            (False, "AdaptersLoading", "3 are loaded; wanted are 2 on each of 2 replicas."),
            id="one is of another version",
        ),
        pytest.param(
            [having("p", a=V_OLD, b=V_B)], [], (True, "AdaptersLoaded", "2 on each of 1 replicas"), id="all of them"
        ),
        pytest.param(
            [having("p", a=V_OLD, b=V_B)],
            [AdapterTrouble("q", "a", "no such repository")],
            (False, "AdapterLoadFailed", "Adapter a on Pod q: no such repository"),
            id="one that fails",
        ),
        pytest.param(
            [],
            [AdapterTrouble("q", "", "no answer")],
            (False, "AdapterLoadFailed", "The list of adapters"),
            id="no list",
        ),
    ],
)
def test_what_is_said_of_them(pods: list[Pod], troubles: list[AdapterTrouble], expected: tuple[bool, str, str]) -> None:
    loaded, found = judge_adapters(TWO, pods, troubles)
    assert (loaded, found.reason.value) == expected[:2]
    assert expected[2] in found.message
