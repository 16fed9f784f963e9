"""What a caller is told about a Model that serves nobody."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.model import Model
from kubeai.api.openai.errors import OpenAIError
from kubeai.inference.readiness import hopeless, still_not_ready
from tests.builders import model


def saying(reason: str, status: str = "False", generation: int | None = 1, **spec: Any) -> Model:
    ready = {"type": "Ready", "status": status, "reason": reason, "message": "why", "observedGeneration": generation}
    return model("m", status={"conditions": [ready]}, **spec)


@pytest.mark.parametrize("reason", ["CrashLoop", "EngineMissing", "UnknownResourceProfile", "InvalidURL"])
def test_waiting_ends_at_once_when_somebody_must_mend_the_model(reason: str) -> None:
    # fault P10
    error = hopeless(saying(reason))
    assert error is not None
    assert (error.status, error.code) == (503, "model_cannot_start")
    assert f"{reason}: why" in error.message
    assert error.retry_after_s


HOPEFUL = {
    "it starts": saying("Starting"),
    "it may be scheduled later": saying("Unschedulable"),
    "it is ready": saying("Ready", "True"),
    "nothing is known yet": model("m"),
    "the trouble was before the last edit": saying("CrashLoop", generation=0),
}


@pytest.mark.parametrize("waiting", HOPEFUL.values(), ids=HOPEFUL.keys())
def test_waiting_goes_on_while_it_may_help(waiting: Model) -> None:
    assert hopeless(waiting) is None


EXPLAINED = {
    "the model's own reason": (saying("Downloading"), "no_capacity", r"within 5 seconds \(Downloading: why\)"),
    "what keeps it from starting": (saying("Unschedulable"), "model_cannot_start", "Unschedulable: why"),
    "nothing known": (model("m", replicas=1), "no_capacity", "within 5 seconds."),
    "nobody may scale it": (model("m", autoscalingDisabled=True), "no_capacity", "autoscaling is disabled"),
}


@pytest.mark.parametrize(("waited", "code", "says"), EXPLAINED.values(), ids=EXPLAINED.keys())
def test_the_end_of_the_wait_is_explained(waited: Model, code: str, says: str) -> None:
    # fault P10
    error = still_not_ready(waited, 5.0)
    assert (error.status, error.code) == (503, code)
    with pytest.raises(type(error), match=says):
        raise error


ADAPTERS = {"type": "AdaptersLoaded", "status": "False", "reason": "AdapterLoadFailed", "message": "no such repository"}
READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}
WITHOUT_ADAPTER = {
    "the adapter's own trouble": (
        model("m", status={"conditions": [READY, ADAPTERS]}),
        r"adapter 'a' of the model 'm' was not loaded within 5 seconds \(AdapterLoadFailed: no such repository\)",
    ),
    "nothing known": (model("m", status={"conditions": [READY]}), "was not loaded within 5 seconds."),
    "the model itself is not ready": (saying("Downloading"), r"The model 'm' was not ready .*Downloading"),
}


@pytest.mark.parametrize(("waited", "says"), WITHOUT_ADAPTER.values(), ids=WITHOUT_ADAPTER.keys())
def test_a_missing_adapter_is_told_from_a_missing_model(waited: Model, says: str) -> None:
    with pytest.raises(OpenAIError, match=says):
        raise still_not_ready(waited, 5.0, "a")
