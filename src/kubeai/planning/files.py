"""`spec.files`: small texts that live in a ConfigMap and are mounted one by one into the server's container.

A Model without files has no ConfigMap and causes no traffic. The texts' hash is on the Pod template, because a
mounted `subPath` never follows an edit: an edited file needs a new Pod (fault O6).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from kubeai.api.k8s.objects import ConfigMap
from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.api.model import Model
from kubeai.planning.actions import Action, Create, Delete, Patch
from kubeai.planning.errors import PlanningError
from kubeai.planning.names import MANAGED_BY, MANAGED_BY_LABEL, files_config_map, owner_reference
from kubeai.planning.reasons import Reason

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_NO_KEY = re.compile(r"[^-._a-zA-Z0-9]")


def file_keys(model: Model) -> dict[str, str]:
    """Path of each file -> its key in the ConfigMap: the path with `_` for `/`.

    A path that makes no valid key, or the same one as another path, gets the path's hash at its end.
    """
    keys: dict[str, str] = {}
    for file in model.spec.files or ():
        key = file.path.replace("/", "_")
        if key in keys.values() or not _KEY.fullmatch(key):
            key = f"{_NO_KEY.sub('_', key)[:240]}-{hashlib.sha256(file.path.encode()).hexdigest()[:8]}"
        keys[file.path] = key
    return keys


def files_hash(model: Model) -> str | None:
    """Fingerprint of all paths and texts; None without files."""
    if not model.spec.files:
        return None
    digest = hashlib.sha256()
    for file in sorted(model.spec.files, key=lambda file: file.path):
        for text in (file.path, file.content):
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8) + encoded)
    return digest.hexdigest()[:16]


def build_config_map(model: Model) -> dict[str, Any]:
    keys = file_keys(model)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": files_config_map(model.name),
            "namespace": model.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
            "ownerReferences": [owner_reference(model)],
        },
        "data": {keys[file.path]: file.content for file in model.spec.files or ()},
    }


def plan_files(model: Model, observed: ConfigMap | None) -> list[Action]:
    """Bring the ConfigMap in line. Raises `PlanningError` when its name belongs to somebody else."""
    if observed is not None and observed.controller_uid != model.uid:
        if not model.spec.files:
            return []
        raise PlanningError(
            Reason.NAME_CONFLICT,
            f"ConfigMap {observed.name} exists and belongs to something else: remove or rename it.",
        )
    if not model.spec.files:
        return [Delete.of(CONFIG_MAPS, observed)] if observed and not observed.terminating else []
    wanted = build_config_map(model)
    if observed is None:
        return [Create(CONFIG_MAPS, wanted)]
    if observed.data == wanted["data"]:
        return []
    stale = {key: None for key in observed.data or {} if key not in wanted["data"]}
    return [Patch(CONFIG_MAPS, model.namespace, observed.name, {"data": wanted["data"] | stale})]
