"""Whether a Pod fits on this machine, and what is said when it does not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kubeai.embedded.node.containers import parse_pod
from kubeai.embedded.node.devices import Capacity, assign_gpus
from kubeai.embedded.node.scheduling import free_resources, misfit, pod_requests
from tests.builders import container, pod_body

MACHINE = Capacity(Decimal(4), 8 << 30, ("GPU-0", "GPU-1")).resources()


def wants(name: str = "server", *, limits: dict[str, Any] | None = None, **requests: Any) -> dict[str, Any]:
    return container(name, resources={"requests": requests, "limits": limits or {}})


def requests_of(*containers: dict[str, Any], **spec: Any) -> dict[str, Decimal]:
    return pod_requests(parse_pod(pod_body("p", *containers, **spec)))


@pytest.mark.parametrize(
    ("server", "message"),
    [
        pytest.param(wants(), None, id="who asks for nothing always fits"),
        pytest.param(wants(cpu="4", memory="8Gi"), None, id="all of it"),
        pytest.param(wants(cpu="8"), "1 Insufficient cpu (requested 8, free 4)", id="processors"),
        pytest.param(wants(memory="16Gi"), "1 Insufficient memory (requested 16Gi, free 8Gi)", id="memory"),
        pytest.param(
            wants(limits={"nvidia.com/gpu": 4}), "1 Insufficient nvidia.com/gpu (requested 4, free 2)", id="GPUs"
        ),
        pytest.param(
            wants(limits={"google.com/tpu": 1}),
            "1 Insufficient google.com/tpu (requested 1, free 0)",
            id="no such thing",
        ),
        pytest.param(
            wants(cpu="4500m", memory="9Gi"),
            "1 Insufficient cpu (requested 4500m, free 4), 1 Insufficient memory (requested 9Gi, free 8Gi)",
            id="everything that is short is named",
        ),
    ],
)
def test_fitting(server: dict[str, Any], message: str | None) -> None:
    expected = message and f"0/1 nodes are available: {message}."
    assert misfit(requests_of(server), free_resources(MACHINE, ())) == expected


def test_what_others_hold_is_not_free() -> None:
    free = free_resources(MACHINE, [requests_of(wants(cpu="3")), requests_of(wants(cpu="500m"))])
    assert free["cpu"] == Decimal("0.5")


def test_containers_add_up_and_init_containers_run_alone() -> None:
    requests = requests_of(wants("a", cpu="1"), wants("b", cpu="2"), initContainers=[wants("i", cpu="2", memory="1Gi")])
    assert requests == {"cpu": Decimal(3), "memory": Decimal(1 << 30)}


def test_node_selectors_of_a_cluster_do_not_keep_a_pod_from_this_machine() -> None:
    requests = requests_of(wants(cpu="1"), nodeSelector={"cloud.google.com/gke-accelerator": "nvidia-l4"})
    assert misfit(requests, MACHINE) is None


def test_a_gpu_is_given_to_one_pod_at_a_time() -> None:
    assert assign_gpus(1, ("GPU-0", "GPU-1"), held={"GPU-0"}) == ("GPU-1",)
