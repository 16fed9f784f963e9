"""The cache and its indexes under any order of writes; what it says has changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.kube.backoff import backoff_s
from kubeai.kube.cache import Cache, Change, Identity


def identity(name: str = "a", version: str = "1", uid: str = "u") -> Identity:
    return Identity("default", name, uid, version)


WRITES = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from(["x", "y", "xy", ""])), max_size=30)


@given(WRITES)
def test_indexes_show_what_is_there(writes: list[tuple[str, str | None]]) -> None:
    """An object is a text here, found by each of its letters; None removes it."""
    cache: Cache[str] = Cache({"letter": list})
    expected: dict[str, str] = {}
    for version, (name, obj) in enumerate(writes):
        if obj is None:
            cache.remove(("default", name))
            expected.pop(name, None)
        else:
            cache.put(identity(name, str(version)), obj)
            expected[name] = obj
    assert sorted(cache.all()) == sorted(expected.values())
    for letter in "xyz":
        found = sorted(cache.by_index("letter", letter))
        assert found == sorted(obj for obj in expected.values() if letter in obj)


@given(WRITES)
def test_changes_add_up_to_what_is_there(writes: list[tuple[str, str | None]]) -> None:
    cache: Cache[tuple[str, int]] = Cache()
    seen: list[tuple[str, int]] = []
    for version, (name, uid) in enumerate(writes):
        where = identity(name, str(version), uid or "")
        changes = cache.remove(where.key) if uid is None else cache.put(where, (name, version))
        for change in changes:
            if change.old is not None:
                seen.remove(change.old)
            if change.new is not None:
                seen.append(change.new)
    assert sorted(seen) == sorted(cache.all())


def test_the_same_state_is_no_change() -> None:
    cache: Cache[str] = Cache()
    assert cache.put(identity(), "first") == [Change(None, "first")]
    assert cache.put(identity(), "decoded again") == []
    assert cache.all() == ["first"]


def test_another_object_of_the_name_is_two_changes() -> None:
    cache: Cache[str] = Cache()
    cache.put(identity(uid="first"), "first")
    assert cache.put(identity(uid="second"), "second") == [Change("first", None), Change(None, "second")]


def test_an_indexer_that_fails_leaves_the_cache_as_it_was() -> None:
    cache: Cache[str] = Cache({"number": lambda text: [str(int(text))]})
    cache.put(identity(version="1"), "5")
    with pytest.raises(ValueError, match="invalid literal"):
        cache.put(identity(version="2"), "five")
    assert (cache.all(), cache.by_index("number", "5")) == (["5"], ["5"])


def test_waits_double_up_to_a_bound() -> None:
    assert [backoff_s(failures, 0.05, 0.5) for failures in (1, 2, 3, 4, 5, 10_000)] == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
