"""The Job controller, over the API; the test plays the node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubeai.api.k8s.resources import EVENTS, JOBS, PODS
from kubeai.embedded.jobs import JobController
from kubeai.kube.client import Client
from tests.builders import job_manifest

from .watch import OpenWatch, opener

pytestmark = pytest.mark.usefixtures("embedded", "controller")


@pytest.fixture
async def controller(client: Client) -> AsyncIterator[None]:
    running = asyncio.create_task(JobController(client).run())
    yield
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
def watch_pods(client: Client) -> OpenWatch:
    return opener(client, PODS)


@pytest.fixture
def watch_jobs(client: Client) -> OpenWatch:
    return opener(client, JOBS)


async def _end(client: Client, pod: dict[str, Any], phase: str) -> None:
    """As the node does when the containers have ended."""
    await client.patch(PODS, pod["metadata"]["name"], {"status": {"phase": phase}}, subresource="status")


async def test_a_job_runs_its_pods_to_the_end(client: Client, watch_pods: OpenWatch, watch_jobs: OpenWatch) -> None:
    async with watch_pods() as pods, watch_jobs() as jobs:
        await client.create(JOBS, job_manifest(completions=2))
        for _ in range(2):
            await _end(client, await pods.until(lambda pod: pod["status"]["phase"] == "Pending"), "Succeeded")
        job = await jobs.until(lambda job: "completionTime" in job["status"])
    assert (job["status"]["succeeded"], job["status"]["active"]) == (2, 0)
    assert "Complete" in {c["type"] for c in job["status"]["conditions"]}


async def test_a_job_that_fails_stops(client: Client, watch_pods: OpenWatch, watch_jobs: OpenWatch) -> None:
    async with watch_pods() as pods, watch_jobs() as jobs:
        await client.create(JOBS, job_manifest(backoffLimit=0))
        await _end(client, await pods.until(lambda pod: True), "Failed")
        job = await jobs.until(lambda job: bool(job["status"].get("conditions")))
    assert {c["type"]: c["reason"] for c in job["status"]["conditions"]}["Failed"] == "BackoffLimitExceeded"


async def test_what_a_job_does_is_told(client: Client, watch_pods: OpenWatch) -> None:
    async with opener(client, EVENTS)() as events, watch_pods() as pods:
        await client.create(JOBS, job_manifest())
        created = await events.until(lambda event: event["reason"] == "SuccessfulCreate")
        pod = await pods.until(lambda pod: True)
        assert created["message"] == f"Created pod: {pod['metadata']['name']}"
        await _end(client, pod, "Succeeded")
        await events.until(lambda event: event["reason"] == "Completed")


async def test_a_finished_job_goes_with_its_pods(client: Client, watch_pods: OpenWatch, watch_jobs: OpenWatch) -> None:
    async with watch_pods() as pods, watch_jobs() as jobs:
        await client.create(JOBS, job_manifest(ttlSecondsAfterFinished=0))
        await _end(client, await pods.until(lambda pod: True), "Succeeded")
        await jobs.until_type("DELETED")
        await pods.until_type("DELETED")
    assert await client.list(PODS) == []


async def test_a_job_that_is_deleted_takes_its_pods_along(client: Client, watch_pods: OpenWatch) -> None:
    async with watch_pods() as pods:
        await client.create(JOBS, job_manifest())
        await pods.until(lambda pod: True)
        await client.delete(JOBS, "j", propagation="Background")
        await pods.until_type("DELETED")
