"""Jobs: defaults, the selector that ties a Job to its Pods, and what cannot change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubeai.embedded.admission.pods import check_pod_spec, default_pod_spec
from kubeai.embedded.admission.schema import required, unsupported, wrong
from kubeai.embedded.status import Cause

JSONObject = dict[str, Any]

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
#: The names of the same labels before Kubernetes 1.27; tools still select by them.
_OLD_LABELS = {CONTROLLER_UID: "controller-uid", JOB_NAME: "job-name"}


def default_job(job: JSONObject, old: JSONObject | None) -> None:
    spec = job.setdefault("spec", {})
    defaults = {"backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False, "manualSelector": False}
    for field, value in defaults.items():
        spec.setdefault(field, value)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    template = spec.setdefault("template", {})
    pod_spec = template.setdefault("spec", {})
    # Unlike a Pod's own, this default would be refused: a Job has to name it.
    restart_policy = pod_spec.get("restartPolicy")
    default_pod_spec(pod_spec)
    pod_spec["restartPolicy"] = restart_policy or ""
    if old is None:
        job["status"] = {}
        if not spec["manualSelector"]:
            _tie(job, template)
        if not job["metadata"].get("labels") and (labels := (template.get("metadata") or {}).get("labels")):
            job["metadata"]["labels"] = dict(labels)


def _tie(job: JSONObject, template: JSONObject) -> None:
    metadata = job["metadata"]
    labels = {CONTROLLER_UID: metadata["uid"], JOB_NAME: metadata.get("name", "")}
    labels |= {_OLD_LABELS[key]: value for key, value in labels.items()}
    own = template.setdefault("metadata", {})
    own["labels"] = (own.get("labels") or {}) | labels
    job["spec"]["selector"] = {"matchLabels": {CONTROLLER_UID: metadata["uid"]}}


def check_job(job: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    spec = job["spec"]
    for field in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if spec.get(field, 0) < 0:
            yield wrong(f"spec.{field}", spec[field], "must be greater than or equal to 0")
    if spec["completionMode"] != "NonIndexed":
        yield unsupported("spec.completionMode", spec["completionMode"], ["NonIndexed"])
    if not spec.get("selector"):
        yield required("spec.selector")
    pod_spec = spec["template"]["spec"]
    path = "spec.template.spec"
    if not pod_spec["restartPolicy"]:
        yield Cause(f"{path}.restartPolicy", 'Required value: valid values: "OnFailure", "Never"', "FieldValueRequired")
    elif pod_spec["restartPolicy"] not in ("OnFailure", "Never"):
        yield unsupported(f"{path}.restartPolicy", pod_spec["restartPolicy"], ["OnFailure", "Never"])
    yield from check_pod_spec(pod_spec | {"restartPolicy": pod_spec["restartPolicy"] or "Never"}, path)
    if old is not None:
        yield from _check_update(spec, old["spec"])


def _check_update(new: JSONObject, old: JSONObject) -> Iterator[Cause]:
    for field in ("template", "selector", "completions", "completionMode"):
        if new.get(field) != old.get(field):
            yield wrong(f"spec.{field}", new.get(field), "field is immutable")
