"""A container's environment: every source that Kubernetes knows, and `$(VAR)` references. Pure.

The Secrets and ConfigMaps that it needs are handed in; `needed_objects` says which.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .containers import ContainerSpec

JSONObject = dict[str, Any]
#: (kind, name) -> the object, or None if it does not exist
Objects = Mapping[tuple[str, str], JSONObject | None]

_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")
_SOURCES = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
_BULK_SOURCES = {"secretRef": "Secret", "configMapRef": "ConfigMap"}


class ConfigMissingError(Exception):
    """Something that the container's configuration names does not exist (yet). The text says what."""


def needed_objects(container: ContainerSpec) -> frozenset[tuple[str, str]]:
    """The (kind, name) of every object that `build_env` will look at."""
    single = [(var.get("valueFrom") or {}, _SOURCES) for var in container.env]
    bulk = [(source, _BULK_SOURCES) for source in container.env_from]
    return frozenset(
        (kind, source[key].get("name", ""))
        for source, kinds in single + bulk
        for key, kind in kinds.items()
        if source.get(key)
    )


def build_env(container: ContainerSpec, objects: Objects, field: Callable[[str], str]) -> dict[str, str]:
    """`env` wins over `envFrom`, the later over the earlier. `field` answers a downward-API path.

    Raises `ConfigMissingError`.
    """
    env: dict[str, str] = {}
    for source in container.env_from:
        env.update(_bulk(source, objects))
    for var in container.env:
        if origin := var.get("valueFrom"):
            value = _value_from(origin, objects, field)
            if value is not None:
                env[var["name"]] = value
        else:
            env[var["name"]] = expand(str(var.get("value") or ""), env)
    return env


def cache_env(cache: Path, limit: str | None) -> dict[str, str]:
    """What loaders are told of this machine's cache: by the node and not by their Pods, whose hash an edited limit
    would change, and so restart their servers."""
    return {"KUBEAI_CACHE_DIR": str(cache)} | ({"KUBEAI_CACHE_LIMIT": limit} if limit else {})


def expand(text: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` -> its value; an unknown name stays as it is; `$$` is an escaped `$`."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else env.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


def expand_all(texts: Sequence[str], env: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(expand(text, env) for text in texts)


def object_data(kind: str, body: JSONObject) -> dict[str, bytes]:
    """The keys of a Secret or ConfigMap, decoded."""
    if kind == "Secret":
        return {key: base64.b64decode(value) for key, value in (body.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (body.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (body.get("binaryData") or {}).items()}


def _bulk(source: JSONObject, objects: Objects) -> Iterator[tuple[str, str]]:
    for key, kind in _BULK_SOURCES.items():
        reference = source.get(key)
        if not reference:
            continue
        body = objects.get((kind, reference.get("name", "")))
        if body is None and not reference.get("optional"):
            raise ConfigMissingError(f'{kind.lower()} "{reference.get("name", "")}" not found')
        for name, value in object_data(kind, body or {}).items():
            yield (source.get("prefix") or "") + name, value.decode(errors="replace")


def _value_from(source: JSONObject, objects: Objects, field: Callable[[str], str]) -> str | None:
    if reference := source.get("fieldRef"):
        return field(reference.get("fieldPath") or "")
    found = next(((kind, source[key]) for key, kind in _SOURCES.items() if source.get(key)), None)
    return _key_of(*found, objects) if found else None


def _key_of(kind: str, reference: JSONObject, objects: Objects) -> str | None:
    """None for an optional key that is missing: the variable is then not set at all."""
    name, key = reference.get("name", ""), reference.get("key", "")
    body = objects.get((kind, name))
    value = object_data(kind, body).get(key) if body else None
    if value is not None:
        return value.decode(errors="replace")
    if reference.get("optional"):
        return None
    if body is None:
        raise ConfigMissingError(f'{kind.lower()} "{name}" not found')
    raise ConfigMissingError(f"couldn't find key {key} in {kind} {name}")


def pod_field(pod: JSONObject, address: str, node_name: str) -> Callable[[str], str]:
    """The downward API: the fields of this Pod that a variable may show."""
    meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    fields = {
        "metadata.name": meta.get("name"),
        "metadata.namespace": meta.get("namespace"),
        "metadata.uid": meta.get("uid"),
        "spec.nodeName": node_name,
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": "127.0.0.1",
    }

    def value(path: str) -> str:
        if match := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return str((meta.get(match[1]) or {}).get(match[2], ""))
        return str(fields.get(path) or "")

    return value
