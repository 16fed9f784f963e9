"""What can be said of a manifest without a cluster: is it valid, and what Pod would it become?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kubeai.api.k8s.resources import MODELS
from kubeai.api.model import Model
from kubeai.api.modelurl import ModelURLError, parse_model_url
from kubeai.api.validation import FieldError, default_model, validate_model
from kubeai.config.load import load_system, parse_system
from kubeai.config.system import System
from kubeai.planning.errors import PlanningError
from kubeai.planning.pods.build import build_pod

from .errors import CLIError
from .manifests import Document

#: The one key that has no default; nothing that is rendered depends on it.
_BUILT_IN = {"modelAutoscaling": {"stateConfigMapName": "kubeai-autoscaler-state"}}


def load_system_if_any(config: Path | None) -> System | None:
    return load_system(config) if config else None


def check_documents(documents: Sequence[Document], system: System | None) -> tuple[list[str], str]:
    """Every fault as a line, and what was checked as a sentence."""
    models = [document for document in documents if document.kind == MODELS.kind]
    faults = [_line(document, fault) for document in documents for fault in _check(document, system)]
    for first, second in _namesakes(models):
        faults.append(_line(second, FieldError("metadata.name", f"is also the name in {first.where}", "unique names")))
    skipped = sum(document not in models and bool(document.kind) for document in documents)
    summary = f"{_count(len(models), 'Model')} checked, {_count(len(faults), 'fault')}"
    return faults, summary + (f"; {_count(skipped, 'object')} of other kinds not checked" if skipped else "")


def _check(document: Document, system: System | None) -> Iterable[FieldError]:
    if not document.kind:
        return [FieldError("kind", "required", "required")]
    if document.kind != MODELS.kind:
        return []
    faults = validate_model(document.object)
    if faults:
        return faults
    try:
        parse_model_url(document.object["spec"]["url"])
        if system:
            build_pod(_model(document), system)
    except ModelURLError as error:
        return [FieldError("spec.url", str(error), "form of the url")]
    except PlanningError as error:
        path, _, message = error.message.partition(": ")
        return [FieldError(path, message, error.reason)]
    return []


def _line(document: Document, fault: FieldError) -> str:
    """`model.yaml:7: document 1 (Model m): spec.engine: must be one of ... [enum]`."""
    _, _, which = document.where.partition(": ")
    return f"{document.source}:{document.line_of(fault.path)}: {which}: {fault} [{_rule(fault.rule)}]"


def _rule(rule: str) -> str:
    """A schema's keyword is enough, its value is in the message; a CEL rule is shown as it stands in the CRD."""
    return f"CEL: {rule}" if "self" in rule.lower() else rule.partition(": ")[0]


def _namesakes(models: Sequence[Document]) -> Iterable[tuple[Document, Document]]:
    seen: dict[tuple[str, str], Document] = {}
    for model in models:
        if model.name:
            first = seen.setdefault((_namespace(model), model.name), model)
            if first is not model:
                yield first, model


def _namespace(document: Document) -> str:
    return str(document.object["metadata"].get("namespace") or "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def render_pods(documents: Sequence[Document], config: Path | None, local: bool) -> list[dict[str, Any]]:
    """The Pod of each Model. Raises `CLIError` for a Model that has a fault."""
    system = _system(config, local)
    faults, _ = check_documents(documents, system)
    if faults:
        raise CLIError("\n".join(faults))
    models = [document for document in documents if document.kind == MODELS.kind]
    if not models:
        raise CLIError(f"{', '.join(dict.fromkeys(d.source for d in documents)) or 'the input'}: has no Model")
    return [_unborn(build_pod(_model(document), system)) for document in models]


def _unborn(pod: dict[str, Any]) -> dict[str, Any]:
    """Without what only a stored Model gives its Pods: the owner's uid, and the namespace if the manifest has none."""
    hidden = {"ownerReferences"} | (set() if pod["metadata"]["namespace"] else {"namespace"})
    return pod | {"metadata": {key: value for key, value in pod["metadata"].items() if key not in hidden}}


def _system(config: Path | None, local: bool) -> System:
    if local:
        from kubeai.app.local_system import local_system

        return local_system(config)
    return load_system(config) if config else parse_system(_BUILT_IN, "the built-in configuration")


def _model(document: Document) -> Model:
    return Model.model_validate(default_model(document.object))
