"""From zero to one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubeai.api.k8s.resources import Resource
from kubeai.inference.wake import Wake
from kubeai.kube.errors import APIError
from tests.builders import model


class Scale:
    """The API server's part: refuses what was not written onto the newest version."""

    def __init__(self, version: str = "7", replicas: int = 0, failures: int = 0) -> None:
        self.version = version
        self.replicas = replicas
        self.failures = failures
        self.writes = 0

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"metadata": {"resourceVersion": self.version}, "spec": {"replicas": self.replicas}}

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        self.writes += 1
        await asyncio.sleep(0)
        assert (resource.plural, name, namespace, subresource) == ("models", "m", "default", "scale")
        if self.failures:
            self.failures -= 1
            raise APIError(503, "ServiceUnavailable", "starting")
        if patch["metadata"]["resourceVersion"] != self.version:
            raise APIError(409, "Conflict", "changed")
        self.replicas = patch["spec"]["replicas"]
        return {}


async def woken(scale: Scale, times: int = 1, **spec: Any) -> Scale:
    wake = Wake(scale)
    for _ in range(times):
        wake.ensure(model("m", **({"replicas": 0} | spec)))
    for _ in range(10):
        await asyncio.sleep(0)
    await wake.close()
    return scale


async def test_a_sleeping_model_is_scaled_to_one_once_for_all_who_wait() -> None:
    scale = await woken(Scale(), times=100)
    assert (scale.replicas, scale.writes) == (1, 1)


async def test_a_model_that_was_never_scaled_is_woken() -> None:
    assert (await woken(Scale(), replicas=None)).replicas == 1


@pytest.mark.parametrize("spec", [{"replicas": 2}, {"autoscalingDisabled": True}])
async def test_a_model_that_runs_or_must_not_be_scaled_is_left_alone(spec: dict[str, Any]) -> None:
    assert (await woken(Scale(replicas=2), **spec)).writes == 0


async def test_a_cache_that_lags_behind_delays_nothing() -> None:
    scale = await woken(Scale(version="9"))
    assert (scale.replicas, scale.writes) == (1, 2)


async def test_what_another_scaled_meanwhile_is_not_overwritten() -> None:
    assert (await woken(Scale(version="9", replicas=5))).replicas == 5


async def test_a_failed_write_is_made_again_with_the_next_call(caplog: pytest.LogCaptureFixture) -> None:
    scale = await woken(Scale(failures=1))
    assert scale.replicas == 0
    assert "could not be scaled" in caplog.text
    assert (await woken(scale)).replicas == 1
