"""From nothing to an answer and back: the first thing that somebody does with a new installation."""

from __future__ import annotations

import pytest

from .site import Site, smollm2

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


async def test_a_model_wakes_answers_and_sleeps_again(site: Site) -> None:
    await site.create(smollm2(site.index_url))
    assert await site.servers("smollm2") == []
    assert "Paris" in await site.capital_of_france()
    assert len(await site.servers("smollm2")) == 1

    async def asleep() -> bool:
        replicas = (await site.model("smollm2"))["status"]["replicas"]
        return await site.servers("smollm2") == [] and replicas["all"] == 0

    await site.eventually("the Model is back at zero", asleep)
