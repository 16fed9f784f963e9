"""The pod hash: does a running Pod still match its Model?

It covers what the server would notice: the whole rendered Pod spec (after patches), the content of the files, and
labels or annotations that patches brought in (a service mesh may listen to them). It covers nothing else: not our own
labels, names, owner references, nor anything that the API server fills in; and not the loader's image, which follows
the operator's version: an upgrade of the operator must not restart servers whose weights are loaded.

The hash is made of canonical JSON (sorted keys, no spaces) of plain values, so it is the same in every process, Python
version and release, as long as the rendered spec is the same. Whoever changes what an engine renders restarts every
server of it on the next upgrade: so fields are only added where the Model or the configuration asks for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kubeai.api.k8s.names import random_suffix
from kubeai.planning.names import FILES_HASH_ANNOTATION

HASH_LENGTH = 8


def pod_hash(pod: Mapping[str, Any], unpatched: Mapping[str, Any], loader_image: str = "") -> str:
    """The hash of a rendered Pod; `unpatched` is the same Pod before the configuration's patches."""
    content: dict[str, Any] = {"spec": _without_image(pod["spec"], loader_image)}
    if files := (unpatched["metadata"].get("annotations") or {}).get(FILES_HASH_ANNOTATION):
        content["files"] = files
    if patched := _patched_metadata(pod["metadata"], unpatched["metadata"]):
        content["metadata"] = patched
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return random_suffix(hashlib.sha256(canonical.encode()).digest(), HASH_LENGTH)


def _without_image(spec: Mapping[str, Any], image: str) -> dict[str, Any]:
    def forget(container: Any) -> Any:
        ours = isinstance(container, Mapping) and container.get("image") == image
        return {**container, "image": None} if ours else container

    lists = {key: spec[key] for key in ("initContainers", "containers") if isinstance(spec.get(key), list)}
    return {**spec, **{key: [forget(container) for container in containers] for key, containers in lists.items()}}


def _patched_metadata(after: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key in ("labels", "annotations"):
        new, old = after.get(key) or {}, before.get(key) or {}
        if new != old:
            changed[key] = {name: new.get(name) for name in new.keys() | old.keys() if new.get(name) != old.get(name)}
    return changed
