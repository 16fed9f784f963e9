"""`python -m benchmarks.gateway`: measure the gateway against others, and judge it by its bars.

All proxy the same requests to the same engine, one process each on one core; what counts is the CPU time that the
kernel has counted for the proxy, not elapsed time, so that a slow load generator or engine does not matter.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import scenarios
from .contenders import Start, contenders
from .report import judge, lines, write
from .scenarios import Result

KB = 1024

Scenario = Callable[[dict[str, Start], Path], Result]


def main(argv: Sequence[str] = ()) -> None:
    arguments = _arguments(argv)
    if missing := [name for name in ("nginx", "wrk", "cc") if shutil.which(name) is None]:
        raise SystemExit(f"not found: {', '.join(missing)}; install them from the distribution (apt-get install)")
    starts = contenders(frozenset(arguments.only))
    results = []
    for result in _measure(starts, arguments):
        results.append(result)
        print("\n".join(lines(result)), flush=True)
    rates = _scaling(arguments)
    if arguments.write:
        write(Path(arguments.write), results, rates, arguments.rounds)
    if missed := judge(results, rates, slack=arguments.slack):
        sys.exit("\n".join(["missed:", *missed]))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one round")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="contenders; nginx is needed for ratios")
    parser.add_argument("--scenarios", nargs="*", default=[], metavar="PREFIX", help="those whose names begin so")
    parser.add_argument("--slack", type=float, default=1.0, help="multiply the bars by this")
    parser.add_argument("--write", metavar="DIR", help="write the report and its picture there")
    return parser.parse_args(argv)


def _measure(starts: dict[str, Start], arguments: argparse.Namespace) -> Iterator[Result]:
    for name, scenario in _scenarios(arguments.rounds, arguments.seconds).items():
        if arguments.scenarios and not name.startswith(tuple(arguments.scenarios)):
            continue
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            work = Path(directory) / ("requests" if name.startswith("requests") else "streams")
            work.mkdir()
            yield scenario(starts, work)


def _scaling(arguments: argparse.Namespace) -> dict[int, float]:
    if arguments.scenarios and "workers" not in arguments.scenarios:
        return {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        rates = scenarios.scaling(Path(directory), arguments.rounds, arguments.seconds)
    print("workers: " + ", ".join(f"{count}: {rate:,.0f} a second" for count, rate in rates.items()))
    return rates


def _scenarios(rounds: int, seconds: float) -> dict[str, Scenario]:
    found = {
        f"requests-{size // KB}k-{connections}": _requests(size, connections, rounds, seconds)
        for connections in (64, 512)
        for size in (KB, 16 * KB, 100 * KB)
    }
    # Streams differ more from round to round; paced ones load a processor little, so that there is less to count.
    more = rounds + 2
    found["burst-64"] = lambda starts, work: scenarios.bursts(starts, work, 64, more, seconds)
    found["paced-256"] = lambda starts, work: scenarios.paced(starts, work, 256, more, 2 * seconds)
    found["idle-1000"] = lambda starts, work: scenarios.idle(starts, work, 1_000)
    found["idle-10000"] = lambda starts, work: scenarios.idle(starts, work, 10_000)
    return found


def _requests(size: int, connections: int, rounds: int, seconds: float) -> Scenario:
    return lambda starts, work: scenarios.requests(starts, work, size, connections, rounds, seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
