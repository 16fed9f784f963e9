"""Why a Model serves nobody, told to the one who asked (fault P10).

The operator says it in the Model's Ready condition; here it becomes a 503 that tells "wait a little longer" from
"somebody has to mend this first".
"""

from __future__ import annotations

from kubeai.api.model import Model, ModelCondition
from kubeai.api.openai.errors import OpenAIError, too_many_requests, unavailable
from kubeai.planning.reasons import TROUBLE, Reason

RETRY_AFTER_S = 10.0

#: Trouble that can pass by itself in the next minutes: worth waiting for as long as the caller may.
_PASSING = frozenset(
    {
        Reason.UNSCHEDULABLE,
        Reason.REFUSED,
        Reason.QUOTA_EXCEEDED,
        Reason.DOWNLOAD_FAILED,
        Reason.IMAGE_PULL_FAILED,
        Reason.POD_FAILED,
    }
)


def hopeless(model: Model) -> OpenAIError | None:
    """The error for a Model that will not get ready however long one waits; None if it may."""
    condition = _not_ready(model)
    if condition is None or not _current(model, condition):
        return None
    if condition.reason in TROUBLE - _PASSING:
        return _cannot_start(model, condition)
    return None


def still_not_ready(model: Model, waited_s: float, adapter: str | None = None) -> OpenAIError:
    """The error for a request that has waited for as long as it may."""
    condition = _not_ready(model)
    if condition is None and adapter is not None:
        return _no_adapter(model, adapter, waited_s)
    if condition is not None and condition.reason in TROUBLE:
        return _cannot_start(model, condition)
    if condition is None and model.condition("Ready") is not None:
        message = f"All replicas of the model '{model.name}' were busy for {waited_s:g} seconds."
        return unavailable(message, RETRY_AFTER_S)
    why = f" ({condition.reason}: {condition.message})" if condition else ""
    if not model.spec.replicas and model.spec.autoscaling_disabled:
        why = " (it is scaled to zero and autoscaling is disabled for it)"
    return unavailable(f"The model '{model.name}' was not ready within {waited_s:g} seconds{why}.", RETRY_AFTER_S)


def queue_full(model: Model, limit: int) -> OpenAIError:
    """429: as many wait as may, and this request has no better claim."""
    condition = _not_ready(model)
    why = f" ({condition.reason}: {condition.message})" if condition else ""
    return too_many_requests(f"{limit} requests wait for the model '{model.name}' already{why}.", RETRY_AFTER_S)


def _cannot_start(model: Model, condition: ModelCondition) -> OpenAIError:
    message = f"The model '{model.name}' cannot start: {condition.reason}: {condition.message}"
    return unavailable(message, RETRY_AFTER_S, code="model_cannot_start")


def _no_adapter(model: Model, adapter: str, waited_s: float) -> OpenAIError:
    """The Model serves; what is missing is the adapter alone."""
    condition = model.condition("AdaptersLoaded")
    why = f" ({condition.reason}: {condition.message})" if condition and condition.status != "True" else ""
    message = f"The adapter '{adapter}' of the model '{model.name}' was not loaded within {waited_s:g} seconds{why}."
    return unavailable(message, RETRY_AFTER_S)


def _not_ready(model: Model) -> ModelCondition | None:
    condition = model.condition("Ready")
    return None if condition is None or condition.status == "True" else condition


def _current(model: Model, condition: ModelCondition) -> bool:
    """Whether the condition was said of the Model as it is now, and not before an edit or a wake."""
    generation = model.metadata.generation
    return generation is None or condition.observed_generation in (None, generation)
