"""CustomResourceDefinitions: what is asked of them, and what the server says of them once they are served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubeai.embedded.admission.cel import RuleCompiler, RuleError
from kubeai.embedded.admission.schema import forbidden, required, wrong
from kubeai.embedded.status import Cause

JSONObject = dict[str, Any]

#: Keeps a definition until all its objects are gone.
CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def default_definition(definition: JSONObject, old: JSONObject | None) -> None:
    spec = definition["spec"]
    names = spec["names"]
    names.setdefault("singular", str(names.get("kind", "")).lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    spec.setdefault("conversion", {"strategy": "None"})
    if old is None:
        finalizers = definition["metadata"].setdefault("finalizers", [])
        if CLEANUP_FINALIZER not in finalizers:
            finalizers.append(CLEANUP_FINALIZER)
        definition.pop("status", None)


def accepted(definition: JSONObject, now: str) -> JSONObject:
    """The status of a definition that is served."""
    spec = definition["spec"]
    stored = [version["name"] for version in spec["versions"] if version.get("storage")]
    known = (definition.get("status") or {}).get("storedVersions", [])
    conditions = [
        _condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
        _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", now),
    ]
    return {
        "acceptedNames": dict(spec["names"]),
        "conditions": (definition.get("status") or {}).get("conditions") or conditions,
        "storedVersions": known + [name for name in stored if name not in known],
    }


def _condition(type: str, reason: str, message: str, now: str) -> JSONObject:
    return {"type": type, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}


def check_definition(definition: JSONObject, old: JSONObject | None, compiler: RuleCompiler) -> Iterator[Cause]:
    spec = definition["spec"]
    expected = f"{spec['names']['plural']}.{spec['group']}"
    if definition["metadata"].get("name") != expected:
        yield wrong("metadata.name", definition["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group')
    stored = [version for version in spec["versions"] if version.get("storage")]
    if len(stored) != 1:
        yield wrong("spec.versions", len(stored), "must have exactly one version marked as storage version")
    if spec["conversion"].get("strategy") != "None":
        yield forbidden("spec.conversion.strategy", "the embedded server converts by apiVersion only: use None")
    for index, version in enumerate(spec["versions"]):
        yield from _check_version(version, f"spec.versions[{index}]", compiler)
    if old is not None:
        yield from _check_update(spec, old["spec"])


def _check_version(version: JSONObject, path: str, compiler: RuleCompiler) -> Iterator[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    path = f"{path}.schema.openAPIV3Schema"
    if not isinstance(schema, dict):
        yield required(path)
        return
    if schema.get("type") != "object":
        yield wrong(f"{path}.type", schema.get("type"), "must be object at the root")
    try:
        compiler.compile(schema)
    except RuleError as error:
        yield wrong(f"{path}.x-kubernetes-validations", "<rule>", str(error))


def _check_update(new: JSONObject, old: JSONObject) -> Iterator[Cause]:
    for field in ("group", "scope"):
        if new[field] != old[field]:
            yield wrong(f"spec.{field}", new[field], "field is immutable")
    for field in ("plural", "kind"):
        if new["names"][field] != old["names"][field]:
            yield wrong(f"spec.names.{field}", new["names"][field], "field is immutable")
