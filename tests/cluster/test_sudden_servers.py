"""llama.cpp's server drops everything on SIGTERM: whoever wants it to go sees to it that its answers are finished."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from kubeai.api.k8s.resources import MODELS, PODS

from .site import Site, smollm2

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

#: As docs/how-to/install-on-kubernetes.md has it, for nodes that are drained.
PAUSE: dict[str, Any] = {
    "terminationGracePeriodSeconds": 90,
    "template": {"spec": {"containers": [{"name": "server", "lifecycle": {"preStop": {"sleep": {"seconds": 60}}}}]}},
}


@asynccontextmanager
async def stories(site: Site) -> AsyncIterator[None]:
    """Four long answers that have begun when the block starts, and have to be whole in the end."""
    async with openai.AsyncOpenAI(base_url=await site.url(), api_key="none", max_retries=0, timeout=120) as client:
        begun = asyncio.Semaphore(0)

        async def write_on() -> str | None:
            stream = await client.chat.completions.create(
                model="smollm2",
                messages=[{"role": "user", "content": "Tell me a long story."}],
                max_tokens=100,
                stream=True,
                extra_body={"ignore_eos": True},
            )
            begun.release()
            return [chunk.choices[0].finish_reason async for chunk in stream if chunk.choices][-1]

        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(write_on()) for _ in range(4)]
            for _ in answers:
                await begun.acquire()
            yield
        assert [answer.result() for answer in answers] == ["length"] * 4


async def replaced(site: Site, before: str) -> None:
    async def is_replaced() -> bool:
        return len(after := await site.servers("smollm2")) == 1 and after != [before]

    await site.eventually("the server is replaced", is_replaced)


# fault P3
async def test_a_rollout_waits_for_its_answers(site: Site) -> None:
    await site.create(smollm2(site.index_url, minReplicas=1, maxReplicas=1))
    async with stories(site):
        (before,) = await site.servers("smollm2")
        await site.client.patch(MODELS, "smollm2", {"spec": {"env": {"A": "b", "PIP_INDEX_URL": site.index_url}}})
        await replaced(site, before)


async def test_a_pause_lets_it_answer_when_it_is_evicted(site: Site) -> None:
    await site.create(smollm2(site.index_url, minReplicas=1, maxReplicas=1, pods=PAUSE))
    async with stories(site):
        (before,) = await site.servers("smollm2")
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": before}}
        await site.client.raw("POST", PODS.path(site.client.namespace, before, "eviction"), body=eviction)
        await replaced(site, before)
    await site.kubectl("delete", "pod", before, "--grace-period=1", "--ignore-not-found")
