"""The life of one Pod on this machine, as values: what its containers do, what can happen, what there is to do.

`lifecycle` takes the events in, `steps` gives the steps out. No process, no clock and no file is touched by any of
the three, so every order of events can be written down as a test. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from .containers import ContainerSpec, PodSpec, Probe, ProbeKind

# --- what a container is doing ---


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not running; may start once it is its turn and `retry_at` has passed."""

    reason: str = "ContainerCreating"
    message: str = ""
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Starting:
    """Somebody is preparing its process: volumes, environment, perhaps the installation of its engine."""

    reason: str = "ContainerCreating"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    """Exited. `exit_code` is 128 + signal when a signal ended it, as shells and the kubelet count."""

    exit_code: int
    finished_at: datetime
    started_at: datetime | None = None
    signal: int = 0
    reason: str = ""
    message: str = ""

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0


State = Waiting | Starting | Running | Terminated


@dataclass(frozen=True, slots=True)
class ProbeLife:
    """The standing of one probe of one run of a container."""

    passed: bool = False
    #: results in a row of the same kind
    successes: int = 0
    failures: int = 0
    in_flight: bool = False
    next_at: datetime | None = None
    #: when the last failure was counted: polling faster than the period must not use up the threshold faster
    counted_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why and how a running container is being stopped."""

    message: str
    kill_at: datetime
    term_sent: bool = False
    kill_sent: bool = False


@dataclass(frozen=True, slots=True)
class ContainerLife:
    spec: ContainerSpec
    state: State = Waiting()
    #: how its previous run ended
    last: Terminated | None = None
    restarts: int = 0
    #: ends and failed starts in a row, for the delay
    crashes: int = 0
    stop: Stop | None = None
    probes: Mapping[ProbeKind, ProbeLife] = field(default_factory=dict)

    @property
    def started(self) -> bool:
        return isinstance(self.state, Running) and self._passed(ProbeKind.STARTUP)

    @property
    def ready(self) -> bool:
        return self.started and self.stop is None and self._passed(ProbeKind.READINESS)

    def _passed(self, kind: ProbeKind) -> bool:
        return kind not in self.spec.probes or self.probes.get(kind, ProbeLife()).passed


@dataclass(frozen=True, slots=True)
class PodLife:
    """All that is known of a Pod: what it asks for and what its containers do."""

    spec: PodSpec
    init: tuple[ContainerLife, ...] = ()
    main: tuple[ContainerLife, ...] = ()
    #: set once the Pod is to go: when whatever still runs is killed
    kill_at: datetime | None = None

    @classmethod
    def of(cls, spec: PodSpec) -> PodLife:
        init = tuple(ContainerLife(c, Waiting("PodInitializing")) for c in spec.init_containers)
        reason = "PodInitializing" if init else "ContainerCreating"
        return cls(spec, init, tuple(ContainerLife(c, Waiting(reason)) for c in spec.containers))

    @property
    def containers(self) -> tuple[ContainerLife, ...]:
        return self.init + self.main

    @property
    def initialized(self) -> bool:
        return all(isinstance(c.state, Terminated) and c.state.succeeded for c in self.init)

    @property
    def going(self) -> bool:
        return self.kill_at is not None

    @property
    def failed_init(self) -> bool:
        """An init container failed for good: the main ones will never run."""
        return any(isinstance(c.state, Terminated) and not c.state.succeeded for c in self.init)

    @property
    def over(self) -> bool:
        """No container will ever run again."""
        busy = any(isinstance(c.state, Running | Starting) for c in self.containers)
        if self.going or self.failed_init:
            return not busy
        return self.initialized and all(isinstance(c.state, Terminated) for c in self.main)


# --- what happens: events ---


@dataclass(frozen=True, slots=True)
class Progress:
    """A start takes its time, and this is why."""

    container: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    container: str


@dataclass(frozen=True, slots=True)
class StartFailed:
    """There is no process: its engine, its volumes or its environment are not to be had now."""

    container: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Exited:
    container: str
    #: as `subprocess` counts: negative for a signal; None when nobody could see it
    code: int | None
    #: its last words
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class Probed:
    container: str
    kind: ProbeKind
    passed: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """The Pod is to go within `grace_s`."""

    grace_s: float


Event = Progress | Started | StartFailed | Exited | Probed | Delete


# --- what to do: steps ---


class Signal(Enum):
    TERM = "TERM"
    KILL = "KILL"


@dataclass(frozen=True, slots=True)
class Start:
    container: str


@dataclass(frozen=True, slots=True)
class Kill:
    container: str
    signal: Signal


@dataclass(frozen=True, slots=True)
class Abandon:
    """Give up a start that is under way."""

    container: str


@dataclass(frozen=True, slots=True)
class Check:
    """Run a probe and report `Probed`."""

    container: str
    kind: ProbeKind
    probe: Probe


Step = Start | Abandon | Kill | Check
