"""A group: who can be chosen, and counts that survive any change of the endpoints."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.model import LoadBalancing, PrefixHash, Strategy
from kubeai.routing.endpoint import EndpointLoad, Member
from kubeai.routing.group import STRATEGIES, Group
from tests.builders import endpoint

LEAST_LOAD = LoadBalancing()
PREFIX_HASH = LoadBalancing(strategy="PrefixHash", prefix_hash=PrefixHash(replication=8))


def group_of(*names: str, settings: LoadBalancing = LEAST_LOAD) -> Group:
    group = Group()
    group.configure([endpoint(name) for name in names], settings)
    return group


def take(group: Group, adapter: str | None = None, prefix: str = "", tried: tuple[str, ...] = ()) -> Member:
    choice = group.acquire(adapter, prefix, tried)
    assert choice is not None
    return choice.member


def test_an_empty_group_has_nothing_to_choose() -> None:
    assert Group().acquire(None, "", ()) is None


def test_the_api_and_the_registry_know_the_same_strategies() -> None:
    assert set(STRATEGIES) == set(get_args(Strategy))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_endpoints_with_the_adapter_take_its_requests(strategy: str) -> None:
    settings = LoadBalancing.model_validate({"strategy": strategy})
    group = Group()
    group.configure([endpoint("plain"), endpoint("tuned", "lora"), endpoint("other", "else")], settings)
    assert {take(group, "lora", f"prompt {i}").endpoint.name for i in range(10)} == {"tuned"}
    assert group.acquire("unknown", "", ()) is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_tried_endpoints_are_avoided_while_there_is_another(strategy: str) -> None:
    group = group_of("a", "b", settings=LoadBalancing.model_validate({"strategy": strategy}))
    assert {take(group, prefix=str(i), tried=("a",)).endpoint.name for i in range(8)} == {"b"}
    assert take(group, tried=("a", "b")).endpoint.name in {"a", "b"}


def test_an_adapter_that_is_loaded_later_is_found() -> None:
    group = group_of("a")
    assert not group.has_endpoint("lora")
    group.configure([endpoint("a", "lora")], LEAST_LOAD)
    assert take(group, "lora").endpoint.adapters == {"lora"}


def test_a_new_strategy_takes_effect_at_once() -> None:
    group = group_of("a", "b", "c")
    group.configure([endpoint(name) for name in "abc"], PREFIX_HASH)
    choice = group.acquire(None, "prompt", ())
    assert choice is not None
    assert choice.lookup is not None


def test_new_parameters_take_effect_at_once() -> None:
    endpoints = [endpoint(name) for name in "abc"]
    group = Group()
    group.configure(endpoints, PREFIX_HASH)
    home = take(group, prefix="prompt")
    assert take(group, prefix="prompt") is home
    assert take(group, prefix="prompt") is not home  # two in flight are over 125 % of the mean
    generous = LoadBalancing(strategy="PrefixHash", prefix_hash=PrefixHash(replication=8, mean_load_factor=900))
    group.configure(endpoints, generous)
    assert take(group, prefix="prompt") is home


# fault P2
def test_an_endpoint_that_leaves_gets_nothing_new_and_is_forgotten_after_its_last_request() -> None:
    group = group_of("a", "b")
    leaving = take(group, tried=("b",))
    group.configure([endpoint("b")], LEAST_LOAD)
    assert {take(group).endpoint.name for _ in range(4)} == {"b"}
    assert group.loads["a"] == 1
    group.release(leaving)
    assert set(group.loads) == {"b"}


def test_an_endpoint_that_returns_finds_its_running_requests_counted() -> None:
    group = group_of("a", "b")
    running = take(group, tried=("b",))
    group.configure([endpoint("b")], LEAST_LOAD)
    group.configure([endpoint("a", "lora"), endpoint("b")], LEAST_LOAD)
    assert EndpointLoad(endpoint("a", "lora"), 1) in group.present
    group.release(running)
    assert group.in_flight == 0


#: What can happen to a group: a new set of endpoints, a request of some prefix that begins, or one that ends.
Event = frozenset[str] | str | int
events = st.lists(
    st.one_of(st.frozensets(st.sampled_from("abcde")), st.sampled_from(["", "x", "y"]), st.integers(0, 20)),
    max_size=60,
)


# fault P12
@given(events=events, settings=st.sampled_from([LEAST_LOAD, PREFIX_HASH]))
def test_counts_are_those_of_the_requests_that_run(events: list[Event], settings: LoadBalancing) -> None:
    group = group_of("a", settings=settings)
    running: list[Member] = []
    for event in events:
        if isinstance(event, frozenset):
            group.configure([endpoint(name, "lora") for name in sorted(event)], settings)
        elif isinstance(event, str):
            choice = group.acquire("lora", event, ())
            running += [choice.member] if choice else []
        elif running:
            group.release(running.pop(event % len(running)))
        assert {name: in_flight for name, in_flight in group.loads.items() if in_flight} == {
            member.endpoint.name: sum(m is member for m in running) for member in running
        }
    for member in running:
        group.release(member)
    assert group.in_flight == 0
    assert group.loads == {load.endpoint.name: load.in_flight for load in group.present}
