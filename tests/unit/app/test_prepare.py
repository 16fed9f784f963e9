"""Manifests are checked before anything starts, and what is fetched then keeps to the cache's limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeai.app.errors import StartError
from kubeai.app.prepare import Prepare, read_models
from kubeai.embedded.node.engines import Engines
from kubeai.kube.access import token_access
from kubeai.kube.client import Client
from tests.builders import system
from tests.unit.loader.servers import Bucket, serve

#: An API server would make a name, but a file that is applied again means the same Model.
NAMELESS = """{kind: Model, apiVersion: kubeai.org/v1, metadata: {generateName: x-},
    spec: {url: "hf://a/b", engine: VLLM, features: []}}"""
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    assert [model["kind"] for model in read_models([path])] == ["Model"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid YAML"),
        ("{kind: Model, apiVersion: kubeai.org/v1, metadata: {name: x}, spec: {}}", "spec.url"),
        ("\udcff", "is not UTF-8"),
        (NAMELESS, "metadata.name"),
    ],
)
def test_a_bad_manifest_is_refused_with_file_and_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(StartError, match=says) as caught:
        read_models([path])
    assert str(path) in str(caught.value)


async def test_what_is_fetched_before_the_start_keeps_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket({f"{name}/f": name.encode() * 1000 for name in "ab"})
    limited = system(modelLoading={"cacheLimit": "1500"})
    cache = tmp_path / "cache"
    cache.mkdir()
    with serve(bucket.answer) as base:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", base)
        async with Client(token_access(base, "t")) as client:
            prepare = Prepare(client, limited, Engines(tmp_path), cache, lambda *_: None)
            for name in "ab":
                await prepare.fetch(f"gs://weights/{name}")
    left = [path.read_bytes()[:1] for path in cache.rglob("*") if path.is_file() and path.stat().st_size == 1000]
    assert left == [b"b"]
