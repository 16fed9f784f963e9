"""The figures as lines, as a page with a picture, and judged by the bars that the gateway has to hold."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .picture import bars
from .scenarios import Result

#: The beginning of a scenario's name -> how many times nginx's cost the gateway may have.
RATIO_BARS = {"requests-1k": 2.5, "requests-100k": 2.0, "burst": 1.1, "paced": 1.3}
#: How much more two workers serve than one.
SCALING_BAR = 1.8
#: Scenario -> MB.
MEMORY_BARS = {"idle-10000": 500.0}

_PAGE = """\
# What a request costs in the gateway

This page is written by `make bench-gateway`, which measures the gateway and, in the same run, others that stand in
front of model servers. All get the same requests and proxy them to the same engine, which answers from memory; each is
one process on one core, and the load generator (wrk) and the engine have another core. The rounds alternate. What
counts is the processor time that the kernel has booked on the proxy's process, because that does not depend on how
fast the others are. Each figure is the median of {rounds} rounds or more, each ratio that of the rounds' ratios.

![Processor time for each request, against nginx](gateway.svg)

The gateway does all of its work here: it checks an API key with limits, finds the model in the body, looks it up,
balances, counts requests and tokens, and bounds time and size. nginx is a plain proxy that knows nothing of models; for
streams it does not buffer.

Measured on {machine} with Python {python} and a load average of {busy:.0f} (on a busy machine a
Python program loses more than nginx); wrk itself took {load:.0f} us for each request of 1 KB.

## Processor time

| | {names} | gateway / nginx | bar |
| --- |{dashes} ---: | ---: |
{cost}

## Requests a second

As many as one core could serve while load generator and engine had the other.

| | {names} |
| --- |{dashes}
{rate}

## Memory

| | {names} | bar |
| --- |{dashes} ---: |
{memory}

## Several processes

{scaling}
"""


def lines(result: Result) -> Iterator[str]:
    yield f"{result.title} ({result.unit}; load generator {result.load_us:.1f})"
    for name, cost in result.cost.items():
        rate = f", {result.rate[name]:,.0f} a second" if name in result.rate else ""
        ratio = f", {result.ratio(name):.2f} x nginx" if "nginx" in result.cost and name != "nginx" else ""
        yield f"  {name:14} {cost:8.1f}{ratio}{rate}"


def judge(results: Sequence[Result], rates: Mapping[int, float], *, slack: float = 1.0) -> list[str]:
    """Which bars the gateway missed, with `slack` times as much allowed."""
    missed = []
    if rates and rates[2] < rates[1] * SCALING_BAR / slack:
        missed.append(f"two workers: {rates[2] / rates[1]:.2f} times one, less than {SCALING_BAR / slack:.2f}")
    for result in results:
        if (limit := _ratio_bar(result)) and result.ratio() > limit * slack:
            missed.append(f"{result.title}: {result.ratio():.2f} times nginx, more than {limit * slack:.2f}")
        memory_mb = result.cost.get("gateway", float("inf"))
        if (limit := MEMORY_BARS.get(result.name)) and memory_mb > limit * slack:
            missed.append(f"{result.title}: {memory_mb:.0f} MB, more than {limit * slack:.0f}")
    return missed


def write(directory: Path, results: Sequence[Result], rates: Mapping[int, float], rounds: int) -> None:
    """`gateway.md` and `gateway.svg`."""
    names = list(results[0].cost)
    timed = [result for result in results if result.rate]
    page = _PAGE.format(
        rounds=rounds,
        busy=os.getloadavg()[0],
        machine=_machine(),
        python=platform.python_version(),
        load=results[0].load_us,
        names=" | ".join(names),
        dashes=" ---: |" * len(names),
        cost="\n".join(_cost_row(result, names) for result in timed),
        rate="\n".join(_row(result.title, _figures(result.rate, names, ",.0f")) for result in timed),
        scaling=_scaling(rates),
        memory="\n".join(_memory_row(result, names) for result in results if not result.rate),
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "gateway.md").write_text(page, encoding="utf-8")
    (directory / "gateway.svg").write_text(bars(timed, names), encoding="utf-8")


def _scaling(rates: Mapping[int, float]) -> str:
    if not rates:
        return "Not measured: this system does not let processes be limited to a part of a processor."
    return (
        "With a tenth of a processor for each, so that load generator and engine are not the limit, one worker\nserved "
        f"{rates[1]:,.0f} requests of 1 KB a second and two served {rates[2]:,.0f}: {rates[2] / rates[1]:.2f} times "
        f"as many (bar: {SCALING_BAR:g})."
    )


def _cost_row(result: Result, names: Sequence[str]) -> str:
    bar = _ratio_bar(result)
    figures = _figures(result.cost, names, ".1f")
    return _row(f"{result.title}, {result.unit}", [*figures, f"{result.ratio():.2f}", f"{bar:g}" if bar else ""])


def _memory_row(result: Result, names: Sequence[str]) -> str:
    bar = MEMORY_BARS.get(result.name)
    figures = _figures(result.cost, names, ".0f")
    return _row(f"{result.title}, {result.unit}", [*figures, f"{bar:g}" if bar else ""])


def _figures(values: Mapping[str, float], names: Sequence[str], form: str) -> list[str]:
    return [format(values[name], form) if name in values else "fails" for name in names]


def _row(title: str, cells: Sequence[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def _ratio_bar(result: Result) -> float | None:
    return next((bar for name, bar in RATIO_BARS.items() if result.name.startswith(f"{name}-")), None)


def _machine() -> str:
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{len(cpus)} cores of {cpus[0].partition(':')[2].strip()}" if cpus else platform.machine()
