"""`make fuzz`: looks for inputs that do harm, for a bounded time, and says how many were tried.

What atheris finds interesting is written to `tests/data/fuzz`, and what did harm (to one of its targets, or by what
schemathesis says) to `tests/data/fuzz/failed`, for `make test` to replay; commit it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys

from .hunt import hunt
from .surface import explore
from .targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="for each target, and for schemathesis (default 15)")
    parser.add_argument("--seed", type=int, default=0, help="the same looks for the same inputs (default 0: others)")
    parser.add_argument("--chaos", type=int, default=5000, help="requests through the proxy that does mischief")
    parser.add_argument("--mixed", type=int, default=100_000, help="requests of all kinds, after which nothing is left")
    options = parser.parse_args()
    for name in TARGETS:
        print(hunt(name, options.seconds, options.seed), flush=True)
    print(asyncio.run(explore(options.seconds, options.seed)), flush=True)
    chaos = _pytest("tests/fuzz/test_chaos.py", KUBEAI_CHAOS_REQUESTS=str(options.chaos))
    mixed = _pytest("tests/unit/gateway/test_leaks.py", "-k", "uvloop", KUBEAI_MIXED_REQUESTS=str(options.mixed))
    return chaos or mixed


def _pytest(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--timeout=900", *arguments]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
