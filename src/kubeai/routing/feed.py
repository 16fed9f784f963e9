"""Keeps the balancer's groups equal to what the cluster says: ready Pods become endpoints, all others leave at once.

The Pod's labels are enough to know its Model and adapters, so a Pod and its Model may become known in any order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from kubeai.api.address import address
from kubeai.api.k8s.objects import Pod
from kubeai.api.model import LoadBalancing, Model
from kubeai.planning.names import (
    ADAPTER_LABEL_PREFIX,
    MODEL_LABEL,
    POD_IP_ANNOTATION,
    POD_PORT_ANNOTATION,
    endpoint_name,
    is_draining,
)

from .balancer import Balancer
from .endpoint import Endpoint

log = logging.getLogger(__name__)

DEFAULT_PORT = 8000

T_co = TypeVar("T_co", covariant=True)


class Changes(Protocol[T_co]):
    """The part of an informer that is needed here: it tells old and new of each object that changes."""

    def on_change(self, handler: Callable[[T_co | None, T_co | None], None]) -> object: ...


class Feed:
    """Subscribes on construction; there is nothing to run."""

    def __init__(
        self,
        balancer: Balancer,
        models: Changes[Model],
        pods: Changes[Pod],
        allow_address_override: bool,
        home: str | None = None,
    ) -> None:
        """`home` is the namespace whose Models have plain names; see `api.address`."""
        self._balancer = balancer
        self._allow_address_override = allow_address_override
        self._home = home
        #: By the Model's address, as all that follows.
        self._models: dict[str, LoadBalancing] = {}
        #: Model -> endpoint name -> endpoint; a Model without endpoints has no entry.
        self._endpoints: dict[str, dict[str, Endpoint]] = {}
        models.on_change(self._on_model)
        pods.on_change(self._on_pod)

    def _on_model(self, old: Model | None, new: Model | None) -> None:
        if new is not None:
            model = address(new.namespace, new.name, self._home)
            changed = self._models.get(model) != new.spec.load_balancing
            self._models[model] = new.spec.load_balancing
            if changed:
                self._publish(model)
        elif old is not None:
            model = address(old.namespace, old.name, self._home)
            if self._models.pop(model, None) is not None:
                self._balancer.remove_group(model)

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        before, after = self._model_of(old), self._model_of(new)
        if old is not None and before and before != after:
            self._put(before, endpoint_name(old), None)
        if new is not None and after:
            self._put(after, endpoint_name(new), self._endpoint(new))

    def _model_of(self, pod: Pod | None) -> str | None:
        name = pod and pod.labels.get(MODEL_LABEL)
        return address(pod.namespace, name, self._home) if pod and name else None

    def _endpoint(self, pod: Pod) -> Endpoint | None:
        try:
            return pod_endpoint(pod, self._allow_address_override)
        except ValueError as error:
            log.warning("Pod %s gets no requests: %s", pod.name, error)
            return None

    def _put(self, model: str, name: str, endpoint: Endpoint | None) -> None:
        known = self._endpoints.get(model, {})
        if known.get(name) == endpoint:
            return
        if endpoint is not None:
            self._endpoints.setdefault(model, {})[name] = endpoint
        else:
            del known[name]
            if not known:
                del self._endpoints[model]
        self._publish(model)

    def _publish(self, model: str) -> None:
        load_balancing = self._models.get(model)
        if load_balancing is not None:
            self._balancer.set_group(model, list(self._endpoints.get(model, {}).values()), load_balancing)


def pod_endpoint(pod: Pod, allow_address_override: bool) -> Endpoint | None:
    """Where the Pod takes requests; None while it takes none. Raises `ValueError` for a port that is none."""
    if not pod.ready or pod.terminating or pod.finished or is_draining(pod):
        return None
    override = pod.annotations.get(POD_IP_ANNOTATION) if allow_address_override else None
    host = override or pod.status.pod_ip
    if not host:
        return None
    return Endpoint(endpoint_name(pod), host, _port(pod), _adapters(pod))


def _port(pod: Pod) -> int:
    text = pod.annotations.get(POD_PORT_ANNOTATION) or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"annotation {POD_PORT_ANNOTATION} is {text!r}; write a port number from 1 to 65535")
    return int(text)


def _adapters(pod: Pod) -> frozenset[str]:
    return frozenset(
        label.removeprefix(ADAPTER_LABEL_PREFIX) for label in pod.labels if label.startswith(ADAPTER_LABEL_PREFIX)
    )
