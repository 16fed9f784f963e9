"""The autoscaler as a whole, in virtual time: an hour takes milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from kubeai.config.system import ModelAutoscaling
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.scaling.checkpoint import encode
from kubeai.scaling.loop import Autoscaler
from kubeai.telemetry.registry import Metrics
from tests.builders import model

from .fakes import FakeCluster, FakeGateways

pytestmark = pytest.mark.looptime

NOW = datetime(2026, 1, 2, tzinfo=UTC)
INTERVAL_S = 10


def autoscaler(
    cluster: FakeCluster, gateways: FakeGateways, window_s: int = 60, metrics: Metrics | None = None
) -> Autoscaler:
    settings = ModelAutoscaling(interval_s=INTERVAL_S, time_window_s=window_s, state_config_map_name="state")
    return Autoscaler(
        cluster,
        cluster,
        gateways.addresses,
        settings,
        "default",
        cluster,
        Metrics() if metrics is None else metrics,
        open_metrics=gateways.open,
        wall_clock=lambda: NOW,
    )


@asynccontextmanager
async def running(
    cluster: FakeCluster, gateways: FakeGateways, window_s: int = 60, metrics: Metrics | None = None
) -> AsyncIterator[None]:
    """The autoscaler runs; each interval it acts just before the test does."""
    task = asyncio.create_task(autoscaler(cluster, gateways, window_s, metrics).run())
    await asyncio.sleep(0.1)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def intervals(count: int) -> None:
    await asyncio.sleep(count * INTERVAL_S)


def scalings(cluster: FakeCluster) -> list[str]:
    return [write for write in cluster.writes if write.startswith("scale")]


def under_load(cluster: FakeCluster, average: float) -> FakeCluster:
    cluster.config_maps["state"] = encode({"m": average}, NOW)
    return cluster


async def test_requests_scale_a_model_up_from_zero() -> None:
    cluster, gateways = FakeCluster(model(replicas=0)), FakeGateways(a={"m": 1})
    async with running(cluster, gateways):
        await intervals(1)
    assert cluster.replicas() == 1


async def test_an_idle_model_goes_to_zero_after_window_and_delay() -> None:
    cluster = under_load(FakeCluster(model(replicas=1, scaleDownDelaySeconds=30)), 1)
    async with running(cluster, FakeGateways(a={})):
        await intervals(8)
        assert cluster.replicas() == 1
        await intervals(1)
    assert cluster.replicas() == 0


async def test_a_delay_that_began_before_autoscaling_was_disabled_begins_anew() -> None:
    cluster = FakeCluster(model(replicas=1, scaleDownDelaySeconds=30))
    async with running(cluster, FakeGateways(a={})):
        await intervals(3)
        cluster.change("m", autoscalingDisabled=True)
        await intervals(6)
        cluster.change("m", autoscalingDisabled=False)
        await intervals(3)
        assert cluster.replicas() == 1
        await intervals(1)
    assert cluster.replicas() == 0


async def test_load_of_all_gateways_is_summed() -> None:
    cluster = FakeCluster(model(replicas=1, targetRequests=10))
    async with running(cluster, FakeGateways(a={"m": 30}, b={"m": 30})):
        await intervals(6)
    assert cluster.replicas() == 6


# fault A1
async def test_a_model_that_is_used_through_its_adapters_only_stays() -> None:
    cluster = under_load(FakeCluster(model(replicas=1)), 1)
    async with running(cluster, FakeGateways(a={"m_lora": 1})):
        await intervals(60)
    assert cluster.replicas() == 1


# fault A2
async def test_a_new_leader_under_steady_load_changes_nothing() -> None:
    cluster = under_load(FakeCluster(model(replicas=5, targetRequests=10)), 50)
    gateways = FakeGateways(a={"m": 50})
    for _ in range(3):
        async with running(cluster, gateways):
            await intervals(2)
    assert scalings(cluster) == []


# fault A2
async def test_what_an_earlier_lead_remembered_does_not_count() -> None:
    cluster = FakeCluster(model(replicas=5, targetRequests=10, scaleDownDelaySeconds=30))
    scaler = autoscaler(cluster, FakeGateways(a={}))
    for rounds in (3, 1):  # the fourth interval in a row would scale down
        task = asyncio.create_task(scaler.run())
        await asyncio.sleep(rounds * INTERVAL_S + 1)
        task.cancel()
        under_load(cluster, 50)  # another leader has seen load meanwhile
    assert cluster.replicas() == 5


# fault A2
@pytest.mark.parametrize("failure", [APIError(503, "ServiceUnavailable", "starting"), ConnectionFailed("refused")])
async def test_nothing_is_decided_before_the_state_could_be_read(failure: APIError | ConnectionFailed) -> None:
    cluster = under_load(FakeCluster(model(replicas=5, targetRequests=10, scaleDownDelaySeconds=0)), 50)
    cluster.failure = failure
    async with running(cluster, FakeGateways(a={"m": 50})):
        await intervals(30)
        cluster.failure = None
        await intervals(3)
    assert cluster.replicas() == 5


# fault A3
async def test_a_burst_is_followed_within_two_intervals() -> None:
    cluster, gateways = FakeCluster(model(replicas=1, targetRequests=10)), FakeGateways(a={})
    async with running(cluster, gateways, window_s=600):
        await intervals(60)
        gateways.active["a"] = {"m": 80}
        await intervals(2)
    assert cluster.replicas() == 8


async def test_a_ramp_is_followed_without_going_back() -> None:
    cluster, gateways = FakeCluster(model(replicas=1, targetRequests=10)), FakeGateways(a={})
    async with running(cluster, gateways, window_s=60):
        for load in range(0, 200, 5):
            gateways.active["a"] = {"m": load}
            await intervals(1)
    steps = [int(write.rpartition(" ")[2]) for write in scalings(cluster)]
    assert steps == sorted(steps)
    assert steps[-1] >= 17  # 195 active requests now, 182.5 on average


# fault A2
async def test_a_leader_that_dies_on_a_ramp_is_followed_by_one_that_goes_on() -> None:
    cluster, gateways = FakeCluster(model(replicas=1, targetRequests=10)), FakeGateways(a={})
    for leader in range(4):
        async with running(cluster, gateways):
            for step in range(10):
                gateways.active["a"] = {"m": leader * 50 + step * 5}
                await intervals(1)
    steps = [int(write.rpartition(" ")[2]) for write in scalings(cluster)]
    assert steps == sorted(steps)
    assert steps[-1] >= 17


# fault A4
async def test_a_gateway_that_cannot_be_asked_stops_scale_downs_only() -> None:
    cluster = FakeCluster(
        model("idle", replicas=3, scaleDownDelaySeconds=0), model("busy", replicas=1, targetRequests=10)
    )
    gateways = FakeGateways(a={"busy": 40}, gone=None)
    async with running(cluster, gateways):
        await intervals(30)
        assert (cluster.replicas("idle"), cluster.replicas("busy")) == (3, 4)
        del gateways.active["gone"]
        await intervals(1)
    assert cluster.replicas("idle") == 0


# fault A4
async def test_a_blind_round_does_not_pull_the_average_down() -> None:
    cluster = under_load(FakeCluster(model(replicas=5, targetRequests=10, scaleDownDelaySeconds=0)), 50)
    gateways = FakeGateways(a=None)
    async with running(cluster, gateways):
        await intervals(30)
        gateways.active["a"] = {"m": 50}
        await intervals(30)
    assert scalings(cluster) == []


# fault A5
async def test_models_that_became_idle_while_the_operator_was_down_still_go_to_zero() -> None:
    cluster = under_load(FakeCluster(model(replicas=5, targetRequests=10)), 50)
    async with running(cluster, FakeGateways(a={})):
        await intervals(6 + 3)
    assert cluster.replicas() == 0


async def test_a_model_without_autoscaling_is_left_alone() -> None:
    cluster = FakeCluster(model(replicas=7, autoscalingDisabled=True))
    async with running(cluster, FakeGateways(a={})):
        await intervals(30)
    assert cluster.replicas() == 7


async def test_a_model_that_cannot_be_scaled_does_not_stop_the_others() -> None:
    cluster = FakeCluster(model("gone", replicas=0), model("m", replicas=0))
    gateways = FakeGateways(a={"gone": 1, "m": 1})
    cluster.gone.add("gone")
    async with running(cluster, gateways):
        await intervals(1)
    assert (cluster.replicas("gone"), cluster.replicas("m")) == (0, 1)


async def test_an_idle_system_writes_nothing() -> None:
    cluster = FakeCluster(model(replicas=0))
    async with running(cluster, FakeGateways(a={})):
        await intervals(100)
    assert cluster.writes == ["create state"]


async def test_a_deleted_model_is_forgotten() -> None:
    cluster, gateways = FakeCluster(model(replicas=1)), FakeGateways(a={"m": 1})
    async with running(cluster, gateways):
        await intervals(2)
        cluster.models.clear()
        await intervals(1)
    assert '"models": {}' in cluster.config_maps["state"]["models"]


async def test_rounds_keep_their_pace_although_a_gateway_hangs() -> None:
    gateways = FakeGateways(a="hangs")
    async with running(FakeCluster(model(replicas=0)), gateways):
        await intervals(3)
    assert gateways.asked_at == [10, 20, 30]


# fault A3
async def test_a_model_can_have_a_window_of_its_own() -> None:
    fast = model("fast", replicas=3, autoscalingWindowSeconds=20, scaleDownDelaySeconds=0)
    cluster = FakeCluster(fast, model("slow", replicas=3, scaleDownDelaySeconds=0))
    cluster.config_maps["state"] = encode({"fast": 300, "slow": 300}, NOW)
    async with running(cluster, FakeGateways(a={}), window_s=600):
        await intervals(2)
    assert (cluster.replicas("fast"), cluster.replicas("slow")) == (0, 3)


async def test_a_window_that_is_edited_takes_effect_with_the_next_round() -> None:
    cluster = under_load(FakeCluster(model(replicas=3, scaleDownDelaySeconds=0)), 300)
    async with running(cluster, FakeGateways(a={}), window_s=600):
        await intervals(2)
        cluster.change("m", autoscalingWindowSeconds=10)
        await intervals(1)
    assert cluster.replicas() == 0


async def test_a_scaling_is_told_in_words_and_numbers() -> None:
    cluster, metrics = FakeCluster(model(replicas=2, targetRequests=10)), Metrics()
    async with running(cluster, FakeGateways(a={"m": 80}), metrics=metrics):
        await intervals(2)
        served = numbers(metrics)
    assert cluster.events == [
        "Model m: Scaled: 2 -> 8 replicas: a burst of 80 active requests, 10 to a replica, need 8"
    ]
    assert served == {
        'kubeai_autoscaler_average_requests{request_model="m"}': 80 * 2 / 6,
        'kubeai_autoscaler_desired_replicas{request_model="m"}': 8,
        'kubeai_autoscaler_scalings_total{cause="burst",direction="up",request_model="m"}': 1,
        "kubeai_autoscaler_blind_gateways": 0,
    }
    left = numbers(metrics)  # what another leader decides now is not for this process to tell
    assert list(left) == ['kubeai_autoscaler_scalings_total{cause="burst",direction="up",request_model="m"}']


async def test_gateways_that_cannot_be_asked_are_counted() -> None:
    metrics = Metrics()
    async with running(FakeCluster(), FakeGateways(a={}, gone=None), metrics=metrics):
        await intervals(1)
        assert numbers(metrics) == {"kubeai_autoscaler_blind_gateways": 1}


def numbers(metrics: Metrics) -> dict[str, float]:
    """The autoscaler's metrics that are served."""
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith("kubeai_autoscaler")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_models_of_other_namespaces_are_scaled_by_their_own_load() -> None:
    cluster = FakeCluster(model(replicas=0), model(replicas=0, metadata={"namespace": "team"}))
    async with running(cluster, FakeGateways(a={"team/m_lora": 1})):
        await intervals(1)
    assert cluster.writes == ["scale team/m to 1", "create state"]
    assert '"team/m": ' in cluster.config_maps["state"]["models"]
