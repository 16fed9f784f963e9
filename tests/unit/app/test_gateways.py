"""Where the metrics of all gateways are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from kubeai.api.k8s.objects import Pod
from kubeai.app.wiring import Views
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from tests.builders import system

RUNS = {"name": "kubeai", "restartCount": 0, "state": {"running": {}}}
PULLS = {"name": "kubeai", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}
CRASHED = {"name": "kubeai", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}


def gateway(
    name: str,
    ip: str | None,
    *,
    namespace: str = "kubeai",
    ready: bool = True,
    name_label: str = "kubeai",
    component: str = "manager",
    containers: Sequence[Any] = (RUNS,),
) -> bytes:
    status = {
        "podIP": ip,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": containers,
    }
    labels = {"app.kubernetes.io/name": name_label, "app.kubernetes.io/component": component}
    metadata = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1", "labels": labels}
    return msgspec.json.encode({"metadata": metadata, "status": status})


PODS = (
    gateway("one", "10.0.0.1"),
    gateway("six", "fd00::6"),
    gateway("starts", None, ready=False),
    gateway("leaves", "10.0.0.2", ready=False),
    gateway("never-ran", "10.0.0.7", ready=False, containers=[PULLS]),
    gateway("crashed", "10.0.0.8", ready=False, containers=[CRASHED]),
    gateway("half", "10.0.0.9", ready=False, containers=[RUNS, PULLS]),
    gateway("unknown", "10.0.0.10", ready=False, containers=[]),
    gateway("model", "10.0.0.3", name_label="vllm"),
    gateway("decides", "10.0.0.4", component="operator"),
    gateway("another-release", "10.0.0.5", namespace="team"),
)
#: Those that may have requests to finish.
LEAVING = ["10.0.0.1:8080", "[fd00::6]:8080", "10.0.0.2:8080", "10.0.0.9:8080", "10.0.0.10:8080"]


class Known:
    """In place of the informer: what it knows."""

    def by_index(self, index: str, key: str) -> list[Pod]:
        """The index is named by the label that it is made from."""
        pods = [msgspec.json.decode(pod, type=Pod) for pod in PODS]
        return [pod for pod in pods if pod.labels.get(index) == key]


def views(**sections: Any) -> tuple[Views, Any]:
    config = system(watchNamespaces=["team"], **sections)
    access = replace(ClusterAccess("http://127.0.0.1:1"), namespace="kubeai")
    found = Views(Client(access), config)
    found.pods = Known()  # type: ignore[assignment]
    return found, config


@pytest.mark.parametrize(
    ("sections", "leaving", "expected"),
    [
        pytest.param({}, False, ["10.0.0.1:8080", "[fd00::6]:8080"], id="ready Pods of KubeAI in its own namespace"),
        pytest.param({}, True, LEAVING, id="those too that leave, but none in which nothing runs"),
        pytest.param(
            {"metricsAddr": ":9"}, False, ["10.0.0.1:9", "[fd00::6]:9"], id="at the port that all of them have"
        ),
        pytest.param({"fixedSelfMetricAddrs": ["a:1"]}, False, ["a:1"], id="those that the configuration names"),
        pytest.param({"metricsAddr": ":0"}, False, [], id="none where metrics are switched off"),
    ],
)
def test_which_gateways_are_asked(sections: Any, leaving: bool, expected: list[str]) -> None:
    found, config = views(**sections)
    assert list(found.gateways(config, leaving=leaving)) == expected
