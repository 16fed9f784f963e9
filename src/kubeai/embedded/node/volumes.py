"""A Pod's volumes as directories of this machine.

    emptyDir                a directory of the Pod, gone with it; medium Memory: in /dev/shm where there is one
    configMap, secret       a directory of the Pod with one file for each key
    hostPath                the path itself
    persistentVolumeClaim   DATA_DIR/volumes/CLAIM, which stays

`readOnly` is kept by nothing here: the processes run as the same user. It is for one user's own machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .containers import ContainerSpec, PodSpec
from .environment import ConfigMissingError, Objects, object_data

JSONObject = dict[str, Any]
_SHARED_MEMORY = Path("/dev/shm")
_CONFIG_KINDS = {"configMap": "ConfigMap", "secret": "Secret"}
_NAME_KEYS = {"configMap": "name", "secret": "secretName"}


def needed_by_volumes(spec: PodSpec) -> frozenset[tuple[str, str]]:
    """The (kind, name) of every object whose keys become files."""
    return frozenset(
        (kind, volume[source].get(_NAME_KEYS[source], ""))
        for volume in spec.volumes
        for source, kind in _CONFIG_KINDS.items()
        if volume.get(source)
    )


def remove_pod_files(pod_dir: Path) -> None:
    """Everything that a Pod leaves behind: its directory (named by its uid) and its share of the memory."""
    free_memory(pod_dir)
    shutil.rmtree(pod_dir, ignore_errors=True)


def free_memory(pod_dir: Path) -> None:
    """What an emptyDir in memory holds is gone when its node stops, as it would be on any node."""
    for memory in _SHARED_MEMORY.glob(f"kubeai-{pod_dir.name}-*"):
        shutil.rmtree(memory, ignore_errors=True)


class Volumes:
    """The volumes of one Pod, under its own directory."""

    def __init__(self, spec: PodSpec, pod_dir: Path, claims_dir: Path) -> None:
        self._spec = spec
        self._pod_dir = pod_dir
        self._claims_dir = claims_dir

    def prepare(self, objects: Objects) -> None:
        """Make what is missing; contents of an emptyDir stay. Raises `ConfigMissingError` and `OSError`."""
        for volume in self._spec.volumes:
            source = self._source(volume)
            path = self._path(volume)
            if source in _CONFIG_KINDS:
                self._write_files(
                    volume[source],
                    _CONFIG_KINDS[source],
                    volume[source].get(_NAME_KEYS[source], ""),
                    path,
                    objects,
                )
            elif source == "hostPath":
                self._check_host_path(volume["hostPath"], path)
            elif source is not None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                raise ConfigMissingError(
                    f"volume {volume.get('name')}: one machine has only emptyDir, configMap, secret, hostPath and "
                    "persistentVolumeClaim"
                )

    def mounts(self, container: ContainerSpec) -> dict[str, str]:
        """Mount path -> path on this machine, for all mounts of a container."""
        volumes = {volume.get("name"): volume for volume in self._spec.volumes}
        paths = {}
        for mount in container.mounts:
            if mount.volume not in volumes:
                raise ConfigMissingError(f'volume "{mount.volume}" of container {container.name} not found')
            root = self._path(volumes[mount.volume])
            path = root / mount.sub_path if mount.sub_path else root
            if mount.sub_path and not path.exists():  # as the kubelet does
                path.mkdir(parents=True, exist_ok=True)
            paths[mount.path] = str(path)
        return paths

    @staticmethod
    def _source(volume: Mapping[str, Any]) -> str | None:
        known = ("emptyDir", "configMap", "secret", "hostPath", "persistentVolumeClaim")
        return next((source for source in known if volume.get(source) is not None), None)

    def _path(self, volume: JSONObject) -> Path:
        match self._source(volume):
            case "emptyDir" if self._is_shared_memory(volume):
                return _SHARED_MEMORY
            case "hostPath":
                return Path(volume["hostPath"].get("path") or "/")
            case "persistentVolumeClaim":
                return self._claims_dir / str(volume["persistentVolumeClaim"].get("claimName"))
            case "emptyDir" if volume["emptyDir"].get("medium") == "Memory" and _SHARED_MEMORY.is_dir():
                return _SHARED_MEMORY / f"kubeai-{self._spec.uid}-{volume.get('name')}"
            case _:
                return self._pod_dir / "volumes" / str(volume.get("name"))

    def _is_shared_memory(self, volume: JSONObject) -> bool:
        """Containers mount a volume there to have enough of it; here is the machine's own."""
        mounts = {m.path for c in self._spec.all_containers for m in c.mounts if m.volume == volume.get("name")}
        return mounts == {str(_SHARED_MEMORY)} and _SHARED_MEMORY.is_dir()

    @staticmethod
    def _write_files(source: JSONObject, kind: str, name: str, path: Path, objects: Objects) -> None:
        body = objects.get((kind, name))
        if body is None and not source.get("optional"):
            raise ConfigMissingError(f'{kind.lower()} "{name}" not found')
        data = object_data(kind, body or {})
        items = source.get("items")
        if items is not None:
            missing = next((i["key"] for i in items if i["key"] not in data), None)
            if missing and not source.get("optional"):
                raise ConfigMissingError(f"couldn't find key {missing} in {kind} {name}")
            data = {i["path"]: data[i["key"]] for i in items if i["key"] in data}
        path.mkdir(parents=True, exist_ok=True)
        for key, value in data.items():
            file = path / key
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{file.name}.tmp")
            temporary.write_bytes(value)
            os.chmod(temporary, 0o600 if kind == "Secret" else 0o644)
            temporary.replace(file)

    @staticmethod
    def _check_host_path(source: JSONObject, path: Path) -> None:
        match source.get("type") or "":
            case "DirectoryOrCreate":
                path.mkdir(parents=True, exist_ok=True)
            case "Directory" if not path.is_dir():
                raise ConfigMissingError(f"hostPath {path}: there is no such directory on this machine")
            case "File" if not path.is_file():
                raise ConfigMissingError(f"hostPath {path}: there is no such file on this machine")
            case _ if not path.exists():
                raise ConfigMissingError(f"hostPath {path}: there is nothing at this path on this machine")
