"""LoRA adapters: what each replica's server has of them, and the next step towards what the Model wants.

The server's own list is the truth (fault O5); the Pod's label tells the gateways where requests for an adapter may go.
So the label comes last and goes first: it is there only while the server has that very adapter.

A changed url is a new version of the adapter, in a directory of its own. The new files are brought first, while the old
version serves. Then the replica leaves the routing for this adapter alone, one replica at a time, and the server
changes it; where there is but one replica, requests wait for that moment. (vLLM can also replace an adapter in place.
It then reads the files again for every batch, and dies when they are gone: see decision 022.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kubeai.api.k8s.names import random_suffix
from kubeai.api.k8s.objects import Pod
from kubeai.api.model import Model
from kubeai.planning.diagnosis import Diagnosis
from kubeai.planning.engines.registry import ENGINES
from kubeai.planning.engines.spec import AdapterLoading
from kubeai.planning.names import ADAPTER_LABEL_PREFIX, is_draining
from kubeai.planning.observed import AdapterTrouble
from kubeai.planning.reasons import Reason

DIRECTORY = "/adapters"
#: Between the label's going and the adapter's: gateways hear of it by their watches, and send no more.
LEAVE_S = 1.0


@dataclass(frozen=True, slots=True)
class Adapter:
    """One version of an adapter."""

    name: str
    url: str

    @property
    def version(self) -> str:
        """Stands for the url: in the Pod's label, and as the last part of the directory."""
        return random_suffix(hashlib.sha256(self.url.encode()).digest(), 10)

    @property
    def directory(self) -> str:
        return f"{DIRECTORY}/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Replica:
    """One Pod of the Model, as far as adapters are concerned."""

    name: str
    ready: bool = True
    #: adapter -> version, from the Pod's labels
    labels: Mapping[str, str] = field(default_factory=dict)
    #: adapter -> version (see `served_version`), from the server; None: it has not answered yet
    served: Mapping[str, str] | None = None
    #: versions whose files are there
    fetched: frozenset[Adapter] = frozenset()
    #: adapter -> when its label was taken off
    left_at: Mapping[str, float] = field(default_factory=dict)
    #: adapters that something is being done for, or that rest after a failure
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Mark:
    """Set the label of an adapter, or take it off."""

    name: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bring the files into the Pod."""

    adapter: Adapter

    @property
    def name(self) -> str:
        return self.adapter.name


@dataclass(frozen=True, slots=True)
class Load:
    """Let the server load the files."""

    adapter: Adapter

    @property
    def name(self) -> str:
        return self.adapter.name


@dataclass(frozen=True, slots=True)
class Unload:
    """Let the server forget the adapter."""

    name: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done for the adapter before this moment."""

    name: str
    until: float


Step = Mark | Fetch | Load | Unload | Wait


def wanted_adapters(model: Model) -> dict[str, Adapter]:
    """By name. None of a Model that is being deleted: its Pods go, and all that is in them."""
    return {} if model.terminating else {name: Adapter(name, url) for name, url in model.adapters.items()}


def loads_adapters(model: Model, pods: Iterable[Pod]) -> bool:
    """Whether there is anything to do while servers run: adapters that are wanted, or that Pods still have."""
    engine = ENGINES.get(model.spec.engine)
    while_running = engine is not None and engine.adapters is AdapterLoading.WHILE_RUNNING
    return while_running and bool(model.adapters or any(map(labelled_adapters, pods)))


def labelled_adapters(pod: Pod) -> dict[str, str]:
    """Adapter -> version, as the Pod's labels say."""
    prefix = ADAPTER_LABEL_PREFIX
    return {key.removeprefix(prefix): value for key, value in pod.labels.items() if key.startswith(prefix)}


def served_version(name: str, path: str) -> str:
    """Which version the server has loaded from `path`; empty if it is none of our directories."""
    *_, parent, last = ("", "", *path.rstrip("/").split("/"))
    return last if parent == name else ""


