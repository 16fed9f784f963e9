"""How many requests each Model has, summed over all gateways.

A gateway that cannot be asked may have more requests than were seen; the observation says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from kubeai.telemetry.names import REQUESTS_ACTIVE
from kubeai.telemetry.scrape import Fetch, Series, metric_over_http, scrape

__all__ = ["Fetch", "Observation", "http_metrics", "observe"]

#: `NAME_ADAPTER`: the first underscore ends the Model's name, which has none.
_ADAPTER_SEPARATOR = "_"


@dataclass(frozen=True, slots=True)
class Observation:
    #: Model -> active requests that were seen.
    active: Mapping[str, float]
    #: Address of a gateway that could not be asked -> why.
    blind: Mapping[str, str]
    #: False when more requests may exist than were seen.
    complete: bool


async def observe(addresses: Sequence[str], fetch: Fetch, timeout_s: float) -> Observation:
    """Ask all gateways. Without any gateway nothing was seen, which is not the same as nothing being there."""
    seen = await scrape(addresses, fetch, REQUESTS_ACTIVE, timeout_s)
    return Observation(_by_model(seen.series), seen.blind, complete=bool(addresses) and not seen.blind)


def _by_model(series: Iterable[Series]) -> Counter[str]:
    """An adapter's requests count for its Model."""
    active: Counter[str] = Counter()
    for labels, value in series:
        model = labels.get("request_model", "").partition(_ADAPTER_SEPARATOR)[0]
        active[model] += value  # type: ignore[assignment]  # a Counter adds floats as well
    return active


def http_metrics() -> AbstractAsyncContextManager[Fetch]:
    return metric_over_http(REQUESTS_ACTIVE)
