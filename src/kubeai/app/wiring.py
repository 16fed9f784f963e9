"""Constructs the gateway, the operator and the autoscaler over one API server, and runs them, together or apart.

It is the same on a cluster and on one machine: what differs (who serves the API, who runs the Pods) is in the callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from kubeai.access.books import LABEL, Books
from kubeai.access.gate import Gate, Guard
from kubeai.access.ledger import Ledger
from kubeai.access.sharing import Sharing
from kubeai.api.k8s.objects import ConfigMap, Job, PersistentVolumeClaim, Pod, Secret
from kubeai.api.k8s.resources import CONFIG_MAPS, JOBS, MODELS, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS
from kubeai.api.model import Model
from kubeai.config.system import System, UsageSettings
from kubeai.controller.loads import GatewayLoads
from kubeai.controller.loop import Controller
from kubeai.gateway.server import Gateway
from kubeai.gateway.watching import Watcher
from kubeai.inference.directory import Directory
from kubeai.inference.wake import Wake
from kubeai.kube.client import Client
from kubeai.kube.events import EventRecorder
from kubeai.kube.informer import Informer
from kubeai.routing.balancer import Balancer
from kubeai.routing.feed import Feed
from kubeai.scaling.loop import Autoscaler
from kubeai.telemetry.registry import Metrics

from .serving import Door

#: Tells where the metrics of gateways are.
Addresses = Callable[[], Sequence[str]]

COMPONENT = "kubeai"
#: Pods of KubeAI itself carry it with the value COMPONENT.
NAME_LABEL = "app.kubernetes.io/name"
#: Which part of KubeAI a Pod is; those of the operator serve no requests.
PART_LABEL = "app.kubernetes.io/component"
OPERATOR = "operator"


class Views:
    """What all parts look at: the Models, and the Pods of their servers and of KubeAI itself."""

    def __init__(self, client: Client, system: System) -> None:
        self.home = client.namespace
        #: Others than our own.
        self.namespaces = further_namespaces(client, system)
        more = self.namespaces
        self.models = Informer(client, MODELS, Model.model_validate_json, more_namespaces=more)
        self.pods = Informer(
            client, PODS, msgspec.json.Decoder(Pod).decode, more_namespaces=more, indexers={NAME_LABEL: _component}
        )

    def unready_reason(self) -> str | None:
        """Why nothing can be done right yet: a cache that has not synced knows neither Models nor Pods."""
        if not self.models.synced:
            return "the list of Models has not been read yet"
        if not self.pods.synced:
            return "the list of Pods has not been read yet"
        return None

    async def wait_ready(self) -> None:
        await self.models.wait_synced()
        await self.pods.wait_synced()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.models.run())
            group.create_task(self.pods.run())

    def gateways(self, system: System, *, leaving: bool = False) -> Sequence[str]:
        """The metrics of all gateways: what the configuration says, or those of KubeAI's own ready Pods.

        With `leaving` also those that only finish what they have. Where nothing runs there is nothing to finish: to ask
        it would be to wait for an answer that never comes.
        """
        if system.fixed_self_metric_addrs:
            return system.fixed_self_metric_addrs
        port = system.metrics_addr.rpartition(":")[2]
        if port in ("", "0"):  # they are switched off
            return ()
        gateways = filter(self._is_gateway, self.pods.by_index(NAME_LABEL, COMPONENT))
        asked = (pod for pod in gateways if pod.ready or (leaving and not (pod.finished or pod.waiting)))
        return [_host_port(pod.status.pod_ip, port) for pod in asked if pod.status.pod_ip]

    def _is_gateway(self, pod: Pod) -> bool:
        return pod.namespace == self.home and pod.labels.get(PART_LABEL) != OPERATOR


def _component(pod: Pod) -> Sequence[str]:
    """KubeAI's own Pods stand in an index: they are looked for again and again among thousands."""
    return (COMPONENT,) if pod.labels.get(NAME_LABEL) == COMPONENT else ()


class UsagePart:
    """Knows what the holders of keys have used."""

    def __init__(self, client: Client, metrics: Metrics, settings: UsageSettings) -> None:
        self._months = Informer(client, CONFIG_MAPS, msgspec.json.Decoder(ConfigMap).decode, labels=LABEL)
        books = Books(Ledger(metrics), client, self._months, settings.interval_s)
        self.books = books if settings.enabled else None

    async def run(self) -> None:
        if self.books is not None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._months.run())
                group.create_task(self.books.run())


class Serving(Protocol):
    """What serves requests, in this process or in others. Its caller starts and drains `gateway`."""

    @property
    def gateway(self) -> Door: ...

    @property
    def books(self) -> Books | None: ...

    def unready_reason(self) -> str | None:
        """Why requests cannot be served right yet."""

    async def wait_ready(self) -> None:
        """Until requests can be served right."""

    def loads(self, models: Collection[str]) -> Mapping[str, int]:
        """Endpoint name -> requests in flight, of the Models with these addresses."""

    async def run(self) -> None:
        """Keep current what it needs to know, until cancelled."""


