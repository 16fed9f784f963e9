"""What a resource profile says about Pods: the same keys as a Model's own `pods`, read strictly."""

from __future__ import annotations

from pydantic import Field

from kubeai.config.fields import Fragment, Labels, Settings


class ProbeTimings(Settings):
    """When a probe asks, and how often it must fail. What is left out is as the engine has it."""

    initial_delay_seconds: int | None = Field(
        default=None, ge=0, description="How long after the container's start the first question is asked."
    )
    period_seconds: int | None = Field(default=None, ge=1, description="Time between two questions.")
    timeout_seconds: int | None = Field(default=None, ge=1, description="How long an answer may take.")
    failure_threshold: int | None = Field(
        default=None, ge=1, description="After how many failures in a row the probe has failed."
    )


class Probes(Settings):
    """Timings of the server's probes."""

    startup: ProbeTimings | None = Field(default=None, description="Until it has passed the server is starting.")
    readiness: ProbeTimings | None = Field(default=None, description="While it fails the server gets no requests.")
    liveness: ProbeTimings | None = Field(default=None, description="When it has failed the server is restarted.")


class TemplateMetadata(Settings):
    """Labels and annotations to add."""

    labels: Labels = Field(default_factory=dict, description="Labels to add to the Pods.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations to add to the Pods.")


class PodTemplate(Settings):
    """A part of a Pod that is laid over the finished one."""

    metadata: TemplateMetadata | None = Field(default=None, description="Labels and annotations to add.")
    spec: Fragment | None = Field(
        default=None, description="Fields of core/v1 PodSpec, as in a strategic merge patch; all of them may be set."
    )
