"""Which objects a list or a watch is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubeai.api.k8s.selectors import FieldSelector, LabelSelector, SelectorError
from kubeai.embedded.kinds import Kind
from kubeai.embedded.paths import first
from kubeai.embedded.status import JSONObject, bad_request

_COMMON = ("metadata.name", "metadata.namespace")
#: The fields that can be selected by, beside name and namespace: the same ones as in a real cluster.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        *(f"involvedObject.{n}" for n in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "secrets": ("type",),
    "jobs.batch": ("status.successful",),
}
#: Fields whose name is not their path.
_PLACES = {"source": "source.component", "status.successful": "status.succeeded"}


@dataclass(frozen=True, slots=True)
class Selection:
    """A namespace ("" for all), a label selector and a field selector, together."""

    namespace: str = ""
    labels: LabelSelector = field(default_factory=LabelSelector)
    fields: FieldSelector = field(default_factory=FieldSelector)

    def matches(self, obj: JSONObject) -> bool:
        metadata = obj["metadata"]
        if self.namespace and metadata.get("namespace") != self.namespace:
            return False
        if self.fields.requirements and not self.fields.matches(self._values(obj)):
            return False
        return self.labels.matches(metadata.get("labels") or {})

    @property
    def everything(self) -> bool:
        """Whether only the namespace counts, so that no object has to be looked at."""
        return not (self.labels.requirements or self.fields.requirements)

    @property
    def name(self) -> str:
        """The only name that can match; "" where a selection does not say one."""
        named = (r.value for r in self.fields.requirements if r.field == "metadata.name" and not r.negated)
        return next(named, "")

    def _values(self, obj: JSONObject) -> dict[str, str]:
        return {name: _text(first(obj, _PLACES.get(name, name))) for name in self.fields.fields}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def parse_selection(kind: Kind, namespace: str, labels: str, fields: str) -> Selection:
    """Raises a BadRequest for what cannot be parsed, and for fields that the kind does not offer."""
    try:
        selection = Selection(namespace, LabelSelector.parse(labels), FieldSelector.parse(fields))
    except SelectorError as error:
        raise bad_request(str(error)) from error
    known = {*_COMMON, *_FIELDS.get(kind.key, ()), *kind.selectable_fields}
    if unknown := sorted(selection.fields.fields - known):
        raise bad_request(f"field label not supported: {unknown[0]}")
    return selection
