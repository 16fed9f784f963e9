"""A cluster and gateways for the autoscaler, as far as it can see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

from kubeai.api.address import address
from kubeai.api.k8s.resources import CONFIG_MAPS, MODELS, Resource
from kubeai.api.model import Model
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.scaling.observe import Fetch
from tests.builders import model


class FakeCluster:
    """The API server and the Models' informer in one: what is written is seen at once."""

    def __init__(self, *models: Model) -> None:
        #: By address, "default" being the autoscaler's own namespace.
        self.models = {address(model.namespace, model.name, "default"): model for model in models}
        self.config_maps: dict[str, dict[str, str]] = {}
        self.writes: list[str] = []
        self.events: list[str] = []
        #: While set, every call fails with it.
        self.failure: APIError | ConnectionFailed | None = None
        #: Models that were deleted though the informer does not know it yet.
        self.gone: set[str] = set()

    async def wait_synced(self) -> None:
        return

    def all(self) -> list[Model]:
        return list(self.models.values())

    def replicas(self, name: str = "m") -> int | None:
        return self.models[name].spec.replicas

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        assert (resource, namespace) == (CONFIG_MAPS, "default")
        return {"data": self._config_map(name)}

    async def create(self, resource: Resource, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        assert (resource, namespace) == (CONFIG_MAPS, "default")
        self._write(f"create {obj['metadata']['name']}")
        self.config_maps[obj["metadata"]["name"]] = obj["data"]
        return obj

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: dict[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        if resource is CONFIG_MAPS:
            assert namespace == "default"
            self._config_map(name).update(patch["data"])
            self._write(f"save {name}")
        else:
            assert (resource, subresource) == (MODELS, "scale")
            if name in self.gone:
                raise APIError(404, "NotFound", f'models "{name}" not found')
            name = address(namespace or "", name, "default")
            self._write(f"scale {name} to {patch['spec']['replicas']}")
            self.change(name, **patch["spec"])
        return {}

    async def record(self, obj_ref: Mapping[str, Any], type: str, reason: str, message: str) -> None:
        self.events.append(f"{obj_ref['kind']} {obj_ref['name']}: {reason}: {message}")

    def change(self, name: str, **spec: Any) -> None:
        old = self.models[name]
        metadata = {"namespace": old.namespace}
        self.models[name] = model(old.name, metadata=metadata, **(old.spec.model_dump(by_alias=True) | spec))

    def _config_map(self, name: str) -> dict[str, str]:
        if self.failure:
            raise self.failure
        if name not in self.config_maps:
            raise APIError(404, "NotFound", f'configmaps "{name}" not found')
        return self.config_maps[name]

    def _write(self, what: str) -> None:
        if self.failure:
            raise self.failure
        self.writes.append(what)


class FakeGateways:
    """Gateways by address, each with its active requests by Model.

    One that is None refuses the connection, one that is "hangs" never answers.
    """

    def __init__(self, **active: dict[str, float] | Literal["hangs"] | None) -> None:
        self.active = active
        #: When they were asked, in loop time.
        self.asked_at: list[float] = []

    def addresses(self) -> list[str]:
        return list(self.active)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Fetch]:
        yield self._fetch

    async def _fetch(self, address: str) -> str:
        self.asked_at.append(asyncio.get_running_loop().time())
        active = self.active[address]
        if active is None:
            raise ConnectionRefusedError("connection refused")
        if active == "hangs":
            await asyncio.Event().wait()
            raise AssertionError("nothing sets the event")
        name = "kubeai_inference_requests_active"
        lines = [f'{name}{{request_model="{model}",request_type="http"}} {n}' for model, n in active.items()]
        return "\n".join([f"# TYPE {name} gauge", *lines, ""])
