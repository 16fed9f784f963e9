"""A server that has just been given the CRD of Models serves them a little later."""

from __future__ import annotations

import asyncio

from kubeai.api.k8s.resources import MODELS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from scripts.kubernetes.api_server import START_TIMEOUT_S


async def models_are_served(client: Client) -> None:
    """Wait until Models can be listed, and are told to who asks what the server serves. Raises `TimeoutError`."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                await client.raw("GET", f"/apis/{MODELS.api_version}")
                await client.list(MODELS)
                return
            except APIError as error:
                if not error.not_found:
                    raise
            await asyncio.sleep(0.02)
