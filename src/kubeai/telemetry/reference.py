"""The metric reference of the documentation, made from the table of metrics."""

from __future__ import annotations

from .names import ALL, MetricSpec

_INTRODUCTION = """\
# Metrics

Each process serves its metrics in Prometheus' text format at `/metrics`; `?name[]=NAME` (repeatable) asks for some of
them only, and `?request_model=MODEL` (repeatable) for the series of some Models only where a metric has them for each
Model. On Linux the usual `process_*` metrics (CPU, memory, open files) come with them.

Of several worker processes each serves what all have counted; only `process_*` are those of the process that is asked.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
"""


def metrics_reference() -> str:
    """The page `docs/reference/metrics.md` as markdown."""
    return _INTRODUCTION + "".join(_row(spec) for spec in ALL)


def _row(spec: MetricSpec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    return f"| `{spec.name}` | {spec.kind} | {labels} | {_meaning(spec)} |\n"


def _meaning(spec: MetricSpec) -> str:
    if not spec.buckets:
        return spec.help
    return f"{spec.help} Buckets from {spec.buckets[0]:g} to {spec.buckets[-1]:g}."
