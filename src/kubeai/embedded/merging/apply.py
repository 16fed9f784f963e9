"""Server-side apply: several managers, each the owner of the fields that it has applied.

Applying merges the manager's configuration into the object, removes what the manager applied before and now leaves out
(unless another one owns it too), and refuses to change a field that another manager owns, unless forced.

Ownership is tracked from the first apply of an object on: who came before is then summed up as `before-first-apply`, as
Kubernetes does with objects that carry no managedFields. Objects that nobody applies stay free of the bookkeeping.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubeai.embedded.merging.fields import (
    MISSING,
    FieldSet,
    Path,
    field_set,
    from_fields_v1,
    merged,
    require_identities,
    to_fields_v1,
    value_at,
    without,
)
from kubeai.embedded.status import Cause, apply_conflict

JSONObject = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BEFORE_FIRST_APPLY = "before-first-apply"
#: Nobody's: the server writes these, or they identify the object.
_SYSTEM_METADATA = frozenset(
    {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"}
    | {"deletionGracePeriodSeconds", "managedFields", "selfLink", "generateName"}
)


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, and how. A subresource counts as a manager of its own."""

    name: str
    operation: Literal["Apply", "Update"] = "Update"
    subresource: str = ""


Owners = Mapping[Manager, FieldSet]


def owned_part(obj: JSONObject) -> JSONObject:
    """The part of an object that managers can own."""
    part = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind", "metadata")}
    metadata = {n: v for n, v in (obj.get("metadata") or {}).items() if n not in _SYSTEM_METADATA}
    return part | ({"metadata": metadata} if metadata else {})


def owners_of(obj: JSONObject) -> dict[Manager, FieldSet]:
    """The owners that the object's managedFields name."""
    owners: dict[Manager, FieldSet] = {}
    for entry in obj["metadata"].get("managedFields") or ():
        operation: Literal["Apply", "Update"] = "Apply" if entry.get("operation") == "Apply" else "Update"
        manager = Manager(entry.get("manager", ""), operation, entry.get("subresource", ""))
        owners[manager] = frozenset(from_fields_v1(entry.get("fieldsV1") or {}))
    return owners


def managed_fields(owners: Owners, obj: JSONObject, now: str) -> list[JSONObject]:
    """The owners as managedFields. An entry that has not changed keeps its time."""
    entries = []
    known = {json.dumps(e | {"time": ""}, sort_keys=True): e for e in obj["metadata"].get("managedFields") or ()}
    for manager, paths in owners.items():
        if not paths:
            continue
        entry = {"manager": manager.name, "operation": manager.operation, "apiVersion": obj["apiVersion"]}
        entry |= {"time": "", "fieldsType": "FieldsV1", "fieldsV1": to_fields_v1(paths)}
        entry |= {"subresource": manager.subresource} if manager.subresource else {}
        entries.append(known.get(json.dumps(entry, sort_keys=True), entry | {"time": now}))
    return entries


@dataclass(frozen=True, slots=True)
class Applied:
    """The object after an apply, and who owns what of it."""

    obj: JSONObject
    owners: Owners


def apply(live: JSONObject, config: JSONObject, manager: Manager, schema: JSONObject, *, force: bool) -> Applied:
    """Apply a manager's configuration to the live object. Raises a Conflict if it is not forced."""
    require_identities(owned_part(config), schema)
    owners = owners_of(live) or _first_owners(live, manager, schema)
    before = owners.pop(manager, frozenset())
    wanted = field_set(owned_part(config), schema)
    conflicts = {other: _conflicts(live, config, wanted & paths, schema) for other, paths in owners.items()}
    if any(conflicts.values()) and not force:
        version = live["apiVersion"]
        raise apply_conflict(
            [_cause(other, path, version) for other, paths in conflicts.items() for path in sorted(paths)]
        )
    owners = {other: paths - conflicts[other] for other, paths in owners.items()}
    result = merged(live, owned_part(config), schema)
    dropped = before - _with_ancestors(wanted.union(*owners.values()))
    # Whole items of lists first: without its key field, an item would no longer be found.
    for path in sorted(dropped, key=len):
        result = without(result, path, schema)
    return Applied(result, owners | {manager: wanted})


def _with_ancestors(paths: FieldSet) -> FieldSet:
    """What holds an owned field is needed as well, even if it was itself applied as an empty map once."""
    return frozenset(path[:length] for path in paths for length in range(1, len(path) + 1))


def _first_owners(live: JSONObject, manager: Manager, schema: JSONObject) -> dict[Manager, FieldSet]:
    everything = field_set(owned_part(live), schema)
    mine: FieldSet = frozenset()
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if text and manager.name == "kubectl":
        # Until now kubectl has applied on the client's side: what it applied then is what it owns.
        mine = field_set(owned_part(_parsed(text)), schema) | _annotation_path()
    return {Manager(_BEFORE_FIRST_APPLY): everything - mine, manager: mine}


def _parsed(text: str) -> JSONObject:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _annotation_path() -> FieldSet:
    return frozenset({("f:metadata", "f:annotations", f"f:{LAST_APPLIED}")})


def _conflicts(live: JSONObject, config: JSONObject, paths: FieldSet, schema: JSONObject) -> FieldSet:
    """The paths where the configuration says something else than the object."""
    return frozenset(p for p in paths if _is_leaf(p) and value_at(live, p, schema) != value_at(config, p, schema))


def _is_leaf(path: Path) -> bool:
    return path[-1].startswith("f:")


def _cause(manager: Manager, path: Path, version: str) -> Cause:
    who = f'conflict with "{manager.name}"'
    if manager.subresource:
        who += f' with subresource "{manager.subresource}"'
    if manager.operation == "Update":
        who += f" using {version}"
    return Cause("".join(map(_shown, path)), who, "FieldManagerConflict")


def _shown(step: str) -> str:
    kind, _, name = step.partition(":")
    if kind == "f":
        return f".{name}"
    keys = json.loads(name) if kind == "k" else {"": json.loads(name)}
    return "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"


def track_update(old: JSONObject, new: JSONObject, manager: Manager, schema: JSONObject) -> Owners:
    """The owners after a plain write: it takes over the fields that it has changed."""
    owners = owners_of(old)
    if not owners:
        return {}
    before, after = field_set(owned_part(old), schema), field_set(owned_part(new), schema)
    changed = frozenset(p for p in after if _differs(old, new, p, schema))
    gone = before - after
    owners = {other: paths - changed - gone for other, paths in owners.items()}
    owners[manager] = owners.get(manager, frozenset()) | changed
    return owners


def _differs(old: JSONObject, new: JSONObject, path: Path, schema: JSONObject) -> bool:
    known = value_at(old, path, schema)
    return known is MISSING or (_is_leaf(path) and known != value_at(new, path, schema))
