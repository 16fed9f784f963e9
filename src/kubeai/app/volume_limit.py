"""A bound on the cache volumes of one machine: of the weights that a profile retains, those go first that no Model has
needed for the longest time.

On a cluster nobody can say how full a volume is; here it is a directory. What a Model counts on, or a Pod has mounted,
stays. A directory is put aside before its claim stops to call it complete, and only then removed: a Model that comes in
between has the claim's change refused, and the directory is put back, also after a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kubeai.api.k8s.objects import PersistentVolumeClaim
from kubeai.api.k8s.quantity import parse_quantity
from kubeai.api.k8s.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.planning.cache_records import is_needed, is_retained
from kubeai.planning.names import cached_source_annotation

JSONObject = dict[str, Any]
_PERIOD_S = 60
_ROOT = "models"
_ASIDE = ".evicting-"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """One directory of a volume."""

    name: str
    size: int
    used: float
    #: Whether it may go at all.
    removable: bool


def to_remove(kept: Sequence[Kept], limit_bytes: int) -> list[str]:
    """Which directories, oldest first, until the rest fits."""
    left, gone = sum(one.size for one in kept), []
    for one in sorted(kept, key=lambda one: one.used):
        if left > limit_bytes and one.removable:
            left -= one.size
            gone.append(one.name)
    return gone


def is_mounted(pods: Iterable[JSONObject], claim: str, directory: str) -> bool:
    """Whether a Pod sees the directory of the claim: itself, or one above it."""
    return any(directory == path or directory.startswith(path.rstrip("/") + "/") for path in _mounted(pods, claim))


def _mounted(pods: Iterable[JSONObject], claim: str) -> Iterator[str]:
    for spec in (pod["spec"] for pod in pods):
        volumes = {
            volume["name"]
            for volume in spec.get("volumes") or ()
            if (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim
        }
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            for mount in container.get("volumeMounts") or ():
                if mount["name"] in volumes:
                    yield "/" + (mount.get("subPath") or "").strip("/")


class VolumeLimit:
    """Looks after all cache volumes of the machine."""

    def __init__(self, client: Client, volumes: Path, limit: str) -> None:
        self._client = client
        self._volumes = volumes
        self._limit_bytes = int(parse_quantity(limit))

    async def run(self) -> None:
        while True:
            try:
                await self.sweep()
            except (APIError, OSError) as error:
                log.warning("The cache volumes could not be looked after: %s", error)
            await asyncio.sleep(_PERIOD_S)

    async def sweep(self) -> None:
        """The claims are read before the Pods: whoever comes to need a directory later changes its claim."""
        found = await self._client.list(PERSISTENT_VOLUME_CLAIMS, namespace="")
        pods = await self._client.list(PODS, namespace="")
        claims = [msgspec.convert(body, PersistentVolumeClaim) for body in found]
        names = [claim.name for claim in claims]
        for claim in claims:
            # Claims of one name in several namespaces are one directory here: too many to ask.
            if names.count(claim.name) == 1 and (self._volumes / claim.name / _ROOT).is_dir():
                await self._bound(claim, pods)

    async def _bound(self, claim: PersistentVolumeClaim, pods: Sequence[JSONObject]) -> None:
        root = self._volumes / claim.name / _ROOT
        _put_back(root, claim)
        kept = await asyncio.to_thread(_look, root, claim, pods)
        version = claim.metadata.resource_version
        for name in to_remove(kept, self._limit_bytes):
            version = await self._remove(claim, version, root / name)
            log.info("Removed %s from volume claim %s: no Model needs it, and the limit is reached.", name, claim.name)

    async def _remove(self, claim: PersistentVolumeClaim, version: str | None, directory: Path) -> str | None:
        """The claim's version then. Raises `APIError` when the claim has changed: next time, then."""
        annotations = {cached_source_annotation(f"/{_ROOT}/{directory.name}"): None}
        patch = {"metadata": {"resourceVersion": version, "annotations": annotations}}
        with _put_aside(directory) as aside:
            done = await self._client.patch(PERSISTENT_VOLUME_CLAIMS, claim.name, patch, namespace=claim.namespace)
        await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)
        return str(done["metadata"]["resourceVersion"])


@contextlib.contextmanager
def _put_aside(directory: Path) -> Iterator[Path]:
    """Where it is then; back again when that was not to be."""
    aside = directory.with_name(_ASIDE + directory.name)
    directory.rename(aside)
    try:
        yield aside
    except BaseException:
        aside.rename(directory)
        raise


def _put_back(root: Path, claim: PersistentVolumeClaim) -> None:
    """What was put aside when this program ended: the claim tells whether it was to go."""
    for aside in root.glob(f"{_ASIDE}*"):
        directory = root / aside.name.removeprefix(_ASIDE)
        if is_retained(claim, f"/{_ROOT}/{directory.name}") and not directory.exists():
            aside.rename(directory)
        else:
            shutil.rmtree(aside, ignore_errors=True)


def _look(root: Path, claim: PersistentVolumeClaim, pods: Sequence[JSONObject]) -> list[Kept]:
    """What is needed is used now."""
    kept = []
    for path in (path for path in root.iterdir() if path.is_dir() and not path.is_symlink()):
        directory = f"/{_ROOT}/{path.name}"
        needed = is_needed(claim, directory) or is_mounted(pods, claim.name, directory)
        if needed:
            os.utime(path)
        size = sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
        kept.append(Kept(path.name, size, path.stat().st_mtime, is_retained(claim, directory) and not needed))
    return kept
