"""The averages in a ConfigMap, so that whoever leads next goes on where the last leader stopped.

The format is that of earlier releases of KubeAI, so that an upgrade under load changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from kubeai.api.k8s.resources import CONFIG_MAPS, Resource
from kubeai.kube.errors import APIError

log = logging.getLogger(__name__)

_KEY = "models"


class ConfigMapClient(Protocol):
    """The part of the Kubernetes client that is needed here."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]: ...

    async def create(self, resource: Resource, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]: ...

    async def patch(
        self, resource: Resource, name: str, patch: dict[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]: ...


class Checkpoint:
    def __init__(self, client: ConfigMapClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        #: What the ConfigMap holds, as far as this process knows.
        self._saved: Mapping[str, float] | None = None

    async def load(self) -> dict[str, float]:
        """Model -> average active requests. Empty when there is no checkpoint. Raises `APIError`."""
        self._saved = None  # another one may have led since, and the ConfigMap may be gone
        try:
            found = await self._client.get(CONFIG_MAPS, self._name, self._namespace)
        except APIError as error:
            if not error.not_found:
                raise
            return {}
        try:
            self._saved = decode(found.get("data") or {})
        except ValueError as error:
            log.warning("ConfigMap %s holds no usable averages, starting without: %s", self._name, error)
            return {}
        return dict(self._saved)

    async def save(self, averages: Mapping[str, float], now: datetime) -> None:
        """Write the averages, unless the ConfigMap holds them already: an idle system writes nothing."""
        if averages == self._saved:
            return
        data = encode(averages, now)
        try:
            await self._client.patch(CONFIG_MAPS, self._name, {"data": data}, namespace=self._namespace)
        except APIError as error:
            if not error.not_found:
                raise
            new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self._name}, "data": data}
            await self._client.create(CONFIG_MAPS, new, self._namespace)
        self._saved = dict(averages)


def encode(averages: Mapping[str, float], now: datetime) -> dict[str, str]:
    """The ConfigMap's data."""
    models = {name: {"averageActiveRequests": averages[name]} for name in sorted(averages)}
    time = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {_KEY: json.dumps({"models": models, "lastCalculationTime": time})}


def decode(data: Mapping[str, str]) -> dict[str, float]:
    """The averages in a ConfigMap's data. Raises `ValueError` when they cannot be read."""
    text = data.get(_KEY)
    if not text:
        return {}
    try:
        models = json.loads(text).get("models") or {}
        return {name: max(0.0, float(state["averageActiveRequests"])) for name, state in models.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"key {_KEY}: {type(error).__name__}: {error}") from error
