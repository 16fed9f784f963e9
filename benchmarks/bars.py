"""Bars of small steps in CPU time, which a busy machine stretches too: `--slack` says how much of that is forgiven."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def read_slack(argv: Sequence[str], program: str, description: str | None) -> float:
    """By how much the bars are to be multiplied."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--slack", type=float, default=1.0, help="multiply the bars by this")
    return float(parser.parse_args(argv).slack)
