"""What a Model says about its replicas as Pods: how they are replaced."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kubeai.api.base import APIType, Int32, Int64

RolloutStrategy = Literal["Surge", "Recreate"]


class RolloutSettings(APIType):
    """How Pods are replaced when what they are made of has changed. An addition of this project."""

    strategy: RolloutStrategy | None = Field(
        default=None,
        description="Surge replaces one Pod after the other, so that the Model goes on serving. Recreate lets all "
        "Pods go before the first new one is made: for Models of which two revisions must not run at the same time. "
        "Without it the system configuration decides.",
    )
    surge: Int32 | None = Field(
        default=None,
        ge=0,
        description="How many Pods more than wanted may exist while Pods are replaced. With 0 a Pod goes before its "
        "replacement comes, which needs no spare GPU. Without it the system configuration decides.",
    )
    drain_timeout_seconds: Int64 | None = Field(
        default=None,
        ge=0,
        description="How long a Pod that is to go may finish its requests before it is deleted, in seconds. Without "
        "it the system configuration decides.",
    )
