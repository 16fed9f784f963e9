"""Lengths of time as Go writes them: `10s`, `1m30s`, `1.5h`, `300ms`; a bare number counts nanoseconds."""

from __future__ import annotations

import re

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<unit>ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(
    rf"(?P<sign>[+-]?)(?P<parts>(?:{_PART.pattern.replace('?P<number>', '?:').replace('?P<unit>', '?:')})+|0)"
)


class DurationError(ValueError):
    """The text is no duration; the fault of who wrote it."""


def parse_duration(duration: str | int | float) -> float:
    """The duration in seconds."""
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        return duration * 1e-9
    match = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if match is None:
        raise DurationError(f"{duration!r} is not a duration: expected for example 10s, 1m30s or 500ms")
    seconds = sum(float(part["number"]) * _SECONDS[part["unit"]] for part in _PART.finditer(match["parts"]))
    return -seconds if match["sign"] == "-" else seconds


def format_duration(duration_s: float) -> str:
    """The shortest form with whole numbers: `10s`, `1m30s`, `500ms`."""
    rest_ns = round(abs(duration_s) * 1e9)
    text = ""
    for unit, unit_ns in (
        ("h", 3600 * 10**9),
        ("m", 60 * 10**9),
        ("s", 10**9),
        ("ms", 10**6),
        ("us", 10**3),
        ("ns", 1),
    ):
        count, rest_ns = divmod(rest_ns, unit_ns)
        text += f"{count}{unit}" if count else ""
    return f"{'-' if duration_s < 0 else ''}{text}" if text else "0s"
