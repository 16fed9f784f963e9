"""PrefixHash against a plain walk round the ring, written as the specification says it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.model import PrefixHash as Settings
from kubeai.routing.endpoint import Endpoint, Member
from kubeai.routing.prefix_hash import PrefixHash
from kubeai.routing.strategy import Choice, Pool


def pool_of(*loads: int, first: int = 0) -> Pool:
    members = (Member(Endpoint(f"default/pod-{first + i}", "10.0.0.1", 8000), load) for i, load in enumerate(loads))
    return Pool(tuple(members), sum(loads))


def hashing(replication: int = 16, mean_load_factor: int = 125) -> PrefixHash:
    return PrefixHash(Settings(replication=replication, mean_load_factor=mean_load_factor))


def plain_walk(
    pool: Pool, suits: Callable[[Member], bool], key: str, replication: int, factor: int
) -> tuple[Member, int] | None:
    """The member and the number of ring points looked at; None when no suitable one is under the bound."""
    owners = {
        xxhash.xxh64(f"{member.endpoint.name}{i}".encode()).intdigest(): member
        for member in sorted(pool.members, key=lambda member: member.endpoint.name, reverse=True)
        for i in range(replication)
    }
    hashed = xxhash.xxh64(key.encode()).intdigest()
    ring = sorted(owners)
    walk = [point for point in ring if point >= hashed] + [point for point in ring if point < hashed]
    bound = max(1.0, (pool.in_flight + 1) / len(pool.members) * factor / 100)
    for steps, member in enumerate((owners[point] for point in walk), 1):
        if suits(member) and member.in_flight <= bound:
            return member, steps
    return None


@given(
    loads=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    suitable=st.integers(1, 2**40 - 1),
    key=st.text(min_size=1, max_size=12),
    factor=st.sampled_from([100, 125, 300]),
)
def test_finds_what_a_plain_walk_finds(loads: list[int], suitable: int, key: str, factor: int) -> None:
    pool = pool_of(*loads)
    candidates = tuple(m for i, m in enumerate(pool.members) if suitable >> i & 1) or pool.members
    choice = hashing(mean_load_factor=factor).pick(pool, candidates, key)
    expected = plain_walk(pool, lambda m: m in candidates, key, 16, factor)
    assert choice.lookup is not None
    if expected is not None:
        assert (choice.member, choice.lookup.iterations, choice.lookup.bounded) == (*expected, True)
    else:  # fault P13: the least loaded one that suits
        assert choice.member.in_flight == min(m.in_flight for m in candidates)
        assert not choice.lookup.bounded


# These placements must never change: after an upgrade the same prompts must find the same, warm replicas.
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("What is the capital of France?", "default/pod-0", id="a prompt"),
        pytest.param("a", "default/pod-1", id="one letter"),
        pytest.param("Grüße 你好", "default/pod-1", id="letters of several bytes"),
    ],
)
def test_the_default_ring_places_keys_where_it_always_did(key: str, expected: str) -> None:
    assert homes(PrefixHash(Settings()), pool_of(0, 0, 0), [key]) == [expected]


# fault P13
def test_at_low_load_a_busy_endpoint_keeps_its_prefix_with_hundreds_of_endpoints() -> None:
    strategy, pool = hashing(), pool_of(*[0] * 300)
    first = strategy.pick(pool, pool.members, "conversation").member
    first.in_flight, pool.in_flight = 1, 1
    assert strategy.pick(pool, pool.members, "conversation").member is first


def test_an_endpoint_over_the_bound_is_passed() -> None:
    strategy, pool = hashing(), pool_of(0, 0, 0)
    first = strategy.pick(pool, pool.members, "conversation").member
    first.in_flight, pool.in_flight = 2, 2
    assert strategy.pick(pool, pool.members, "conversation").member is not first


# fault P9
def test_requests_without_a_key_are_spread() -> None:
    strategy, pool = hashing(), pool_of(0, 0, 0)
    assert len({strategy.pick(pool, pool.members, "").member for _ in range(3)}) == 3


def homes(strategy: PrefixHash, pool: Pool, keys: Sequence[str]) -> list[str]:
    return [strategy.pick(pool, pool.members, key).member.endpoint.name for key in keys]


@given(count=st.integers(1, 30), changed=st.integers(0, 29), seed=st.integers(0, 1000))
def test_a_change_moves_only_the_share_of_who_came_or_went(count: int, changed: int, seed: int) -> None:
    keys = [f"{seed}-{i}" for i in range(60)]
    strategy, pool = hashing(), pool_of(*[0] * count)
    before = homes(strategy, pool, keys)
    gone = pool.members[changed % count]
    fewer = Pool(tuple(m for m in pool.members if m is not gone) or pool_of(0, first=99).members)
    without = homes(strategy, fewer, keys)
    moved = {old for old, new in zip(before, without, strict=True) if old != new}
    assert moved <= {gone.endpoint.name}
    assert homes(strategy, Pool(pool.members), keys) == before


def test_a_ring_that_grew_and_shrank_is_the_one_made_at_once() -> None:
    keys = [str(i) for i in range(200)]
    grown, pool = hashing(), pool_of(*[0] * 9)
    for part in (pool.members[:2], pool.members[:7], pool.members[4:], pool.members):
        homes(grown, Pool(part), keys[:1])
    assert homes(grown, pool, keys) == homes(hashing(), pool, keys)


def test_names_that_meet_on_the_ring_give_the_same_ring_in_any_order() -> None:
    keys = [str(i) for i in range(1000)]  # `pod-1` and 10 make the same point as `pod-11` and 0
    strategy, pool = hashing(replication=256), pool_of(0, 0, first=11)
    one = pool_of(0, first=1).members
    homes(strategy, pool, keys)
    joined = homes(strategy, Pool((*pool.members, *one)), keys)
    assert joined == homes(hashing(replication=256), Pool((*one, *pool.members)), keys)
    assert homes(strategy, pool, keys) == homes(hashing(replication=256), pool, keys)


def test_shares_are_about_even() -> None:
    pool = pool_of(*[0] * 8)
    found = homes(hashing(replication=256), pool, [str(i) for i in range(4000)])
    assert all(350 < found.count(member.endpoint.name) < 650 for member in pool.members)


# the bound itself, as the strategy promises it to those who size their replicas by it
@given(keys=st.lists(st.integers(0, 3), max_size=120), count=st.integers(1, 12), factor=st.sampled_from([100, 125]))
def test_no_endpoint_goes_over_the_bound(keys: list[int], count: int, factor: int) -> None:
    strategy, pool = hashing(mean_load_factor=factor), pool_of(*[0] * count)
    for key in keys:
        bound = max(1.0, (pool.in_flight + 1) / count * factor / 100)
        chosen: Choice = strategy.pick(pool, pool.members, str(key))
        assert chosen.member.in_flight <= bound
        chosen.member.in_flight += 1
        pool.in_flight += 1


def test_a_ring_setting_of_nothing_still_balances() -> None:
    pool = pool_of(0, 0)
    assert PrefixHash(Settings(replication=0)).pick(pool, pool.members, "x").member in pool.members
