"""Does a Pod fit on this machine? Pure.

Only resources decide. Node selectors, affinities and tolerations describe a cluster's nodes (`cloud.google.com/
gke-accelerator`, `topology.kubernetes.io/zone`); one machine has no such labels to choose by, and a Model written for
a cluster should run here unchanged when there is room for it. So they are ignored, and only here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from kubeai.api.k8s.quantity import format_quantity, parse_quantity

from .containers import PodSpec

Resources = Mapping[str, Decimal]


def pod_requests(spec: PodSpec) -> dict[str, Decimal]:
    """The sum over the containers, or one init container if that asks for more: they run before the others."""
    total: dict[str, Decimal] = {}
    for container in spec.containers:
        for name, quantity in container.requests.items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(quantity)
    for container in spec.init_containers:
        for name, quantity in container.requests.items():
            total[name] = max(total.get(name, Decimal(0)), parse_quantity(quantity))
    return total


def free_resources(capacity: Resources, running: Iterable[Resources]) -> dict[str, Decimal]:
    free = dict(capacity)
    for requests in running:
        for name, quantity in requests.items():
            free[name] = free.get(name, Decimal(0)) - quantity
    return free


def misfit(requests: Resources, free: Resources) -> str | None:
    """None if it fits, else the scheduler's sentence about everything that is short."""
    short = []
    for name, quantity in sorted(requests.items()):
        left = max(free.get(name, Decimal(0)), Decimal(0))
        if quantity > left:
            short.append(f"Insufficient {name} (requested {_show(quantity, name)}, free {_show(left, name)})")
    return f"0/1 nodes are available: 1 {', 1 '.join(short)}." if short else None


def _show(quantity: Decimal, name: str) -> str:
    return format_quantity(quantity, like="1Gi" if name in ("memory", "ephemeral-storage") else "1")
