"""What the choice of an endpoint costs: CPU microseconds, the best of some runs, by strategy and number of endpoints.

Measured is entering a slot, which is the decision and the counting of the request. With several processes each
decision reads what the others have counted.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from benchmarks.bars import read_slack
from kubeai.api.model import LoadBalancing
from kubeai.routing.balancer import Balancer
from kubeai.routing.endpoint import Endpoint
from kubeai.routing.group import STRATEGIES
from kubeai.telemetry.pages import Memory
from kubeai.telemetry.registry import Metrics

#: Endpoints -> microseconds that a decision may take.
BARS = {8: 10.0, 64: 30.0, 500: 50.0}
PROCESSES = (1, 4)
_RUNS, _DECISIONS = 5, 3000


async def decide(endpoints: int, strategy: str, processes: int) -> float:
    """One run, with a request at each endpoint already."""
    memory = Memory(processes)
    balancers = [Balancer(Metrics(CollectorRegistry(), memory, number)) for number in range(processes)]
    everybody = [Endpoint(f"default/model-m-{number:04}", "10.0.0.1", 8000) for number in range(endpoints)]
    for balancer in balancers:
        balancer.set_group("m", everybody, LoadBalancing(strategy=strategy))
    for number in range(endpoints):
        await balancers[number % processes].slot("m", prefix="the first one makes the ring", timeout_s=0).__aenter__()
    slots = [balancers[0].slot("m", prefix=f"key {number}", timeout_s=0) for number in range(_DECISIONS)]
    began = time.process_time()
    for slot in slots:
        await slot.__aenter__()
    return (time.process_time() - began) / _DECISIONS * 1e6


def main(argv: Sequence[str] = ()) -> None:
    slack = read_slack(argv, "benchmarks.decisions", __doc__)
    missed = []
    print("| strategy | processes | " + " | ".join(f"{count} endpoints" for count in BARS) + " |")
    print("| --- | ---: |" + " ---: |" * len(BARS))
    for strategy in STRATEGIES:
        for processes in PROCESSES:
            costs = {
                count: min(asyncio.run(decide(count, strategy, processes)) for _ in range(_RUNS)) for count in BARS
            }
            print(f"| {strategy} | {processes} | " + " | ".join(f"{cost:.1f} us" for cost in costs.values()) + " |")
            over = [count for count, cost in costs.items() if cost > BARS[count] * slack]
            missed += [f"{strategy}, {processes} processes, {count} endpoints: {costs[count]:.1f} us" for count in over]
    if missed:
        sys.exit("slower than allowed: " + "; ".join(missed))


if __name__ == "__main__":
    main(sys.argv[1:])
