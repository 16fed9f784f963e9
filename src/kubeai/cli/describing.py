"""`kubeai describe`: one page that answers "why does it not work?"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from kubeai.api.k8s.objects import ContainerStatus, Pod
from kubeai.api.k8s.resources import EVENTS, MODELS, PODS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError

from .columns import age, event_order, event_time, pluck
from .getting import read_one
from .output import table
from .podstate import container_trouble, is_crashing, pod_state, ready_containers, restarts

Object = dict[str, Any]
MAX_EVENTS = 10
LAST_LINES = 15
_LABEL_WIDTH = 16
#: Reason of the autoscaler's Events.
_SCALED = "Scaled"
#: Fields of the spec, in the order in which they are told; absent ones are left out.
_SPEC = (
    ("Engine", "engine"),
    ("URL", "url"),
    ("Features", "features"),
    ("Profile", "resourceProfile"),
    ("Cache profile", "cacheProfile"),
    ("Image", "image"),
    ("Args", "args"),
)


@dataclass(frozen=True, slots=True)
class Story:
    """All that the page is made of."""

    model: Object
    pods: Sequence[Object] = ()
    events: Sequence[Object] = ()
    #: `POD/CONTAINER` -> the last lines of its log.
    logs: Mapping[str, str] = field(default_factory=dict)


async def describe_model(client: Client, name: str) -> str:
    model = await read_one(client, MODELS, name)
    pods = await client.list(PODS, labels=f"model={name}")
    about = {("Model", name), *(("Pod", pod["metadata"]["name"]) for pod in pods)}
    events = [event for event in await client.list(EVENTS) if _involved(event) in about]
    story = Story(model, pods, sorted(events, key=event_order), await _last_words(client, pods))
    return "\n".join(describe(story, datetime.now(UTC)))


def _involved(event: Object) -> tuple[Any, Any]:
    return pluck(event, "involvedObject", "kind"), pluck(event, "involvedObject", "name")


async def _last_words(client: Client, pods: Sequence[Object]) -> dict[str, str]:
    """The end of the log of each container that crashes."""
    words = {}
    for obj in pods:
        pod = msgspec.convert(obj, Pod)
        for status in _statuses(pod):
            if is_crashing(status) and status.name:
                words[f"{pod.name}/{status.name}"] = await _tail(client, pod.name, status)
    return words


async def _tail(client: Client, pod: str, status: ContainerStatus) -> str:
    ended = bool(status.state and status.state.terminated)
    try:
        chunks = client.logs(pod, container=status.name, tail_lines=LAST_LINES, previous=not ended)
        return b"".join([chunk async for chunk in chunks]).decode(errors="replace").rstrip()
    except APIError as error:
        return f"(its log cannot be read: {error})"


def _statuses(pod: Pod) -> list[ContainerStatus]:
    return [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]


def describe(story: Story, now: datetime) -> Iterator[str]:
    """The page, line by line."""
    yield from _head(story.model, now)
    yield from _last_scaling(story.events, now)
    yield from _conditions(story.model, now)
    yield from _pods(story.pods, now)
    for name, text in story.logs.items():
        yield from ("", f"Last lines of {name}:", *(f"  {line}" for line in text.splitlines() or ["(none)"]))
    yield from _events(story.events, now)


def _head(model: Object, now: datetime) -> Iterator[str]:
    spec, metadata = model["spec"], model["metadata"]
    yield _entry("Name", metadata["name"])
    yield _entry("Namespace", metadata.get("namespace", ""))
    yield _entry("Age", age(metadata.get("creationTimestamp"), now))
    for label, key in _SPEC:
        value = spec.get(key)
        if value:
            yield _entry(label, ", ".join(value) if isinstance(value, list) else str(value))
    for adapter in spec.get("adapters") or ():
        yield _entry("Adapter", f"{adapter['name']} ({adapter['url']})")
    yield _entry("Replicas", _replicas(model))
    yield _entry("Autoscaling", _autoscaling(spec))


def _entry(label: str, text: str) -> str:
    return f"{label + ':':<{_LABEL_WIDTH}}{text}".rstrip()


def _replicas(model: Object) -> str:
    replicas = pluck(model, "status", "replicas") or {}
    wanted = pluck(model, "spec", "replicas")
    return f"{replicas.get('ready', 0)} ready, {replicas.get('all', 0)} running, {wanted or 0} wanted"


def _autoscaling(spec: Object) -> str:
    if spec.get("autoscalingDisabled"):
        return "disabled"
    high = spec.get("maxReplicas")
    return (
        f"{spec.get('minReplicas') or 0} to {'any number' if high is None else high}, "
        f"{spec.get('targetRequests', 100)} requests a replica, down after {spec.get('scaleDownDelaySeconds', 30)} s"
    )


def _last_scaling(events: Sequence[Object], now: datetime) -> Iterator[str]:
    """Why there are as many replicas as there are, in the autoscaler's own words."""
    scalings = [event for event in events if event.get("reason") == _SCALED]
    if scalings:
        last = scalings[-1]
        yield _entry("Last scaled", f"{age(event_time(last), now)} ago, {last.get('message', '')}")


def _conditions(model: Object, now: datetime) -> Iterator[str]:
    conditions = pluck(model, "status", "conditions") or ()
    yield from ("", "Conditions:" if conditions else "Conditions:     none yet")
    if conditions:
        rows = [
            [c["type"], c["status"], c.get("reason", ""), age(c.get("lastTransitionTime"), now), _short(c)]
            for c in conditions
        ]
        yield from _indented(table(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), rows))


def _short(told: Object) -> str:
    """The first line of a condition's or an event's message; what follows is the end of a log, shown by itself."""
    first, _, more = str(told.get("message") or "").strip().partition("\n")
    return f"{first} ..." if more else first


def _pods(pods: Sequence[Object], now: datetime) -> Iterator[str]:
    yield from ("", "Pods:" if pods else "Pods:           none")
    if not pods:
        return
    decoded = sorted((msgspec.convert(pod, Pod) for pod in pods), key=lambda pod: pod.name)
    ages = {pod["metadata"]["name"]: age(pod["metadata"].get("creationTimestamp"), now) for pod in pods}
    rows = [[p.name, ready_containers(p), pod_state(p), str(restarts(p)), ages[p.name]] for p in decoded]
    yield from _indented(table(("NAME", "READY", "STATUS", "RESTARTS", "AGE"), rows))
    for pod in decoded:
        for message in _troubles(pod):
            yield f"  {pod.name}: {message}"


def _troubles(pod: Pod) -> Iterator[str]:
    """What the Pod and its containers say about why they do not run."""
    scheduled = pod.condition("PodScheduled")
    if scheduled and scheduled.status == "False" and scheduled.message:
        yield scheduled.message
    if pod.status.message:
        yield pod.status.message
    for status in _statuses(pod):
        waiting = status.state.waiting if status.state else None
        if container_trouble(status) and waiting and waiting.message:
            yield f"{status.name}: {waiting.message}"


def _events(events: Sequence[Object], now: datetime) -> Iterator[str]:
    yield from ("", "Events:" if events else "Events:         none")
    if events:
        rows = [
            [
                age(event_time(event), now),
                event.get("type", ""),
                event.get("reason", ""),
                str(pluck(event, "involvedObject", "kind")).lower(),
                _short(event),
            ]
            for event in events[-MAX_EVENTS:]
        ]
        yield from _indented(table(("AGE", "TYPE", "REASON", "FROM", "MESSAGE"), rows))


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in text.splitlines())
