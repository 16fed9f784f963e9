"""What tables show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kubeai.embedded.builtin import builtin_catalog
from kubeai.embedded.columns import age, human_duration
from kubeai.embedded.kinds import Column, Kind
from kubeai.embedded.podstate import summary
from kubeai.embedded.tables import TableView
from tests.builders import NOW

MINUTE, HOUR, DAY = 60, 3600, 86400
CREATED = (NOW - timedelta(minutes=3, seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (2 * MINUTE, "2m"),
        (3 * MINUTE + 20, "3m20s"),
        (11 * MINUTE, "11m"),
        (3 * HOUR, "3h"),
        (4 * HOUR + 12 * MINUTE, "4h12m"),
        (20 * HOUR, "20h"),
        (2 * DAY + 3 * HOUR, "2d3h"),
        (40 * DAY, "40d"),
        (2 * 365 * DAY, "2y"),
        (3 * 365 * DAY + 5 * DAY, "3y5d"),
        (9 * 365 * DAY, "9y"),
    ],
)
def test_durations_as_people_say_them(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_an_unknown_age_is_said_so() -> None:
    assert (age(None, NOW), age(CREATED, NOW)) == ("<unknown>", "3m20s")


def _pod(*states: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **status: Any) -> dict[str, Any]:
    def statuses(group: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
        return [{"state": state, "restartCount": 1} for state in group]

    status |= {"containerStatuses": statuses(states), "initContainerStatuses": statuses(init)}
    containers = [{"name": str(index)} for index in range(max(len(states), 1))]
    spec = {"containers": containers, "initContainers": [{"name": "i"} for _ in init]}
    return {"metadata": {"name": "p", "creationTimestamp": CREATED}, "spec": spec, "status": status}


WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}
RUNNING: dict[str, Any] = {"running": {}}
COMPLETED = {"terminated": {"exitCode": 0, "reason": "Completed"}}
READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("pod", "word"),
    [
        pytest.param(_pod(phase="Pending"), "Pending", id="nothing is known yet"),
        pytest.param(_pod(RUNNING, phase="Running"), "Running", id="it runs"),
        pytest.param(_pod(WAITING, phase="Running"), "CrashLoopBackOff", id="a container waits"),
        pytest.param(_pod({"terminated": {"exitCode": 3}}, phase="Failed"), "ExitCode:3", id="it ended without a word"),
        pytest.param(_pod({"terminated": {"signal": 9}}, phase="Failed"), "Signal:9", id="it was killed"),
        pytest.param(_pod(COMPLETED, phase="Succeeded"), "Completed", id="it is done"),
        pytest.param(
            _pod(COMPLETED, RUNNING, phase="Running", conditions=READY), "Running", id="one is done, one runs"
        ),
        pytest.param(_pod(COMPLETED, RUNNING, phase="Running"), "NotReady", id="one is done, one is not ready"),
        pytest.param(_pod(phase="Failed", reason="Evicted"), "Evicted", id="the Pod has a reason"),
        pytest.param(_pod(init=(RUNNING,), phase="Pending"), "Init:0/1", id="an init container runs"),
        pytest.param(_pod(init=(COMPLETED, WAITING)), "Init:CrashLoopBackOff", id="the second init container waits"),
        pytest.param(_pod(init=({"terminated": {"exitCode": 1}},)), "Init:ExitCode:1", id="an init container failed"),
        pytest.param(
            _pod(init=({"waiting": {"reason": "PodInitializing"}},)), "Init:0/1", id="an init container will start"
        ),
        pytest.param(_pod(RUNNING, init=(COMPLETED,), phase="Running"), "Running", id="init containers are through"),
    ],
)
def test_a_pod_in_one_word(pod: dict[str, Any], word: str) -> None:
    assert summary(pod) == word


def test_a_pod_that_goes_says_so() -> None:
    pod = _pod(RUNNING, phase="Running")
    pod["metadata"]["deletionTimestamp"] = CREATED
    assert summary(pod) == "Terminating"


def _row(plural: str, obj: dict[str, Any], group: str = "", version: str = "v1") -> list[Any]:
    kind = builtin_catalog().find(group, version, plural)
    assert kind is not None
    view = TableView(kind)
    cells: list[Any] = view.row(obj, "None", NOW)["cells"]
    assert len(cells) == len(view.definitions)
    return cells


def _named(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "n", "creationTimestamp": CREATED}} | fields


POD_SPEC = {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:2"}]}
JOB_SPEC = {"completions": 2, "parallelism": 1, "template": {"spec": POD_SPEC}}


@pytest.mark.parametrize(
    ("plural", "obj", "cells"),
    [
        ("configmaps", _named(data={"a": "1"}, binaryData={"b": ""}), ["n", 2, "3m20s"]),
        ("secrets", _named(type="Opaque", data={"a": ""}), ["n", "Opaque", 1, "3m20s"]),
        ("namespaces", _named(status={"phase": "Active"}), ["n", "Active", "3m20s"]),
        ("serviceaccounts", _named(), ["n", 0, "3m20s"]),
        (
            "services",
            _named(spec={"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 80, "protocol": "TCP"}]}),
            ["n", "ClusterIP", "None", "<none>", "80/TCP", "3m20s", "<none>"],
        ),
        (
            "persistentvolumeclaims",
            _named(
                spec={"volumeName": "v", "volumeMode": "Filesystem"},
                status={"phase": "Bound", "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}},
            ),
            ["n", "Bound", "v", "1Gi", "RWX", "", "3m20s", "Filesystem"],
        ),
        (
            "nodes",
            _named(
                spec={"unschedulable": True},
                status={
                    "conditions": READY,
                    "nodeInfo": {"kubeletVersion": "v1", "osImage": "os", "kernelVersion": "k"},
                    "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                },
            ),
            ["n", "Ready,SchedulingDisabled", "<none>", "3m20s", "v1", "127.0.0.1", "os", "k", "<unknown>"],
        ),
        (
            "events",
            _named(
                type="Warning",
                reason="R",
                message="m\n",
                involvedObject={"kind": "Model", "name": "x"},
                source={"component": "c"},
            ),
            ["3m20s", "Warning", "R", "model/x", "m", "c", "3m20s", 1, "n"],
        ),
    ],
)
def test_rows_of_built_in_kinds(plural: str, obj: dict[str, Any], cells: list[Any]) -> None:
    assert _row(plural, obj) == cells


@pytest.mark.parametrize(
    ("status", "state", "took"),
    [
        ({"startTime": CREATED}, "Running", "3m20s"),
        (
            {"startTime": CREATED, "completionTime": CREATED, "conditions": [{"type": "Complete", "status": "True"}]},
            "Complete",
            "0s",
        ),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, "Suspended", "<none>"),
        ({"conditions": [{"type": "Failed", "status": "True"}]}, "Failed", "<none>"),
    ],
)
def test_rows_of_jobs(status: dict[str, Any], state: str, took: str) -> None:
    row = _row("jobs", _named(spec=JOB_SPEC, status=status | {"succeeded": 1}), "batch")
    assert row == ["n", state, "1/2", took, "3m20s", "a,b", "i:1,i:2"]


def test_rows_by_path() -> None:
    columns = (
        Column("Features", ".spec.features"),
        Column("Ready", ".status.ready", "integer"),
        Column("Since", ".metadata.creationTimestamp", "date"),
        Column("Missing", ".spec.none"),
        Column("Names", ".spec.items[*].n"),
        Column("Wrong", ".spec.features", "integer"),
    )
    core = builtin_catalog().find("", "v1", "configmaps")
    assert core is not None
    view = TableView(Kind(core.resource, {}, custom=True, columns=columns))
    spec = {"features": ["A", "B"], "items": [{"n": "x"}, {"n": "y"}]}
    row = view.row(_named(spec=spec, status={"ready": 2}), "Metadata", NOW)
    assert row["cells"] == ["n", '["A","B"]', 2, "3m20s", None, "x,y", None]
    assert row["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize("when", ["soon", "2026-01-02T03:04:05", 7])
def test_a_time_that_is_none_is_said_to_be_invalid(when: Any) -> None:
    assert age(when, NOW) == "<invalid>"
