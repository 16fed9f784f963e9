"""`kubeai usage`, against the real embedded API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeai.access.books import LABEL
from kubeai.access.usage import Batch, Counts, encode_day
from kubeai.api.k8s.resources import CONFIG_MAPS
from tests.builders import config_map

from .conftest import CommandLine, LocalCluster

DAYS: dict[str, Batch] = {
    "2026-01-30": {("alice", "m"): Counts(1, 10, 100), ("", "m"): Counts(8, 80, 800)},
    "2026-01-31": {("alice", "m"): Counts(2, 20, 200)},
    "2026-02-01": {("bob", "n"): Counts(4, 40, 400)},
}


@pytest.fixture
def used(cluster: LocalCluster) -> LocalCluster:
    for month in ("2026-01", "2026-02"):
        data = {day: encode_day(batch) for day, batch in DAYS.items() if day.startswith(month)}
        found = config_map(f"kubeai-usage-{month}", metadata={"labels": {LABEL: month}}) | {
            "data": data | {"writers": '{"w":1}'}
        }
        cluster.put(CONFIG_MAPS, found)
    cluster.put(CONFIG_MAPS, config_map("another", a="b"))
    return cluster


def test_usage_is_a_table_of_keys_and_models(kubeai: CommandLine, used: LocalCluster) -> None:
    assert [line.split() for line in kubeai("usage").out.splitlines()] == [
        ["KEY", "MODEL", "REQUESTS", "PROMPT", "TOKENS", "COMPLETION", "TOKENS"],
        ["-", "m", "8", "80", "800"],
        ["alice", "m", "3", "30", "300"],
        ["bob", "n", "4", "40", "400"],
        ["all", "15", "150", "1500"],
    ]


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        pytest.param(["--from", "2026-01-31"], 6, id="from a day on"),
        pytest.param(["--to", "2026-01-30"], 9, id="until a day"),
        pytest.param(["--from", "2026-01", "--to", "2026-01"], 11, id="of a month"),
        pytest.param(["--key", "alice"], 3, id="of a key"),
        pytest.param(["--model", "n"], 4, id="of a model"),
    ],
)
def test_usage_can_be_narrowed_down(
    kubeai: CommandLine, used: LocalCluster, arguments: list[str], requests: int
) -> None:
    report: Any = json.loads(kubeai("usage", "-o", "json", *arguments).out)
    assert report["total"]["requests"] == requests


def test_where_nothing_was_used_it_says_so(kubeai: CommandLine, used: LocalCluster) -> None:
    told = kubeai("usage", "--key", "nobody")
    assert (told.code, told.out, told.err) == (0, "", "Nothing was used.\n")


def test_a_date_that_is_none_is_a_usage_error(kubeai: CommandLine) -> None:
    told = kubeai("usage", "--from", "yesterday")
    assert (told.code, "write a date" in told.err) == (2, True)
