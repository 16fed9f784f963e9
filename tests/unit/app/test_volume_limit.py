"""Retained weights on one machine: what nobody needs goes, oldest first, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kubeai.api.k8s.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from kubeai.app.volume_limit import Kept, VolumeLimit, is_mounted, to_remove
from kubeai.kube.errors import APIError
from tests.builders import container
from tests.unit.embedded.node.machine import Machine, machine, manifest

CLAIM = "shared-model-cache-kept"


def kept(name: str, used: float, *, removable: bool = True) -> Kept:
    return Kept(name, 10, used, removable)


CASES = {
    "all fit": ([kept("a", 1), kept("b", 2)], 20, []),
    "the oldest goes": ([kept("b", 2), kept("a", 1)], 19, ["a"]),
    "as many as it takes": ([kept("a", 1), kept("b", 2), kept("c", 3)], 10, ["a", "b"]),
    "what is needed stays, however old": ([kept("a", 1, removable=False), kept("b", 2)], 0, ["b"]),
    "nothing is there": ([], 0, []),
}


@pytest.mark.parametrize(("there", "limit", "gone"), CASES.values(), ids=CASES.keys())
def test_what_goes(there: list[Kept], limit: int, gone: list[str]) -> None:
    assert to_remove(there, limit) == gone


def mounting(sub_path: str | None, claim: str = CLAIM) -> dict[str, Any]:
    mount = {"name": "model", "mountPath": "/model"} | ({"subPath": sub_path} if sub_path else {})
    volume = {"name": "model", "persistentVolumeClaim": {"claimName": claim}}
    return manifest("p", container(volumeMounts=[mount], command=["true"]), volumes=[volume])


@pytest.mark.parametrize(
    ("pod", "mounted"),
    [
        pytest.param(mounting("models/a"), True, id="the directory"),
        pytest.param(mounting("models"), True, id="one above it"),
        pytest.param(mounting(None), True, id="the whole volume"),
        pytest.param(mounting("models/ab"), False, id="a longer name"),
        pytest.param(mounting("models/a", claim="other"), False, id="another claim"),
    ],
)
def test_what_a_pod_sees(pod: dict[str, Any], mounted: bool) -> None:
    assert is_mounted([pod], CLAIM, "/models/a") is mounted


class Volume:
    """A claim with complete directories of 1000 bytes, older from the first to the last."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.root = machine.data_dir / "volumes" / CLAIM / "models"
        self.limit = VolumeLimit(machine.client, machine.data_dir / "volumes", "1500")

    async def create(self, *names: str, models: dict[str, str] | None = None) -> None:
        for age, name in enumerate(names):
            (self.root / name).mkdir(parents=True)
            (self.root / name / "f").write_bytes(name.encode() * 1000)
            os.utime(self.root / name, (1000 - age, 1000 - age))
        annotations = {f"sources.kubeai.org/{name}": "{}" for name in names}
        for model, name in (models or {}).items():
            record = {"uid": "u", "timestamp": "", "directory": f"/models/{name}"}
            annotations[f"models.kubeai.org/{model}"] = json.dumps(record)
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        head = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": spec}
        body = head | {"metadata": {"name": CLAIM, "annotations": annotations}}
        await self.machine.client.create(PERSISTENT_VOLUME_CLAIMS, body)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir())

    async def complete(self) -> list[str]:
        claim = await self.machine.client.get(PERSISTENT_VOLUME_CLAIMS, CLAIM)
        keys = [key for key in claim["metadata"].get("annotations") or {} if key.startswith("sources.")]
        return sorted(key.partition("/")[2] for key in keys)


@pytest.fixture
async def volume(tmp_path: Path) -> AsyncIterator[Volume]:
    async with machine(tmp_path) as made:
        yield Volume(made)


async def test_what_no_model_needs_goes_with_its_record(volume: Volume) -> None:
    await volume.create("a", "b", "c")
    await volume.limit.sweep()
    assert (volume.names(), await volume.complete()) == (["a"], ["a"])


async def test_what_a_model_counts_on_or_a_pod_has_mounted_stays(volume: Volume) -> None:
    await volume.create("a", "b", "c", models={"m": "c"})
    await volume.machine.client.create(PODS, mounting("models/b"))
    await volume.limit.sweep()
    assert (volume.names(), await volume.complete()) == (["b", "c"], ["b", "c"])


async def test_what_is_being_filled_or_is_a_models_own_stays(volume: Volume) -> None:
    await volume.create("a")
    (volume.root / "own").mkdir()
    (volume.root / "own" / "f").write_bytes(b"x" * 2000)
    await volume.limit.sweep()
    assert volume.names() == ["own"]


async def test_a_model_that_comes_in_between_keeps_its_weights(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    await volume.create("a", "b")
    client = volume.machine.client
    patch = client.patch

    async def late(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        record = json.dumps({"uid": "u", "directory": "/models/b"})
        body = {"metadata": {"annotations": {"models.kubeai.org/m": record}}}
        await patch(PERSISTENT_VOLUME_CLAIMS, CLAIM, body)
        return await patch(*args, **options)

    monkeypatch.setattr(client, "patch", late)
    with pytest.raises(APIError):
        await volume.limit.sweep()
    assert volume.names() == ["a", "b"]


async def test_what_a_crash_left_aside_is_put_back_or_removed(volume: Volume) -> None:
    await volume.create("a")
    (volume.root / "a").rename(volume.root / ".evicting-a")
    (volume.root / ".evicting-gone").mkdir()
    await volume.limit.sweep()
    assert volume.names() == ["a"]