class GatewayPart:
    """Serves requests in this process. Its caller starts and drains `gateway`, whose address it owns."""

    def __init__(
        self,
        client: Client,
        system: System,
        metrics: Metrics,
        views: Views,
        *,
        exposed: bool = True,
        announces: bool = True,
        watchers: Sequence[Watcher] = (),
        guard: Guard | None = None,
    ) -> None:
        """`exposed` tells whether other machines can reach the gateway, and `announces` whether it says so if that is
        dangerous; `watchers` look on while it serves. `guard` is what the gateway's processes have in common.
        """
        balancer = Balancer(metrics)
        self.loads = balancer.loads
        self._views = views
        self._exposed, self._announces = exposed, announces
        self._feed = Feed(balancer, views.models, views.pods, system.allow_pod_address_override, views.home)
        self._keys = _keys_informer(client, system.authentication.secret_name)
        self._sharing = Sharing(metrics)
        self.gate = Gate(system.authentication, self._keys, guard=guard, limiter=self._sharing.limiter)
        self._usage = UsagePart(client, metrics, system.usage)
        self.books = self._usage.books
        self.gateway = Gateway(
            Directory(views.models, views.home),
            Wake(client),
            balancer,
            metrics,
            system.gateway,
            self.unready_reason,
            gate=self.gate,
            books=self.books,
            watchers=watchers,
        )

    def unready_reason(self) -> str | None:
        """Why requests cannot be served right yet."""
        return self._views.unready_reason() or self.gate.unready_reason

    async def wait_ready(self) -> None:
        """Until requests can be served right."""
        await self._views.wait_ready()
        if self._keys is not None:
            await self._keys.wait_synced()
        if self._announces:
            self.gate.announce(exposed=self._exposed)

    async def run(self) -> None:
        """Follow the keys, what other processes let in for them, and keep the books."""
        async with asyncio.TaskGroup() as group:
            if self._keys is not None:
                group.create_task(self._keys.run())
            group.create_task(self._sharing.run())
            group.create_task(self._usage.run())


class OperatorPart:
    """What looks after Models and scales them."""

    def __init__(
        self,
        client: Client,
        system: System,
        metrics: Metrics,
        views: Views,
        *,
        instance: str,
        metric_addresses: Addresses | None = None,
        own_loads: Callable[[Collection[str]], Mapping[str, int]] | None = None,
    ) -> None:
        """`instance` names this process in Events; `metric_addresses` tells where all gateways' metrics are.

        Without `metric_addresses` they are the configuration's, or those of the ready Pods of KubeAI itself.
        `own_loads` tells of the requests in flight in this process's gateway, if it has one.
        """
        more = views.namespaces
        claim = msgspec.json.Decoder(PersistentVolumeClaim).decode
        self._jobs = Informer(client, JOBS, msgspec.json.Decoder(Job).decode, more_namespaces=more)
        self._claims = Informer(client, PERSISTENT_VOLUME_CLAIMS, claim, more_namespaces=more)
        config_map = msgspec.json.Decoder(ConfigMap).decode
        self._config_maps = Informer(client, CONFIG_MAPS, config_map, more_namespaces=more)
        recorder = EventRecorder(client, COMPONENT, instance)
        self._controller = Controller(
            client,
            system,
            views.models,
            views.pods,
            self._jobs,
            self._claims,
            self._config_maps,
            recorder,
            metrics,
            GatewayLoads(metric_addresses or (lambda: views.gateways(system, leaving=True)), views.home, own_loads),
        )
        self._autoscaler = Autoscaler(
            client,
            views.models,
            metric_addresses or (lambda: views.gateways(system)),
            system.model_autoscaling,
            views.home,
            recorder,
            metrics,
        )

    async def follow(self) -> None:
        """Keep the caches current, whoever leads: a new leader is to start from warm ones."""
        async with asyncio.TaskGroup() as group:
            for informer in (self._jobs, self._claims, self._config_maps):
                group.create_task(informer.run())

    async def decide(self) -> None:
        """What only one of several processes may do."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._controller.run())
            group.create_task(self._autoscaler.run())


class ControlPlane:
    """Everything that KubeAI is, over one `Client`."""

    def __init__(
        self,
        client: Client,
        system: System,
        metrics: Metrics,
        *,
        instance: str,
        metric_addresses: Addresses | None = None,
        exposed: bool = True,
        watchers: Sequence[Watcher] = (),
        serving: Serving | None = None,
    ) -> None:
        """See the parts. With `serving` it is not this process that serves."""
        self._views = Views(client, system)
        self.models, self.pods = self._views.models, self._views.pods
        part = self._part = serving or GatewayPart(
            client, system, metrics, self._views, exposed=exposed, watchers=watchers
        )
        self.gateway, self.books = part.gateway, part.books
        self._operator = OperatorPart(
            client,
            system,
            metrics,
            self._views,
            instance=instance,
            metric_addresses=metric_addresses,
            own_loads=part.loads,
        )
        self.decide = self._operator.decide

    def unready_reason(self) -> str | None:
        """Why requests cannot be served right yet."""
        return self._views.unready_reason() or self._part.unready_reason()

    async def wait_ready(self) -> None:
        """Until requests can be served right."""
        await self._views.wait_ready()
        await self._part.wait_ready()

    async def follow(self) -> None:
        """Keep all caches current, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in (self._views.run, self._part.run, self._operator.follow):
                group.create_task(part())

    async def run(self) -> None:
        """Run all but the gateway's door until cancelled, where there is no other process to lead."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.follow())
            group.create_task(self.decide())


def further_namespaces(client: Client, system: System) -> Sequence[str]:
    """Those that are watched beside the client's own, each once."""
    return tuple(name for name in dict.fromkeys(system.watch_namespaces) if name != client.namespace)


def _keys_informer(client: Client, name: str | None) -> Informer[Secret] | None:
    """Sees one Secret only, and needs no permission for others."""
    if name is None:
        return None
    return Informer(client, SECRETS, msgspec.json.Decoder(Secret).decode, fields=f"metadata.name={name}")


def _host_port(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
