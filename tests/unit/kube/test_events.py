"""Events: one for each thing that is said, counted up when it is said again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from kubeai.api.k8s.resources import EVENTS, Resource
from kubeai.kube.errors import APIError
from kubeai.kube.events import EventRecorder

MODEL = {"apiVersion": "kubeai.org/v1", "kind": "Model", "name": "m", "namespace": "n", "uid": "u"}


class Store:
    """The part of a client that a recorder needs, over a dict."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.failure: APIError | None = None

    def _begin(self, resource: Resource, name: str, *, exists: bool) -> None:
        assert resource == EVENTS
        self.writes += 1
        if self.failure:
            raise self.failure
        if exists and name not in self.events:
            raise APIError(404, "NotFound", name)

    async def create(self, resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
        name = obj["metadata"]["name"]
        self._begin(resource, name, exists=False)
        if name in self.events:
            raise APIError(409, "AlreadyExists", name)
        self.events[name] = obj
        return obj

    async def get(self, resource: Resource, name: str, namespace: str) -> dict[str, Any]:
        self._begin(resource, name, exists=True)
        return self.events[name]

    async def patch(self, resource: Resource, name: str, patch: Mapping[str, Any], *, namespace: str) -> dict[str, Any]:
        self._begin(resource, name, exists=True)
        self.events[name] |= patch
        return self.events[name]

    def counts(self) -> dict[str, int]:
        return {event["message"]: event["count"] for event in self.events.values()}


def recorder(store: Store, instance: str = "pod-1") -> EventRecorder:
    return EventRecorder(store, "kubeai", instance, quiet_s=0, now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


async def test_an_event_says_who_did_what_to_whom_and_when() -> None:
    store = Store()
    await recorder(store).record(MODEL, "Warning", "Unschedulable", "no GPU is free", "Scheduling")
    [event] = store.events.values()
    assert event.pop("metadata") == {"name": event_name(store), "namespace": "n"}
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": MODEL,
        "type": "Warning",
        "reason": "Unschedulable",
        "message": "no GPU is free",
        "action": "Scheduling",
        "source": {"component": "kubeai", "host": "pod-1"},
        "reportingComponent": "kubeai",
        "reportingInstance": "pod-1",
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }


def event_name(store: Store) -> str:
    [name] = store.events
    assert name.startswith("m.")
    return name


async def test_what_is_said_again_is_counted() -> None:
    store = Store()
    events = recorder(store)
    for message in ("a", "b", "a", "a"):
        await events.record(MODEL, "Normal", "Scaled", message)
    assert store.counts() == {"a": 3, "b": 1}


async def test_a_restarted_process_goes_on_counting() -> None:
    store = Store()
    for instance in ("pod-1", "pod-2"):
        events = recorder(store, instance)
        for _ in range(2):
            await events.record(MODEL, "Normal", "Scaled", "a")
    assert store.counts() == {"a": 4}


async def test_an_event_that_expired_is_written_anew() -> None:
    store = Store()
    events = recorder(store)
    await events.record(MODEL, "Normal", "Scaled", "a")
    store.events.clear()
    await events.record(MODEL, "Normal", "Scaled", "a")
    assert store.counts() == {"a": 1}


@pytest.mark.looptime
async def test_quick_repetitions_are_written_together() -> None:
    store = Store()
    events = EventRecorder(store, "kubeai", "pod-1")
    for _ in range(100):
        await events.record(MODEL, "Normal", "Scaled", "a")
    assert (store.counts(), store.writes) == ({"a": 1}, 1)
    await asyncio.sleep(6)
    await events.record(MODEL, "Normal", "Scaled", "a")
    assert (store.counts(), store.writes) == ({"a": 101}, 2)


async def test_an_event_that_cannot_be_written_is_not_the_callers_trouble(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.failure = APIError(403, "Forbidden", "events are not for you")
    events = recorder(store)
    await events.record(MODEL, "Normal", "Scaled", "a")
    assert "events are not for you" in caplog.text
    store.failure = None
    await events.record(MODEL, "Normal", "Scaled", "a")
    assert store.counts() == {"a": 2}


async def test_a_long_message_is_cut_to_what_the_api_allows() -> None:
    store = Store()
    await recorder(store).record(MODEL, "Normal", "Scaled", "x" * 5000)
    assert [len(message) for message in store.counts()] == [1024]
