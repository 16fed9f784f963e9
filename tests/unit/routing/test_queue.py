"""Whose turn it is among those who wait."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.routing.queue import FairQueue, Need, Turn


def queue(*items: str) -> FairQueue[str]:
    """Items such as "a1" (caller a), "a1!" (with priority) and "a1+lora" (for an adapter)."""
    made: FairQueue[str] = FairQueue()
    for item in items:
        push(made, item)
    return made


def push(made: FairQueue[str], item: str) -> None:
    name, _, need = item.partition("+")
    made.push(item, Turn(name[0], name.count("!")), need or None)


def order(made: FairQueue[str], *without: Need) -> str:
    served = []
    while (item := made.first(without)) is not None:
        made.serve(item)
        served.append(item)
    return " ".join(served)


ORDERS = {
    "one caller is served in the order of arrival": ("a1 a2 a3", "a1 a2 a3"),
    "callers take turns": ("a1 a2 a3 b1 b2", "a1 b1 a2 b2 a3"),
    "who asks least need not wait for who asks most": ("a1 a2 a3 a4 b1", "a1 b1 a2 a3 a4"),
    "a higher priority comes first": ("a1 a2 b1! a3!!", "a3!! b1! a1 a2"),
    "callers take turns within a priority": ("a1! a2! b1! c1", "a1! b1! a2! c1"),
    "a caller's turns are counted over all that he asks for": ("a1 a2+x b1 b2", "a1 b1 a2+x b2"),
}


@pytest.mark.parametrize(("items", "served"), ORDERS.values(), ids=ORDERS.keys())
def test_the_order(items: str, served: str) -> None:
    assert order(queue(*items.split())) == served


def test_what_cannot_be_met_is_passed_over_and_keeps_its_turn() -> None:
    made = queue("a1+x", "b1", "a2", "c1+y", "b2")
    assert order(made, "x", "y") == "b1 a2 b2"
    assert order(made, "y") == "a1+x"
    assert order(made) == "c1+y"
    assert len(made) == 0


def test_a_newcomer_has_no_claim_for_the_time_before() -> None:
    made = queue(*[f"a{n}" for n in range(10)])
    for _ in range(5):
        made.serve(made.first() or "")
    for n in range(3):
        push(made, f"b{n}")
    assert order(made) == "b0 a5 b1 a6 b2 a7 a8 a9"


def test_who_leaves_pays_for_nothing() -> None:
    made = queue("a1", "a2", "a3", "b1")
    made.discard("a1")
    made.discard("a2")
    made.discard("a2")
    assert order(made) == "a3 b1"


RIVALS = {
    "nobody is there": ("", "a", 0, None),
    "all are the same caller's": ("a1 a2 a3", "a", 0, None),
    "another caller has more": ("a1 a2 a3", "b", 0, "a3"),
    "the busiest is taken": ("a1 a2 b1 b2 b3 c1", "d", 0, "b3"),
    "nobody has more by two": ("a1 a2 b1 b2", "b", 0, None),
    "a lower priority makes room": ("a1! a2! b1", "a", 1, "b1"),
    "a higher priority does not": ("a1! a2! a3!", "b", 0, None),
}


@pytest.mark.parametrize(("items", "identity", "priority", "rival"), RIVALS.values(), ids=RIVALS.keys())
def test_who_makes_room_when_there_is_none(items: str, identity: str, priority: int, rival: str | None) -> None:
    assert queue(*items.split()).rival(Turn(identity, priority)) == rival


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from("abc"), st.integers(0, 2), st.sampled_from([None, "x", "y"])),
        st.tuples(st.just("serve"), st.sampled_from([(), ("x",), ("x", "y"), (None,)])),
        st.tuples(st.just("discard"), st.integers(0, 30)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_everybody_is_served_once_and_priorities_count(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    made: FairQueue[int] = FairQueue()
    waiting: dict[int, tuple[str, int, Need]] = {}
    for number, step in enumerate(steps):
        match step:
            case ("push", identity, priority, need):
                made.push(number, Turn(identity, priority), need)
                waiting[number] = (identity, priority, need)
            case ("serve", without):
                item = made.first(without)
                able = {n for n, (_, _, need) in waiting.items() if need not in without}
                assert (item is None) == (not able)
                if item is not None:
                    assert item in able
                    assert waiting[item][1] == max(waiting[n][1] for n in able)
                    assert item == min(n for n in able if waiting[n] == waiting[item])
                    made.serve(item)
                    del waiting[item]
            case ("discard", item):
                made.discard(item)
                waiting.pop(item, None)
        assert list(made) == list(waiting)
    assert len(order_of(made)) == len(waiting)
    assert not made._next


def order_of(made: FairQueue[int]) -> list[int]:
    served = []
    while (item := made.first()) is not None:
        made.serve(item)
        served.append(item)
    return served


@given(st.lists(st.sampled_from("aaaaaabc"), min_size=1, max_size=80))
def test_while_two_callers_wait_neither_gets_two_places_more(arrivals: list[str]) -> None:
    made: FairQueue[tuple[str, int]] = FairQueue()
    left = Counter(arrivals)
    for number, identity in enumerate(arrivals):
        made.push((identity, number), Turn(identity), None)
    had: Counter[str] = Counter()
    while (item := made.first()) is not None:
        made.serve(item)
        had[item[0]] += 1
        left[item[0]] -= 1
        waiting = [had[who] for who in "abc" if left[who]]
        assert not waiting or max(waiting) - min(waiting) <= 1
