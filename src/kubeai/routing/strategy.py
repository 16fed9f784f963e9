"""What a load-balancing strategy is: one method that chooses one of several members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .endpoint import Member


@dataclass(slots=True)
class Pool:
    """The endpoints of one Model that take requests. A change of who they are makes a new tuple."""

    members: tuple[Member, ...] = ()
    #: Sum of the members' requests in flight.
    in_flight: int = 0


class Lookup(NamedTuple):
    """How a choice was found on a hash ring."""

    initial: Member
    iterations: int
    #: Whether the chosen member is under the load bound.
    bounded: bool


class Choice(NamedTuple):
    member: Member
    lookup: Lookup | None = None


class Strategy(Protocol):
    """Decides where one request goes. It may remember its own decisions, but changes no member."""

    def pick(self, pool: Pool, candidates: Sequence[Member], key: str) -> Choice:
        """Choose one of `candidates`, which is not empty: the pool's members, or those that suit the request.

        Requests of the same key have something in common that a replica can keep; an empty key says nothing.
        """
