"""Where requests for a Model can go, and how many are there now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One ready replica. The name is its identity: it places the endpoint on the hash ring."""

    name: str
    host: str
    port: int
    adapters: frozenset[str] = frozenset()


class EndpointLoad(NamedTuple):
    """An endpoint and its requests in flight at one moment, for those who look on."""

    endpoint: Endpoint
    in_flight: int


class Share(Protocol):
    """Tells the other processes of this gateway how many requests this one has at an endpoint."""

    def inc(self, amount: float = 1) -> None: ...


@dataclass(slots=True, eq=False)
class Member:
    """An endpoint as its group sees it. Compared by identity: it outlives changes of address and adapters."""

    endpoint: Endpoint
    #: Requests that were given to it and have not ended, by all processes of this gateway as far as is known.
    in_flight: int = 0
    #: Those of this process. Changed by its group only, as the one above.
    own: int = 0
    share: Share | None = None
    #: False once it left the group; it is kept until its last request ends, so that a return finds the right count.
    present: bool = True
