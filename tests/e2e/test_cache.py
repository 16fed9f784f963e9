"""Caches with everything real but the bucket: Jobs run the loader as processes, claims are directories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.loader.servers import Bucket, serve

from .conftest import Instance

CONFIG: dict[str, Any] = {
    "modelLoading": {"cacheLimit": "6k"},
    "modelAutoscaling": {"stateConfigMapName": "state"},
    "cacheProfiles": {
        "own": {"sharedFilesystem": {"storageClassName": "any"}},
        "kept": {"sharedFilesystem": {"storageClassName": "any", "size": "1Gi"}, "retain": True},
    },
}
WEIGHTS = b"w" * 5000


@pytest.fixture
def bucket() -> Bucket:
    return Bucket({"m/f.gguf": WEIGHTS, "m/other.gguf": b"o", "n/f.gguf": b"n" * 5000})


@pytest.fixture
def cached(tmp_path: Path, bucket: Bucket) -> Iterator[Instance]:
    config = tmp_path / "system.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    with serve(bucket.answer) as base:
        instance = Instance(tmp_path / "data", ("--config", str(config)), {"STORAGE_EMULATOR_HOST": base})
        try:
            yield instance.start()
        finally:
            if instance.process is not None and instance.process.poll() is None:
                instance.stop()


def model(profile: str, name: str = "m") -> dict[str, Any]:
    spec = {"engine": "LlamaCpp", "features": ["TextGeneration"], "url": f"gs://weights/{name}?model=f.gguf"}
    head = {"apiVersion": "kubeai.org/v1", "kind": "Model", "metadata": {"name": name}}
    return head | {"spec": spec | {"cacheProfile": profile, "minReplicas": 0}}


def is_loaded(instance: Instance, name: str = "m") -> bool:
    (found,) = [found for found in instance.objects("models") if found["metadata"]["name"] == name]
    return bool(found.get("status", {}).get("cache", {}).get("loaded"))


def files(instance: Instance, profile: str) -> list[bytes]:
    root = instance.data_dir / "volumes" / f"shared-model-cache-{profile}"
    while True:
        try:
            return [path.read_bytes() for path in root.rglob("*") if path.is_file()]
        except FileNotFoundError:  # it was renamed or removed in this moment: look again
            continue


def delete(instance: Instance) -> None:
    instance.kubeai("delete", "m")
    instance.wait_for(lambda: not instance.objects("models"), "the Model to go")


def test_a_model_is_downloaded_once_and_its_weights_go_with_it(cached: Instance) -> None:
    cached.apply(model("own"))
    cached.wait_for(lambda: is_loaded(cached), "the cache to be loaded")
    assert files(cached, "own") == [WEIGHTS]
    cached.wait_for(lambda: not cached.objects("jobs"), "the Job to go")
    delete(cached)
    assert files(cached, "own") == []


def test_the_cache_of_downloads_keeps_its_limit_and_a_volume_its_weights(cached: Instance) -> None:
    for name in ("m", "n"):
        cached.apply(model("own", name))
        cached.wait_for(lambda name=name: is_loaded(cached, name), "the cache to be loaded")  # type: ignore[misc]
    objects = cached.data_dir / "cache" / "objects"
    assert [path.read_bytes() for path in objects.rglob("*") if path.stat().st_size == 5000] == [b"n" * 5000]
    assert sorted(files(cached, "own")) == [b"n" * 5000, WEIGHTS]


def test_a_retained_download_is_there_for_the_next_model(cached: Instance, bucket: Bucket) -> None:
    cached.apply(model("kept"))
    cached.wait_for(lambda: is_loaded(cached), "the cache to be loaded")
    delete(cached)
    assert files(cached, "kept") == [WEIGHTS]
    bucket.requests.clear()
    cached.apply(model("kept"))
    cached.wait_for(lambda: is_loaded(cached), "the cache to be found")
    assert bucket.requests == []


def test_retained_weights_that_no_model_needs_make_room(cached: Instance) -> None:
    cached.apply(model("kept"))
    cached.wait_for(lambda: is_loaded(cached), "the cache to be loaded")
    delete(cached)
    cached.apply(model("kept", "n"))
    cached.wait_for(lambda: is_loaded(cached, "n"), "the cache to be loaded")
    cached.stop()
    cached.start()  # it looks at once, and then every minute
    cached.wait_for(lambda: files(cached, "kept") == [b"n" * 5000], "the other weights to go", 100)


def test_a_download_that_ends_while_kubeai_is_down_is_recorded(cached: Instance) -> None:  # fault C3
    cached.apply(model("own"))
    cached.wait_for(lambda: files(cached, "own") == [WEIGHTS], "the download to end")
    cached.stop()
    cached.start()
    cached.wait_for(lambda: is_loaded(cached), "the cache to be recorded")


def test_a_download_that_fails_says_why_and_the_model_can_go(cached: Instance, bucket: Bucket) -> None:
    bucket.objects.clear()
    cached.apply(model("own"))

    def message() -> str:
        (found,) = cached.objects("models")
        conditions = found.get("status", {}).get("conditions", ())
        return json.dumps([c for c in conditions if c["type"] == "CacheLoaded" and c["reason"] == "CacheLoadFailed"])

    cached.wait_for(lambda: "there is no such bucket or object" in message(), "the failure to be told")
    delete(cached)
