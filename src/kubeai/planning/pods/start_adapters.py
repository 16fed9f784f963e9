"""Adapters of servers that take them at their start only: files that init containers bring, named in the arguments.

What a server is started with it has as soon as it is ready. So the labels that let requests for adapters through are in
the Pod from the beginning, and a change of the adapters is a rollout like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubeai.api.model import Model
from kubeai.api.modelurl import ModelURL, ModelURLError, parse_model_url
from kubeai.planning.adapters import DIRECTORY, Adapter, wanted_adapters
from kubeai.planning.engines.spec import AdapterLoading, Engine
from kubeai.planning.errors import PlanningError
from kubeai.planning.names import ADAPTER_LABEL_PREFIX
from kubeai.planning.pods.additions import Additions
from kubeai.planning.reasons import Reason

VOLUME = Additions(volumes=({"name": "adapters", "emptyDir": {}},))
#: In the container that writes to it, and in the server.
WRITABLE = Additions(mounts=({"name": "adapters", "mountPath": DIRECTORY},))
READABLE = Additions(mounts=({"name": "adapters", "mountPath": DIRECTORY, "readOnly": True},))


@dataclass(frozen=True, slots=True)
class StartAdapter:
    """One adapter that the server is started with."""

    adapter: Adapter
    source: ModelURL
    #: Where the server finds it.
    file: str


def start_adapters(model: Model, engine: Engine) -> tuple[StartAdapter, ...]:
    """By name, which is the order in which the server counts them. Raises `PlanningError`."""
    if engine.adapters is not AdapterLoading.AT_START:
        return ()
    return tuple(_of_file(engine, adapter) for _, adapter in sorted(wanted_adapters(model).items()))


def adapter_labels(adapters: tuple[StartAdapter, ...]) -> dict[str, str]:
    return {ADAPTER_LABEL_PREFIX + found.adapter.name: found.adapter.version for found in adapters}


def container_name(number: int) -> str:
    """Of the init container that brings it. An adapter's own name may be too long for a container's."""
    return f"adapter-{number}"


def _of_file(engine: Engine, adapter: Adapter) -> StartAdapter:
    try:
        source = parse_model_url(adapter.url)
    except ModelURLError as error:
        raise PlanningError(Reason.INVALID_URL, f"spec.adapters, {adapter.name}: {error}") from error
    suffix = engine.weights_suffix or ""
    file = source.model or source.path.rpartition("/")[2]
    if not file.endswith(suffix) or ".." in file.split("/"):
        raise PlanningError(
            Reason.INVALID_URL,
            f"spec.adapters, {adapter.name}: engine {engine.name} needs one {suffix} file: end the url with it, or "
            f"name it with ?model=FILE{suffix}.",
        )
    return StartAdapter(adapter, source, f"{adapter.directory}/{file.lstrip('/')}")
