"""The API server: what a request that is refused in its midst leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.node.logs import PodLogs
from kubeai.kube.access import token_access
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.builders import config_map


async def test_what_follows_from_the_first_part_of_a_refused_request_is_done(tmp_path: Path) -> None:
    server = APIServer(tmp_path, token="t", logs=PodLogs(tmp_path))
    await server.start()
    async with Client(token_access(server.url, "t")) as client:
        await client.raw("POST", "/api/v1/namespaces", body={"metadata": {"name": "a"}})
        await client.create(CONFIG_MAPS, config_map("c"), "a")
        with pytest.raises(APIError, match="may not be deleted"):
            await client.raw("DELETE", "/api/v1/namespaces")
        with pytest.raises(APIError, match="not found"):
            await client.raw("GET", "/api/v1/namespaces/a")
    await server.stop()
