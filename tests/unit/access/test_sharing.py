"""Several processes of one gateway keep the limits of a key together."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from kubeai.access.credentials import Presented
from kubeai.access.gate import Gate
from kubeai.access.key import digest_of
from kubeai.access.limits import Limiter, Refusal
from kubeai.access.sharing import LOOK_S, SharedLimiter, Sharing
from kubeai.telemetry.pages import Memory
from kubeai.telemetry.registry import Metrics
from kubeai.telemetry.totals import strike_out

from .keys import FakeSecrets, key, secret


def processes(memory: Memory, **rules: Any) -> list[SharedLimiter]:
    """The limiter of the same key in each process."""
    found = [
        Sharing(Metrics(CollectorRegistry(), memory, number)).limiter(key(**rules))
        for number in range(len(memory.pages))
    ]
    limiters = [limiter for limiter in found if isinstance(limiter, SharedLimiter)]
    assert len(limiters) == len(found)
    return limiters


def test_what_runs_in_one_process_counts_in_the_others() -> None:
    one, other = processes(Memory(2), concurrency=1)
    assert one.admit(0) is None
    with one.running:
        assert other.admit(0) is not None
    assert other.admit(0) is None


def test_requests_a_minute_are_those_of_all() -> None:
    one, other, third = processes(Memory(3), requests_per_minute=4)
    admitted = [each.admit(0) is None for each in (one, other, one, third, other, one)]
    assert admitted == [True] * 4 + [False] * 2
    assert third.admit(15) is None


def test_tokens_that_one_process_charges_are_gone_for_all() -> None:
    one, other = processes(Memory(2), tokens_per_minute=60)
    one.charge(90, 0)
    refusal = other.admit(0)
    assert refusal is not None
    assert refusal.retry_after_s == 31
    assert other.admit(31) is None


def test_a_process_that_dies_holds_nothing() -> None:
    memory = Memory(2)
    one, other = processes(memory, concurrency=1)
    assert one.admit(0) is None
    one.running.__enter__()
    strike_out(memory, 0)
    assert other.admit(0) is None


def test_a_limiter_that_comes_later_is_not_charged_for_what_was() -> None:
    memory = Memory(2)
    one, _ = processes(memory, requests_per_minute=2)
    assert one.admit(0) is None
    later, _ = processes(memory, requests_per_minute=2)
    assert [later.admit(0), later.admit(0)] == [None, None]


@pytest.mark.parametrize("rules", [{"requests_per_minute": 60}, {"tokens_per_minute": 60}])
@pytest.mark.looptime
async def test_a_process_that_was_not_asked_for_long_knows_what_is_left(rules: dict[str, Any]) -> None:
    now = asyncio.get_running_loop().time
    memory = Memory(2)
    one, _ = processes(memory, **rules)
    sharing = Sharing(Metrics(CollectorRegistry(), memory, 1))
    idle = sharing.limiter(key(**rules))
    looking = asyncio.create_task(sharing.run())
    for _ in range(500):  # fifty a minute
        assert one.admit(now()) is None
        one.charge(1, now())
        await asyncio.sleep(1.2)
    assert [idle.admit(now()) for _ in range(40)] == [None] * 40
    looking.cancel()


@given(
    limit=st.integers(1, 100),
    arrivals=st.lists(st.tuples(st.integers(0, 2), st.floats(1, 10)), min_size=1, max_size=150),
)
def test_who_keeps_to_the_limit_is_never_held_up_longer_than_until_the_next_look(
    limit: int, arrivals: list[tuple[int, float]]
) -> None:
    limiters = processes(Memory(3), requests_per_minute=limit, tokens_per_minute=limit)
    now, looked = 0.0, 0.0
    for number, pause in arrivals:
        now += pause * 60 / limit
        while looked + LOOK_S < now:
            looked += LOOK_S
            for each in limiters:
                each.look(looked)
        refusal = limiters[number].admit(now)
        if refusal is None:
            limiters[number].charge(1, now)
        else:
            assert refusal.retry_after_s <= LOOK_S


def test_what_others_let_in_while_nobody_looked_leaves_no_debt() -> None:
    one, other = processes(Memory(2), requests_per_minute=60)
    for number in range(500):
        assert one.admit(number * 1.2) is None
    refusal = other.admit(600)
    assert refusal is not None
    assert refusal.retry_after_s == 1


@given(
    limit=st.integers(1, 50),
    arrivals=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 30)), min_size=1, max_size=150),
)
def test_all_together_never_let_more_in_than_was_saved_and_earned(
    limit: int, arrivals: list[tuple[int, float]]
) -> None:
    limiters = processes(Memory(3), requests_per_minute=limit)
    now, times = 0.0, []
    for number, pause in arrivals:
        now += pause
        if limiters[number].admit(now) is None:
            times.append(now)
    for first, start in enumerate(times):
        for count, end in enumerate(times[first:], start=1):
            assert count <= limit * (1 + (end - start) / 60) + 1e-3


def test_a_key_that_is_revoked_leaves_no_numbers_when_its_last_request_has_ended() -> None:
    memory = Memory(2)
    metrics = Metrics(CollectorRegistry(), memory, 0)
    secrets = FakeSecrets(key(concurrency=1), key("bob", concurrency=1))
    gate = Gate(secrets=secrets, limiter=Sharing(metrics).limiter)
    caller = gate.identify(Presented(digest_of(b"sk-alice")))
    caller.admit(0)
    with caller.running:
        secrets.put(secret(key("bob", concurrency=2)))
        assert numbers(metrics) == {"alice": 3, "bob": 3}
    caller.charge(1, 0)
    del caller
    assert numbers(metrics) == {"bob": 3}


def test_numbers_that_another_process_forgets_give_nothing_back() -> None:
    memory = Memory(2)
    one, other = processes(memory, requests_per_minute=2, tokens_per_minute=60)
    assert one.admit(0) is None
    one.charge(60, 0)
    other.look(0)
    del one
    assert other.admit(0) == Refusal("60 tokens a minute", 1)


def numbers(metrics: Metrics) -> Counter[str]:
    """How many series each key has."""
    return Counter(re.findall(r'^kubeai_key_\w+{key="(\w+)"}', metrics.render().decode(), re.MULTILINE))


@pytest.mark.parametrize(
    ("memory", "rules"),
    [
        pytest.param(Memory(1), {"concurrency": 1}, id="a process that is alone"),
        pytest.param(Memory(2), {}, id="a key without limits"),
    ],
)
def test_nothing_is_shared_without_need(memory: Memory, rules: dict[str, Any]) -> None:
    limiter = Sharing(Metrics(CollectorRegistry(), memory, 0)).limiter(key(**rules))
    assert isinstance(limiter, Limiter)
