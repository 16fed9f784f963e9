from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.embedded.store import Event, Store, TooOldError

from .clusters import Disk, key, thing


def _store(history: int = 100) -> Store:
    return Store(Disk(), history=history)


def test_one_counter_numbers_all_changes() -> None:
    store = _store()
    versions = [store.put(key("a"), thing("a")).version, store.put(key("b", "pods"), thing("b")).version]
    versions.append(store.remove(key("a")).version)
    assert versions == [2, 3, 4]
    assert store.version == 4


def test_an_entry_carries_its_version_and_is_encoded_once() -> None:
    entry = _store().put(key(), thing())
    assert entry.metadata["resourceVersion"] == "2"
    assert entry.data is entry.data


def test_a_change_that_cannot_be_kept_did_not_happen() -> None:
    disk = Disk()
    store = Store(disk)
    store.put(key("a"), thing("a"))
    seen: list[Event] = []
    store.subscribe(seen.append)
    disk.full = True
    for name in "ab":
        with pytest.raises(OSError, match="no space"):
            store.put(key(name), thing(name))
    with pytest.raises(OSError, match="no space"):
        store.remove(key("a"))
    assert (store.version, seen, [e.key.name for e in store.entries("configmaps")]) == (2, [], ["a"])


def test_changes_are_told_in_their_order_with_the_state_before() -> None:
    store = _store()
    seen: list[Event] = []
    store.subscribe(seen.append)
    store.put(key(), thing())
    store.put(key(), thing())
    store.remove(key())
    assert [event.type for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event.before and event.before.version for event in seen] == [None, 2, 3]


def test_history_goes_on_from_any_version_that_it_holds() -> None:
    store = _store(history=3)
    for name in "abcde":
        store.put(key(name), thing(name))
    assert [event.entry.key.name for event in store.since(4)] == ["d", "e"]
    assert [event.entry.key.name for event in store.since(3)] == ["c", "d", "e"]
    assert store.since(6) == []


@pytest.mark.parametrize("version", [1, 2, 7])
def test_history_does_not_pretend(version: int) -> None:
    store = _store(history=3)
    for name in "abcde":
        store.put(key(name), thing(name))
    with pytest.raises(TooOldError):
        store.since(version)


def test_after_a_restart_history_begins_anew() -> None:
    disk = Disk()
    before = Store(disk)
    before.put(key("a"), thing("a"))
    before.put(key("b"), thing("b"))
    store = Store(Disk())
    store.restore(9, [change.entry for change in disk.kept])
    assert store.put(key("c"), thing("c")).version == 10
    with pytest.raises(TooOldError):
        store.since(3)
    assert [event.entry.key.name for event in store.since(9)] == ["c"]


def test_dependents_follow_the_owner_references() -> None:
    store = _store()
    store.put(key("a"), thing("a", ownerReferences=[{"uid": "x"}]))
    assert [entry.key.name for entry in store.dependents("x")] == ["a"]
    store.put(key("a"), thing("a", ownerReferences=[{"uid": "y"}]))
    assert (store.dependents("x"), [e.key.name for e in store.dependents("y")]) == ([], ["a"])
    store.remove(key("a"))
    assert store.dependents("y") == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_replaying_the_history_gives_the_present(changes: list[tuple[str, bool]]) -> None:
    store = _store(history=1000)
    for name, present in changes:
        if present:
            store.put(key(name), thing(name))
        elif store.get(key(name)):
            store.remove(key(name))
    replayed: dict[str, int] = {}
    for event in store.since(1):
        replayed.pop(event.entry.key.name, None)
        if event.type != "DELETED":
            replayed[event.entry.key.name] = event.version
    assert replayed == {entry.key.name: entry.version for entry in store}
