"""Cells of the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, EVENTS, JOBS, MODELS, NODES, Resource
from kubeai.cli.applying import bounds_note
from kubeai.cli.columns import age, columns_of, event_order, event_time, header, row
from kubeai.cli.output import table

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=-5), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(minutes=119), "119m"),
        (timedelta(hours=2), "2h"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=2), "2d"),
    ],
)
def test_ages_are_short(ago: timedelta, text: str) -> None:
    assert age((NOW - ago).isoformat(), NOW) == text


def cells(resource: Resource, obj: dict[str, Any]) -> dict[str, str]:
    columns = columns_of(resource, wide=False)
    return dict(zip(header(columns), row(obj, columns, NOW), strict=True))


def test_absent_fields_are_a_dash() -> None:
    assert cells(CONFIG_MAPS, {"metadata": {"name": "c"}}) == {"NAME": "c", "AGE": "-"}


def test_a_model_that_goes_says_so() -> None:
    model = {"metadata": {"name": "m", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}
    assert cells(MODELS, model)["STATUS"] == "Terminating"


def test_events_of_old_and_new_clients_are_read() -> None:
    about = {"involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "R", "message": "a\nb"}
    old = about | {"lastTimestamp": "2026-01-01T00:00:00Z", "count": 3}
    new = about | {
        "eventTime": "2025-01-01T00:00:00Z",
        "series": {"count": 4, "lastObservedTime": "2026-01-01T00:00:00Z"},
    }
    for event, count in ((old, "3"), (new, "4")):
        assert list(cells(EVENTS, event).values()) == ["24h", "Normal", "R", "pod/p", count, "a b"]
    assert event_time({"metadata": {"creationTimestamp": "t"}}) == "t"


def test_events_of_one_second_keep_the_order_of_their_versions() -> None:
    second = {"lastTimestamp": "2026-01-01T00:00:00Z"}
    events = [second | {"metadata": {"resourceVersion": version}} for version in ("10", "9")]
    assert sorted(events, key=event_order) == list(reversed(events))


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({}, "Pending"),
        ({"active": 1}, "Running"),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, "Complete"),
        ({"conditions": [{"type": "Failed", "status": "True"}, {"type": "Complete", "status": "False"}]}, "Failed"),
    ],
)
def test_states_of_jobs(status: dict[str, Any], word: str) -> None:
    assert cells(JOBS, {"status": status})["STATUS"] == word


@pytest.mark.parametrize(("status", "word"), [("True", "Ready"), ("False", "NotReady"), ("Unknown", "Unknown")])
def test_states_of_nodes(status: str, word: str) -> None:
    assert cells(NODES, {"status": {"conditions": [{"type": "Ready", "status": status}]}})["STATUS"] == word


def test_tables_are_aligned_and_end_without_blanks() -> None:
    assert table(["A", "LONG"], [["wide", "x"], ["y", "z"]]) == "A      LONG\nwide   x\ny      z\n"


@pytest.mark.parametrize(
    ("spec", "replicas", "note"),
    [
        pytest.param({"minReplicas": 1}, 0, "note: minReplicas is 1, so there will be 1", id="below"),
        pytest.param({"maxReplicas": 2}, 3, "note: maxReplicas is 2, so there will be 2", id="above"),
        pytest.param({"minReplicas": 1, "maxReplicas": 2}, 2, None, id="within"),
        pytest.param({"maxReplicas": 2, "autoscalingDisabled": True}, 3, None, id="nobody else scales"),
    ],
)
def test_a_number_outside_the_bounds_is_noted(spec: dict[str, Any], replicas: int, note: str | None) -> None:
    assert bounds_note(spec, replicas) == note
