"""The smaller built-in kinds: their defaults and rules."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from typing import Any

from kubeai.embedded.admission.schema import TYPE_INVALID, forbidden, required, wrong
from kubeai.embedded.status import Cause

JSONObject = dict[str, Any]

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


def default_namespace(namespace: JSONObject, old: JSONObject | None) -> None:
    metadata = namespace["metadata"]
    metadata["labels"] = (metadata.get("labels") or {}) | {NAMESPACE_NAME_LABEL: metadata.get("name", "")}
    if old is None:
        namespace["spec"] = {"finalizers": ["kubernetes"]}
        namespace["status"] = {"phase": "Active"}
    else:
        namespace["spec"] = old.get("spec", {})


def default_secret(secret: JSONObject, old: JSONObject | None) -> None:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = (secret.get("data") or {}) | encoded


def check_config_map(config_map: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    for field in ("data", "binaryData"):
        yield from _check_keys(config_map.get(field) or {}, field)
    yield from check_immutable(config_map, old)


def _check_keys(data: JSONObject, path: str) -> Iterator[Cause]:
    for key in data:
        if not _KEY.fullmatch(key):
            why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            yield wrong(f"{path}[{key}]", key, why)


def check_lease(lease: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    spec = lease.get("spec") or {}
    for field in ("acquireTime", "renewTime"):
        if spec.get(field) is not None and not _MICRO_TIME.fullmatch(spec[field]):
            why = "must be a time with microseconds, such as 2026-01-02T03:04:05.000006Z"
            yield Cause(f"spec.{field}", f"Invalid value: {spec[field]!r}: {why}", TYPE_INVALID)
    if (duration_s := spec.get("leaseDurationSeconds")) is not None and duration_s <= 0:
        yield wrong("spec.leaseDurationSeconds", duration_s, "must be greater than 0")
    if (transitions := spec.get("leaseTransitions")) is not None and transitions < 0:
        yield wrong("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


def check_secret(secret: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    yield from _check_keys(secret.get("data") or {}, "data")
    for key, value in (secret.get("data") or {}).items():
        try:
            b64decode(value, validate=True)
        except Base64Error:
            yield wrong(f"data[{key}]", "<value>", "must be base64 (or put it into stringData as it is)")
    yield from check_immutable(secret, old)
    if old is not None and secret["type"] != old["type"]:
        yield wrong("type", secret["type"], "field is immutable")


def check_immutable(obj: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    """ConfigMaps and Secrets may be frozen, and stay so."""
    if old is None or not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield forbidden("immutable", "field is immutable when `immutable` is set")
    for field in ("data", "binaryData"):
        if obj.get(field) != old.get(field):
            yield forbidden(field, "field is immutable when `immutable` is set")


def default_service(service: JSONObject, old: JSONObject | None) -> None:
    spec = service.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    # Nothing on one machine routes Service addresses, and an address that leads nowhere would mislead.
    spec.setdefault("clusterIP", "None")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    service.setdefault("status", {"loadBalancer": {}})


def default_claim(claim: JSONObject, old: JSONObject | None) -> None:
    """On one machine a claim is a directory, which is there as soon as somebody wants it: so it is bound at once."""
    spec = claim.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    if old is None:
        capacity = dict((spec.get("resources") or {}).get("requests") or {})
        spec.setdefault("volumeName", f"pvc-{claim['metadata']['uid']}")
        claim["status"] = {"phase": "Bound", "accessModes": spec.get("accessModes", []), "capacity": capacity}


def check_claim(claim: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    spec = claim["spec"]
    if not spec.get("accessModes"):
        yield required("spec.accessModes")
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        yield required("spec.resources[storage]")


def check_event(event: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    involved = event.get("involvedObject") or {}
    home = involved.get("namespace") or "default"
    if event["metadata"].get("namespace") != home:
        yield wrong("involvedObject.namespace", involved.get("namespace", ""), "does not match event.namespace")
