"""The one Pod builder: Model and system configuration in, server Pod out.

All engines go through it, so that a setting that is common reaches all of them (fault O7). An engine's own file only
says how its server is told what to serve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubeai.api.model import Model
from kubeai.api.modelurl import ModelURL
from kubeai.config.system import System
from kubeai.planning.engines.spec import MODEL_DIRECTORY, PORT, AdapterLoading, Fetch, Launch, Server, Weights
from kubeai.planning.files import file_keys, files_hash
from kubeai.planning.names import (
    FILES_HASH_ANNOTATION,
    LOADER_IMAGE_ANNOTATION,
    POD_HASH_LABEL,
    POD_IP_ANNOTATION,
    POD_PORT_ANNOTATION,
    files_config_map,
    owner_reference,
    pod_labels,
)
from kubeai.planning.pods.additions import Additions
from kubeai.planning.pods.hashing import pod_hash
from kubeai.planning.pods.overlay import apply_overlays
from kubeai.planning.pods.patch import apply_patches
from kubeai.planning.pods.probes import PORT_NAME
from kubeai.planning.pods.settings import PodSettings, pod_settings
from kubeai.planning.pods.sources import access, access_to_all, locate_weights, weights_volume
from kubeai.planning.pods.start_adapters import (
    READABLE,
    VOLUME,
    WRITABLE,
    adapter_labels,
    container_name,
    start_adapters,
)
from kubeai.planning.profile import Resolved, resolve

JSON = dict[str, Any]

SERVER_CONTAINER = "server"
LOADER_CONTAINER = "loader"


def build_pod(model: Model, system: System) -> JSON:
    """The Pod that each replica of the Model is made of, without a name of its own.

    Raises `PlanningError` when the Model or the configuration cannot be followed.
    """
    resolved = resolve(model, system)
    settings = pod_settings(model, resolved.resources)
    spec = _spec(model, system, resolved, settings)
    unpatched = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": model.namespace,
            "labels": pod_labels(model) | adapter_labels(start_adapters(model, resolved.engine)),
            "annotations": _annotations(model, system) | _loader_annotation(spec, system),
        },
        "spec": spec,
    }
    pods = system.model_server_pods
    pod = apply_patches(apply_overlays(unpatched, settings.overlays, pods.security_context or {}), pods.json_patches)
    hash = pod_hash(pod, unpatched, system.model_loading.image)
    metadata = pod["metadata"] | {
        "generateName": f"model-{model.name}-{hash}-",
        "labels": pod["metadata"]["labels"] | {POD_HASH_LABEL: hash},
        "ownerReferences": [owner_reference(model)],
    }
    return pod | {"metadata": metadata}


def hash_of(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["labels"][POD_HASH_LABEL])


def with_name(pod: Mapping[str, Any], name: str) -> JSON:
    metadata = {key: value for key, value in pod["metadata"].items() if key != "generateName"}
    return {**pod, "metadata": metadata | {"name": name}}


def _annotations(model: Model, system: System) -> dict[str, str]:
    annotations = {POD_PORT_ANNOTATION: str(PORT)}
    if system.allow_pod_address_override:
        override = (POD_IP_ANNOTATION, POD_PORT_ANNOTATION)
        annotations |= {key: model.annotations[key] for key in override if key in model.annotations}
    if files := files_hash(model):
        annotations[FILES_HASH_ANNOTATION] = files
    return annotations


def _loader_annotation(spec: JSON, system: System) -> dict[str, str]:
    image = system.model_loading.image
    containers = (*spec.get("initContainers", ()), *spec["containers"])
    return {LOADER_IMAGE_ANNOTATION: image} if any(c["image"] == image for c in containers) else {}


def loader_of(annotations: Mapping[str, str]) -> str | None:
    """The loader that a Pod was made with."""
    return annotations.get(LOADER_IMAGE_ANNOTATION)


def _spec(model: Model, system: System, resolved: Resolved, settings: PodSettings) -> JSON:
    weights = locate_weights(model, resolved)
    server = resolved.engine.serve(_launch(model, system, resolved, weights))
    parts = _Parts(model, system, resolved, weights, settings)
    pods = system.model_server_pods
    spec = without_empty(
        {
            **settings.scheduling,
            "priorityClassName": model.spec.priority_class_name,
            "serviceAccountName": pods.service_account_name,
            "securityContext": pods.pod_security_context,
            "imagePullSecrets": pods.image_pull_secrets,
            "restartPolicy": "Always",
            "initContainers": parts.init_containers(),
            "containers": [parts.server(server), *parts.sidecars(server)],
            "volumes": parts.volumes(),
        }
    )
    # A grace of zero is a grace.
    return spec if settings.grace_s is None else spec | {"terminationGracePeriodSeconds": settings.grace_s}


def _launch(model: Model, system: System, resolved: Resolved, weights: Weights) -> Launch:
    return Launch(
        name=model.name,
        source=resolved.source,
        weights=weights,
        features=frozenset(model.spec.features),
        args=tuple(model.spec.args or ()),
        adapters=_loads_adapters(model, resolved),
        adapter_files=tuple(found.file for found in start_adapters(model, resolved.engine)),
        loader_image=system.model_loading.image,
    )


def _loads_adapters(model: Model, resolved: Resolved) -> bool:
    return resolved.engine.adapters is AdapterLoading.WHILE_RUNNING and bool(model.spec.adapters)


class _Parts:
    """The containers and volumes of one Pod. The order of volumes, mounts and env is part of the hash: keep it."""

    def __init__(
        self, model: Model, system: System, resolved: Resolved, weights: Weights, settings: PodSettings
    ) -> None:
        self._settings = settings
        self._shared_memory = _shared_memory(settings.shared_memory_size)
        self._model = model
        self._system = system
        self._resolved = resolved
        self._own_access = self._access(resolved.source)
        self._loads = weights.fetch is Fetch.LOADER
        #: They are loaded while the server runs, by a container that stays.
        self._adapters = _loads_adapters(model, resolved)
        self._start_adapters = start_adapters(model, resolved.engine)
        self._files = _files(model)
        self._weights = weights_volume(model, weights, resolved.source)

    def _access(self, source: ModelURL) -> Additions:
        return access(source.scheme, self._system, self._model.spec.env)

    def server(self, server: Server) -> JSON:
        additions = self._shared_memory + self._files
        if self._adapters or self._start_adapters:
            additions += READABLE
        additions += self._weights
        # What an init container has downloaded needs no credentials any more.
        additions += Additions() if self._loads else self._own_access
        own_env = [{"name": name, "value": value} for name, value in server.env]
        return container(
            self._system,
            name=SERVER_CONTAINER,
            image=self._resolved.image,
            command=server.command,
            args=server.args,
            env=[*own_env, *model_env(self._model), *additions.env],
            env_from=self._model.spec.env_from,
            mounts=additions.mounts,
            extra={
                "ports": [{"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"}],
                "resources": without_empty({"requests": self._resolved.requests, "limits": self._resolved.limits}),
                **self._resolved.engine.probes.fields(self._settings.probes),
            },
        )

    def sidecars(self, server: Server) -> list[JSON]:
        own = [container(self._system, extra=loader_resources(self._system) | sidecar) for sidecar in server.sidecars]
        return [*own, self._adapter_loader()] if self._adapters else own

    def _adapter_loader(self) -> JSON:
        """Waits for the operator, which runs `load` and `rm` in it whenever the Model's adapters change."""
        additions = WRITABLE + access_to_all(self._system, self._model.spec.env)
        return container(
            self._system,
            name=LOADER_CONTAINER,
            image=self._system.model_loading.image,
            command=("sleep", "infinity"),
            env=[*model_env(self._model), *additions.env],
            env_from=self._model.spec.env_from,
            mounts=additions.mounts,
            extra=loader_resources(self._system),
        )

    def init_containers(self) -> list[JSON]:
        adapters = [
            self._init_container(
                container_name(number),
                WRITABLE + self._access(found.source),
                (found.adapter.url, found.adapter.directory),
            )
            for number, found in enumerate(self._start_adapters)
        ]
        if not self._loads:
            return adapters
        additions = Additions(mounts=({"name": "model", "mountPath": MODEL_DIRECTORY},)) + self._own_access
        # Names are unique over both kinds of containers, and the adapters' loader has the older right to it.
        name = "weights-loader" if self._adapters else LOADER_CONTAINER
        return [self._init_container(name, additions, (self._resolved.source.raw, MODEL_DIRECTORY)), *adapters]

    def _init_container(self, name: str, additions: Additions, args: Sequence[str]) -> JSON:
        return container(
            self._system,
            name=name,
            image=self._system.model_loading.image,
            args=args,
            env=[*model_env(self._model), *additions.env],
            env_from=self._model.spec.env_from,
            mounts=additions.mounts,
            extra=loader_resources(self._system),
        )

    def volumes(self) -> list[JSON]:
        additions = self._shared_memory + self._files
        if self._adapters or self._start_adapters:
            additions += VOLUME
        if self._adapters:
            additions += access_to_all(self._system, self._model.spec.env)
        for found in self._start_adapters:
            additions += self._access(found.source)
        return _once(additions.volumes + self._weights.volumes + self._own_access.volumes)


