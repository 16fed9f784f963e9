"""What this machine has: processors, memory and NVIDIA GPUs; and which Pod holds which GPU."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import kubeai

from .nodeobject import MachineFacts

GPU = "nvidia.com/gpu"
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Capacity:
    """What Pods may ask for. `gpus` are the identities that CUDA_VISIBLE_DEVICES takes."""

    cpus: Decimal
    memory_bytes: int
    gpus: tuple[str, ...] = ()
    others: Mapping[str, Decimal] = field(default_factory=dict)

    def resources(self) -> dict[str, Decimal]:
        # Whole MiB, so that what kubectl shows can be read.
        memory = Decimal(self.memory_bytes // _MIB * _MIB)
        found = {"cpu": self.cpus, "memory": memory, "pods": Decimal(110), **self.others}
        return found | ({GPU: Decimal(len(self.gpus))} if self.gpus else {})


def machine_facts() -> MachineFacts:
    return MachineFacts(
        hostname=platform.node(),
        os=platform.system().lower(),
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        kernel=platform.release(),
        version=kubeai.__version__,
    )


async def detect_capacity() -> Capacity:
    return Capacity(Decimal(usable_cpus()), _memory_bytes(), await _nvidia_gpus())


def usable_cpus() -> int:
    """Those that this process may run on: fewer than the machine has in a container or under taskset."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


async def _nvidia_gpus() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    process = await asyncio.create_subprocess_exec(
        program,
        "--query-gpu=uuid",
        "--format=csv,noheader",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:  # the tool without a working driver
        return ()
    return tuple(line.strip() for line in output.decode().splitlines() if line.strip())


def assign_gpus(count: int, gpus: Sequence[str], held: Collection[str]) -> tuple[str, ...]:
    """The first free ones. The scheduler has made sure that there are enough."""
    return tuple(gpu for gpu in gpus if gpu not in held)[:count]
