from __future__ import annotations

import asyncio

import msgspec
import pytest

from kubeai.api.k8s.selectors import LabelSelector
from kubeai.embedded.selection import Selection
from kubeai.embedded.store import Entry, Store
from kubeai.embedded.watching import Ticker, Watcher, Watchers

from .clusters import Disk, key, thing


def _data(entry: Entry) -> bytes:
    return entry.data


async def _sent(watcher: Watcher) -> list[tuple[str, str]]:
    """All that a watch sends until it ends: type, and version or reason."""
    data = b"".join([chunk async for chunk in watcher.chunks()])
    events = [msgspec.json.decode(line) for line in data.splitlines()]
    return [(e["type"], e["object"].get("reason") or e["object"]["metadata"]["resourceVersion"]) for e in events]


async def test_nothing_is_missed_and_nothing_told_twice_between_past_and_present() -> None:
    store = Store(Disk())
    watchers = Watchers(store)
    store.put(key(), thing())
    store.put(key(), thing())
    watcher = Watcher(Selection(), _data)
    watchers.open("configmaps", watcher, since=2)
    store.put(key(), thing())
    store.put(key(resource="pods"), thing())
    watcher.end()
    assert await _sent(watcher) == [("MODIFIED", "3"), ("MODIFIED", "4")]


async def test_a_closed_watch_hears_nothing_more() -> None:
    store = Store(Disk())
    watchers = Watchers(store)
    watcher = Watcher(Selection(), _data)
    watchers.open("configmaps", watcher, since=None)
    watchers.close("configmaps", watcher)
    store.put(key(), thing())
    watcher.end()
    assert await _sent(watcher) == []


async def test_who_does_not_keep_up_is_cut_off() -> None:
    store = Store(Disk())
    watchers = Watchers(store)
    watcher = Watcher(Selection(), lambda entry: b'{"metadata":{"resourceVersion":"1"}}')
    watchers.open("configmaps", watcher, since=None)
    for _ in range(20_001):
        store.put(key(), thing())
    assert await _sent(watcher) == [("ERROR", "Expired")]


async def test_a_watch_that_cannot_be_told_of_a_change_ends_and_no_other_misses_it() -> None:
    def broken(entry: Entry) -> bytes:
        raise ValueError("no table can show it")

    store = Store(Disk())
    watchers = Watchers(store)
    odd, others = Watcher(Selection(), broken), [Watcher(Selection(), _data) for _ in range(8)]
    for watcher in (*others[:4], odd, *others[4:]):
        watchers.open("configmaps", watcher, since=None)
    store.put(key(), thing())
    for watcher in others:
        watcher.end()
    assert [await _sent(watcher) for watcher in others] == [[("ADDED", "2")]] * len(others)
    assert await _sent(odd) == [("ERROR", "InternalError")]


async def test_only_what_is_selected_is_told() -> None:
    store = Store(Disk())
    watchers = Watchers(store)
    watcher = Watcher(Selection("here", LabelSelector.parse("on=yes")), _data)
    watchers.open("configmaps", watcher, since=None)
    store.put(key("a", namespace="here"), thing("a", namespace="here", labels={"on": "yes"}))
    store.put(key("b", namespace="here"), thing("b", namespace="here"))
    store.put(key("c", namespace="there"), thing("c", namespace="there", labels={"on": "yes"}))
    store.remove(key("b", namespace="here"))
    store.remove(key("a", namespace="here"))
    watcher.end()
    assert await _sent(watcher) == [("ADDED", "2"), ("DELETED", "6")]


@pytest.mark.looptime
async def test_a_ticker_ticks_until_it_is_stopped() -> None:
    ticks: list[float] = []
    loop = asyncio.get_running_loop()
    ticker = Ticker(60.0, lambda: ticks.append(loop.time()))
    await asyncio.sleep(150)
    ticker.stop()
    await asyncio.sleep(150)
    assert ticks == [60.0, 120.0]
