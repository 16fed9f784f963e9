"""Makes the Models named at start ready to be asked: applies their manifests, installs their engines, fetches weights.

All of it would happen at the first request as well; done here, with its progress shown, the first request has only to
start a process. The Model's own Pod says what it needs, so there is no second list of engines and sources here.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from kubeai.api.k8s.resources import MODELS
from kubeai.api.model import Model
from kubeai.api.validation import default_model, validate_model
from kubeai.config.system import System
from kubeai.embedded.node.engines import EngineError, Engines
from kubeai.embedded.node.environment import cache_env
from kubeai.embedded.node.images import UnknownImageError, find_recipe
from kubeai.kube.client import Client
from kubeai.planning.errors import PlanningError
from kubeai.planning.pods.build import build_pod

from .errors import StartError
from .local_system import LOCAL_LOADER_IMAGE

#: Told what is being done, and how far it is (0 to 1) where that is known.
Progress = Callable[[str, float | None], None]
JSONObject = dict[str, Any]


class Prepare:
    """What can be had before the first request, had now.

    What cannot be installed or fetched now is said and left to the Model's conditions: everything else is usable.
    """

    def __init__(self, client: Client, system: System, engines: Engines, cache_dir: Path, progress: Progress) -> None:
        self._client = client
        self._system = system
        self._engines = engines
        self._cache_dir = cache_dir
        self._progress = progress

    async def models(self, manifests: Sequence[JSONObject]) -> tuple[str, ...]:
        """Apply the manifests and prepare what the Models need; returns their names."""
        for manifest in manifests:
            name = manifest["metadata"]["name"]
            self._progress(f"applying Model {name}", None)
            await self._client.patch(MODELS, name, manifest, type="apply", force=True)
        for manifest in manifests:
            await self._needs(Model.model_validate(default_model(manifest)))
        return tuple(manifest["metadata"]["name"] for manifest in manifests)

    async def _needs(self, model: Model) -> None:
        try:
            pod = build_pod(model, self._system)
            for engine in dict.fromkeys(_engines(pod)):
                await self._engines.install(engine, self._progress)
        except (PlanningError, EngineError, UnknownImageError) as error:
            self._progress(f"Model {model.name}: {error}", None)
            return
        for source in _sources(pod):
            await self.fetch(source)

    async def fetch(self, source: str) -> None:
        """Into the cache; the directory itself is only a set of links, which nobody needs.

        By a process of its own, as in the Pod: one that is stopped in the middle goes on there the next time.
        """
        cache = cache_env(self._cache_dir, self._system.model_loading.cache_limit)
        with tempfile.TemporaryDirectory(dir=self._cache_dir) as directory:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kubeai.loader", source, directory),
                env={**os.environ, **cache},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                assert process.stdout is not None
                async for line in process.stdout:
                    self._progress(line.decode(errors="replace").strip(), _fraction(line))
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


def _fraction(line: bytes) -> float | None:
    percent = re.search(rb"(\d+)%", line)
    return int(percent[1]) / 100 if percent else None


def _engines(pod: JSONObject) -> Iterator[str]:
    for container in pod["spec"]["containers"]:
        if engine := find_recipe(container["image"]).engine:
            yield engine


def _sources(pod: JSONObject) -> Iterator[str]:
    """What the Pod's loader would fetch before its server starts."""
    for container in pod["spec"].get("initContainers", ()):
        if container["image"] == LOCAL_LOADER_IMAGE:
            yield container["args"][0]


def read_models(paths: Sequence[Path]) -> list[JSONObject]:
    """The Models in these files. Raises `StartError` that names the file, the field and the rule."""
    return [model for path in paths for model in _read(path)]


def _read(path: Path) -> list[JSONObject]:
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    except OSError as error:
        raise StartError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StartError(f"{path}: is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise StartError(f"{path}: is not valid YAML: {error}") from error
    for document in documents:
        if faults := validate_model(document):
            raise StartError(f"{path}: " + "; ".join(map(str, faults)))
        if not document["metadata"].get("name"):
            raise StartError(f"{path}: metadata.name is required")
    return documents
