"""Addresses and GPUs: one Pod each, and the same again after a restart."""

from __future__ import annotations

import socket
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from kubeai.embedded.node.addresses import candidates
from kubeai.embedded.node.containers import parse_pod
from kubeai.embedded.node.devices import Capacity
from kubeai.embedded.node.rewriting import Address
from kubeai.embedded.node.seats import Seat, read_seat, take_seat
from tests.builders import NOW, container, pod_body

MACHINE = Capacity(Decimal(4), 8 << 30, ("GPU-0", "GPU-1"))
SERVER = container(ports=[{"containerPort": 8000}], resources={"limits": {"nvidia.com/gpu": 1}})


def test_gpus_are_counted_as_quantities(tmp_path: Path) -> None:
    server = container(resources={"limits": {"nvidia.com/gpu": "2000m"}})
    seat = take_seat(parse_pod(pod_body("p", server, uid="u")), tmp_path / "u", MACHINE, (), NOW)
    assert seat.gpus == MACHINE.gpus


def seated(root: Path, uid: str = "u", *taken: Seat) -> Seat:
    return take_seat(parse_pod(pod_body("p", SERVER, uid=uid)), root / uid, MACHINE, taken, NOW)


def test_a_pod_gets_the_same_seat_after_a_restart(tmp_path: Path) -> None:
    seat = seated(tmp_path)
    assert read_seat(tmp_path / "u") == seat
    assert seated(tmp_path, "u", Seat(seat.address, NOW, ("GPU-0",))) == seat


def test_two_pods_share_neither_address_nor_gpu(tmp_path: Path) -> None:
    first = seated(tmp_path, "a")
    second = seated(tmp_path, "b", first)
    assert first.address.host != second.address.host
    assert (first.gpus, second.gpus) == (("GPU-0",), ("GPU-1",))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_an_address_whose_port_somebody_uses_is_passed_over(tmp_path: Path) -> None:
    first, second, *_ = candidates("u")
    with socket.socket() as somebody:
        somebody.bind((first, 8000))
        somebody.listen()
        assert seated(tmp_path).address == Address(second)


def test_addresses_are_stable_and_far_from_what_others_use() -> None:
    first = [next(candidates(f"uid-{i}")) for i in range(500)]
    assert first == [next(candidates(f"uid-{i}")) for i in range(500)]
    assert all(64 <= int(address.split(".")[1]) < 128 for address in first)
    assert len(set(first)) > 490
