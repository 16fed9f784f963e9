"""What a Model's few words ("nvidia-gpu-l4:2") mean in this system's configuration.

Everything here can be wrong only by somebody's edit, so every fault is a `PlanningError` that names what to change.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kubeai.api.k8s.quantity import QuantityError, multiply_quantity
from kubeai.api.model import Model
from kubeai.api.modelurl import ModelURL, ModelURLError, parse_model_url
from kubeai.config.system import CacheProfile, ResourceProfile, System
from kubeai.planning.engines.registry import ENGINES
from kubeai.planning.engines.spec import Engine
from kubeai.planning.errors import PlanningError
from kubeai.planning.reasons import Reason

DEFAULT_IMAGE = "default"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A Model's references, looked up."""

    engine: Engine
    image: str
    source: ModelURL
    #: None: the Model asks for nothing, and its Pods get neither requests nor limits.
    resources: ResourceProfile | None = None
    requests: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    cache: CacheProfile | None = None


def resolve(model: Model, system: System) -> Resolved:
    profile, count = _resource_profile(model, system)
    engine = _engine(model)
    limits = _times(profile.limits, count, model) if profile else {}
    # The API server fills missing requests in from the limits; doing it here keeps what we render and what is stored
    # alike, on every server.
    requests = limits | (_times(profile.requests, count, model) if profile else {})
    return Resolved(
        engine=engine,
        image=_image(model, system, profile),
        source=_source(model),
        resources=profile,
        requests=requests,
        limits=limits,
        cache=_cache_profile(model, system),
    )


def _engine(model: Model) -> Engine:
    engine = ENGINES.get(model.spec.engine)
    if engine is None:
        raise PlanningError(
            Reason.UNKNOWN_ENGINE,
            f"spec.engine: {model.spec.engine!r} is none of {', '.join(sorted(ENGINES))}.",
        )
    return engine


def _source(model: Model) -> ModelURL:
    try:
        return parse_model_url(model.spec.url)
    except ModelURLError as error:
        raise PlanningError(Reason.INVALID_URL, f"spec.url: {error}") from error


def _resource_profile(model: Model, system: System) -> tuple[ResourceProfile | None, int]:
    text = model.spec.resource_profile
    if not text:
        return None, 0
    name, _, count = text.rpartition(":")
    if not name or not (count.isascii() and count.isdigit()) or int(count) < 1:
        raise PlanningError(
            Reason.INVALID_RESOURCE_PROFILE,
            f"spec.resourceProfile: {text!r} does not have the form PROFILE:COUNT, as in cpu:1.",
        )
    profile = system.resource_profiles.get(name)
    if profile is None:
        raise PlanningError(
            Reason.UNKNOWN_RESOURCE_PROFILE,
            f"spec.resourceProfile: {name!r} is not in the system configuration; {_known(system.resource_profiles)}",
        )
    return profile, int(count)


def _cache_profile(model: Model, system: System) -> CacheProfile | None:
    name = model.spec.cache_profile
    if not name:
        return None
    profile = system.cache_profiles.get(name)
    if profile is None:
        raise PlanningError(
            Reason.UNKNOWN_CACHE_PROFILE,
            f"spec.cacheProfile: {name!r} is not in the system configuration; {_known(system.cache_profiles)}",
        )
    return profile


def _known(profiles: dict[str, ResourceProfile] | dict[str, CacheProfile]) -> str:
    return f"it has {', '.join(sorted(profiles))}." if profiles else "it has none of this kind."


def _image(model: Model, system: System, profile: ResourceProfile | None) -> str:
    if model.spec.image:
        return model.spec.image
    images = system.model_servers[model.spec.engine].images
    named = (profile.image_name if profile else None) or DEFAULT_IMAGE
    return images.get(named) or images[DEFAULT_IMAGE]


def _times(quantities: dict[str, str], count: int, model: Model) -> dict[str, str]:
    try:
        return {name: multiply_quantity(quantity, count) for name, quantity in sorted(quantities.items())}
    except QuantityError as error:
        raise PlanningError(
            Reason.INVALID_RESOURCE_PROFILE, f"spec.resourceProfile: {model.spec.resource_profile!r}: {error}"
        ) from error
