"""What a Pod asks for, read once from its JSON into checked values.

A Pod comes as the API server gives it: any field may be missing. Everything else in this room reads these values, so
that Kubernetes' defaults (a probe's period, the termination grace) are written down in one place. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

JSONObject = dict[str, Any]


class RestartPolicy(Enum):
    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class ProbeKind(Enum):
    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


@dataclass(frozen=True, slots=True)
class HTTPGet:
    """Healthy when GET answers 200-399."""

    port: int
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TCPConnect:
    """Healthy when the port accepts a connection."""

    port: int


@dataclass(frozen=True, slots=True)
class Exec:
    """Healthy when the command exits with 0."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    action: HTTPGet | TCPConnect | Exec
    initial_delay_s: float = 0
    period_s: float = 10
    timeout_s: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Mount:
    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    #: EnvVar and EnvFromSource objects, as in the Pod
    env: tuple[JSONObject, ...] = ()
    env_from: tuple[JSONObject, ...] = ()
    mounts: tuple[Mount, ...] = ()
    ports: tuple[int, ...] = ()
    requests: Mapping[str, str] = field(default_factory=dict)
    probes: Mapping[ProbeKind, Probe] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodSpec:
    """One Pod's wishes."""

    name: str
    namespace: str = "default"
    uid: str = ""
    containers: tuple[ContainerSpec, ...] = ()
    init_containers: tuple[ContainerSpec, ...] = ()
    #: Volume objects, as in the Pod
    volumes: tuple[JSONObject, ...] = ()
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    grace_s: float = 30

    @property
    def all_containers(self) -> tuple[ContainerSpec, ...]:
        """In the order in which they start."""
        return self.init_containers + self.containers

    @property
    def ports(self) -> frozenset[int]:
        """Where its containers listen: what they declare and what their probes ask."""
        declared = {port for container in self.all_containers for port in container.ports}
        actions = [probe.action for container in self.containers for probe in container.probes.values()]
        return frozenset(declared | {action.port for action in actions if not isinstance(action, Exec)})


def parse_pod(pod: JSONObject) -> PodSpec:
    meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    grace_s = spec.get("terminationGracePeriodSeconds")
    return PodSpec(
        name=meta.get("name", ""),
        namespace=meta.get("namespace", "default"),
        uid=meta.get("uid", ""),
        containers=tuple(_container(c) for c in spec.get("containers") or ()),
        init_containers=tuple(_container(c) for c in spec.get("initContainers") or ()),
        volumes=tuple(spec.get("volumes") or ()),
        restart_policy=RestartPolicy(spec.get("restartPolicy") or "Always"),
        grace_s=30 if grace_s is None else float(grace_s),
    )


def _container(container: JSONObject) -> ContainerSpec:
    ports = container.get("ports") or ()
    names = {port["name"]: int(port["containerPort"]) for port in ports if port.get("name")}
    probes = {kind: container.get(f"{kind.value}Probe") for kind in ProbeKind}
    return ContainerSpec(
        name=container["name"],
        image=container.get("image") or "",
        command=tuple(container.get("command") or ()),
        args=tuple(container.get("args") or ()),
        working_dir=container.get("workingDir") or "",
        env=tuple(container.get("env") or ()),
        env_from=tuple(container.get("envFrom") or ()),
        mounts=tuple(_mount(m) for m in container.get("volumeMounts") or ()),
        ports=tuple(int(port["containerPort"]) for port in ports),
        requests=_requests(container.get("resources") or {}),
        probes={kind: _probe(probe, names) for kind, probe in probes.items() if probe},
    )


def _requests(resources: JSONObject) -> dict[str, str]:
    """A limit without a request is a request: so Kubernetes defaults it, and so GPUs are asked for."""
    merged = (resources.get("limits") or {}) | (resources.get("requests") or {})
    return {name: str(quantity) for name, quantity in merged.items()}


def _mount(mount: JSONObject) -> Mount:
    path = mount["mountPath"].rstrip("/") or "/"
    return Mount(mount["name"], path, mount.get("subPath") or "", bool(mount.get("readOnly")))


def _probe(probe: JSONObject, ports: Mapping[str, int]) -> Probe:
    return Probe(
        action=_action(probe, ports),
        initial_delay_s=float(probe.get("initialDelaySeconds") or 0),
        period_s=float(probe.get("periodSeconds") or 10),
        timeout_s=float(probe.get("timeoutSeconds") or 1),
        success_threshold=int(probe.get("successThreshold") or 1),
        failure_threshold=int(probe.get("failureThreshold") or 3),
    )


def _action(probe: JSONObject, ports: Mapping[str, int]) -> HTTPGet | TCPConnect | Exec:
    if http := probe.get("httpGet"):
        headers = tuple((h["name"], h["value"]) for h in http.get("httpHeaders") or ())
        return HTTPGet(_port(http.get("port"), ports), http.get("path") or "/", headers)
    if tcp := probe.get("tcpSocket"):
        return TCPConnect(_port(tcp.get("port"), ports))
    return Exec(tuple((probe.get("exec") or {}).get("command") or ()))


def _port(port: Any, names: Mapping[str, int]) -> int:
    """A probe names its port by number or by the name that the container gave it."""
    text = str(port)
    return int(text) if text.isdecimal() else names.get(text, 0)
