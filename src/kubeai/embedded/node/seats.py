"""What the node gives to one Pod: an address and GPUs. Remembered on disk, so that a restart changes neither."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from kubeai.api.k8s.quantity import parse_quantity

from .addresses import choose_address
from .containers import PodSpec
from .devices import GPU, Capacity, assign_gpus
from .rewriting import Address


@dataclass(frozen=True, slots=True)
class Seat:
    address: Address
    since: datetime
    gpus: tuple[str, ...] = ()


def read_seat(pod_dir: Path) -> Seat | None:
    try:
        return msgspec.json.decode((pod_dir / "seat.json").read_bytes(), type=Seat)
    except (OSError, msgspec.DecodeError):
        return None


def take_seat(spec: PodSpec, pod_dir: Path, capacity: Capacity, taken: Collection[Seat], now: datetime) -> Seat:
    """The seat that the Pod had, else a new one beside those `taken`. Raises `NoAddressError` and `OSError`."""
    known = read_seat(pod_dir)
    if known:
        return known
    count = sum(int(parse_quantity(container.requests.get(GPU, "0"))) for container in spec.containers)
    gpus = assign_gpus(count, capacity.gpus, {gpu for seat in taken for gpu in seat.gpus})
    address = choose_address(spec.uid, spec.ports, {seat.address.host for seat in taken})
    seat = Seat(address, now, gpus)
    pod_dir.mkdir(parents=True, exist_ok=True)
    temporary = pod_dir / "seat.tmp"
    temporary.write_bytes(msgspec.json.encode(seat))
    temporary.replace(pod_dir / "seat.json")
    return seat
