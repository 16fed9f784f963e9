"""The Job controller over the embedded API server."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from kubeai.api.k8s.resources import JOBS, PODS
from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.jobs import JobController
from kubeai.embedded.node.logs import PodLogs
from kubeai.kube.access import token_access
from kubeai.kube.client import Client

_DEADLINE_S = 60


def _job(name: str) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "local/process"}]}
    return {"metadata": {"name": name}, "spec": {"ttlSecondsAfterFinished": 60, "template": {"spec": pod}}}


async def test_a_job_that_cannot_be_understood_keeps_no_other_from_its_pods(tmp_path: Path) -> None:
    server = APIServer(tmp_path, token="t", logs=PodLogs(tmp_path))
    await server.start()
    async with Client(token_access(server.url, "t")) as client:
        await client.create(JOBS, _job("odd"))
        half = {"conditions": [{"type": "Complete", "status": "True"}]}
        await client.patch(JOBS, "odd", {"status": half}, subresource="status")
        await client.create(JOBS, _job("good"))
        working = asyncio.create_task(JobController(client).run())
        async with asyncio.timeout(_DEADLINE_S):
            while not (working.done() or await client.list(PODS)):
                pass
        assert not working.done()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
    await server.stop()
