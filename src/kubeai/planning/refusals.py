"""What it means for a Model that an API server refuses to do what was planned.

The status codes are too coarse: 403 is a missing right, a spent quota, an admission policy, and a namespace that is
being deleted. The texts are those of Kubernetes' own admission and authorization, which have not changed for years;
what they do not say stays `Refused`, with the server's words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kubeai.planning.reasons import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server's answer."""

    status: int
    message: str
    #: Reasons of `details.causes`.
    causes: Collection[str] = ()


#: The first that fits.
_MEANINGS: tuple[tuple[Reason, Callable[[Refusal], bool]], ...] = (
    (Reason.NAMESPACE_TERMINATING, lambda r: "NamespaceTerminating" in r.causes),
    (Reason.FEATURE_DISABLED, lambda r: Reason.FEATURE_DISABLED in r.causes),
    (Reason.NAMESPACE_TERMINATING, lambda r: r.status == 403 and "because it is being terminated" in r.message),
    (Reason.QUOTA_EXCEEDED, lambda r: r.status == 403 and "exceeded quota" in r.message),
    (Reason.QUOTA_EXCEEDED, lambda r: r.status == 403 and "failed quota" in r.message),
    (Reason.FORBIDDEN, lambda r: r.status == 403 and "User " in r.message and " cannot " in r.message),
    (Reason.ADMISSION_DENIED, lambda r: "admission webhook" in r.message or "calling webhook" in r.message),
    (Reason.ADMISSION_DENIED, lambda r: r.status == 403),
    (Reason.INVALID_OBJECT, lambda r: r.status == 422),
)


def reason_of(refusal: Refusal) -> Reason:
    return next((reason for reason, fits in _MEANINGS if fits(refusal)), Reason.REFUSED)


def lasts(refusal: Refusal) -> bool:
    """Whether somebody has to be told: it is more than bad timing."""
    # A webhook that cannot be called looks like a server in trouble, and may stay so for days.
    if reason_of(refusal) is Reason.ADMISSION_DENIED:
        return True
    return refusal.status not in (0, 408, 409, 429) and refusal.status < 500


def image_volumes(pod: Mapping[str, Any]) -> set[str]:
    """Of a whole Pod, by name. An API server without the feature drops them, and what mounts them, without a word."""
    return {volume["name"] for volume in pod["spec"].get("volumes") or () if volume.get("image")}
