"""The Node object that stands for this machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from kubeai.api.k8s.quantity import format_quantity

from .podstatus import timestamp

JSONObject = dict[str, Any]
_BYTES = ("memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What `kubectl describe node` shows of a machine."""

    hostname: str
    os: str
    architecture: str
    kernel: str
    version: str


def node_object(name: str, facts: MachineFacts) -> JSONObject:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": facts.os,
        "kubernetes.io/arch": facts.architecture,
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}


def node_status(facts: MachineFacts, resources: Mapping[str, Decimal], now: datetime) -> JSONObject:
    amounts = {key: format_quantity(amount, like="1Ki" if key in _BYTES else "1") for key, amount in resources.items()}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "AgentReady",
        "message": "the node agent of this machine is running",
        "lastHeartbeatTime": timestamp(now),
        "lastTransitionTime": timestamp(now),
    }
    return {
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": [ready],
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": facts.hostname},
        ],
        "nodeInfo": {
            "kubeletVersion": f"kubeai-{facts.version}",
            "kubeProxyVersion": "",
            "containerRuntimeVersion": "process://",
            "operatingSystem": facts.os,
            "architecture": facts.architecture,
            "kernelVersion": facts.kernel,
            "osImage": facts.os,
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }
