"""`python -m benchmarks [NAME...]`: run all benchmarks, or those named."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import decisions, first_light, keys, prefix_cache
from benchmarks.control_plane import __main__ as operator
from benchmarks.gateway import __main__ as gateway

BENCHMARKS: dict[str, Callable[[], None]] = {
    "first-light": first_light.main,
    "operator": operator.main,
    "gateway": gateway.main,
    "keys": keys.main,
    "prefix-cache": prefix_cache.main,
    "decisions": decisions.main,
}


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"\n== {name}")
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
