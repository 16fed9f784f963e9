"""Everything that an object goes through before it is stored, in its order.

Unknown fields are dropped (and named), gaps are filled, and only then is the object judged: by its metadata, its
schema, the kind's own rules, and the rules in CEL. All faults of a stage are reported together; a later stage relies
on the earlier ones and is not entered where they found faults.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from kubeai.embedded.admission.cel import ABSENT, check_rules
from kubeai.embedded.admission.metadata import check_metadata
from kubeai.embedded.admission.schema import TYPE_INVALID, check
from kubeai.embedded.admission.shape import complete, prune
from kubeai.embedded.kinds import Kind
from kubeai.embedded.status import Cause, JSONObject, StatusError, bad_request, invalid

#: What to do about fields that the schema does not know.
FieldValidation = Literal["Ignore", "Warn", "Strict"]


def admit(kind: Kind, obj: JSONObject, old: JSONObject | None, validation: FieldValidation) -> list[str]:
    """Bring `obj` (in place) into the form that is stored, or refuse it. The result warns of what was dropped."""
    unknown = prune(obj, kind.schema)
    if unknown and validation == "Strict":
        faults = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise _unreadable(kind, f"strict decoding error: {faults}")
    complete(obj, kind.schema)
    name = str(obj["metadata"].get("name", ""))
    causes = list(check_metadata(obj["metadata"], kind.resource.kind, old["metadata"] if old else None))
    view = _view(obj)
    shape = list(check(view, kind.schema))
    # A server reads metadata and built-in kinds into types of its own; only of custom kinds it can judge any value.
    _refuse_unreadable(kind, causes if kind.custom else causes + shape)
    if causes or any(cause.reason == TYPE_INVALID for cause in shape):
        raise invalid(kind.resource, name, causes + shape)
    if not shape:
        kind.default(obj, old)
    causes = shape or list(kind.check(obj, old))
    # As in Kubernetes, a rule may rely on the schema: a broken schema keeps it from being asked.
    if not causes and kind.rules is not None:
        causes = list(check_rules(view, kind.rules, _view(old) if old else ABSENT))
    if causes:
        _refuse_unreadable(kind, () if kind.custom else causes)
        raise invalid(kind.resource, name, causes)
    return [f'unknown field "{path}"' for path in unknown] if validation == "Warn" else []


def _refuse_unreadable(kind: Kind, causes: Iterable[Cause]) -> None:
    if faults := [str(cause) for cause in causes if cause.reason == TYPE_INVALID]:
        raise _unreadable(kind, ", ".join(faults))


def _unreadable(kind: Kind, why: str) -> StatusError:
    resource = kind.resource
    return bad_request(f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}')


def _view(obj: JSONObject) -> JSONObject:
    """What schemas and rules may speak of: of the metadata only the name."""
    metadata = {name: obj["metadata"][name] for name in ("name", "generateName") if name in obj["metadata"]}
    return obj | {"metadata": metadata}