def _shared_memory(size: str | None) -> Additions:
    directory = {"medium": "Memory"} | ({"sizeLimit": size} if size else {})
    return Additions(
        volumes=({"name": "dshm", "emptyDir": directory},), mounts=({"name": "dshm", "mountPath": "/dev/shm"},)
    )


def _files(model: Model) -> Additions:
    keys = file_keys(model)
    if not keys:
        return Additions()
    config_map = {"name": files_config_map(model.name), "defaultMode": 0o644}
    mounts = tuple(
        {"name": "model-files", "mountPath": path, "subPath": key, "readOnly": True} for path, key in keys.items()
    )
    return Additions(volumes=({"name": "model-files", "configMap": config_map},), mounts=mounts)


def _once(volumes: Iterable[JSON]) -> list[JSON]:
    """Server and adapter loader may both bring the same credentials' volume."""
    return list({volume["name"]: volume for volume in volumes}.values())


def model_env(model: Model) -> list[JSON]:
    """`spec.env`, in an order that does not depend on how it was written."""
    return [{"name": name, "value": value} for name, value in sorted((model.spec.env or {}).items())]


def container(
    system: System,
    *,
    name: str = "",
    image: str = "",
    command: Sequence[str] = (),
    args: Sequence[str] = (),
    env: Sequence[JSON] = (),
    env_from: Sequence[JSON] | None = None,
    mounts: Sequence[JSON] = (),
    extra: Mapping[str, Any] | None = None,
) -> JSON:
    """A container with what all of ours share."""
    fields = without_empty(
        {
            "name": name,
            "image": image,
            "command": list(command),
            "args": list(args),
            "env": list(env),
            "envFrom": list(env_from or ()),
            "volumeMounts": list(mounts),
            "securityContext": system.model_server_pods.security_context,
        }
    )
    return fields | {"resources": {}} | dict(extra or {})


def loader_resources(system: System) -> JSON:
    """What a container that loads weights asks for: namespaces with quotas want every container to say it."""
    resources = system.model_loading.resources
    return {"resources": resources} if resources else {}


def without_empty(fields: Mapping[str, Any]) -> JSON:
    """Absent fields stay absent, as they do in what the API server stores."""
    return {key: value for key, value in fields.items() if value}
