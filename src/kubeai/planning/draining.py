"""How a Pod leaves: marked first, deleted when its requests have ended (fault P3).

The mark is an annotation. Every gateway sees it, gives the Pod no further requests, and goes on counting those that it
has; a gateway that has left the Pod and has no request there any more does not name the Pod at all. So a Pod is idle
when no gateway names it. How long that may take is bounded: a gateway may be gone, a stream may never end.

A Pod whose mark is taken away again is a replica like before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kubeai.api.k8s.objects import Pod
from kubeai.planning.names import DRAINING_ANNOTATION, endpoint_name, is_draining

#: Between two looks at a Pod that drains: a tenth of the time that it has taken, within these bounds.
SHORTEST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Loads:
    """Requests in flight, as the gateways count them."""

    #: Endpoint name -> requests on it in all gateways. An endpoint that no gateway names is absent.
    in_flight: Mapping[str, int] = field(default_factory=dict)
    #: Whether all gateways were heard.
    complete: bool = False

    def of(self, pod: Pod) -> int:
        return self.in_flight.get(endpoint_name(pod), 0)

    def idle(self, pod: Pod) -> bool:
        """No gateway has a request there, nor will send one."""
        return self.complete and endpoint_name(pod) not in self.in_flight


UNKNOWN = Loads()


@dataclass(frozen=True, slots=True)
class Removal:
    """One Pod that is to go, and why in words."""

    pod: Pod
    why: str


@dataclass(frozen=True, slots=True)
class Departures:
    """The step to take now with all Pods that are to go."""

    mark: tuple[Removal, ...] = ()
    delete: tuple[Removal, ...] = ()
    #: Look at the gateways again after this time.
    wait_s: float | None = None
    #: Whether this would be another step if other requests were in flight.
    by_load: bool = False


def plan_departures(
    removals: Sequence[Removal], marked: Sequence[Pod], *, loads: Loads, timeout_s: float, now: datetime
) -> Departures:
    """`removals` are not marked yet, `marked` are."""
    mark: list[Removal] = []
    delete: list[Removal] = []
    waits: list[float] = []
    for removal in removals:
        (mark if timeout_s > 0 and _may_be_busy(removal.pod, loads) else delete).append(removal)
    for pod in marked:
        since = draining_since(pod)
        if since is None or since > now + timedelta(seconds=timeout_s):  # somebody's hand, or a clock that was wrong
            mark.append(Removal(pod, "its mark tells no time since when, or one to come"))
        elif why := _may_go(pod, since, loads, timeout_s, now):
            delete.append(Removal(pod, why))
        else:
            waits.append(_pause_s(since, timeout_s, now))
    by_load = bool(marked) or any(removal.pod.status.pod_ip and not removal.pod.finished for removal in removals)
    return Departures(tuple(mark), tuple(delete), min(waits, default=None), by_load)


def drains(pods: Iterable[Pod]) -> list[Pod]:
    """Those that are marked and not deleted yet."""
    return [pod for pod in pods if is_draining(pod) and not pod.terminating]


def draining_since(pod: Pod) -> datetime | None:
    try:
        since = datetime.fromisoformat(pod.annotations.get(DRAINING_ANNOTATION, ""))
    except ValueError:
        return None
    return since if since.tzinfo else None


def _may_be_busy(pod: Pod, loads: Loads) -> bool:
    """A server that is overloaded may look unready while it answers."""
    return not pod.finished and (pod.ready or loads.of(pod) > 0)


def _may_go(pod: Pod, since: datetime, loads: Loads, timeout_s: float, now: datetime) -> str | None:
    if pod.finished:
        return "it ended by itself"
    if loads.idle(pod):
        return "its requests have ended"
    if now >= since + timedelta(seconds=timeout_s):
        return f"its requests did not end within {timeout_s:g} seconds"
    return None


def _pause_s(since: datetime, timeout_s: float, now: datetime) -> float:
    # Clocks differ: since may lie in the future.
    passed_s = max(0.0, (now - since).total_seconds())
    left_s = (since - now).total_seconds() + timeout_s
    return min(max(SHORTEST_PAUSE_S, passed_s / 10), LONGEST_PAUSE_S, max(left_s, SHORTEST_PAUSE_S))
