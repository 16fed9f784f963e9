"""How many requests each Pod has, asked of the gateways when a Pod is to go.

All gateways are asked, those too that take no new requests themselves: what they have begun they must end. One that
does not answer leaves the picture incomplete, and whoever waits for a Pod to be idle waits on, until its time-out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kubeai.api.address import address
from kubeai.planning.draining import Loads
from kubeai.telemetry.names import ENDPOINT_REQUESTS_IN_FLIGHT, MetricSpec
from kubeai.telemetry.scrape import Fetch, Scrape, metric_over_http, scrape

from .observe import Key

log = logging.getLogger(__name__)

_TIMEOUT_S = 2.0
#: To ask for more Models by their names costs more than to ask for all, and makes long requests.
_MAX_MODELS = 32


class LoadSource(Protocol):
    """What the reconciler needs of it."""

    async def read(self, key: Key) -> Loads:
        """The loads of the Model's endpoints, and maybe of others."""


class GatewayLoads:
    """Those who ask while an answer is on its way share the next one, however many they are."""

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        home: str | None,
        own: Callable[[Collection[str]], Mapping[str, int]] | None = None,
        *,
        open_metrics: Callable[[MetricSpec, Collection[str]], AbstractAsyncContextManager[Fetch]] = metric_over_http,
    ) -> None:
        """`home`: see `api.address`.

        `own` tells of Models in this process' gateway, if it has one, for where `addresses` knows none.
        """
        self._addresses = addresses
        self._home = home
        self._own = own
        self._open_metrics = open_metrics
        self._lock = asyncio.Lock()
        self._begun = 0
        #: The number of the round that `_last` is from.
        self._answered = 0
        #: The Models of the next round.
        self._asked: set[str] = set()
        self._last = Loads()

    async def read(self, key: Key) -> Loads:
        """The loads at a moment after this call. What was asked for before may miss what the caller has seen."""
        mine = self._begun + 1
        self._asked.add(address(*key, self._home))
        async with self._lock:
            if self._answered < mine:
                self._begun += 1
                number = self._begun
                models, self._asked = self._asked, set()
                try:
                    self._last = await self._ask(models)
                except BaseException:  # whoever else waits for this round begins another one
                    self._asked |= models
                    raise
                self._answered = number
        return self._last

    async def _ask(self, models: Collection[str]) -> Loads:
        addresses = self._addresses()
        if not addresses:
            # To know of no gateway is not the same as there being none.
            return Loads(self._own(models), complete=True) if self._own else Loads(complete=False)
        named = sorted(models) if len(models) <= _MAX_MODELS else ()
        async with self._open_metrics(ENDPOINT_REQUESTS_IN_FLIGHT, named) as fetch:
            seen = await scrape(addresses, fetch, ENDPOINT_REQUESTS_IN_FLIGHT, _TIMEOUT_S)
        for gateway, reason in seen.blind.items():
            log.warning("requests in flight in the gateway at %s are unknown: %s", gateway, reason)
        return Loads(_by_endpoint(seen), complete=not seen.blind)


def _by_endpoint(seen: Scrape) -> Counter[str]:
    """Endpoints without requests stay in: a gateway that names one may send it some."""
    loads: Counter[str] = Counter()
    for labels, value in seen.series:
        loads[labels.get("endpoint", "")] += int(value)
    return loads
