"""The averages in the ConfigMap: the format, and that nothing is written without need."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from kubeai.kube.errors import APIError
from kubeai.scaling.checkpoint import Checkpoint, decode, encode

from .fakes import FakeCluster

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def checkpoint(cluster: FakeCluster) -> Checkpoint:
    return Checkpoint(cluster, "default", "state")


def test_the_format_is_that_of_earlier_releases() -> None:
    assert json.loads(encode({"m": 1.5}, NOW)["models"]) == {
        "models": {"m": {"averageActiveRequests": 1.5}},
        "lastCalculationTime": "2026-01-02T03:04:05Z",
    }


def test_what_is_written_can_be_read() -> None:
    assert decode(encode({"a": 0.25, "b": 0.0}, NOW)) == {"a": 0.25, "b": 0.0}


@pytest.mark.parametrize("data", [{}, {"models": ""}, {"models": "{}"}, {"models": '{"models": null}'}])
def test_nothing_written_yet_is_no_average(data: dict[str, str]) -> None:
    assert decode(data) == {}


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"models": {"m": 1}}', '{"models": {"m": {}}}', '{"models": {"m": {"averageActiveRequests": []}}}'],
)
def test_a_broken_checkpoint_is_said_to_be_broken(text: str) -> None:
    with pytest.raises(ValueError, match=r"models|Expecting"):
        decode({"models": text})


async def test_a_broken_checkpoint_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()
    cluster.config_maps["state"] = {"models": "{"}
    state = checkpoint(cluster)
    assert await state.load() == {}
    assert "ConfigMap state holds no usable averages" in caplog.text
    await state.save({"m": 1.0}, NOW)
    assert await checkpoint(cluster).load() == {"m": 1.0}


async def test_the_config_map_is_made_when_it_is_missing() -> None:
    cluster = FakeCluster()
    state = checkpoint(cluster)
    assert await state.load() == {}
    await state.save({"m": 1.0}, NOW)
    await state.save({"m": 2.0}, NOW)
    assert cluster.writes == ["create state", "save state"]


@pytest.mark.parametrize("left", [None, {"models": "{"}], ids=["gone", "broken"])
async def test_who_leads_again_writes_what_has_been_lost_since(left: dict[str, str] | None) -> None:
    cluster = FakeCluster()
    state = checkpoint(cluster)
    await state.save({"m": 1.0}, NOW)
    if left is None:
        del cluster.config_maps["state"]
    else:
        cluster.config_maps["state"] = left
    assert await state.load() == {}
    await state.save({"m": 1.0}, NOW)
    assert await checkpoint(cluster).load() == {"m": 1.0}


async def test_averages_that_are_saved_already_are_not_written_again() -> None:
    cluster = FakeCluster()
    cluster.config_maps["state"] = encode({"m": 1.0}, NOW)
    state = checkpoint(cluster)
    await state.load()
    await state.save({"m": 1.0}, NOW)
    assert cluster.writes == []


@pytest.mark.parametrize("action", ["load", "save"])
async def test_a_refusal_is_the_callers_matter(action: str) -> None:
    cluster = FakeCluster()
    cluster.failure = APIError(403, "Forbidden", "no")
    with pytest.raises(APIError, match="no"):
        await (checkpoint(cluster).load() if action == "load" else checkpoint(cluster).save({"m": 1.0}, NOW))
