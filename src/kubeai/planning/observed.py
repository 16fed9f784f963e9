"""What the planner decides from: one Model and everything that belongs to it, at one moment.

Copied from the informers' caches, all of which may lag behind the truth; `controller` makes sure that they do not lag
behind our own writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubeai.api.k8s.objects import ConfigMap, Job, PersistentVolumeClaim, Pod
from kubeai.api.model import Model
from kubeai.planning.draining import Loads
from kubeai.planning.reasons import Reason


@dataclass(frozen=True, slots=True)
class Failure:
    """The last attempt to carry out the plan was refused, with a reason that a retry alone does not mend."""

    message: str
    reason: Reason = Reason.REFUSED


@dataclass(frozen=True, slots=True)
class AdapterTrouble:
    """The last attempt to bring an adapter into a Pod, or out of it, has failed; it is tried again."""

    pod: str
    #: Empty: it is not known which ones the server has.
    adapter: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that one plan is made from."""

    model: Model
    #: The Pods that the Model controls, terminating ones too.
    pods: tuple[Pod, ...] = ()
    #: By its name; it may belong to somebody else.
    files: ConfigMap | None = None
    #: The claim of the Model's cache profile, shared with other Models.
    cache_claim: PersistentVolumeClaim | None = None
    load_job: Job | None = None
    evict_job: Job | None = None
    #: Pods of the two Jobs: they say why a Job does not get on.
    job_pods: tuple[Pod, ...] = ()
    adapter_troubles: tuple[AdapterTrouble, ...] = ()
    failure: Failure | None = None
    #: Asked for only when a Pod is to go; None: not asked for yet.
    loads: Loads | None = None
    #: Uid -> the whole spec of a Pod. Read only of those that would be replaced; empty if the Pod could not be read.
    #: None: nobody reads any.
    specs: Mapping[str, Mapping[str, Any]] | None = None
