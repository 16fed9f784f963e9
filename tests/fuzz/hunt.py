"""Looks for inputs that break a target, for a bounded time: with atheris, which is led by the code that is reached, or
with hypothesis where atheris cannot be had.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, seed, settings

from .altered import MAX_LENGTH, altered, known
from .corpus import FAILED, found, keep, remember, seeds
from .targets import TARGETS, Target


def hunt(name: str, seconds: float, chance: int = 0) -> str:
    """A line of the report. Raises `AssertionError` or whatever the target raised for the input that was found.

    The same `chance` leads to the same inputs, 0 to others each time.
    """
    if importlib.util.find_spec("atheris") is None:
        return by_chance(name, TARGETS[name], seconds, chance=chance)
    with tempfile.TemporaryDirectory() as directory:
        return _guided(name, seconds, chance, Path(directory))


def _guided(name: str, seconds: float, chance: int, work: Path) -> str:
    grown, start = (_made(work / each) for each in ("grown", "start"))
    _write(start, known(name))
    options = f"-max_total_time={seconds:g}", f"-seed={chance}", "-print_final_stats=1"
    report = _libfuzzer(name, *options, str(grown), str(start), work=work)
    tried = re.search(r"stat::number_of_executed_units:\s+(\d+)", report)
    reached = re.findall(r"cov: (\d+)", report)
    for crash in [path for kind in ("crash-*", "timeout-*", "oom-*") for path in work.glob(kind)]:
        data = crash.read_bytes()
        print(f"{name}: kept in {remember(name, [data])}, because it does harm: {data!r}\n{report[-3000:]}")
        TARGETS[name](data)  # raises
        raise AssertionError(f"{name}: {crash.name}")
    if tried is None or not reached:
        raise AssertionError(f"{name}: the fuzzer did not run:\n{report[-3000:]}")
    # The fuzzer writes down what took it to a new place.
    kept = keep(name, {path.read_bytes() for path in grown.iterdir()}.union(found(name)) - set(seeds(name)))
    return f"{name}: {tried[1]} inputs tried with atheris, {reached[-1]} places reached, {kept} inputs kept"


def _libfuzzer(name: str, *arguments: str, work: Path) -> str:
    fixed = [f"-max_len={MAX_LENGTH}", f"-artifact_prefix={work}/", "-timeout=10", "-rss_limit_mb=2048"]
    command = [sys.executable, "-m", "tests.fuzz.guided", name, *fixed, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout + done.stderr


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _write(directory: Path, inputs: Iterable[bytes]) -> None:
    for number, data in enumerate(inputs):
        (directory / f"{number:05}").write_bytes(data)


def by_chance(name: str, target: Target, seconds: float, directory: Path = FAILED, chance: int = 0) -> str:
    tried, rounds, end = 0, 0, time.monotonic() + seconds
    last = b""
    order = Random(chance or None)

    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(altered(name))
    def attempt(data: bytes) -> None:
        nonlocal tried, last
        tried, last = tried + 1, data
        target(data)

    try:
        while time.monotonic() < end or not rounds:
            rounds += 1
            seed(order.getrandbits(32))(attempt)()
    except BaseException:  # hypothesis ends with the smallest input that it found
        print(f"{name}: kept in {remember(name, [last], directory)}, because it does harm: {last!r}")
        raise
    return f"{name}: {tried} inputs tried with hypothesis"
