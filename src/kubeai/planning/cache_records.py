"""What is on a cache volume, as the annotations of its claim say. They outlive Jobs, operators and caches of objects.

models.kubeai.org/NAME      this Model's weights are complete: {"uid", "timestamp"}, and the "directory" if shared;
                            with "removing", a time, the Model goes and has begun to remove that directory;
                            with "own", it has one of its own, too, from before its profile said `retain`
sources.kubeai.org/SOURCE   a shared directory is complete, whoever may be using it: {"url", "timestamp"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubeai.api.k8s.objects import PersistentVolumeClaim
from kubeai.api.k8s.resources import PERSISTENT_VOLUME_CLAIMS
from kubeai.api.model import Model
from kubeai.planning.actions import Patch
from kubeai.planning.names import cache_directory, cached_model_annotation, cached_source_annotation

_MODELS = cached_model_annotation("")


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """One Model's weights."""

    uid: str
    #: The directory that it shares with others of the same source; None for one of its own.
    shared: str | None = None
    #: Since when that directory is no longer complete, because this Model removes it.
    removing: datetime | None = None
    #: Whether it left weights in a directory of its own when it began to share one.
    left_own: bool = False


def record_of(model: Model, claim: PersistentVolumeClaim) -> CacheRecord | None:
    """What the claim says of this very Model, not of an earlier one of its name."""
    record = _read(claim, cached_model_annotation(model.name))
    return record if record and record.uid == model.uid else None


def is_cached(model: Model, claim: PersistentVolumeClaim) -> bool:
    """Whether the claim says that this very Model's weights are complete."""
    return record_of(model, claim) is not None


def is_cached_at(model: Model, claim: PersistentVolumeClaim, retain: bool) -> bool:
    """The same, at the place where the profile puts them now."""
    record = record_of(model, claim)
    return record is not None and record.shared == (cache_directory(model, retain) if retain else None)


def is_kept(model: Model, claim: PersistentVolumeClaim) -> bool:
    """Whether somebody has loaded the Model's source into the shared directory before."""
    return is_retained(claim, cache_directory(model, retain=True))


def is_retained(claim: PersistentVolumeClaim, directory: str) -> bool:
    """Whether the directory of a source is complete, whoever may be using it."""
    return cached_source_annotation(directory) in claim.annotations


def is_needed(claim: PersistentVolumeClaim, directory: str) -> bool:
    """Whether any Model counts on the shared directory."""
    return any(record.shared == directory for _, record in _all(claim))


def is_shared(model: Model, claim: PersistentVolumeClaim, directory: str) -> bool:
    """Whether another Model uses the directory, too."""
    return any(name != model.name and record.shared == directory for name, record in _all(claim))


def removers(model: Model, claim: PersistentVolumeClaim, directory: str) -> Iterator[tuple[str, datetime]]:
    """Other Models that are about to remove the directory, and since when."""
    for name, record in _all(claim):
        if name != model.name and record.shared == directory and record.removing:
            yield name, record.removing


def _all(claim: PersistentVolumeClaim) -> Iterator[tuple[str, CacheRecord]]:
    for key in claim.annotations:
        if key.startswith(_MODELS) and (record := _read(claim, key)):
            yield key.removeprefix(_MODELS), record


def _read(claim: PersistentVolumeClaim, key: str) -> CacheRecord | None:
    try:
        record: Any = json.loads(claim.annotations.get(key, "null"))
    except ValueError:
        return None  # somebody's hand; loading again is safe
    if not isinstance(record, dict) or not isinstance(record.get("uid"), str):
        return None
    shared = record.get("directory")
    return CacheRecord(
        record["uid"],
        shared if isinstance(shared, str) else None,
        _time(record.get("removing")),
        record.get("own") is True,
    )


def _time(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _timestamp(now: datetime) -> str:
    return now.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def write_record(model: Model, claim: PersistentVolumeClaim, retain: bool, now: datetime) -> Patch:
    """Only this Model's and this source's annotations are touched: others are written at the same time.

    That a directory was loaded before is true of the claim as it was observed; who relies on it has the write refused
    if somebody has begun to remove the directory since.
    """
    timestamp = _timestamp(now)
    record: dict[str, Any] = {"uid": model.uid, "timestamp": timestamp}
    if not retain:
        return _annotate(claim, {cached_model_annotation(model.name): record})
    directory = cache_directory(model, retain)
    record |= {"directory": directory} | _left_own(model, claim)
    annotations = {cached_model_annotation(model.name): record}
    if is_kept(model, claim):
        return _annotate(claim, annotations, claim.metadata.resource_version)
    annotations[cached_source_annotation(directory)] = {"url": model.spec.url, "timestamp": timestamp}
    return _annotate(claim, annotations)


def _left_own(model: Model, claim: PersistentVolumeClaim) -> dict[str, Any]:
    """What a record of a shared directory keeps of the one before it."""
    before = record_of(model, claim)
    return {"own": True} if before and (before.left_own or before.shared is None) else {}


def write_removal(model: Model, claim: PersistentVolumeClaim, directory: str, now: datetime) -> Patch:
    """The shared directory stops to be complete, before anything in it is touched."""
    timestamp = _timestamp(now)
    record: dict[str, Any] = {"uid": model.uid, "timestamp": timestamp, "directory": directory, "removing": timestamp}
    record |= _left_own(model, claim)
    return _annotate(claim, {cached_model_annotation(model.name): record, cached_source_annotation(directory): None})


def remove_record(model: Model, claim: PersistentVolumeClaim, emptied: str | None = None) -> Patch:
    """The Model goes; with it, if it is `emptied`, what is known of a shared directory."""
    annotations: dict[str, dict[str, str] | None] = {cached_model_annotation(model.name): None}
    if emptied:
        annotations[cached_source_annotation(emptied)] = None
    return _annotate(claim, annotations)


def _annotate(claim: PersistentVolumeClaim, annotations: dict[str, Any], version: str | None = None) -> Patch:
    texts = {key: json.dumps(record, separators=(",", ":")) if record else None for key, record in annotations.items()}
    metadata = {"annotations": texts} | ({"resourceVersion": version} if version else {})
    return Patch(PERSISTENT_VOLUME_CLAIMS, claim.namespace, claim.name, {"metadata": metadata})
