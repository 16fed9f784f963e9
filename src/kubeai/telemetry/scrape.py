"""Reads one metric of all gateways at the same time.

Each is asked on its own clock, so that one that hangs delays nobody; what it would have said is then missing, and the
answer says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from .names import REQUEST_MODEL, MetricSpec

#: Gives the text of a gateway's metrics; raises OSError, TimeoutError, aiohttp.ClientError or ValueError.
Fetch = Callable[[str], Awaitable[str]]

#: The labels of one series, and its value.
Series = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Scrape:
    #: What all gateways that answered said.
    series: Sequence[Series]
    #: Address of a gateway that could not be asked -> why.
    blind: Mapping[str, str]


async def scrape(addresses: Sequence[str], fetch: Fetch, metric: MetricSpec, timeout_s: float) -> Scrape:
    """Ask each address once."""
    series: list[Series] = []
    blind: dict[str, str] = {}

    async def ask(address: str) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                series.extend(series_of(await fetch(address), metric))
        except TimeoutError:
            blind[address] = f"no answer within {timeout_s:g} seconds"
        except (OSError, aiohttp.ClientError, ValueError) as error:
            blind[address] = str(error) or type(error).__name__

    async with asyncio.TaskGroup() as tasks:
        for address in dict.fromkeys(addresses):
            tasks.create_task(ask(address))
    return Scrape(series, blind)


def series_of(text: str, metric: MetricSpec) -> list[Series]:
    """The metric's series in a page of metrics. Raises `ValueError` when the text is something else."""
    if text and "# TYPE " not in text:
        raise ValueError("the answer is not in Prometheus' text format")
    start = metric.name + "{"
    lines = "\n".join(line for line in text.splitlines() if line.startswith(start))
    return [
        (sample.labels, sample.value) for family in text_string_to_metric_families(lines) for sample in family.samples
    ]


@asynccontextmanager
async def metric_over_http(metric: MetricSpec, models: Collection[str] = ()) -> AsyncIterator[Fetch]:
    """Fetch from `http://ADDRESS/metrics`, never through a proxy: the addresses are those of Pods.

    With `models` the gateways are asked for the series of these only; they may send more.
    """
    # All else would be thrown away; a gateway that does not know a parameter sends it too.
    query = [("name[]", metric.name), *((REQUEST_MODEL, model) for model in models)]
    async with aiohttp.ClientSession(trust_env=False, raise_for_status=True) as session:

        async def fetch(address: str) -> str:
            async with session.get(f"http://{address}/metrics", params=query) as response:
                return await response.text()

        yield fetch
