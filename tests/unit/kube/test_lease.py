"""Leader election in virtual time: candidates with clocks and connections of their own over one Lease."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeai.config.system import LeaderElection as Settings
from kubeai.kube.errors import APIError
from kubeai.kube.lease import LeaderElection

from .lease_server import Fault, LeaseServer, Line

pytestmark = pytest.mark.looptime

#: Given in a zone of its own: what is written must be UTC all the same.
START = datetime(2026, 1, 2, 5, 4, 5, 678, tzinfo=timezone(timedelta(hours=2)))
#: 15 s, 10 s and 2 s.
SETTINGS = Settings()


@dataclass
class Office:
    """Who works, and whether it was ever more than one at a time."""

    present: list[str] = field(default_factory=list)
    #: Who began to work, one after another, and when (loop time) the last did.
    leaders: list[str] = field(default_factory=list)
    begun_at: float = 0
    crowded: bool = False

    async def work(self, name: str, leaving_s: float = 0) -> None:
        self.leaders.append(name)
        self.begun_at = asyncio.get_running_loop().time()
        self.crowded |= bool(self.present)
        self.present.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(leaving_s)
            self.present.remove(name)


@dataclass
class Candidate:
    name: str
    line: Line
    election: LeaderElection
    task: asyncio.Task[None]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


@dataclass
class World:
    server: LeaseServer = field(default_factory=LeaseServer)
    office: Office = field(default_factory=Office)

    def candidate(self, name: str, *, skew_s: float = 0, leaving_s: float = 0, fault: Fault = "") -> Candidate:
        loop = asyncio.get_running_loop()
        line = Line(self.server, fault)
        election = LeaderElection(
            line, "leader", name, SETTINGS, now=lambda: START + timedelta(seconds=skew_s + loop.time())
        )
        task = asyncio.create_task(election.run(lambda: self.office.work(name, leaving_s)))
        return Candidate(name, line, election, task)

    async def leader_and_follower(self, skew_s: float = 0) -> tuple[Candidate, Candidate]:
        leader = self.candidate("a")
        await asyncio.sleep(1)
        follower = self.candidate("b", skew_s=skew_s)
        await asyncio.sleep(30)
        assert self.office.present == ["a"]
        return leader, follower


async def test_the_first_leads_and_signs_in_utc() -> None:
    world = World()
    world.candidate("a")
    await asyncio.sleep(1)
    assert world.office.present == ["a"]
    signed_at = "2026-01-02T03:04:05.010678Z"  # one way there, to see that there is no lease yet
    assert world.server.spec == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": signed_at,
        "renewTime": signed_at,
        "leaseTransitions": 0,
    }


async def test_a_leader_renews_with_one_request_a_period() -> None:
    world = World()
    leader = world.candidate("a")
    await asyncio.sleep(60)
    assert 28 <= leader.line.writes <= 31
    assert world.server.spec["leaseTransitions"] == 0
    assert world.office.leaders == ["a"]


@pytest.mark.parametrize("skew_s", [0, -86_400, 86_400], ids=["same clock", "a day behind", "a day ahead"])
async def test_nobody_takes_a_lease_that_is_renewed(skew_s: float) -> None:
    world = World()
    await world.leader_and_follower(skew_s)
    await asyncio.sleep(300)
    assert world.office.leaders == ["a"]


@pytest.mark.parametrize("skew_s", [0, -86_400, 86_400], ids=["same clock", "a day behind", "a day ahead"])
async def test_a_leader_that_dies_is_followed_when_its_lease_is_over(skew_s: float) -> None:
    world = World()
    leader, _ = await world.leader_and_follower(skew_s)
    died_at = asyncio.get_running_loop().time()
    leader.line.fault = "deaf"  # a process that is gone releases nothing
    await leader.stop()
    await asyncio.sleep(20)
    assert world.office.leaders == ["a", "b"]
    assert 15 - SETTINGS.retry_period_s <= world.office.begun_at - died_at <= 15 + SETTINGS.retry_period_s
    assert world.server.spec["leaseTransitions"] == 1


async def test_a_clean_stop_ends_the_work_first_and_frees_the_lease() -> None:
    world = World()
    leader = world.candidate("a", leaving_s=30)
    await asyncio.sleep(1)
    world.candidate("b")
    stopped_at = asyncio.get_running_loop().time()
    leader.task.cancel()
    await asyncio.sleep(29)
    assert world.office.present == ["a"]  # it is still leaving, and its lease is renewed meanwhile
    await asyncio.wait({leader.task})
    assert leader.task.cancelled()
    await asyncio.sleep(SETTINGS.retry_period_s)
    assert (world.office.leaders, world.office.crowded) == (["a", "b"], False)
    assert world.office.begun_at - stopped_at <= 30 + SETTINGS.retry_period_s + 0.1
    assert world.server.holders[-2:] == ["", "b"]


@pytest.mark.parametrize("fault", ["deaf", "mute", "stuck", "refused"])
async def test_work_is_cancelled_at_the_renew_deadline(fault: Fault) -> None:
    world = World()
    leader, _ = await world.leader_and_follower()
    leader.line.fault = fault
    await asyncio.sleep(SETTINGS.renew_deadline_s + 0.1)
    assert "a" not in world.office.present
    assert not leader.election.leading
    await asyncio.sleep(60)
    assert not world.office.crowded
    leader.line.fault = ""


async def test_a_late_answer_does_not_make_the_lease_last_longer() -> None:
    world = World()
    leader, _ = await world.leader_and_follower()
    leader.line.fault = "late"
    await asyncio.sleep(SETTINGS.retry_period_s + 1)
    leader.line.fault = "deaf"  # the renewal was sent at most 3 s ago, and is answered in some 4 s
    await asyncio.sleep(SETTINGS.renew_deadline_s)
    assert "a" not in world.office.present


async def test_a_short_fault_costs_nobody_the_lead() -> None:
    world = World()
    leader, _ = await world.leader_and_follower()
    for fault in ("deaf", "mute", "refused"):
        leader.line.fault = fault
        await asyncio.sleep(6)
        leader.line.fault = ""
        await asyncio.sleep(6)
    assert world.office.leaders == ["a"]


async def test_a_leader_that_lost_the_lease_competes_again() -> None:
    world = World()
    leader, follower = await world.leader_and_follower()
    leader.line.fault = "deaf"
    await asyncio.sleep(30)
    assert (world.office.present, follower.election.leading) == (["b"], True)
    leader.line.fault = ""
    await asyncio.sleep(30)
    assert leader.election.holder == "b"
    await follower.stop()
    await asyncio.sleep(5)
    assert world.office.present == ["a"]
    assert world.office.leaders == ["a", "b", "a"]


async def test_a_lease_that_another_took_ends_the_work_at_the_next_renewal() -> None:
    world = World()
    leader = world.candidate("a")
    await asyncio.sleep(1)
    stolen = world.server.read()
    stolen["spec"] |= {"holderIdentity": "thief"}
    world.server.write(stolen, new=False)
    await asyncio.sleep(SETTINGS.retry_period_s + 0.1)
    assert (world.office.present, leader.election.holder) == ([], "thief")


async def test_a_change_by_somebody_else_is_no_loss() -> None:
    world = World()
    world.candidate("a")
    for _ in range(20):
        await asyncio.sleep(1)
        world.server.touch()
    assert world.office.leaders == ["a"]
    assert world.server.read()["metadata"]["annotations"] == {"touched": "yes"}


async def test_a_deleted_lease_is_made_again() -> None:
    world = World()
    world.candidate("a")
    await asyncio.sleep(1)
    world.server.lease = None
    await asyncio.sleep(5)
    assert (world.office.leaders, world.server.spec["holderIdentity"]) == (["a"], "a")


async def test_the_holder_decides_how_long_its_lease_lasts() -> None:
    world = World()
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 60, "renewTime": "2020-01-01T00:00:00.000000Z"}
    world.server.write({"metadata": {"name": "leader"}, "spec": spec | {"preferredHolder": "x"}}, new=True)
    world.candidate("a")
    await asyncio.sleep(59)
    assert world.office.present == []
    await asyncio.sleep(3)
    assert world.office.present == ["a"]
    assert world.server.spec["preferredHolder"] == "x"  # fields that we do not know stay


async def test_two_that_begin_together_agree() -> None:
    world = World()
    candidates = [world.candidate(name) for name in "abc"]
    await asyncio.sleep(10)
    assert [c.election.leading for c in candidates].count(True) == 1
    assert len({c.election.holder for c in candidates}) == 1


async def test_an_end_of_the_work_ends_the_election_and_frees_the_lease() -> None:
    world = World()
    await LeaderElection(Line(world.server), "leader", "a", SETTINGS).run(lambda: asyncio.sleep(3))
    assert world.server.spec["holderIdentity"] == ""


async def test_a_failure_of_the_work_is_the_callers() -> None:
    world = World()

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await LeaderElection(Line(world.server), "leader", "a", SETTINGS).run(fail)
    assert world.server.spec["holderIdentity"] == ""


async def test_work_that_outlives_its_lease_is_told(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    leader = world.candidate("a", leaving_s=60)
    await asyncio.sleep(1)
    leader.line.fault = "deaf"
    await asyncio.sleep(20)
    assert "goes on although the lease is over" in caplog.text


async def test_a_missing_namespace_is_tried_again_and_not_at_once() -> None:
    world = World()
    line = Line(world.server)
    looks = 0

    async def create(*_: object) -> dict[str, object]:
        nonlocal looks
        looks += 1
        raise APIError(404, "NotFound", 'namespaces "default" not found')

    line.create = create  # type: ignore[method-assign]
    task = asyncio.create_task(LeaderElection(line, "leader", "a", SETTINGS).run(lambda: asyncio.sleep(1)))
    await asyncio.sleep(10)
    assert looks == 5
    task.cancel()
    await asyncio.wait({task})


faults = st.tuples(
    st.sampled_from("abc"), st.sampled_from(["deaf", "mute", "stuck", "slow", "late", "refused"]), st.integers(1, 25)
)


@pytest.mark.looptime(False)
@settings(max_examples=25, deadline=None)
@given(plan=st.lists(st.tuples(st.integers(0, 10), faults), max_size=12), skews=st.tuples(*[st.integers(-99, 99)] * 3))
def test_whatever_breaks_there_is_never_more_than_one_leader(
    plan: list[tuple[int, tuple[str, Fault, int]]], skews: tuple[int, int, int]
) -> None:
    async def live() -> None:
        world = World()
        candidates = {
            name: world.candidate(name, skew_s=skew, leaving_s=3) for name, skew in zip("abc", skews, strict=True)
        }
        for pause_s, (name, fault, lasting_s) in plan:
            await asyncio.sleep(pause_s)
            line = candidates[name].line
            line.fault = fault
            asyncio.get_running_loop().call_later(lasting_s, setattr, line, "fault", "")
        await asyncio.sleep(25 + 45)
        assert len(world.office.present) == 1
        assert not world.office.crowded
        for candidate in candidates.values():
            await candidate.stop()

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0)) as runner:
        runner.run(live())
