"""The planner in a hostile world: Pods that change on their own, a cache that lags, creates that fail.

The world below is a cluster in miniature, with gateways that send requests to every Pod that is ready and not marked.
The controller in it sees an old snapshot of it, and acts only when the snapshot shows its own earlier writes, as the
real one does with expectations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kubeai.api.k8s.objects import Pod
from kubeai.api.model import Model
from kubeai.planning.actions import Create, Delete, Drain, Plan
from kubeai.planning.draining import Loads
from kubeai.planning.names import DRAINING_ANNOTATION
from kubeai.planning.observed import Observed
from kubeai.planning.plan import plan_model
from kubeai.planning.pods.build import build_pod, hash_of
from tests.builders import NOW, model, pod, system


@dataclass(frozen=True)
class Fact:
    """A Pod as it truly is."""

    uid: str
    hash: str
    born: datetime
    scheduled: bool = False
    ready: bool = False
    failed: bool = False
    terminating: bool = False
    draining: datetime | None = None
    requests: int = 0

    @property
    def live(self) -> bool:
        """A replica, as those count who want one."""
        return not self.failed and not self.terminating and not self.draining


Snapshot = dict[str, Fact]
DRAIN_S = 30


@cache
def wanted(revision: int, replicas: int) -> Model:
    return model(image=f"server:{revision}", replicas=replicas, features=[])


@cache
def wanted_hash(revision: int) -> str:
    return hash_of(build_pod(wanted(revision, 0), system()))


def alike(fact: Fact, seen: Fact) -> bool:
    """Whether the API server has the Pod in the version that was seen; requests are not its business."""
    return replace(fact, requests=0) == replace(seen, requests=0)


#: What may happen: kind and a number that says to which Pod, or how much.
EVENTS = st.tuples(
    st.sampled_from(
        [
            "schedule",
            "ready",
            "unready",
            "fail",
            "gone",
            "delete",
            "request",
            "answer",
            "scale",
            "edit",
            "calm",
            "time",
            "nothing",
        ]
    ),
    st.integers(0, 12),
)
#: Then the controller looks, this many changes behind the truth, and these of its creates fail.
LOOKS = st.tuples(st.integers(0, 3), st.sets(st.integers(0, 4), max_size=2))


class World:
    def __init__(self, replicas: int, surge: int | None) -> None:
        self.now = NOW
        self.replicas, self.revision, self.surge = replicas, 0, surge
        rollout: dict[str, Any] = {"strategy": "Recreate"} if surge is None else {"surge": surge}
        self.system = system(modelRollouts=rollout | {"drainTimeout": f"{DRAIN_S}s"})
        self.history: list[Snapshot] = [{}]
        self.seen = 0
        self.made = 0
        self.unseen_creates: set[str] = set()
        self.unseen_deletes: set[str] = set()
        #: uid -> whether its mark must be seen, or be seen no more
        self.unseen_marks: dict[str, bool] = {}
        self.keep: set[str] | None = None

    # The world.

    @property
    def truth(self) -> Snapshot:
        return self.history[-1]

    def change(self, name: str, fact: Fact | None) -> None:
        after = {key: value for key, value in self.truth.items() if key != name}
        self.history.append(after if fact is None else after | {name: fact})

    def happen(self, kind: str, number: int) -> None:
        match kind:
            case "scale":
                self.replicas = number % 5
            case "edit":
                self.revision = number % 3
            case "time":
                self.now += timedelta(seconds=number)
            case "calm":
                self.calm()
            case _ if self.truth:
                name = sorted(self.truth)[number % len(self.truth)]
                self.pod_changes(name, self.truth[name], kind)

    def pod_changes(self, name: str, fact: Fact, kind: str) -> None:
        match kind:
            case "gone" if fact.terminating:
                self.change(name, None)
            case "delete":
                self.change(name, replace(fact, terminating=True))
            case "fail":
                self.change(name, replace(fact, failed=True, ready=False))
            case "schedule":
                self.change(name, replace(fact, scheduled=True))
            case "request" if fact.ready and fact.live:
                self.change(name, replace(fact, requests=fact.requests + 1))
            case "answer" if fact.requests:
                self.change(name, replace(fact, requests=fact.requests - 1))
            case "ready" | "unready" if not fact.failed:
                self.change(name, replace(fact, scheduled=True, ready=kind == "ready"))

    def calm(self) -> None:
        """Every Pod that can becomes ready, every one that goes is gone, every request is answered."""
        for name, fact in list(self.truth.items()):
            if fact.requests:
                self.change(name, replace(fact, requests=0))
                fact = self.truth[name]
            if fact.terminating:
                self.change(name, None)
            elif not fact.failed and not fact.ready:
                self.change(name, replace(fact, scheduled=True, ready=True))

    # The controller.

    def reconcile(self, lag: int, failing: set[int]) -> None:
        self.seen = max(self.seen, len(self.history) - 1 - lag)
        snapshot = self.history[self.seen]
        uids = {fact.uid: fact for fact in snapshot.values()}
        # What came and went between two looks was seen too: the cache hears of every change.
        self.unseen_creates -= {fact.uid for past in self.history[: self.seen + 1] for fact in past.values()}
        self.unseen_deletes = {uid for uid in self.unseen_deletes if uid in uids and not uids[uid].terminating}
        self.unseen_marks = {
            uid: marked
            for uid, marked in self.unseen_marks.items()
            if uid in uids and not uids[uid].terminating and bool(uids[uid].draining) != marked
        }
        if self.unseen_creates or self.unseen_deletes or self.unseen_marks:
            return
        pods = tuple(self.as_pod(name, fact) for name, fact in snapshot.items())
        observed = Observed(wanted(self.revision, self.replicas), pods, loads=self.loads())
        plan = plan_model(observed, self.system, self.now)
        self.check(plan, snapshot)
        self.execute(plan, failing, snapshot)

    def loads(self) -> Loads:
        """As the gateways say now: they know the Pods as they are, not as the controller sees them."""
        named = {
            f"default/{name}": fact.requests
            for name, fact in self.truth.items()
            if fact.requests or (fact.ready and fact.live)
        }
        return Loads(named, complete=True)

    def execute(self, plan: Plan, failing: set[int], snapshot: Snapshot) -> None:
        for index, action in enumerate(plan.actions):
            if isinstance(action, Delete | Drain):
                fact = self.truth.get(action.name)
                if isinstance(action, Drain) and fact and not alike(fact, snapshot[action.name]):
                    return  # refused: somebody has changed the Pod, and all that follows waits for the next look
                if fact and fact.uid == action.uid:
                    self.let_go(action, fact)
            elif isinstance(action, Create):
                if index in failing:
                    return
                if action.name not in self.truth:
                    self.create(action)

    def let_go(self, action: Delete | Drain, fact: Fact) -> None:
        if isinstance(action, Drain):
            if action.since:
                assert action.uid not in (self.keep or ()), "a Pod that was just created is to go"
            self.change(action.name, replace(fact, draining=action.since))
            self.unseen_marks[action.uid] = action.since is not None
            return
        assert action.uid not in (self.keep or ()), "a Pod that was just created is deleted"
        late = fact.draining and self.now - fact.draining >= timedelta(seconds=DRAIN_S)
        assert fact.failed or late or not fact.requests, "requests are cut"
        self.change(action.name, replace(fact, terminating=True))
        self.unseen_deletes.add(action.uid)

    def create(self, action: Create) -> None:
        self.made += 1
        uid = f"uid-{self.made}"
        self.change(action.name, Fact(uid, hash_of(action.object), self.now))
        self.unseen_creates.add(uid)
        if self.keep is not None:
            self.keep.add(uid)

    def as_pod(self, name: str, fact: Fact) -> Pod:
        metadata: dict[str, Any] = {"uid": fact.uid, "creationTimestamp": fact.born.isoformat()}
        if fact.draining:
            metadata["annotations"] = {DRAINING_ANNOTATION: fact.draining.isoformat()}
        if fact.terminating:
            metadata["deletionTimestamp"] = NOW.isoformat()
        return pod(
            name,
            of=wanted(0, 0),
            hash=fact.hash,
            ready=fact.ready,
            node="node" if fact.scheduled else None,
            status={"phase": "Failed"} if fact.failed else None,
            metadata=metadata,
        )

    # What must hold.

    def check(self, plan: Plan, snapshot: Snapshot) -> None:
        deleted = [
            action.uid
            for action in plan.actions
            if isinstance(action, Delete) or (isinstance(action, Drain) and action.since)
        ]
        kept = [action.uid for action in plan.actions if isinstance(action, Drain) and not action.since]
        assert len(deleted) == len(set(deleted)), "one Pod is listed twice for deletion"
        going = {fact.uid for fact in snapshot.values() if fact.terminating}
        assert not going & set(deleted), "a Pod that goes already is deleted"
        creates = [action for action in plan.actions if isinstance(action, Create)]
        live = [fact for fact in snapshot.values() if fact.live or fact.uid in kept]
        left = [fact for fact in live if fact.uid not in deleted]
        gap = self.replicas if self.surge is None else 0 if self.surge else 1
        assert sum(f.ready for f in left) >= min(sum(f.ready for f in live), self.replicas - gap), (
            "more ready Pods go than the strategy allows"
        )
        if creates:
            hash = wanted_hash(self.revision)
            occupied = [f for f in snapshot.values() if f.draining and not f.terminating and f.hash != hash]
            occupied = [f for f in occupied if f.uid not in deleted]
            assert len(left) + len(occupied) + len(creates) <= self.replicas + (self.surge or 0)
            assert self.surge is not None or all(f.hash == hash for f in snapshot.values()), "revisions are mixed"
            assert sum(fact.hash == hash for fact in left) + len(creates) <= self.replicas
            assert not [fact for fact in live if fact.uid in deleted and fact.hash == hash], "created while deleting"


@settings(max_examples=300, deadline=None)
@given(
    replicas=st.integers(0, 4),
    # None: strategy Recreate
    surge=st.one_of(st.none(), st.integers(0, 2)),
    steps=st.lists(st.tuples(EVENTS, LOOKS), max_size=40),
)
def test_the_planner_keeps_its_promises_and_comes_to_rest(
    replicas: int, surge: int | None, steps: list[tuple[tuple[str, int], tuple[int, set[int]]]]
) -> None:
    # faults O2, O3 and P3
    world = World(replicas, surge)
    for (kind, number), (lag, failing) in steps:
        world.happen(kind, number)
        world.reconcile(lag, failing)
    comes_to_rest(world)
    assert len(world.truth) == world.replicas
    hash = wanted_hash(world.revision)
    assert all(fact.ready and fact.hash == hash for fact in world.truth.values())


def comes_to_rest(world: World) -> None:
    """When the world is calm, the controller gets where it should, and nothing that it makes then goes again."""
    world.calm()
    world.reconcile(0, set())
    world.keep = set()
    for _ in range(40):
        world.calm()
        changes = len(world.history)
        world.reconcile(0, set())
        world.now += timedelta(seconds=11)
        if len(world.history) == changes and not any(fact.failed for fact in world.truth.values()):
            return
    raise AssertionError("it never comes to rest")