def plan_adapters(
    wanted: Mapping[str, Adapter], replicas: Sequence[Replica], now: float
) -> dict[str, tuple[Step, ...]]:
    """The next step for each adapter of each replica, by the replica's name. All of them may be taken at once."""
    plan: dict[str, tuple[Step, ...]] = {}
    #: Adapters that a replica does without, now or after this plan.
    missed = _missed(wanted, replicas)
    for replica in replicas:
        steps = tuple(_steps(replica, wanted, missed, alone=sum(r.ready for r in replicas) == 1, now=now))
        missed |= {step.name for step in steps if isinstance(step, Mark) and step.version is None}
        if steps:
            plan[replica.name] = steps
    return plan


def _missed(wanted: Mapping[str, Adapter], replicas: Sequence[Replica]) -> set[str]:
    return {name for name in wanted for replica in replicas if replica.ready and name not in replica.labels}


def _steps(
    replica: Replica, wanted: Mapping[str, Adapter], missed: set[str], *, alone: bool, now: float
) -> Iterator[Step]:
    if not replica.ready or replica.served is None:
        # Its server may have been started anew, with nothing in it. While it is not ready nobody misses the label.
        yield from (Mark(name, None) for name in replica.labels if not replica.ready and name not in replica.held)
        return
    for name in sorted(wanted.keys() | replica.labels.keys() | replica.served.keys()):
        if name in replica.held:
            continue
        may_leave = alone or name not in missed
        step = _towards(replica, wanted[name], may_leave, now) if name in wanted else _away(replica, name, now)
        if step is not None:
            yield step


def _towards(replica: Replica, adapter: Adapter, may_leave: bool, now: float) -> Step | None:
    assert replica.served is not None
    name = adapter.name
    label, served = replica.labels.get(name), replica.served.get(name)
    if served == adapter.version:
        return None if label == adapter.version else Mark(name, adapter.version)
    if served is None and label is not None:
        return Mark(name, None)
    if adapter not in replica.fetched:
        return Fetch(adapter)
    if served is None:
        return Load(adapter)
    if label is not None:
        return Mark(name, None) if may_leave else None
    return _unload(replica, name, now)


def _away(replica: Replica, name: str, now: float) -> Step | None:
    assert replica.served is not None
    if name in replica.labels:
        return Mark(name, None)
    # What the server was started with is the user's own.
    return _unload(replica, name, now) if replica.served.get(name) else None


def _unload(replica: Replica, name: str, now: float) -> Step:
    left_at = replica.left_at.get(name)
    if left_at is not None and now < left_at + LEAVE_S:
        return Wait(name, left_at + LEAVE_S)
    return Unload(name)


def judge_adapters(model: Model, pods: Iterable[Pod], troubles: Sequence[AdapterTrouble]) -> tuple[bool, Diagnosis]:
    """Whether all adapters of the Model are served by all replicas that are ready, and what to say about it."""
    wanted = wanted_adapters(model).values()
    ready = [pod for pod in pods if pod.ready and not is_draining(pod)]
    if troubles:
        return False, Diagnosis(Reason.ADAPTER_LOAD_FAILED, _in_words(troubles[0]))
    loaded = sum(labelled_adapters(pod).get(adapter.name) == adapter.version for pod in ready for adapter in wanted)
    if not ready:
        return False, Diagnosis(Reason.ADAPTERS_LOADING, "They are loaded as soon as a replica is ready.")
    what = f"{len(wanted)} on each of {len(ready)} replicas"
    if loaded == len(wanted) * len(ready):
        return True, Diagnosis(Reason.ADAPTERS_LOADED, f"All are loaded: {what}.")
    return False, Diagnosis(Reason.ADAPTERS_LOADING, f"{loaded} are loaded; wanted are {what}.")


def _in_words(trouble: AdapterTrouble) -> str:
    what = f"Adapter {trouble.adapter}" if trouble.adapter else "The list of adapters"
    return f"{what} on Pod {trouble.pod}: {trouble.message}"
